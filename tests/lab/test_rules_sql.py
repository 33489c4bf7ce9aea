"""The subset of AWS IoT SQL that the rules use does what AWS's does, and refuses the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from lab.cloud.sql import EvaluationError, SqlError
from lab.cloud.sql_parser import parse
from lab.cloud.template import Template
from rotation_protocol.topics import ALERTS

PRINCIPAL = "ab" * 32


@dataclass(frozen=True)
class Published:
    """A message of a device; the cloud's own has neither client id nor principal."""

    payload: bytes = b"{}"
    topic: str = "certkeeper/things/press-7/certificate/create"
    client_id: str | None = "press-7#2"
    principal: str | None = PRINCIPAL
    at: float = 1000.5


def selected(statement: str, fields: object = None, **message: Any) -> Any:
    payload = json.dumps({} if fields is None else fields).encode()
    return parse(statement).evaluate(Published(payload, **message))


def test_the_rules_of_the_template() -> None:
    """What a device writes of itself is written over by what the broker knows of it."""
    statements = {rule.name: rule.sql for rule in Template(account_id="123456789012").rules()}
    create = next(sql for name, sql in statements.items() if name.startswith("Create"))
    forged = {"jobId": "j", "csr": "c", "principal": "another", "thingName": "press-8"}
    assert selected(create, forged) == {
        "jobId": "j",
        "csr": "c",
        "thingName": "press-7",
        "topic": "certkeeper/things/press-7/certificate/create",
        "clientId": "press-7#2",
        "principal": PRINCIPAL,
    }
    finish = next(sql for name, sql in statements.items() if name.startswith("Finish"))
    marked = {"jobId": "j", "statusDetails": {"CertificateRotator": "true"}}
    topic = "$aws/events/jobExecution/j/failed"
    assert selected(finish, marked, topic=topic) == marked
    assert selected(finish, {"jobId": "j", "statusDetails": {}}, topic=topic) is None
    assert selected(finish, {"jobId": "j"}, topic=topic) is None
    # A job that a workflow made, which waits for its end, even if the device never saw it.
    unseen = {"jobId": "certkeeper-1-1"}
    assert selected(finish, unseen, topic=topic) == unseen
    assert selected(finish, {"jobId": "mine-certkeeper-1"}, topic=topic) is None


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"type": "certificate.expiring", "daysRemaining": 30}, True),
        ({"type": "certificate.expiring", "daysRemaining": 31}, False),
        ({"type": "certificate.overdue", "daysRemaining": -1}, True),
        ({"type": "key.unreadable", "daysRemaining": 8436}, True),
        ({"type": "certificate.unreadable"}, True),
        ({"type": "of a newer component", "daysRemaining": 31}, True),
        ({}, False),
    ],
)
def test_which_alerts_the_rule_lets_through(fields: dict[str, Any], matches: bool) -> None:
    """Days decide only of certificates that are still to end: whatever else is wrong comes."""
    rules = Template(account_id="123456789012").rules()
    (alerts,) = (rule.sql for rule in rules if rule.name.startswith("Alert"))
    found = selected(alerts, {**fields, "principal": "another"}, topic=ALERTS)
    assert (found is not None) == matches
    if found is not None:
        of_the_rule = {"clientId": "press-7#2", "principal": PRINCIPAL, "receivedAt": 1000500}
        assert found == {**fields, **of_the_rule}


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("days <= 30", True),
        ("days < 20", False),
        ("days <> 20", False),
        ("name = 'press'", True),
        ("missing <= 30", False),
        ("missing <= 30 OR critical = true", False),  # undefined OR true is undefined
        ("critical = true AND days > 10", True),
        ("NOT critical = true", False),
        ("isUndefined(missing) = true AND critical = true", True),
        ("CASE isUndefined(missing) WHEN true THEN true ELSE missing <= 30 END", True),
        ("CASE isUndefined(days) WHEN true THEN true ELSE days <= 30 END", True),
        ("CASE isUndefined(days) WHEN true THEN true ELSE days <= 10 END", False),
        ("CASE name WHEN 'lathe' THEN false WHEN 'press' THEN days > 10 ELSE false END", True),
        ("CASE name WHEN 'lathe' THEN true END", False),  # no match and no ELSE
        ("CASE missing WHEN true THEN true ELSE true END", False),  # of what is undefined
        ("NOT CASE critical WHEN true THEN false END AND days > 10", True),
        ("startswith(name, 'pre')", True),
        ("startswith(name, 'ress')", False),
        ("startswith(missing, 'pre') OR critical = true", False),
        ("startswith(days, '2')", False),
    ],
)
def test_where(where: str, matches: bool) -> None:
    """Only what is true matches; what is undefined makes everything around it undefined."""
    fields = {"days": 20, "critical": True, "name": "press"}
    found = selected(f"SELECT * FROM 'a/+' WHERE {where}", fields)
    assert (found is not None) == matches


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("topic()", "certkeeper/things/press-7/certificate/create"),
        ("topic(3)", "press-7"),
        ("clientid()", "press-7#2"),
        ("principal()", PRINCIPAL),
        ("timestamp()", 1000500),
        ("inner.field", 7),
        ("encode(*, 'base64')", "eyJpbm5lciI6IHsiZmllbGQiOiA3fX0="),
    ],
)
def test_items(item: str, value: object) -> None:
    """Functions and paths, under the name that is given to them."""
    found = selected(f"SELECT {item} AS it FROM 'a'", {"inner": {"field": 7}})
    assert found == {"it": value}


def test_what_the_cloud_publishes() -> None:
    """It has no client id, and no principal at all."""
    found = selected(
        "SELECT clientid() AS c, principal() AS p FROM 'a'", client_id=None, principal=None
    )
    assert found == {"c": "n/a"}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM a",
        "SELECT get_thing_shadow('x', 'y') AS s FROM 'a'",
        "SELECT * FROM 'a' WHERE days IN [1, 2]",
        "SELECT * FROM 'a' WHERE days + 1 = 2",
        "SELECT * FROM 'a' WHERE CASE days ELSE true END",
        "SELECT * FROM 'a' WHERE CASE days WHEN 1 THEN true",
        "SELECT * FROM 'a' WHERE WHEN",
        "SELECT * FROM 'a/#/b'",
        "INSERT INTO a",
        "SELECT * FROM 'a' WHERE (",
        "",
    ],
)
def test_anything_else_is_refused(statement: str) -> None:
    """A statement that is not played here is an error when it is loaded, not a silent rule."""
    with pytest.raises(SqlError):
        parse(statement)


def test_another_version_is_refused() -> None:
    """2015-10-08 has other semantics."""
    with pytest.raises(SqlError):
        parse("SELECT * FROM 'a'", "2015-10-08")


@pytest.mark.parametrize("payload", [b"no JSON", b"\xff"])
def test_a_payload_that_is_no_json(payload: bytes) -> None:
    """The rule fails on that message."""
    with pytest.raises(EvaluationError):
        parse("SELECT * FROM 'a'").evaluate(Published(payload))
