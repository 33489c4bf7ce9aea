"""What ``cloud/template.yaml`` deploys: functions, rules, tables and topics, names resolved.

Nothing of the backend is written down a second time in the lab: environment, SQL and
names are the template's, with the parameters of this deployment. What a resource is
called, where the template leaves that to CloudFormation, is ``<stack>-<logical id>``.
(AWS SAM Developer Guide, "AWS::Serverless::Function"; AWS CloudFormation User Guide,
"AWS::IoT::TopicRule".)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cloud.intrinsics import Resolver, TemplateError, load
from lab.cloud.rules import Rule

__all__ = ["CustomResource", "Function", "Template", "TemplateError"]

STACK = "certkeeper"
TEMPLATE = Path(__file__).parents[2] / "cloud" / "template.yaml"

_FUNCTION = "AWS::Serverless::Function"
_RULE = "AWS::IoT::TopicRule"
#: type: (the property that names it, the service in its ARN, what precedes the name there)
_NAMED = {
    _FUNCTION: ("FunctionName", "lambda", "function:"),
    _RULE: ("RuleName", "iot", "rule/"),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/"),
    "AWS::SNS::Topic": ("TopicName", "sns", ""),
    "AWS::SQS::Queue": ("QueueName", "sqs", ""),
    "AWS::Events::EventBus": ("Name", "events", "event-bus/"),
    "AWS::IoT::JobTemplate": ("JobTemplateId", "iot", "jobtemplate/"),
    "AWS::Serverless::StateMachine": ("Name", "states", "stateMachine:"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:"),
    "AWS::IoT::Policy": ("PolicyName", "iot", "policy/"),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "iam", "policy/"),
}
_ARN_ATTRIBUTES = ("Arn", "TopicArn")
_NAME_ATTRIBUTES = ("TopicName", "QueueName")


@dataclass(frozen=True)
class Function:
    """A Lambda function: the file of its handler and the name in it, ``timeout`` in seconds.

    ``retries`` is how often an asynchronous invocation is made again after an error.
    """

    name: str  # logical id
    file: Path
    handler: str
    environment: Mapping[str, str]
    timeout: int
    retries: int


@dataclass(frozen=True)
class CustomResource:
    """A resource that the function of this logical id makes, updates and removes."""

    name: str  # logical id
    kind: str
    properties: Mapping[str, Any]
    function: str


class Template:
    """One deployment of the template. Everything raises TemplateError for what is not known."""

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        path: Path = TEMPLATE,
        region: str = "eu-west-1",
        account_id: str = "123456789012",
    ) -> None:
        """``parameters`` stand in for the template's defaults."""
        self._folder = path.parent
        source = load(path.read_text(encoding="utf-8"))
        self._resources: dict[str, Any] = source.get("Resources", {})
        self._globals: dict[str, Any] = source.get("Globals", {}).get("Function", {})
        self._arn = ("aws", region, account_id)
        pseudo = {
            "AWS::Region": region,
            "AWS::AccountId": account_id,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": STACK,
        }
        self._resolver = Resolver(
            {**pseudo, **_values(source.get("Parameters", {}), parameters or {})},
            source.get("Conditions", {}),
            self._reference,
            self._attribute,
        )

    def functions(self) -> dict[str, Function]:
        """By logical id."""
        return {name: self._function(name, given) for name, given in self._of_type(_FUNCTION)}

    def rules(self) -> list[Rule]:
        """The functions' IoTRule events, and the rules on their own, unless they are disabled."""
        rules = []
        for function, given in self._of_type(_FUNCTION):
            for event, described in given.get("Events", {}).items():
                if described["Type"] == "IoTRule":
                    rule = self._resolver.resolve(described["Properties"])
                    version = rule.get("AwsIotSqlVersion")
                    rules.append(Rule(f"{function}{event}", rule["Sql"], version, function))
        for name, given in self._of_type(_RULE):
            rules.extend(self._topic_rules(name, self._resolver.resolve(given)))
        return rules

    def state_machines(self) -> dict[str, str]:
        """The definition of each state machine, in JSON, by its name."""
        return {
            self._name(name): self._definition(name, given)
            for name, given in self._of_type("AWS::Serverless::StateMachine")
        }

    def function_of(self, arn: str) -> str:
        """The logical id of the function with this ARN."""
        for name, _ in self._of_type(_FUNCTION):
            if self._attribute(name, "Arn") == arn:
                return name
        raise TemplateError(f"no function is {arn}")

    def tables(self) -> list[dict[str, Any]]:
        """The resolved properties of each DynamoDB table, its name among them."""
        return self._described("AWS::DynamoDB::Table", "TableName")

    def notification_topics(self) -> list[dict[str, Any]]:
        """The resolved properties of each SNS topic, its name among them."""
        return self._described("AWS::SNS::Topic", "TopicName")

    def event_buses(self) -> list[dict[str, Any]]:
        """The resolved properties of each EventBridge bus, its name among them."""
        return self._described("AWS::Events::EventBus", "Name")

    def job_templates(self) -> list[dict[str, Any]]:
        """The resolved properties of each job template, its id among them."""
        return self._described("AWS::IoT::JobTemplate", "JobTemplateId")

    def device_policies(self) -> list[dict[str, Any]]:
        """The resolved properties of each AWS IoT policy, its name among them."""
        return self._described("AWS::IoT::Policy", "PolicyName")

    def managed_policies(self) -> list[dict[str, Any]]:
        """The resolved properties of each IAM policy, its name among them."""
        return self._described("AWS::IAM::ManagedPolicy", "ManagedPolicyName")

    def custom_resources(self) -> list[CustomResource]:
        """The resources that functions make for CloudFormation, in the template's order."""
        found = []
        for name, resource in self._resources.items():
            if not resource["Type"].startswith("Custom::") or not self._is_deployed(resource):
                continue
            properties = self._resolver.resolve(resource["Properties"])
            function = self.function_of(str(properties["ServiceToken"]))
            found.append(CustomResource(name, resource["Type"], properties, function))
        return found

    def scheduled(self, function: str) -> Any:
        """The event that a function's one schedule gives it. TemplateError if it has none."""
        events = dict(self._of_type(_FUNCTION))[function].get("Events", {}).values()
        for described in events:
            if described["Type"] == "Schedule":
                return json.loads(self._resolver.resolve(described["Properties"])["Input"])
        raise TemplateError(f"{function} has no schedule")

    # --- within

    def _is_deployed(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self._resolver.holds(resource["Condition"])

    def _of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, resource in self._resources.items():
            if resource["Type"] == kind and self._is_deployed(resource):
                yield name, resource.get("Properties", {})

    def _described(self, kind: str, name_property: str) -> list[dict[str, Any]]:
        return [
            {**self._resolver.resolve(given), name_property: self._name(name)}
            for name, given in self._of_type(kind)
        ]

    def _function(self, name: str, own: Mapping[str, Any]) -> Function:
        given = {**self._globals, **own}
        module, _, handler = str(given.get("Handler", "")).rpartition(".")
        code = self._folder / str(given.get("CodeUri", "."))
        file = (code / f"{module.replace('.', '/')}.py").resolve()
        if not file.is_file():
            raise TemplateError(f"{name}: there is no {file}")
        environment = {
            variable: _text(self._resolver.resolve(value))
            for scope in (self._globals, own)
            for variable, value in scope.get("Environment", {}).get("Variables", {}).items()
        }
        asynchronous = self._resolver.resolve(given.get("EventInvokeConfig", {}))
        return Function(
            name,
            file,
            handler,
            environment,
            timeout=int(self._resolver.resolve(given.get("Timeout", 3))),
            retries=int(asynchronous.get("MaximumRetryAttempts", 2)),
        )

    def _topic_rules(self, name: str, given: Mapping[str, Any]) -> Iterator[Rule]:
        payload = given["TopicRulePayload"]
        if payload.get("RuleDisabled", False):
            return
        error_action = next(iter(payload.get("ErrorAction", {})), None)
        for action in payload["Actions"]:
            if set(action) != {"Lambda"}:
                raise TemplateError(f"{name}: action {', '.join(action)}")
            function = self.function_of(str(action["Lambda"]["FunctionArn"]))
            yield Rule(
                self._name(name),
                payload["Sql"],
                payload.get("AwsIotSqlVersion"),
                function,
                error_action,
            )

    def _definition(self, name: str, given: Mapping[str, Any]) -> str:
        file = self._folder / str(given.get("DefinitionUri", ""))
        if not file.is_file():
            raise TemplateError(f"{name}: there is no {file}")
        substitutions = self._resolver.resolve(given.get("DefinitionSubstitutions", {}))
        unused = set(substitutions)

        def replaced(found: re.Match[str]) -> str:
            if found[1] not in substitutions:
                raise TemplateError(f"{name}: nothing is substituted for {found[0]}")
            unused.discard(found[1])
            return _text(substitutions[found[1]])

        text = re.sub(r"\$\{(\w+)\}", replaced, file.read_text(encoding="utf-8"))
        if unused:
            raise TemplateError(f"{name}: nothing asks for {', '.join(sorted(unused))}")
        return text

    def _name(self, logical_id: str) -> str:
        resource = self._resources[logical_id]
        named = _NAMED.get(resource["Type"])
        given = resource.get("Properties", {}).get(named[0]) if named else None
        if given is not None:
            return str(self._resolver.resolve(given))
        return f"{STACK}-{logical_id}"

    def _reference(self, logical_id: str) -> str | None:
        if logical_id not in self._resources:
            return None
        if self._resources[logical_id]["Type"] == "AWS::SNS::Topic":
            return self._attribute(logical_id, "TopicArn")
        return self._name(logical_id)

    def _attribute(self, logical_id: str, attribute: str) -> str:
        kind = self._resources.get(logical_id, {}).get("Type")
        if kind in _NAMED and attribute in _ARN_ATTRIBUTES:
            _, service, prefix = _NAMED[kind]
            partition, region, account_id = self._arn
            name = self._name(logical_id)
            return f"arn:{partition}:{service}:{region}:{account_id}:{prefix}{name}"
        if kind in _NAMED and attribute in _NAME_ATTRIBUTES:
            return self._name(logical_id)
        raise TemplateError(f"GetAtt {logical_id}.{attribute}")


def _values(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(f"no parameter {', '.join(unknown)}")
    missing = [name for name in declared if name not in given and "Default" not in declared[name]]
    if missing:
        raise TemplateError(f"no value for parameter {', '.join(missing)}")
    return {name: given.get(name, described.get("Default")) for name, described in declared.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
