"""What ``cloud/template.yaml`` deploys: functions, rules, tables and topics, names resolved.

Nothing of the backend is written down a second time in the lab: environment, SQL and
names are the template's, with the parameters of this deployment.
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
from lab.cloud.permissions import NONE, Permissions, permissions
from lab.cloud.resource_names import FUNCTION, RULE, STACK, ResourceNames
from lab.cloud.rules import Rule

__all__ = ["STACK", "CustomResource", "Function", "Template", "TemplateError"]

TEMPLATE = Path(__file__).parents[2] / "cloud" / "template.yaml"

_PERMISSION = "AWS::Lambda::Permission"


@dataclass(frozen=True)
class Function:
    """A Lambda function: the file of its handler and the name in it, ``timeout`` in seconds.

    ``retries`` is how often an asynchronous invocation is made again after an error, ``max_age``
    for how long (seconds); ``concurrency`` are the executions at a time that are its own, and
    the most that it may have (None: whatever the account has); ``permissions`` is what the
    statements of its role allow.
    """

    name: str  # logical id
    file: Path
    handler: str
    environment: Mapping[str, str]
    timeout: int
    retries: int
    memory: int = 128
    max_age: int = 21600
    concurrency: int | None = None
    permissions: Permissions = NONE


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
        self._account_id = account_id
        self._names = ResourceNames(self._resources, region, account_id)
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
            self._names.reference,
            self._names.attribute,
        )
        self._names.resolve = self._resolver.resolve

    def functions(self) -> dict[str, Function]:
        """By logical id."""
        return {name: self._function(name) for name, _ in self._of_type(FUNCTION)}

    def rules(self) -> list[Rule]:
        """The functions' IoTRule events, and the rules on their own, unless they are disabled.

        A rule of the latter kind needs an AWS::Lambda::Permission for its function.
        """
        rules = []
        for function, given in self._of_type(FUNCTION):
            for event, described in given.get("Events", {}).items():
                if described["Type"] == "IoTRule":
                    rule = self._resolver.resolve(described["Properties"])
                    version = rule.get("AwsIotSqlVersion")
                    rules.append(Rule(f"{function}{event}", rule["Sql"], version, function))
        for name, given in self._of_type(RULE):
            rules.extend(self._topic_rules(name, self._resolver.resolve(given)))
        return rules

    def state_machines(self) -> dict[str, str]:
        """The definition of each state machine, in JSON, by its name."""
        return {
            self.name(name): self._definition(name, given)
            for name, given in self._of_type("AWS::Serverless::StateMachine")
        }

    def function_of(self, arn: str) -> str:
        """The logical id of the function with this ARN."""
        for name, _ in self._of_type(FUNCTION):
            if self._names.attribute(name, "Arn") == arn:
                return name
        raise TemplateError(f"no function is {arn}")

    def handler(self, function: str) -> str:
        """What Lambda imports and calls, as the template says it."""
        return str(self._given(function)["Handler"])

    def runtime(self, function: str) -> tuple[str, str]:
        """Lambda's runtime, such as ``python3.12``, and the architecture: arm64 or x86_64."""
        given = self._given(function)
        (architecture,) = given.get("Architectures", ["x86_64"])
        return str(given["Runtime"]), str(architecture)

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

    def dashboard(self) -> dict[str, Any]:
        """The body of the template's one dashboard."""
        ((_, given),) = self._of_type("AWS::CloudWatch::Dashboard")
        body: dict[str, Any] = json.loads(self._resolver.resolve(given["DashboardBody"]))
        return body

    def device_policies(self) -> list[dict[str, Any]]:
        """The resolved properties of each AWS IoT policy, its name among them."""
        return self._described("AWS::IoT::Policy", "PolicyName")

    def managed_policies(self) -> list[dict[str, Any]]:
        """The resolved properties of each IAM policy, its name among them."""
        return self._described("AWS::IAM::ManagedPolicy", "ManagedPolicyName")

    def name(self, logical_id: str) -> str:
        """What the resource is called in the account."""
        return self._names.name(logical_id)

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
        events = dict(self._of_type(FUNCTION))[function].get("Events", {}).values()
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
            {**self._resolver.resolve(given), name_property: self.name(name)}
            for name, given in self._of_type(kind)
        ]

    def _given(self, function: str) -> dict[str, Any]:
        """Its properties, those of Globals among them."""
        return _merged(self._globals, self._resources[function].get("Properties", {}))

    def _function(self, name: str) -> Function:
        given = self._given(name)
        module, _, handler = str(given.get("Handler", "")).rpartition(".")
        code = self._folder / str(given.get("CodeUri", "."))
        file = (code / f"{module.replace('.', '/')}.py").resolve()
        if not file.is_file():
            raise TemplateError(f"{name}: there is no {file}")
        variables = self._resolver.resolve(given.get("Environment", {}).get("Variables", {}))
        environment = {variable: _text(value) for variable, value in variables.items()}
        if "Role" in given:
            raise TemplateError(f"{name}: a Role of its own; SAM makes one of its Policies")
        asynchronous = self._resolver.resolve(given.get("EventInvokeConfig", {}))
        reserved = self._resolver.resolve(
            {"own": given.get("ReservedConcurrentExecutions")}  # AWS::NoValue leaves it out
        ).get("own")
        return Function(
            name,
            file,
            handler,
            environment,
            timeout=int(self._resolver.resolve(given.get("Timeout", 3))),
            retries=int(asynchronous.get("MaximumRetryAttempts", 2)),
            memory=int(self._resolver.resolve(given.get("MemorySize", 128))),
            max_age=int(asynchronous.get("MaximumEventAgeInSeconds", 21600)),
            concurrency=None if reserved is None else int(reserved),
            permissions=permissions(name, self._resolver.resolve(given.get("Policies", []))),
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
            if not self._may_invoke(self._names.attribute(name, "Arn"), function):
                raise TemplateError(f"{name} may not invoke {function}: {_PERMISSION} is missing")
            yield Rule(
                self.name(name),
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

    def _may_invoke(self, rule_arn: str, function: str) -> bool:
        """AWS IoT Developer Guide, "Lambda": the rule's own ARN, in its own account."""
        wanted = {
            "Action": "lambda:InvokeFunction",
            "Principal": "iot.amazonaws.com",
            "SourceArn": rule_arn,
            "SourceAccount": self._account_id,
        }
        names = (self.name(function), self._names.attribute(function, "Arn"))
        return any(
            given.items() >= wanted.items() and given["FunctionName"] in names
            for given in (self._resolver.resolve(each) for _, each in self._of_type(_PERMISSION))
        )


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


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """As SAM merges Globals: maps by their keys, lists one after the other, else its own.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    """
    merged = {**common, **own}
    for name in common.keys() & own.keys():
        first, second = common[name], own[name]
        if isinstance(first, dict) and isinstance(second, dict):
            merged[name] = _merged(first, second)
        elif isinstance(first, list) and isinstance(second, list):
            merged[name] = [*first, *second]
    return merged
