"""The credentials provider: AWS credentials for a device's certificate, through a role alias.

In which order AWS looks at the role alias, the thing and the policy is not documented; here
it is that one.
https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from lab.account.policies import DEFAULT_ROLE_ALIAS
from lab.https.message import Response
from lab.https.permission import HttpsPermission
from lab.iot_core.tls import PeerCertificate
from lab.timeline import Timeline

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "credentials.iot.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


class Clients(Protocol):
    """The account's boto3 clients."""

    def client(self, service_name: str) -> Any: ...


@dataclass(frozen=True)
class RoleAlias:
    """What a role alias stands for; ``seconds`` is how long its credentials live."""

    role_arn: str
    seconds: int


def make_role_alias(account: Clients, name: str = DEFAULT_ROLE_ALIAS) -> None:
    """A role and an alias to it in the account, as Greengrass's installer makes them."""
    role = account.client("iam").create_role(
        RoleName=name.removesuffix("Alias") or name, AssumeRolePolicyDocument=json.dumps(_TRUST)
    )
    account.client("iot").create_role_alias(roleAlias=name, roleArn=role["Role"]["Arn"])


class CredentialsProvider:
    def __init__(self, account: Clients, permission: HttpsPermission, timeline: Timeline) -> None:
        self._account = account
        self._permission = permission
        self._timeline = timeline

    def answer(self, peer: PeerCertificate, alias: str, thing_name: str | None) -> Response:
        """The answer to GET /role-aliases/ALIAS/credentials; the thing is optional, as at AWS."""
        found = self._role_alias(alias)
        if found is None:
            return Response(404, {"message": "Role alias does not exist"})
        if thing_name is not None and not self._permission.attached(peer, thing_name):
            return Response(403, {"message": "Invalid thing name passed"})
        decision = self._permission.decide(
            peer, "iot:AssumeRoleWithCertificate", f"rolealias/{alias}"
        )
        if not decision.allowed:
            return Response(403, {"message": "Access Denied"})
        given = self._account.client("sts").assume_role(
            RoleArn=found.role_arn,
            RoleSessionName=peer.certificate_id,
            DurationSeconds=found.seconds,
        )["Credentials"]
        expiration: datetime = given["Expiration"]
        self._timeline.record(
            "https",
            "credentials-given",
            principal=peer.certificate_id,
            thing=thing_name,
            role_alias=alias,
        )
        return Response(
            200,
            {
                "credentials": {
                    "accessKeyId": given["AccessKeyId"],
                    "secretAccessKey": given["SecretAccessKey"],
                    "sessionToken": given["SessionToken"],
                    "expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            },
        )

    def _role_alias(self, name: str) -> RoleAlias | None:
        try:
            described = self._account.client("iot").describe_role_alias(roleAlias=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        found = described["roleAliasDescription"]
        return RoleAlias(found["roleArn"], found["credentialDurationSeconds"])
