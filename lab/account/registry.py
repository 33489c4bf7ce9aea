"""What an MQTT endpoint asks about a certificate: status, things, policies.

Read straight from moto's backend in this process, at every connect and publish, so a
change through the AWS API counts at once. Read only; AWS's propagation delays are not
played here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from moto.iot.models import iot_backends

from lab.account.attachments import EXCLUSIVE


@dataclass(frozen=True)
class RegisteredCertificate:
    """A certificate as the account holds it; ``status`` is AWS IoT's CertificateStatus
    (ACTIVE, INACTIVE, REVOKED, PENDING_ACTIVATION, ...).
    """

    certificate_id: str
    arn: str
    status: str
    pem: str


class AccountRegistry:
    """The registry of one account and region. Thread-safe: every answer is made from
    copies that are taken in one step.
    """

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id = account_id
        self._region = region

    def certificate(self, certificate_id: str) -> RegisteredCertificate | None:
        """The certificate of this id (SHA-256 of its DER, lowercase hex), or None."""
        found = self._backend.certificates.get(certificate_id)
        if found is None:
            return None
        return RegisteredCertificate(
            found.certificate_id, found.arn, found.status, found.certificate_pem
        )

    def thing_names(self, certificate_id: str) -> list[str]:
        """The things that the certificate is attached to; none for an unknown one."""
        found = self._backend.certificates.get(certificate_id)
        if found is None:
            return []
        return [name for arn, name in list(self._backend.principal_things) if arn == found.arn]

    def exclusive_thing(self, certificate_id: str) -> str | None:
        """The thing that the certificate is exclusively attached to; None if there is none."""
        found = self._backend.certificates.get(certificate_id)
        for (arn, name), attached in list(self._backend.principal_things.items()):
            if found is not None and arn == found.arn and attached[2] == EXCLUSIVE:
                return str(name)
        return None

    def policy_documents(self, certificate_id: str) -> list[dict[str, Any]]:
        """The default versions of the policies that count for the certificate: its own,
        and those of the thing groups of its things with the groups above them.

        https://docs.aws.amazon.com/iot/latest/developerguide/thing-groups.html
        """
        backend = self._backend
        found = backend.certificates.get(certificate_id)
        if found is None:
            return []
        account_arn = found.arn.rpartition(":")[0]
        things = {f"{account_arn}:thing/{name}" for name in self.thing_names(certificate_id)}
        targets = {found.arn, *self._group_arns(things)}
        names = {name for target, name in list(backend.principal_policies) if target in targets}
        policies = [backend.policies.get(name) for name in sorted(names)]
        return [json.loads(policy.document) for policy in policies if policy is not None]

    def _group_arns(self, thing_arns: set[str]) -> set[str]:
        arns: set[str] = set()
        for group in list(self._backend.thing_groups.values()):
            if any(thing_arn in group.things for thing_arn in thing_arns):
                above = group.metadata.get("rootToParentThingGroups", [])
                arns.update([group.arn, *(parent["groupArn"] for parent in above)])
        return arns

    @property
    def _backend(self) -> Any:
        return iot_backends[self._account_id][self._region]
