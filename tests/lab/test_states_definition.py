"""A definition is played as it says, or refused: nothing in it is passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.states.definition import DefinitionError, parse
from tests.lab.states_site import CAUGHT, RETRY, task, waiting

GOOD: dict[str, Any] = {
    "QueryLanguage": "JSONata",
    "StartAt": "A",
    "States": {"A": {"Type": "Pass", "End": True}},
}


def states(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**GOOD, "States": {"A": state, **more}}


def test_a_good_one() -> None:
    """The shortest there is."""
    assert set(parse(json.dumps(GOOD)).states) == {"A"}


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        ([], "no JSON object"),
        ({**GOOD, "QueryLanguage": "JSONPath"}, "JSONata"),
        ({k: v for k, v in GOOD.items() if k != "QueryLanguage"}, "JSONata"),
        ({**GOOD, "TimeoutSeconds": 60}, "TimeoutSeconds"),
        ({**GOOD, "StartAt": "B"}, "no state B"),
        (states({"Type": "Parallel", "Branches": [], "End": True}), "Parallel"),
        (states({"Type": "Map", "End": True}), "Map"),
        (states({"Type": "Pass"}), "either Next or End"),
        (states({"Type": "Pass", "End": True, "Next": "A"}), "either Next or End"),
        (states({"Type": "Pass", "Next": "B"}), "no state B"),
        (states({"Type": "Pass", "End": True}, B=CAUGHT), "nothing leads to B"),
        (states({"Type": "Pass", "Result": 1, "End": True}), "Result"),
        (states({"Type": "Pass", "ResultPath": "$.a", "End": True}), "ResultPath"),
        (states({"Type": "Pass", "QueryLanguage": "JSONPath", "End": True}), "QueryLanguage"),
        (states({"Type": "Pass", "Output": "{% $a. %}", "End": True}), "A"),
        (states({"Type": "Pass", "Output": "{% $eval('1') %}", "End": True}), "eval"),
        (states({"Type": "Wait", "End": True}), "Seconds or Timestamp"),
        (states({"Type": "Wait", "SecondsPath": "$.a", "End": True}), "SecondsPath"),
        (states({"Type": "Choice", "Choices": []}), "without Choices"),
        (
            states({"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "A"}]}),
            "Variable",
        ),
        (states(task(Resource="arn:aws:states:::sns:publish")), "sns:publish"),
        (states(task(Resource="arn:aws:states:::lambda:invoke.sync")), "sync"),
        (states(task(HeartbeatSeconds=3)), "HeartbeatSeconds"),
        (states(task(Parameters={})), "Parameters"),
        (states(task(Arguments={"Payload": 1})), "FunctionName"),
        (
            states(task(Arguments={"FunctionName": "f", "InvocationType": "Event"})),
            "InvocationType",
        ),
        (states(task(Retry=[{**RETRY, "Retries": 1}])), "Retries"),
        (states(task(Catch=[{"ErrorEquals": [], "Next": "A", "ResultPath": "$"}])), "ResultPath"),
        (states(waiting(Catch=[{"ErrorEquals": [], "Next": "Z"}])), "no state Z"),
    ],
)
def test_what_is_not_played_is_refused(definition: Any, named: str) -> None:
    """With the name of the state, and of what is not played or wrong."""
    with pytest.raises(DefinitionError, match=named):
        parse(json.dumps(definition))


def test_no_json() -> None:
    """What is no JSON is none."""
    with pytest.raises(DefinitionError, match="no JSON"):
        parse("{")
