"""Good configurations: every key's values, numbers as the nucleus gives them, unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core import algorithms
from certkeeper.core.settings import LOG_LEVELS, PROBES, Settings, parse
from certkeeper.core.threshold import Share
from certkeeper.core.value_reader import RotateWindow
from tests.core.strategies import any_json, examples
from tests.core.world import DAILY, HOURLY, schedule_problem

RECIPE = Path(__file__).parents[2] / "recipe.yaml"

GOOD: list[tuple[str, Any, str, Any]] = [
    ("schedule", HOURLY, "schedule", HOURLY),
    ("thresholds", [30], "thresholds", (30,)),
    ("thresholds", [30.0, "20%", 1], "thresholds", (30, Share(20), 1)),
    ("thresholds", [30, 30.0, "5%", "5%"], "thresholds", (30, Share(5))),
    ("thresholds", list(range(1, 21)), "thresholds", tuple(range(1, 21))),
    ("criticalBelowDays", 0, "critical_below_days", 0),
    ("criticalBelowDays", 3650.0, "critical_below_days", 3650),
    ("realertHours", 1, "realert_hours", 1),
    ("realertHours", 8760, "realert_hours", 8760),
    ("maxAgeDays", 36500, "max_age_days", 36500),
    ("maxAgeDays", 365.0, "max_age_days", 365),
    ("rotateBeforeDays", 0, "rotate_before_days", 0),
    ("rotateWindow", {"cron": DAILY, "minutes": 1440}, "rotate_window", RotateWindow(DAILY, 1440)),
    ("rotateWindow", {"cron": DAILY, "minutes": 1.0}, "rotate_window", RotateWindow(DAILY, 1)),
    ("rotateWindow", {}, "rotate_window", None),
    ("alertTopic", "factory/1/alerts", "alert_topic", "factory/1/alerts"),
    ("alertTopic", "x" * 256, "alert_topic", "x" * 256),
    ("alertTopic", "1/2/3/4/5/6/7/8", "alert_topic", "1/2/3/4/5/6/7/8"),
    ("healthTopic", "Gesundheit/für/alle", "health_topic", "Gesundheit/für/alle"),
    ("topicPrefix", "awslabs", "topic_prefix", "awslabs"),
    ("topicPrefix", "a/b/c", "topic_prefix", "a/b/c"),
    ("topicPrefix", "x" * 64, "topic_prefix", "x" * 64),
    *(("keyAlgorithm", name, "key_algorithm", name) for name in algorithms.KEY_ALGORITHMS),
    *(("signingAlgorithm", n, "signing_algorithm", n) for n in algorithms.SIGNING_ALGORITHMS),
    ("watch", ["/etc/ca.pem", "file:///etc/b.pem"], "watch", ("/etc/ca.pem", "file:///etc/b.pem")),
    ("watch", ["/a", "/b", "/a"], "watch", ("/a", "/b")),
    ("watch", ["pkcs11:object=a;type=cert"], "watch", ("pkcs11:object=a;type=cert",)),
    ("watch", [f"/{n}" for n in range(50)], "watch", tuple(f"/{n}" for n in range(50))),
    *(("probe", name, "probe", name) for name in PROBES),
    ("commitTimeoutSeconds", 30, "commit_timeout_seconds", 30),
    ("deadManSeconds", 86400, "dead_man_seconds", 86400),
    ("deadManSeconds", 301, "dead_man_seconds", 301),
    ("signAlerts", False, "sign_alerts", False),
    *(("logLevel", name, "log_level", name) for name in LOG_LEVELS),
]


@pytest.mark.parametrize(("key", "value", "name", "expected"), GOOD)
def test_good_value_is_taken(key: str, value: Any, name: str, expected: Any) -> None:
    """Each key takes what docs/configuration.md promises, to the limits, and touches no other."""
    settings = parse({key: value}, schedule_problem)
    assert getattr(settings, name) == expected
    assert type(getattr(settings, name)) is type(expected)
    default = getattr(Settings(), name)
    assert settings == Settings(**{name: expected}) or expected == default


def test_every_key_has_a_good_value_here() -> None:
    """No key of the recipe is forgotten above; the two paths are set together."""
    keys = {key for key, *_ in GOOD} | {"certificateFilePath", "privateKeyPath", "accessControl"}
    assert keys == set(recipe_defaults())


def test_recipe_gives_the_defaults() -> None:
    """The recipe's configuration is valid, knows every key, and says what Settings() says."""
    assert parse(recipe_defaults(), schedule_problem) == Settings()


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize("key", sorted({key for key, *_ in GOOD}))
def test_empty_value_is_the_default(key: str, value: Any) -> None:
    """A key that a deployment empties is as one that it never set."""
    assert parse({key: value}, schedule_problem) == Settings()


@pytest.mark.parametrize("uri", ["/cert.pem", "file:///cert.pem", "pkcs11:object=a;type=cert"])
def test_pair_is_overridden_as_a_whole(uri: str) -> None:
    """Both paths are taken as they are written; the file is another's business."""
    settings = parse({"certificateFilePath": uri, "privateKeyPath": "/key"}, schedule_problem)
    assert (settings.certificate_file_path, settings.private_key_path) == (uri, "/key")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("treshold", "thresholds"),
        ("Thresholds", "thresholds"),
        ("loglevel", "logLevel"),
        ("alert_topic", "alertTopic"),
        ("xyzzy", None),
    ],
)
def test_unknown_key_is_noted(key: str, meant: str | None) -> None:
    """It is no error, since a component may be downgraded; the note says what was meant."""
    (note,) = parse({key: 5}, schedule_problem).notes
    assert f"'{key}' is not a key of this component" in note
    assert ("did you mean" in note) == (meant is not None)
    if meant is not None:
        assert f"(did you mean {meant}?)" in note


def test_access_control_is_no_unknown_key() -> None:
    """The nucleus's own part of the configuration is not ours to judge."""
    assert parse({"accessControl": {"anything": 1}}, schedule_problem).notes == ()


@examples(100)
@given(st.dictionaries(st.text(max_size=10), any_json, max_size=5))
def test_unknown_keys_change_nothing(values: dict[str, Any]) -> None:
    """Any number of keys that are not ours: each is noted, and the defaults hold."""
    unknown = {f"?{key}": value for key, value in values.items()}
    settings = parse(unknown, schedule_problem)
    assert len(settings.notes) == len(unknown)
    assert Settings(notes=settings.notes) == settings


def test_settings_can_be_compared_and_kept() -> None:
    """Two readings of one configuration are equal, and a setting cannot be changed by hand."""
    values = {
        "thresholds": [10, "5%"],
        "watch": ["/a"],
        "rotateWindow": {"cron": DAILY, "minutes": 5},
    }
    assert parse(values, schedule_problem) == parse(dict(values), schedule_problem)
    assert hash(parse(values, schedule_problem)) == hash(parse(values, schedule_problem))


@pytest.mark.parametrize(
    ("key", "signs"),
    [
        ("RSA-2048", algorithms.RSA_SIGNING_ALGORITHMS),
        ("RSA-3072", algorithms.RSA_SIGNING_ALGORITHMS),
        ("ECDSA-P256", algorithms.ECDSA_SIGNING_ALGORITHMS),
        ("ECDSA-P521", algorithms.ECDSA_SIGNING_ALGORITHMS),
    ],
)
def test_families_of_algorithms_match(key: str, signs: tuple[str, ...]) -> None:
    """A key signs with every algorithm of its own family, and with no other."""
    able = {name for name in algorithms.SIGNING_ALGORITHMS if algorithms.signs_with(name, key)}
    assert able == set(signs)
    for name in able:
        values = {"keyAlgorithm": key, "signingAlgorithm": name}
        assert parse(values, schedule_problem).signing_algorithm == name


def recipe_defaults() -> dict[str, Any]:
    """The configuration that the recipe gives the component."""
    recipe = yaml.safe_load(RECIPE.read_text())
    defaults: dict[str, Any] = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    return defaults
