"""What CloudFormation makes of the template, with SAM's part done: held for every function.

A function or a rule that is added later has to pass as well: what is common stands in Globals.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from lab.cloud.intrinsics import load
from lab.cloud.template import TEMPLATE
from rotation_cloud import metrics
from rotation_cloud.security_events import Activity, SecurityEvent
from tests.cloud.deployment import deployed
from tests.packaging.source import PROJECT

FUNCTION = "AWS::Lambda::Function"
RULE = "AWS::IoT::TopicRule"
#: What stays when the stack is deleted: it cannot be deleted while a device has it.
RETAINED = {"CoreDevicePolicy"}
#: Kinds of resources with contents, which an update must not throw away.
WITH_CONTENTS = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")


@cache
def source() -> dict[str, Any]:
    return load(TEMPLATE.read_text("utf-8"))


@cache
def resources() -> dict[str, Any]:
    """Every resource, after the transformation that SAM does in the account."""
    given = load(TEMPLATE.read_text("utf-8"))
    given["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for each in given["Resources"].values():
        if each["Type"] == "AWS::Serverless::StateMachine":
            each["Properties"]["DefinitionUri"] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        made: dict[str, Any] = Translator({}, Parser()).translate(given, {})
    found: dict[str, Any] = made["Resources"]
    return found


def named(kind: str) -> list[str]:
    return [name for name, given in resources().items() if given["Type"] == kind]


def properties(name: str) -> dict[str, Any]:
    given: dict[str, Any] = resources()[name]["Properties"]
    return given


def att(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


FUNCTIONS, RULES = named(FUNCTION), named(RULE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_failed_events_are_kept(name: str) -> None:
    """What a function cannot serve after two retries goes to the queue, with its name."""
    (config,) = (
        properties(each)
        for each in named("AWS::Lambda::EventInvokeConfig")
        if properties(each)["FunctionName"] == {"Ref": name}
    )
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": att("DeadLetters")}}
    assert config["MaximumRetryAttempts"] == 2
    assert "DeadLetterConfig" not in properties(name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_concurrency_log_and_tracing_are_parameters(name: str) -> None:
    """Each has its concurrency, the log group with its retention, and tracing, as asked for."""
    given = properties(name)
    reserved = given["ReservedConcurrentExecutions"]["Fn::If"]
    assert reserved[1:] == [{"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
    assert given["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogs"}
    assert given["LoggingConfig"]["LogFormat"] == "JSON"
    assert properties("FunctionLogs")["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert given["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_role_is_its_own_and_bounded(name: str) -> None:
    """No two share a role, and none may do more than the boundary says."""
    roles = [json.dumps(properties(each)["Role"]) for each in FUNCTIONS]
    assert roles.count(json.dumps(properties(name)["Role"])) == 1
    role = properties(properties(name)["Role"]["Fn::GetAtt"][0])
    assert role["PermissionsBoundary"] == {"Ref": "FunctionBoundary"}


def test_boundary_takes_the_log_groups_away() -> None:
    """A function can write its log, and cannot make a group that would be left over."""
    statements = properties("FunctionBoundary")["PolicyDocument"]["Statement"]
    assert statements[0] == {"Effect": "Allow", "NotAction": ["logs:*", "xray:*"], "Resource": "*"}
    granted = {action for each in statements[1:2] for action in each["Action"]}
    assert granted == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert statements[1]["Resource"] == att("FunctionLogs")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_built_by_the_makefile(name: str) -> None:
    """Each function is built as cloud/Makefile does, from the same folder."""
    assert resources()[name]["Metadata"]["BuildMethod"] == "makefile"
    assert deployed().runtime(name) == ("python3.12", "arm64")
    makefile = (PROJECT / "cloud" / "Makefile").read_text("utf-8")
    assert "LAMBDA_PYTHON ?= 3.12\nLAMBDA_MACHINE ?= aarch64\n" in makefile
    assert properties(name)["Code"] == {"S3Bucket": "bucket", "S3Key": "key"}


@pytest.mark.parametrize("name", RULES)
def test_rule_puts_aside_what_it_cannot_hand_over(name: str) -> None:
    """Each rule has an error action, to the queue, with a role that may do just that."""
    payload = properties(name)["TopicRulePayload"]
    assert payload["AwsIotSqlVersion"] == "2016-03-23"
    assert payload["ErrorAction"] == {
        "Sqs": {"QueueUrl": {"Ref": "DeadLetters"}, "RoleArn": att("RuleErrorRole")}
    }
    role = properties("RuleErrorRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]
    ((statement,),) = (policy["PolicyDocument"]["Statement"] for policy in role["Policies"])
    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", att("DeadLetters"))


def test_rules_are_on_their_own() -> None:
    """No function has a rule among its events: SAM's would have no error action."""
    events = [
        f"{name}: {event}"
        for name, given in source()["Resources"].items()
        for event, described in given.get("Properties", {}).get("Events", {}).items()
        if described["Type"] == "IoTRule"
    ]
    assert events == [], "make them AWS::IoT::TopicRule, as CreateRule is"


@pytest.mark.parametrize("name", RULES)
def test_only_the_rule_may_invoke(name: str) -> None:
    """The function that a rule invokes allows that to this rule of this account."""
    for action in properties(name)["TopicRulePayload"]["Actions"]:
        function = action["Lambda"]["FunctionArn"]["Fn::GetAtt"][0]
        assert {
            "FunctionName": {"Ref": function},
            "Action": "lambda:InvokeFunction",
            "Principal": "iot.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            "SourceArn": att(name),
        } in [properties(each) for each in named("AWS::Lambda::Permission")]


@pytest.mark.parametrize("name", named("AWS::StepFunctions::StateMachine"))
def test_state_machine_may_invoke_what_it_names(name: str) -> None:
    """Its role may invoke the functions that are put into its definition, and no others."""
    given = source()["Resources"][name]["Properties"]
    substituted = given["DefinitionSubstitutions"].values()
    wanted = [each for each in substituted if each.get("Fn::GetAtt", [""])[0] in FUNCTIONS]
    ((allowed,),) = (
        [
            each["Resource"]
            for each in policy["Statement"]
            if each["Action"] == "lambda:InvokeFunction"
        ]
        for policy in given["Policies"]
    )
    assert sorted(map(str, allowed)) == sorted(map(str, wanted))


def test_nothing_is_retained_but_what_was_asked_for() -> None:
    """With the stack all goes, the table too unless it is to stay; an update loses no contents."""
    for name, given in resources().items():
        if given["Type"] in WITH_CONTENTS:
            assert given["DeletionPolicy"] == {"Ref": "TableRemoval"}, name
            assert given["UpdateReplacePolicy"] == "Retain", name
        elif name not in RETAINED:
            assert given.get("DeletionPolicy", "Delete") == "Delete", name
    assert source()["Parameters"]["TableRemoval"]["Default"] == "Delete"


def test_a_new_account_can_deploy_it() -> None:
    """By default no concurrency is reserved: of ten executions at a time none may be."""
    assert source()["Parameters"]["ReservedConcurrency"]["Default"] == 0
    assert source()["Conditions"]["ReservesConcurrency"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ReservedConcurrency"}, 0]}]
    }


def test_parameters_are_described_and_bounded() -> None:
    """Each parameter says what it is for, and what it may be."""
    for name, given in source()["Parameters"].items():
        assert given["Description"], name
        assert {"AllowedValues", "AllowedPattern", "MinValue", "MaxValue"} & set(given), name


def test_parameters_are_in_the_operators_guide() -> None:
    """docs/operations.md has each parameter with its default, and no other."""
    text = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    table = text.split("| parameter | default | meaning |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| .+ \|$", table, re.M)
    assert dict(rows) == {
        name: str(given["Default"]) for name, given in source()["Parameters"].items()
    }


def test_alarms_and_outputs_are_in_the_operators_guide() -> None:
    """docs/operations.md says of each alarm what to do, and names each output."""
    text = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    text += (PROJECT / "docs" / "security-events.md").read_text("utf-8")
    wanted = {*named("AWS::CloudWatch::Alarm"), *source()["Outputs"]} - {"JobTemplateArn"}
    assert {name for name in wanted if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dashboard_shows_every_function(name: str) -> None:
    """Whether Lambda throttles a function is on the dashboard."""
    body, _ = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    assert f'["AWS/Lambda", "Throttles", "FunctionName", "${{{name}}}"' in body


def test_alarms_tell_people_and_say_what_to_do() -> None:
    """Failures, dead letters, throttles and errors raise alarms, each with advice."""
    alarms = {name: properties(name) for name in named("AWS::CloudWatch::Alarm")}
    assert {given["MetricName"] for given in alarms.values()} >= {
        *("RotationFailed", "ApproximateNumberOfMessagesVisible", "Throttled", "FunctionErrors"),
    }
    for given in alarms.values():
        assert given["AlarmActions"] == [{"Ref": "FailureTopic"}]
        assert len(given["AlarmDescription"]) > 80


def test_metrics_that_are_watched_are_counted() -> None:
    """Every metric of our own on the dashboard and in the alarms is one that is written down."""
    written = {metrics.THROTTLED, metrics.DURATION} | {
        metrics.name_of(SecurityEvent(each, "press-7")) for each in Activity
    }
    filtered = {
        each["MetricName"]
        for name in named("AWS::Logs::MetricFilter")
        for each in properties(name)["MetricTransformations"]
    }
    namespace = "CertKeeper/${AWS::StackName}"
    body, _ = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    shown = {*re.findall(rf'\["{re.escape(namespace)}", "(\w+)"', body)} | {
        *re.findall(r'MetricName=\\"(\w+)\\"', body)
    }
    watched = {
        properties(name)["MetricName"]
        for name in named("AWS::CloudWatch::Alarm")
        if properties(name)["Namespace"] == {"Fn::Sub": namespace}
    }
    assert shown | watched <= written | filtered
    assert {"RotationSeconds", "Throttled", "AlertReceived", "RotationFailed"} <= shown
