"""The wall: every bad value of every key is refused, by name, without repeating a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.settings import Settings, SettingsError, parse
from rotation_protocol import topics
from tests.core.strategies import any_json, examples
from tests.core.world import schedule_problem

NAN, INFINITY = float("nan"), float("inf")
PIN = "pkcs11:object=greengrass;type=cert?pin-value=1234567890"
WINDOW = {"cron": "cron(0 2 * * ? *)", "minutes": 60}

BAD: dict[str, list[Any]] = {
    "schedule": ["every day", "0 2 * * *", 5, True, [], {}, ["cron(0 2 * * ? *)"]],
    "thresholds": [
        30,
        "30",
        "20%",
        {},
        [],
        [0],
        [-1],
        [3651],
        [1.5],
        [NAN],
        [INFINITY],
        [True],
        [None],
        ["30"],
        ["0%"],
        ["100%"],
        ["%"],
        [30, "many"],
        [[30]],
        list(range(1, 22)),
    ],
    "criticalBelowDays": [-1, 3651, 6.5, "7", True, [], {}, NAN, INFINITY, -INFINITY, 1e300],
    "realertHours": [0, -24, 8761, 0.5, "24", False, [24]],
    "maxAgeDays": [-1, 36501, 364.9, "365", True, {}, 10**400],
    "rotateBeforeDays": [-1, 3651, 45.5, "45", True],
    "rotateWindow": [
        "cron(0 2 * * ? *)",
        60,
        True,
        [],
        [WINDOW],
        {"cron": "cron(0 2 * * ? *)"},
        {"minutes": 60},
        {**WINDOW, "hours": 1},
        {**WINDOW, "minutes": 0},
        {**WINDOW, "minutes": 1441},
        {**WINDOW, "minutes": "60"},
        {**WINDOW, "minutes": None},
        {**WINDOW, "cron": "rate(1 hour)"},
        {**WINDOW, "cron": "at noon"},
        {**WINDOW, "cron": ""},
        {**WINDOW, "cron": None},
        {**WINDOW, "cron": 5},
    ],
    "alertTopic": [
        5,
        True,
        [],
        {},
        "a/+/b",
        "a/#",
        "a?b",
        "a*b",
        "$aws/things/press-7/shadow",
        "a/" * 8,
        "x" * 257,
        "ü" * 129,
        "a\nb",
        "a\x00b",
        "a\ud800b",
    ],
    "healthTopic": [5, False, "a/+", "$SYS", "x" * 257, "1/2/3/4/5/6/7/8/9"],
    "topicPrefix": [
        5,
        True,
        [],
        "+",
        "#",
        "$aws",
        "/certkeeper",
        "certkeeper/",
        "a/b/c/d",
        "x" * 65,
        "ü" * 64,
        "a\tb",
    ],
    "keyAlgorithm": ["RSA", "rsa-2048", "RSA-1024", "RSA-4096", "P256", 2048, True, ["same"]],
    "signingAlgorithm": ["SHA256", "MD5WITHRSA", "sha256withrsa", 256, {}, ["auto"]],
    "watch": [
        "/etc/ca.pem",
        PIN,
        5,
        True,
        {},
        {"pin": PIN},
        ["relative/ca.pem"],
        ["http://example.com/ca.pem"],
        ["C:\\ca.pem"],
        [5],
        [None],
        [""],
        [[]],
        [PIN, 5],
        [PIN + "\n"],
        ["/" + "x" * 4096],
        ["/a\x00b"],
        [f"/ca-{n}.pem" for n in range(51)],
    ],
    "certificateFilePath": [5, True, [PIN], {"uri": PIN}, "cert.pem", " " + PIN, PIN + "\n"],
    "privateKeyPath": [5, True, [PIN], {}, "key.pem", "PIN" + PIN, PIN + "\x00", "tpm:handle"],
    "probe": ["always", "REQUIRED", True, 1, []],
    "commitTimeoutSeconds": [29, 86401, 0, -1, "300", 30.5, True, []],
    "deadManSeconds": [59, 86401, 0, "900", 60.5, True, 300, 299],
    "signAlerts": ["true", "yes", 1, 0, [], {}, 1.0],
    "logLevel": ["debug", "TRACE", "WARNING", 10, True, []],
}
CASES = [(key, value) for key, values in BAD.items() for value in values]


def refusal(values: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse(values, schedule_problem)
    return caught.value


def outcome(values: Any) -> Settings | SettingsError:
    try:
        return parse(values, schedule_problem)
    except SettingsError as error:
        return error


def test_wall_is_complete() -> None:
    """Every key has bad values here, and there are many."""
    reader_keys = set(json.loads(DEFAULTS)) - {"accessControl"}
    assert set(BAD) == reader_keys
    assert len(CASES) >= 60


@pytest.mark.parametrize(
    ("key", "value"), CASES, ids=[f"{k}-{n}" for n, (k, _) in enumerate(CASES)]
)
def test_bad_value_is_refused_by_name(key: str, value: Any) -> None:
    """The refusal names the key at fault, in a line a person can read, and repeats no PIN."""
    error = refusal({key: value})
    assert key in {problem.key.partition(".")[0] for problem in error.problems}
    assert all(str(problem).startswith(problem.key) for problem in error.problems)
    assert key in str(error)
    assert "1234567890" not in str(error)
    assert "1234567890" not in repr(error)
    assert all(len(str(problem)) < 300 for problem in error.problems)


@pytest.mark.parametrize("value", [None, True, 5, "text", [], [{}]])
def test_configuration_that_is_no_object(value: Any) -> None:
    """A configuration that has no keys at all is refused as such."""
    assert "configuration" in str(refusal(value))


def test_every_problem_is_named_at_once() -> None:
    """One answer names every key at fault, so that one deployment can mend them all."""
    error = refusal({key: values[0] for key, values in BAD.items()})
    assert {problem.key for problem in error.problems} == set(BAD)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"keyAlgorithm": "RSA-2048", "signingAlgorithm": "ECDSA-WITH-SHA256"}, "signingAlgorithm"),
        ({"keyAlgorithm": "ECDSA-P256", "signingAlgorithm": "SHA256WITHRSA"}, "signingAlgorithm"),
        ({"commitTimeoutSeconds": 900}, "deadManSeconds"),
        ({"commitTimeoutSeconds": 100, "deadManSeconds": 100}, "deadManSeconds"),
        ({"certificateFilePath": "/cert.pem"}, "privateKeyPath"),
        ({"privateKeyPath": "/key.pem"}, "certificateFilePath"),
        ({"privateKeyPath": "/key.pem", "certificateFilePath": ""}, "certificateFilePath"),
    ],
)
def test_values_that_do_not_agree(values: dict[str, Any], key: str) -> None:
    """Keys that are each valid but not together are refused, by the name of the one to change."""
    assert [problem.key for problem in refusal(values).problems] == [key]


@examples(100)
@given(st.dictionaries(st.sampled_from([*BAD, "accessControl", "treshold"]), any_json, max_size=6))
def test_any_json_is_valid_or_refused(values: dict[str, Any]) -> None:
    """Whatever a deployment puts under our keys, it is settings or a SettingsError."""
    found = outcome(values)
    assert isinstance(found, Settings) or (found.problems and str(found))


@examples(100)
@given(any_json)
def test_any_json_at_all(values: Any) -> None:
    """Whatever the nucleus hands over, it is settings or a SettingsError."""
    found = outcome(values)
    assert isinstance(found, Settings) or found.problems


@pytest.mark.parametrize("key", list(BAD))
def test_value_nested_beyond_measure(key: str) -> None:
    """Brackets within brackets are refused like anything else, however deep the stack is."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert key in str(refusal({key: deep}))


@examples(200)
@given(st.text(max_size=80) | st.text("ab/ü", max_size=70))
def test_accepted_topics_can_be_published_to(text: str) -> None:
    """A prefix that is accepted makes valid topics for the longest thing name there is."""
    found = outcome({"topicPrefix": text, "alertTopic": text})
    if isinstance(found, Settings):
        longest = f"{found.topic_prefix}/things/{'T' * 128}/certificate/request/accepted"
        assert topics.topic_problem(longest) is None
        assert topics.topic_problem(found.alert_topic) is None


#: Every key, as recipe.yaml has it.
DEFAULTS = """{
 "schedule": "cron(0 2 * * ? *)", "thresholds": [30, 15, 7, 3, 1], "criticalBelowDays": 7,
 "realertHours": 24, "maxAgeDays": 0, "rotateBeforeDays": 45, "rotateWindow": {},
 "alertTopic": "greengrass/alerts/certificates", "healthTopic": "greengrass/health/certificates",
 "topicPrefix": "certkeeper", "keyAlgorithm": "same", "signingAlgorithm": "auto", "watch": [],
 "certificateFilePath": "", "privateKeyPath": "", "probe": "required",
 "commitTimeoutSeconds": 300, "deadManSeconds": 900, "signAlerts": true, "logLevel": "INFO",
 "accessControl": {}
}"""


def test_defaults_of_the_recipe_are_the_settings_defaults() -> None:
    """With nothing configured and with the recipe's defaults the component does the same."""
    assert (
        parse(json.loads(DEFAULTS), schedule_problem) == parse({}, schedule_problem) == Settings()
    )
