"""AWS IoT policies: what is allowed, what is denied, and what is refused because it is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.iot_core.policy import Decision, evaluate
from tests.lab.iot_core_site import ARN, allow

VALUES: dict[str, str | None] = {
    "iot:ClientId": "press-7",
    "iot:CertificateId": "abc123",
    "iot:Certificate.Subject.CommonName": "Press 7",
    "iot:Connection.Thing.ThingName": "press-7",
    "iot:Connection.Thing.IsAttached": "true",
}
UNATTACHED = VALUES | {
    "iot:Connection.Thing.ThingName": None,
    "iot:Connection.Thing.IsAttached": "false",
}
TOPIC = f"{ARN}:topic/plant/7"


def deny(*actions: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    document = allow(*actions, resource=resource, **more)
    document["Statement"][0]["Effect"] = "Deny"
    return document


def may_publish(*documents: dict[str, Any], values: dict[str, str | None] = VALUES) -> Decision:
    return evaluate(documents, "iot:Publish", TOPIC, values)


def test_nothing_is_allowed_by_default() -> None:
    """Without a statement that allows it, everything is denied."""
    assert not may_publish().allowed
    assert not may_publish({"Version": "2012-10-17", "Statement": []}).allowed
    assert not may_publish(allow("iot:Subscribe")).allowed


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("iot:Publish", True),
        ("iot:publish", True),
        ("iot:*", True),
        ("*", True),
        ("iot:Pub*", True),
        ("iot:Publis?", True),
        ("iot:Publish?", False),
        ("iot:Receive", False),
        ("Publish", False),
    ],
)
def test_actions(action: str, allowed: bool) -> None:
    """Actions match without case, with * and ?."""
    assert may_publish(allow(action)).allowed is allowed


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        ("*", True),
        (TOPIC, True),
        (f"{ARN}:topic/*", True),
        (f"{ARN}:topic/plant/?", True),
        (f"{ARN}:topic/plant/7?", False),
        (f"{ARN}:topic/plant", False),
        (f"{ARN}:topic/Plant/7", False),
        (f"{ARN}:topicfilter/plant/7", False),
        (f"{ARN}:topic/plant/+", False),  # MQTT's wildcards mean nothing here
        (f"{ARN}:topic/#", False),
        ("arn:aws:iot:us-east-1:123456789012:topic/plant/7", False),
        ("arn:aws:iot:*:123456789012:topic/plant/7", True),
        ([f"{ARN}:topic/other", TOPIC], True),
        (f"{ARN}:topic/plant.7", False),
    ],
)
def test_resources(resource: str | list[str], allowed: bool) -> None:
    """Resources match by the whole ARN, with * and ?, and nothing else is special."""
    assert may_publish(allow("iot:Publish", resource=resource)).allowed is allowed


def test_a_wildcard_takes_any_character() -> None:
    """A line break in a topic does not slip past a statement that denies."""
    topic = f"{ARN}:topic/a\nb"
    documents = [allow("*", resource=topic), deny("*", resource=f"{ARN}:topic/*")]
    assert evaluate(documents[:1], "iot:Publish", topic, VALUES).allowed
    assert not evaluate(documents, "iot:Publish", topic, VALUES).allowed


def test_deny_wins() -> None:
    """A statement that denies beats any that allow, in whatever document and order."""
    for documents in ([allow("*"), deny("iot:Publish")], [deny("iot:Publish"), allow("*")]):
        decision = may_publish(*documents)
        assert decision == Decision(False, "a statement denies iot:Publish")
    assert may_publish(allow("*"), deny("iot:Receive")).allowed
    assert may_publish(allow("*"), deny("iot:Publish", resource=f"{ARN}:topic/8")).allowed


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value in VALUES.items() if value is not None],
)
def test_policy_variables(name: str, value: str) -> None:
    """Each variable stands for its value on this connection."""
    document = allow("iot:Publish", resource=f"{ARN}:topic/${{{name}}}/x")
    assert evaluate([document], "iot:Publish", f"{ARN}:topic/{value}/x", VALUES).allowed
    assert not evaluate([document], "iot:Publish", f"{ARN}:topic/other/x", VALUES).allowed


def test_a_variable_without_value_matches_nothing() -> None:
    """Without an attached thing, a resource that names the thing is for nobody, Deny included."""
    thing = f"{ARN}:topic/${{iot:Connection.Thing.ThingName}}*"
    assert not may_publish(allow("iot:Publish", resource=thing), values=UNATTACHED).allowed
    both = (allow("*"), deny("iot:Publish", resource=thing))
    assert may_publish(*both, values=UNATTACHED).allowed


@given(st.text(st.sampled_from("*?${}ab.[]"), max_size=6))
def test_values_are_literal(client_id: str) -> None:
    """A client id that looks like a wildcard or a variable opens nothing but itself."""
    document = allow("iot:Connect", resource=f"{ARN}:client/${{iot:ClientId}}")
    values = VALUES | {"iot:ClientId": client_id}
    assert evaluate([document], "iot:Connect", f"{ARN}:client/{client_id}", values).allowed
    assert not evaluate([document], "iot:Connect", f"{ARN}:client/zzz", values).allowed


def test_escapes() -> None:
    """${*}, ${?} and ${$} stand for the characters themselves."""
    document = allow("iot:Publish", resource=f"{ARN}:topic/a${{*}}b${{?}}c${{$}}d")
    assert evaluate([document], "iot:Publish", f"{ARN}:topic/a*b?c$d", VALUES).allowed
    assert not evaluate([document], "iot:Publish", f"{ARN}:topic/axbyczd", VALUES).allowed


ATTACHED = "iot:Connection.Thing.IsAttached"


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"Bool": {ATTACHED: ["true"]}}, True),
        ({"Bool": {ATTACHED: "false"}}, False),
        ({"StringEquals": {"iot:ClientId": ["x", "press-7"]}}, True),
        ({"StringEquals": {"iot:ClientId": "press-*"}}, False),
        ({"StringEquals": {"iot:ClientId": "${iot:Connection.Thing.ThingName}"}}, True),
        ({"StringLike": {"iot:ClientId": "press-*"}}, True),
        ({"StringNotEquals": {"iot:ClientId": "press-8"}}, True),
        ({"StringNotEquals": {"iot:ClientId": ["press-8", "press-7"]}}, False),
        ({"StringNotLike": {"iot:ClientId": "press-*"}}, False),
        ({"Bool": {ATTACHED: "true"}, "StringEquals": {"iot:ClientId": "x"}}, False),
        ({"StringEquals": {"iot:ClientId": "press-7", "iot:CertificateId": "x"}}, False),
        ({}, True),
    ],
)
def test_conditions(condition: dict[str, Any], allowed: bool) -> None:
    """Every operator and key has to hold, each with any of its values."""
    assert may_publish(allow("iot:Publish", Condition=condition)).allowed is allowed


def test_conditions_on_what_has_no_value() -> None:
    """A missing value equals nothing."""
    key = "iot:Connection.Thing.ThingName"
    for operator, allowed in (("StringEquals", False), ("StringNotEquals", True)):
        document = allow("iot:Publish", Condition={operator: {key: "press-7"}})
        assert may_publish(document, values=UNATTACHED).allowed is allowed


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "IpAddress"),
        ({"Condition": {"StringEquals": {"aws:SourceIp": "x"}}}, "aws:SourceIp"),
        ({"Condition": {"ForAnyValue:StringEquals": {"x": "y"}}}, "ForAnyValue:StringEquals"),
        ({"Condition": {"Bool": {ATTACHED: True}}}, ATTACHED),
        ({"Condition": "always"}, "Condition"),
        ({"Resource": f"{ARN}:topic/${{iot:Thing.ThingName}}"}, "${iot:Thing.ThingName}"),
        ({"NotAction": "iot:Connect"}, "NotAction"),
        ({"NotResource": "*"}, "NotResource"),
        ({"Principal": "*"}, "Principal"),
        ({"Effect": "allow"}, "allow"),
        ({"Action": None}, "Action"),
        ({"Action": {"iot": "Publish"}}, "Action"),
        ({"Resource": [1]}, "Resource"),
    ],
)
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_what_is_not_understood_denies(statement: dict[str, Any], named: str, effect: str) -> None:
    """A statement that could mean more than is implemented denies and says what it is."""
    whole = {"Effect": effect, "Action": "iot:Publish", "Resource": "*"} | statement
    decision = may_publish(allow("*"), {"Version": "2012-10-17", "Statement": whole})
    assert not decision.allowed
    assert decision.why.startswith("policy not supported: ")
    assert named in decision.why


def test_what_does_not_apply_does_no_harm() -> None:
    """A condition that is not understood counts only for what its statement is about."""
    odd = allow("iot:Connect", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    assert may_publish(allow("iot:Publish"), odd).allowed
    assert not evaluate([allow("*"), odd], "iot:Connect", f"{ARN}:client/x", VALUES).allowed


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_old_policy_versions_deny(version: str | None) -> None:
    """Policy variables mean nothing in versions before 2012-10-17, so these are not taken."""
    document = allow("*") | {"Version": version}
    assert "Version" in may_publish(document).why
