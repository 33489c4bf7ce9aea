"""What changes between two deployments, in lines; and what is not shown."""

from __future__ import annotations

import copy

from deployment.difference import difference, unchanged
from tests.deployment.test_plan import OURS, WHOLE


def test_nothing() -> None:
    """Two equal deployments have no difference, however their merge is written."""
    other = copy.deepcopy(WHOLE)
    update = other["components"][OURS]["configurationUpdate"]
    update["merge"] = update["merge"].replace(", ", ",\n   ")
    assert difference(WHOLE, other, OURS) == []


def test_version_and_configuration() -> None:
    """A line for each value, by the path to it; lists as a whole."""
    other = copy.deepcopy(WHOLE)
    ours = other["components"][OURS]
    ours["componentVersion"] = "0.2.0"
    ours["configurationUpdate"] = {
        "merge": '{"rotateWindow": {"cron": "x", "minutes": 90}, "thresholds": [9, 3]}'
    }
    assert difference(WHOLE, other, OURS) == [
        f'~ {OURS} componentVersion: "0.1.0" -> "0.2.0"',
        f"- {OURS} configuration maxAgeDays: 365",
        f"~ {OURS} configuration rotateWindow minutes: 60 -> 90",
        f"+ {OURS} configuration thresholds: [9, 3]",
        f'- {OURS} configurationUpdate reset: ["/schedule"]',
    ]


def test_a_first_deployment() -> None:
    """Compared with none, all is new."""
    assert difference({}, {"components": {OURS: {"componentVersion": "0.1.0"}}}, OURS) == [
        f'+ {OURS} componentVersion: "0.1.0"'
    ]


def test_a_component_goes() -> None:
    """A component that is not in it any more is removed, with all that was said of it."""
    other = copy.deepcopy(WHOLE)
    del other["components"][OURS]
    lines = difference(WHOLE, other, OURS)
    assert lines
    assert all(line.startswith(f"- {OURS} ") for line in lines)


def test_an_object_that_becomes_empty() -> None:
    """An object without keys is a value too."""
    assert difference({"x": {"a": {}}}, {"x": {"a": {"b": 1}}}, OURS) == [
        "- x a: {}",
        "+ x a b: 1",
    ]


def test_configuration_of_others_is_not_shown() -> None:
    """That another component's configuration changes is said, its values are not: they may be
    secret."""
    other = copy.deepcopy(WHOLE)
    theirs = other["components"]["com.example.PressControl"]
    theirs["configurationUpdate"]["merge"] = '{"speed": 4, "password": "hunter2"}'
    lines = difference(WHOLE, other, OURS)
    assert lines == [
        "+ com.example.PressControl configuration password: (not shown)",
        "~ com.example.PressControl configuration speed: (not shown) -> (not shown)",
    ]


def test_pins_are_not_shown() -> None:
    """A PKCS#11 URI is shown without its PIN, also within a list."""
    uri = "pkcs11:object=core;pin-value=123456;type=private"
    after = {
        "components": {
            OURS: {
                "configurationUpdate": {
                    "merge": f'{{"privateKeyPath": "{uri}", "watch": ["{uri}"]}}'
                }
            }
        }
    }
    text = "\n".join(difference({"components": {}}, after, OURS))
    assert "123456" not in text
    assert text.count("pin-value=***;type=private") == 2


def test_long_and_odd_values() -> None:
    """A value is cut at a length, and cannot command the terminal."""
    [line] = difference({}, {"deploymentName": "\x1b[31m" + "x" * 500}, OURS)
    assert len(line) < 160
    assert "\x1b" not in line


def test_unchanged() -> None:
    """What stays is named in a line."""
    other = copy.deepcopy(WHOLE)
    other["components"][OURS]["componentVersion"] = "0.2.0"
    other["tags"] = {"team": "other"}
    assert unchanged(WHOLE, other) == (
        "1 component (com.example.PressControl), name, policies, rollout, parent"
    )
    assert unchanged({}, WHOLE) == ""
