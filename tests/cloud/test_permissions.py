"""Each function's role allows exactly what its code calls: no call fails, and nothing is too much.

Holds for every function of the template. What the code can call is told from the code alone
(code_calls.py), errors and their undoing included.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cloud.iam_actions import NEEDS, need_of
from lab.cloud.intrinsics import load
from lab.cloud.permissions import Statement
from lab.cloud.template import TEMPLATE, Template
from tests.cloud.code_calls import calls_of, implementations
from tests.cloud.deployment import FUNCTIONS, PLACE, deployed

#: Who signs in which deployment: the other issuers' calls are not made there.
ISSUERS = {
    "aws-iot": "rotation_cloud.issuers.IotIssuer",
    "private-ca": "rotation_cloud.issuers.PrivateCaIssuer",
    "signer": "rotation_cloud.signer.SignerIssuer",
}


def allowed(template: Template, function: str) -> set[str]:
    return {action for each in statements(template, function) for action in each.actions}


def statements(template: Template, function: str) -> tuple[Statement, ...]:
    return template.functions()[function].permissions.statements


def called(template: Template, function: str, issuer: str) -> set[str]:
    unused = frozenset({*ISSUERS.values()} - {ISSUERS[issuer]})
    return {need_of(*call).action for call in calls_of(template.handler(function), unused)}


def test_every_function_is_looked_at() -> None:
    """What a deployment may leave out is in the one that is looked at here."""
    resources = load(TEMPLATE.read_text("utf-8"))["Resources"]
    kind = "AWS::Serverless::Function"
    assert sorted(name for name, given in resources.items() if given["Type"] == kind) == FUNCTIONS


def test_every_issuer_is_known() -> None:
    """Each value of the parameter Issuer has the class that then signs, and none is left over."""
    parameter = load(TEMPLATE.read_text("utf-8"))["Parameters"]["Issuer"]
    assert set(ISSUERS) == set(parameter["AllowedValues"])
    assert set(ISSUERS.values()) == implementations("Issuer")


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_allows_what_the_code_calls_and_no_more(function: str, issuer: str) -> None:
    """The actions of a role are those of the calls that its function can make, one for one."""
    template = deployed(issuer)
    may, calls = allowed(template, function), called(template, function, issuer)
    assert may - calls == set(), f"{function} never calls these"
    assert calls - may == set(), f"{function} calls these, and may not"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_statements_only_allow(function: str) -> None:
    """No statement denies, and no action has a wildcard: what a role allows can be read."""
    for each in statements(deployed("private-ca"), function):
        assert each.allows
        assert not any("*" in action or "?" in action for action in each.actions)


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_resources_are_as_narrow_as_they_can_be(function: str, issuer: str) -> None:
    """An action is allowed on resources of its own types, and on ``*`` only if it knows none."""
    for each in statements(deployed(issuer), function):
        for action in each.actions:
            beginnings = beginnings_of(action)
            if not beginnings:
                assert each.resources == ("*",), action
                continue
            wrong = [one for one in each.resources if not one.startswith(beginnings)]
            assert wrong == [], f"{action} is not about these"
            for beginning in beginnings:
                assert any(one.startswith(beginning) for one in each.resources), action


def beginnings_of(action: str) -> tuple[str, ...]:
    """What the ARNs of the resources begin with that the action is about."""
    kinds = {kind for need in NEEDS.values() if need.action == action for kind in need.resources}
    return tuple(PLACE.arn(action, kind, "") for kind in kinds)


SURPLUS = """
            - Effect: Allow
              Action: iot:DeleteThing
              Resource: "*"
"""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_statement_that_nobody_needs_is_found(function: str, tmp_path: Path) -> None:
    """The comparison is worth something: an action that is added to the statements is seen."""
    text = TEMPLATE.read_text("utf-8")
    head, tail = text.split(f"  {function}:\n", 1)
    before, after = tail.split("        - Statement:\n", 1)
    more = tmp_path / "template.yaml"
    more.write_text(f"{head}  {function}:\n{before}        - Statement:{SURPLUS}{after}")
    for folder in ("functions", "statemachines"):
        (tmp_path / folder).symlink_to(TEMPLATE.parent / folder)
    may = allowed(deployed("aws-iot", more), function)
    assert may - called(deployed("aws-iot"), function, "aws-iot") == {"iot:DeleteThing"}
