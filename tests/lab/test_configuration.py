"""The configuration store: deployments, updates, and who hears of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.nucleus.configuration import (
    Configuration,
    ConfigurationRefused,
    ConfigurationStore,
    StaleUpdate,
    UnknownKey,
)
from lab.nucleus.configuration_tree import KeyPath
from lab.nucleus.recipe import Runtime

NOW = 1_700_000_000_000
DEFAULTS = {"schedule": "rate(1 day)", "alerts": {"topic": "a", "days": [30, 7]}}
RUNTIMES: tuple[Runtime, ...] = ("classic", "lite")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture(params=RUNTIMES)
def store(request: pytest.FixtureRequest) -> ConfigurationStore:
    return new_store(request.param)


def new_store(runtime: Runtime) -> ConfigurationStore:
    store = ConfigurationStore(runtime, clock=Clock())
    store.add("c", DEFAULTS)
    return store


def deploy(store: ConfigurationStore, **change: Any) -> tuple[KeyPath, ...]:
    return asyncio.run(store.deploy("c", **change))


def heard(configuration: Configuration, *key_path: str) -> list[KeyPath]:
    """What a subscriber at this path hears from now on."""
    paths: list[KeyPath] = []
    configuration.subscribe(key_path, paths.append)
    return paths


def test_a_component_starts_with_its_defaults(store: ConfigurationStore) -> None:
    """Values are found by their path, containers as maps."""
    configuration = store.of("c")
    assert configuration.get() == DEFAULTS
    assert configuration.get(["alerts", "topic"]) == "a"
    assert configuration.get(["alerts"]) == DEFAULTS["alerts"]


@pytest.mark.parametrize("path", [["nothing"], ["alerts", "nothing"], ["schedule", "deeper"]])
def test_an_absent_key_is_unknown(store: ConfigurationStore, path: list[str]) -> None:
    """What is not there raises, and so does subscribing to it."""
    with pytest.raises(UnknownKey):
        store.of("c").get(path)
    with pytest.raises(UnknownKey):
        store.of("c").subscribe(path, lambda changed: None)


def test_an_unknown_component_is_unknown(store: ConfigurationStore) -> None:
    """A component that is not there, or no longer, has no configuration."""
    assert "c" in store
    assert store.components == ("c",)
    store.remove("c")
    assert "c" not in store
    with pytest.raises(UnknownKey):
        store.of("c")


def test_case_matters_on_lite_only() -> None:
    """Classic finds keys and components in any case, and keeps the case they came in."""
    classic, lite = new_store("classic"), new_store("lite")
    assert classic.of("C").get(["ALERTS", "Topic"]) == "a"
    deploy(classic, merge={"SCHEDULE": "x"})
    assert classic.of("c").get() == DEFAULTS | {"schedule": "x"}
    with pytest.raises(UnknownKey):
        lite.of("c").get(["ALERTS"])
    with pytest.raises(UnknownKey):
        lite.of("C")
    deploy(lite, merge={"SCHEDULE": "x"})
    assert lite.of("c").get() == DEFAULTS | {"SCHEDULE": "x"}


def test_lite_finds_its_nucleus_by_both_names() -> None:
    """``aws.greengrass.Nucleus`` is an alias of ``aws.greengrass.NucleusLite``."""
    store = ConfigurationStore("lite")
    store.add("aws.greengrass.NucleusLite", {"awsRegion": "eu-central-1"})
    assert store.of("aws.greengrass.Nucleus").get(["awsRegion"]) == "eu-central-1"


def test_merge_replaces_leaves_and_keeps_the_rest(store: ConfigurationStore) -> None:
    """Maps are merged deeply; lists are leaves and replaced whole."""
    changed = deploy(store, merge={"alerts": {"days": [1], "new": None}, "x": {"y": True}})
    assert store.of("c").get() == {
        "schedule": "rate(1 day)",
        "alerts": {"topic": "a", "days": [1], "new": None},
        "x": {"y": True},
    }
    assert sorted(changed) == [("alerts", "days"), ("alerts", "new"), ("x", "y")]


def test_reset_comes_before_merge(store: ConfigurationStore) -> None:
    """A reset key is back at its default, and a merge of the same deployment still counts."""
    deploy(store, merge={"schedule": "x", "alerts": {"topic": "b"}, "extra": 1})
    deploy(store, reset=["/schedule", "/extra", "/alerts"], merge={"alerts": {"topic": "c"}})
    assert store.of("c").get() == {
        "schedule": "rate(1 day)",
        "alerts": {"topic": "c", "days": [30, 7]},
    }


def test_reset_of_everything(store: ConfigurationStore) -> None:
    """The empty pointer resets the whole configuration."""
    deploy(store, merge={"schedule": "x", "extra": {"deep": 1}})
    deploy(store, reset=[""])
    assert store.of("c").get() == DEFAULTS


def test_reset_pointers_are_json_pointers(store: ConfigurationStore) -> None:
    """``~1`` and ``~0`` stand for slash and tilde; what is not there is no error."""
    deploy(store, merge={"a/b": {"c~d": 1, "e": 2}})
    deploy(store, reset=["/a~1b/c~0d", "/not/there", "/schedule/deeper"])
    assert store.of("c").get(["a/b"]) == {"e": 2}
    with pytest.raises(ConfigurationRefused, match="not a JSON pointer"):
        deploy(store, reset=["schedule"])


def test_a_new_version_brings_new_defaults_beneath(store: ConfigurationStore) -> None:
    """Defaults of a new version fill what is not there, and later resets go back to them."""
    deploy(store, merge={"schedule": "x"})
    deploy(store, defaults={"schedule": "rate(2 days)", "added": 1})
    assert store.of("c").get() == DEFAULTS | {"schedule": "x", "added": 1}
    deploy(store, reset=["/schedule"])
    assert store.of("c").get(["schedule"]) == "rate(2 days)"


@pytest.mark.parametrize(
    "merge", [{"alerts": 1}, {"schedule": {"rate": 1}}, {"x": float("nan")}, {"x": {1, 2}}]
)
def test_a_merge_that_cannot_be_changes_nothing(
    store: ConfigurationStore, merge: dict[str, Any]
) -> None:
    """A leaf where a map is, a map where a leaf is, and what is no JSON are refused whole."""
    paths = heard(store.of("c"))
    with pytest.raises(ConfigurationRefused):
        deploy(store, merge={"first": 1} | merge)
    assert store.of("c").get() == DEFAULTS
    assert paths == []


def test_defaults_that_are_no_json_are_refused(store: ConfigurationStore) -> None:
    """A date that YAML made of a recipe's value is an error, not a surprise later."""
    with pytest.raises(ConfigurationRefused, match="not JSON"):
        store.add("d", {"x": {1}})


def test_subscribers_hear_of_changes_at_and_below_their_key(store: ConfigurationStore) -> None:
    """Each changed leaf is told once to each subscriber whose key leads to it."""
    everything, alerts, topic, schedule = (
        heard(store.of("c"), *path)
        for path in ((), ("alerts",), ("alerts", "topic"), ("schedule",))
    )
    deploy(store, merge={"alerts": {"topic": "b", "days": [30, 7]}})
    assert everything == alerts == topic == [("alerts", "topic")]
    assert schedule == []


def test_an_unchanged_value_is_not_told(store: ConfigurationStore) -> None:
    """Writing the same value again tells nobody, but 1, 1.0 and true are three values."""
    deploy(store, merge={"n": 1})
    paths = heard(store.of("c"))
    for value in (1, True, 1.0):
        deploy(store, merge={"n": value})
    assert paths == [("n",), ("n",)]


def test_who_unsubscribed_hears_nothing(store: ConfigurationStore) -> None:
    """A subscription ends, however often it is ended, and others stay."""
    paths: list[KeyPath] = []
    leave = store.of("c").subscribe((), paths.append)
    other = heard(store.of("c"))
    leave()
    leave()
    deploy(store, merge={"n": 1})
    assert paths == []
    assert other == [("n",)]


def test_a_removed_key_is_told_on_classic_only(store: ConfigurationStore) -> None:
    """Classic tells of a key that a reset removed; lite says nothing."""
    deploy(store, merge={"extra": {"deep": 1}})
    paths = heard(store.of("c"))
    deploy(store, reset=["/extra"])
    assert paths == ([("extra",)] if store.runtime == "classic" else [])


def test_a_reset_makes_subscribers_deaf_on_lite(store: ConfigurationStore) -> None:
    """On lite a subscription to a key that was reset hears nothing ever after."""
    schedule = heard(store.of("c"), "schedule")
    deploy(store, reset=["/schedule"], merge={"schedule": "x"})
    deploy(store, merge={"schedule": "y"})
    assert schedule == ([("schedule",)] * 2 if store.runtime == "classic" else [])


def test_a_watcher_hears_of_every_component(store: ConfigurationStore) -> None:
    """Whoever watches the store hears of all components, resets included, until it leaves."""
    seen: list[tuple[str, KeyPath]] = []
    leave = store.watch(lambda component, path: seen.append((component, path)))
    store.add("d", {})
    deploy(store, merge={"n": 1}, reset=[""])
    asyncio.run(store.deploy("d", merge={"m": 1}))
    leave()
    deploy(store, merge={"n": 2})
    assert ("c", ("n",)) in seen
    assert seen[-1] == ("d", ("m",))


def test_an_update_merges_at_a_path(store: ConfigurationStore) -> None:
    """What a component writes itself is merged, new containers included, and stays."""
    configuration = store.of("c")
    configuration.update(["alerts"], {"topic": "b"}, NOW + 1, NOW + 1)
    configuration.update(["x", "y"], {"z": 1}, NOW + 1, NOW + 1)
    configuration.update([], {"top": [1]}, NOW + 1, NOW + 1)
    assert configuration.get() == {
        "schedule": "rate(1 day)",
        "alerts": {"topic": "b", "days": [30, 7]},
        "x": {"y": {"z": 1}},
        "top": [1],
    }


def test_a_stale_update_is_not_taken(store: ConfigurationStore) -> None:
    """What was changed later stays; classic says so, lite keeps quiet."""
    configuration = store.of("c")
    configuration.update([], {"schedule": "new"}, NOW + 100, NOW)
    paths = heard(configuration)
    if store.runtime == "classic":
        with pytest.raises(StaleUpdate):
            configuration.update([], {"schedule": "old"}, NOW + 50, NOW)
    else:
        configuration.update([], {"schedule": "old"}, NOW + 50, NOW)
    assert configuration.get(["schedule"]) == "new"
    assert paths == []


def test_an_older_deployment_does_not_undo_what_the_component_wrote(
    store: ConfigurationStore,
) -> None:
    """A component's value with a later time outlives a deployment's merge."""
    store.of("c").update([], {"schedule": "mine"}, NOW + 1000, NOW)
    deploy(store, merge={"schedule": "theirs"})
    assert store.of("c").get(["schedule"]) == "mine"


@pytest.mark.parametrize(
    ("path", "value"),
    [([], {"first": 1, "alerts": 1}), (["schedule", "x"], {"y": 1}), ([], "no map")],
)
def test_an_update_that_cannot_be_changes_nothing(
    store: ConfigurationStore, path: list[str], value: object
) -> None:
    """A component's own write is refused whole as well."""
    with pytest.raises(ConfigurationRefused):
        store.of("c").update(path, value, NOW + 1, NOW + 1)
    assert store.of("c").get() == DEFAULTS


def test_lite_keeps_leaves_of_1024_bytes() -> None:
    """A longer leaf is refused by lite, from wherever it comes, and taken by classic."""
    fits, large = "x" * 1022, "x" * 1023
    for runtime in RUNTIMES:
        deploy(new_store(runtime), merge={"leaf": fits})
    deploy(new_store("classic"), merge={"leaf": large})
    store = new_store("lite")
    with pytest.raises(ConfigurationRefused, match="leaf has 1025 bytes"):
        deploy(store, merge={"leaf": large})
    with pytest.raises(ConfigurationRefused):
        store.of("c").update([], {"leaf": large}, NOW, NOW)
    with pytest.raises(ConfigurationRefused):
        store.add("d", {"leaf": large})
