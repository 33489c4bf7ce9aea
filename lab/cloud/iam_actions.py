"""Which permission an AWS call needs: its IAM action, and the resources that it is about.

A table, from the Service Authorization Reference: "Actions, resources, and condition keys" for
AWS IoT, AWS IoT Jobs DataPlane, Amazon DynamoDB, Amazon EventBridge, Amazon SNS, AWS Step
Functions, AWS Lambda and AWS Private Certificate Authority. An action that knows no resource type
is about ``*``, and a statement that names anything else does not allow it.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html

A call that is not in the table is refused: add it, with what the reference says of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: The resource types of each service prefix of actions, and how their ARNs go on after the account.
_TYPES = {
    "iot": {
        "cacert": "iot:cacert/",
        "cert": "iot:cert/",
        "job": "iot:job/",
        "jobtemplate": "iot:jobtemplate/",
        "thing": "iot:thing/",
        "topic": "iot:topic/",
    },
    "iotjobsdata": {"thing": "iot:thing/"},
    "dynamodb": {"table": "dynamodb:table/"},
    "events": {"event-bus": "events:event-bus/"},
    "sns": {"topic": "sns:"},
    "states": {"execution": "states:execution:", "statemachine": "states:stateMachine:"},
    "lambda": {"function": "lambda:function:"},
    "acm-pca": {"certificate-authority": "acm-pca:certificate-authority/"},
}


class UnknownCall(LookupError):
    """A call that the table does not know."""


@dataclass(frozen=True)
class Place:
    """Where an account is: what its ARNs begin with."""

    region: str
    account_id: str
    partition: str = "aws"

    def arn(self, action: str, kind: str, name: str) -> str:
        """Of a resource that an action is about, by its type; ``name`` may be its ARN already."""
        if name.startswith("arn:"):
            return name
        service, prefix = _TYPES[action.partition(":")[0]][kind].split(":", 1)
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{prefix}{name}"


@dataclass(frozen=True)
class Need:
    """A permission: its action, and the parameters that name its resources, by their types."""

    action: str
    resources: Mapping[str, str]

    def of_call(self, place: Place, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The (action, resource) pairs that must all be allowed to a call with these parameters."""
        named = [
            place.arn(self.action, kind, str(name))
            for kind, path in self.resources.items()
            for name in _values(parameters, path)
        ]
        return [(self.action, resource) for resource in named or ["*"]]


def need_of(service: str, operation: str) -> Need:
    """What the call needs, services named as in ``boto3.client(service)``. Raises UnknownCall."""
    try:
        return NEEDS[service, operation]
    except KeyError:
        raise UnknownCall(f"{service} {operation} is not in {__name__}") from None


def _values(parameters: Mapping[str, Any], path: str) -> Iterator[Any]:
    """What a parameter holds; ``a.b`` is the b of each a, and an absent one names nothing."""
    first, _, rest = path.partition(".")
    found = parameters.get(first, [])
    for each in found if isinstance(found, list) else [found]:
        if rest:
            yield from _values(each, rest)
        else:
            yield each


def _need(action: str, **resources: str) -> Need:
    return Need(action, {kind.replace("_", "-"): path for kind, path in resources.items()})


NEEDS: dict[tuple[str, str], Need] = {
    ("iot", "AttachPolicy"): _need("iot:AttachPolicy", cert="target"),
    ("iot", "AttachThingPrincipal"): _need("iot:AttachThingPrincipal"),
    ("iot", "CancelJob"): _need("iot:CancelJob", job="jobId"),
    ("iot", "CancelJobExecution"): _need("iot:CancelJobExecution", job="jobId", thing="thingName"),
    ("iot", "CreateCertificateFromCsr"): _need("iot:CreateCertificateFromCsr"),
    ("iot", "CreateJob"): _need(
        "iot:CreateJob", job="jobId", thing="targets", jobtemplate="jobTemplateArn"
    ),
    ("iot", "CreateThing"): _need("iot:CreateThing", thing="thingName"),
    ("iot", "DeleteCertificate"): _need("iot:DeleteCertificate", cert="certificateId"),
    ("iot", "DescribeCACertificate"): _need("iot:DescribeCACertificate", cacert="certificateId"),
    ("iot", "DescribeCertificate"): _need("iot:DescribeCertificate", cert="certificateId"),
    ("iot", "DescribeEventConfigurations"): _need("iot:DescribeEventConfigurations"),
    ("iot", "DescribeJob"): _need("iot:DescribeJob", job="jobId"),
    ("iot", "DescribeJobExecution"): _need(
        "iot:DescribeJobExecution", job="jobId", thing="thingName"
    ),
    ("iot", "DescribeThing"): _need("iot:DescribeThing", thing="thingName"),
    ("iot", "DetachPolicy"): _need("iot:DetachPolicy", cert="target"),
    ("iot", "DetachThingPrincipal"): _need("iot:DetachThingPrincipal"),
    ("iot", "ListAttachedPolicies"): _need("iot:ListAttachedPolicies"),
    ("iot", "ListCertificates"): _need("iot:ListCertificates"),
    ("iot", "ListCertificatesByCA"): _need("iot:ListCertificatesByCA"),
    ("iot", "ListJobExecutionsForThing"): _need("iot:ListJobExecutionsForThing", thing="thingName"),
    ("iot", "ListPrincipalThings"): _need("iot:ListPrincipalThings"),
    ("iot", "ListThingPrincipals"): _need("iot:ListThingPrincipals"),
    # "Requires permission to access the ListThingPrincipals action" (its API reference).
    ("iot", "ListThingPrincipalsV2"): _need("iot:ListThingPrincipals"),
    ("iot", "ListThings"): _need("iot:ListThings"),
    ("iot", "RegisterCertificate"): _need("iot:RegisterCertificate"),
    ("iot", "RegisterCertificateWithoutCA"): _need("iot:RegisterCertificateWithoutCA"),
    ("iot", "UpdateCertificate"): _need("iot:UpdateCertificate", cert="certificateId"),
    ("iot", "UpdateEventConfigurations"): _need("iot:UpdateEventConfigurations"),
    ("iot-data", "Publish"): _need("iot:Publish", topic="topic"),
    ("iot-jobs-data", "DescribeJobExecution"): _need(
        "iotjobsdata:DescribeJobExecution", thing="thingName"
    ),
    ("iot-jobs-data", "GetPendingJobExecutions"): _need(
        "iotjobsdata:GetPendingJobExecutions", thing="thingName"
    ),
    ("dynamodb", "DeleteItem"): _need("dynamodb:DeleteItem", table="TableName"),
    ("dynamodb", "GetItem"): _need("dynamodb:GetItem", table="TableName"),
    ("dynamodb", "PutItem"): _need("dynamodb:PutItem", table="TableName"),
    ("dynamodb", "Query"): _need("dynamodb:Query", table="TableName"),
    ("dynamodb", "Scan"): _need("dynamodb:Scan", table="TableName"),
    ("dynamodb", "UpdateItem"): _need("dynamodb:UpdateItem", table="TableName"),
    ("events", "PutEvents"): _need("events:PutEvents", event_bus="Entries.EventBusName"),
    ("sns", "Publish"): _need("sns:Publish", topic="TopicArn"),
    ("stepfunctions", "DescribeExecution"): _need(
        "states:DescribeExecution", execution="executionArn"
    ),
    ("stepfunctions", "SendTaskFailure"): _need("states:SendTaskFailure"),
    ("stepfunctions", "SendTaskHeartbeat"): _need("states:SendTaskHeartbeat"),
    ("stepfunctions", "SendTaskSuccess"): _need("states:SendTaskSuccess"),
    ("stepfunctions", "StartExecution"): _need(
        "states:StartExecution", statemachine="stateMachineArn"
    ),
    ("lambda", "Invoke"): _need("lambda:InvokeFunction", function="FunctionName"),
    ("acm-pca", "GetCertificate"): _need(
        "acm-pca:GetCertificate", certificate_authority="CertificateAuthorityArn"
    ),
    ("acm-pca", "IssueCertificate"): _need(
        "acm-pca:IssueCertificate", certificate_authority="CertificateAuthorityArn"
    ),
}
