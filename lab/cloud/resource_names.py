"""What the template's resources are called in the account: their names, ARNs, and what Ref gives.

Where the template leaves a name to CloudFormation it is ``<stack>-<logical id>``.
(AWS CloudFormation Template Reference, "Return values" of each type.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.cloud.intrinsics import TemplateError

STACK = "certkeeper"

FUNCTION = "AWS::Serverless::Function"
RULE = "AWS::IoT::TopicRule"
_QUEUE = "AWS::SQS::Queue"
#: type: (the property that names it, the service in its ARN, what precedes the name there)
_NAMED = {
    FUNCTION: ("FunctionName", "lambda", "function:"),
    RULE: ("RuleName", "iot", "rule/"),
    _QUEUE: ("QueueName", "sqs", ""),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/"),
    "AWS::SNS::Topic": ("TopicName", "sns", ""),
    "AWS::Events::EventBus": ("Name", "events", "event-bus/"),
    "AWS::IoT::JobTemplate": ("JobTemplateId", "iot", "jobtemplate/"),
    "AWS::IoT::Policy": ("PolicyName", "iot", "policy/"),
    "AWS::Serverless::StateMachine": ("Name", "states", "stateMachine:"),
    "AWS::IAM::Role": ("RoleName", "iam", "role/"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam", "policy/"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:"),
}
#: Of these Ref is the ARN.
_REFERRED_BY_ARN = ("AWS::SNS::Topic", "AWS::IAM::ManagedPolicy")
_ARN_ATTRIBUTES = ("Arn", "TopicArn")
_NAME_ATTRIBUTES = ("TopicName", "QueueName")


class ResourceNames:
    """Of one deployment. ``resolve`` gives a value of the template as it is deployed."""

    def __init__(self, resources: Mapping[str, Any], region: str, account_id: str) -> None:
        self._resources = resources
        self._region = region
        self._account_id = account_id
        self.resolve: Callable[[Any], Any] = str

    def name(self, logical_id: str) -> str:
        """What the resource is called in the account."""
        resource = self._resources[logical_id]
        named = _NAMED.get(resource["Type"])
        given = resource.get("Properties", {}).get(named[0]) if named else None
        if given is not None:
            return str(self.resolve(given))
        # A rule's name has no hyphens.
        return f"{STACK}{'_' if resource['Type'] == RULE else '-'}{logical_id}"

    def reference(self, logical_id: str) -> str | None:
        """What Ref gives; None if there is no such resource."""
        if logical_id not in self._resources:
            return None
        kind = self._resources[logical_id]["Type"]
        if kind in _REFERRED_BY_ARN:
            return self.attribute(logical_id, "Arn")
        name = self.name(logical_id)
        if kind == _QUEUE:
            return f"https://sqs.{self._region}.amazonaws.com/{self._account_id}/{name}"
        return name

    def attribute(self, logical_id: str, attribute: str) -> str:
        """What GetAtt gives. Raises TemplateError."""
        kind = self._resources.get(logical_id, {}).get("Type")
        if kind in _NAMED and attribute in _ARN_ATTRIBUTES:
            _, service, prefix = _NAMED[kind]
            region = "" if service == "iam" else self._region
            return f"arn:aws:{service}:{region}:{self._account_id}:{prefix}{self.name(logical_id)}"
        if kind in _NAMED and attribute in _NAME_ATTRIBUTES:
            return self.name(logical_id)
        raise TemplateError(f"GetAtt {logical_id}.{attribute}")
