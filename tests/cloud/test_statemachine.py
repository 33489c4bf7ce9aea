"""The state machine's definition, as cfn-lint sees it, and as the template deploys it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.template import TEMPLATE, Template, TemplateError
from lab.states.definition import parse

FILE = TEMPLATE.parent / "statemachines" / "rotation.asl.json"


def deployed() -> dict[str, Any]:
    (definition,) = Template().state_machines().values()
    parsed: dict[str, Any] = json.loads(definition)
    return parsed


def test_independent_validator() -> None:
    """cfn-lint, which has a schema of the States Language, finds nothing wrong with it."""
    cfnlint = pytest.importorskip("cfnlint.api")
    definition = deployed()
    # cfn-lint 1.58 knows of no expression there, though AWS takes one.
    assert re.fullmatch(r"\{% .* %\}", definition["States"]["Rotate"]["TimeoutSeconds"])
    definition["States"]["Rotate"]["TimeoutSeconds"] = 172800
    assert faults(cfnlint, definition) == []
    definition["States"]["Settle"]["ResultPath"] = "$.a"
    assert faults(cfnlint, definition) != []


def faults(cfnlint: Any, definition: dict[str, Any]) -> list[str]:
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/x", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}
    found = cfnlint.lint_all(json.dumps(template))
    return [str(match) for match in found if match.rule.id.startswith("E")]


def test_every_task_is_tried_again() -> None:
    """A function that fails is tried for a good while, and what fails then is caught."""
    for name, state in deployed()["States"].items():
        if state["Type"] != "Task":
            continue
        retried = [one for one in state["Retry"] if "States.TaskFailed" in one["ErrorEquals"]]
        assert retried[0]["MaxAttempts"] >= 6, name
        caught = {error for one in state.get("Catch", ()) for error in one["ErrorEquals"]}
        assert "States.ALL" in caught or name == "Hand over", name


def test_role_may_call_its_functions_and_no_other() -> None:
    """The state machine's role allows the functions of its tasks."""
    called = {
        state["Arguments"]["FunctionName"].rpartition("-")[2]
        for state in deployed()["States"].values()
        if state["Type"] == "Task"
    }
    text = TEMPLATE.read_text()
    section = text[text.index("  RotationWorkflow:") :]
    statement = section[section.index("lambda:InvokeFunction") :]
    allowed = re.findall(r"- !GetAtt (\w+)\.Arn", statement[: statement.index("#")])
    assert set(allowed) == called


def test_no_token_in_the_log() -> None:
    """The log of executions leaves out their data: a task's token would be among it."""
    assert "IncludeExecutionData: false" in TEMPLATE.read_text()


def test_parameters_are_the_templates() -> None:
    """Time-out and attempts come from the template's parameters."""
    template = Template({"RotationTimeoutHours": "5", "RotationAttempts": "7"})
    (definition,) = template.state_machines().values()
    assert "$number('5') * 3600" in definition
    assert "$attempt < $number('7')" in definition
    assert len(parse(definition).states) == len(json.loads(FILE.read_text())["States"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("      DefinitionUri: ", "      DefinitionUri: no/"), "there is no"),
        (("        ValidateFunctionArn:", "        OtherArn:"), "ValidateFunctionArn"),
        (
            ("        RotationAttempts: !Ref", "        More: x\n        RotationAttempts: !Ref"),
            "More",
        ),
    ],
)
def test_substitutions_fit(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """What the definition asks for is substituted, and nothing else."""
    folder = tmp_path / "statemachines"
    folder.mkdir()
    (folder / FILE.name).write_text(FILE.read_text())
    path = tmp_path / "template.yaml"
    text = TEMPLATE.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(TemplateError, match=named):
        Template(path=path).state_machines()
