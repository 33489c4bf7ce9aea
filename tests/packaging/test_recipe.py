"""The recipe says what the code says: configuration, access, steps, version.

That both kinds of nucleus take it is shown with the lab's own reading of recipes, which
tests/lab holds to what the nuclei do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import certkeeper
from certkeeper.core import inbound
from certkeeper.core.settings import Settings, parse
from certkeeper.edge import schedule
from component_build.build import GENERIC, artifact_name
from component_build.version import NEXT_PATCH
from component_build.wheels import ARCHITECTURES
from lab.nucleus.authorization import MQTT_PROXY, AccessControl
from lab.nucleus.recipe import Recipe, Runtime, load_recipe
from rotation_protocol import topics
from tests.packaging.source import PROJECT

PATH = PROJECT / "recipe.yaml"
PUBLISH = "aws.greengrass#PublishToIoTCore"
SUBSCRIBE = "aws.greengrass#SubscribeToIoTCore"
TOPICS = {topics.ALERTS, topics.HEALTH}
#: What both kinds of nucleus put in place of {...} in a script.
VARIABLES = {"artifacts:decompressedPath", "work:path", "kernel:rootPath"}


@pytest.fixture(params=["classic", "lite"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each kind of nucleus."""
    kind: Runtime = request.param
    return kind


@pytest.fixture(params=["amd64", "aarch64", "arm"])
def recipe(request: pytest.FixtureRequest, runtime: Runtime) -> Recipe:
    """The recipe as each kind of nucleus takes it, on each kind of machine."""
    return load_recipe(PATH, runtime, architecture=request.param)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(PATH.read_text("utf-8"))
    return loaded


def defaults() -> dict[str, Any]:
    configuration: dict[str, Any] = document()["ComponentConfiguration"]["DefaultConfiguration"]
    return configuration


class Recording(dict[str, Any]):
    """A configuration that remembers which keys were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


# -- configuration ------------------------------------------------------------------


def test_the_recipe_names_every_key() -> None:
    """Every key that settings know has its default in the recipe, and no other has one."""
    recording = Recording()
    parse(recording, schedule.problem)
    assert set(defaults()) == recording.asked | {"accessControl"}


def test_the_defaults_are_those_of_the_code() -> None:
    """The recipe's values are valid, and are the defaults that a missing key has."""
    settings = parse(defaults(), schedule.problem)
    assert settings == Settings()
    assert settings.notes == ()


# -- access -------------------------------------------------------------------------


def resources(operation: str) -> list[str]:
    """What the recipe lets the component do this to."""
    return [
        resource
        for policy in defaults()["accessControl"]["aws.greengrass.ipc.mqttproxy"].values()
        if operation in policy["operations"]
        for resource in policy["resources"]
    ]


#: With any thing's name: the IoT policy confines the device to its own.
JOBS = topics.jobs("*", "*")
ROTATION = {topics.rotation(prefix, "*", "*") for prefix in (topics.PREFIX, topics.PEER_PREFIX)}


def test_access_is_as_wide_as_the_topics() -> None:
    """The component may publish and subscribe to what its protocol has, and to nothing else."""
    assert set(resources(PUBLISH)) == TOPICS | {JOBS} | ROTATION
    assert set(resources(SUBSCRIBE)) == {JOBS} | ROTATION
    settings = Settings()
    assert {settings.alert_topic, settings.health_topic} == TOPICS
    assert topics.rotation(settings.topic_prefix, "*", "*") in ROTATION


def test_resources_work_without_interpolation() -> None:
    """No resource needs the nucleus to put in anything, or is read differently by classic and
    lite: the one wild card is ``*``."""
    every = resources(PUBLISH) + resources(SUBSCRIBE)
    assert [r for r in every if any(character in r for character in "{}?+#")] == []


def test_each_nucleus_allows_what_is_needed(recipe: Recipe, runtime: Runtime) -> None:
    """Each nucleus takes the policies without complaint, and allows what is asked of it alone."""
    policies = recipe.default_configuration["accessControl"]
    access = AccessControl(policies, recipe.name, runtime, "press-7")
    assert access.problems == []
    for topic in TOPICS:
        assert access.allows(MQTT_PROXY, PUBLISH, topic)
        assert not access.allows(MQTT_PROXY, SUBSCRIBE, topic)
        assert not access.allows(MQTT_PROXY, PUBLISH, f"{topic}/more")
    for prefix in (topics.PREFIX, topics.PEER_PREFIX):
        for topic_filter in inbound.filters("press-7", prefix).values():
            assert access.allows(MQTT_PROXY, SUBSCRIBE, topic_filter)
        for action in (topics.CREATE, topics.COMMIT, topics.REQUEST):
            assert access.allows(MQTT_PROXY, PUBLISH, topics.rotation(prefix, "press-7", action))
    for rest in ("$next/get", "job-1/get", "job-1/update"):
        assert access.allows(MQTT_PROXY, PUBLISH, topics.jobs("press-7", rest))
    assert not access.allows(MQTT_PROXY, PUBLISH, "$aws/things/press-7/shadow/update")


def test_policy_ids_are_ours_alone() -> None:
    """A policy id names the component: on a device no two components may use the same."""
    for service in defaults()["accessControl"].values():
        for policy_id in service:
            assert policy_id.startswith(f"{certkeeper.COMPONENT_NAME}:")


# -- steps --------------------------------------------------------------------------


def test_steps(recipe: Recipe) -> None:
    """Each nucleus finds install and run, both with privilege."""
    assert set(recipe.steps) == {"install", "run"}
    assert all(step.requires_privilege for step in recipe.steps.values())


def test_steps_are_in_lower_case() -> None:
    """Steps are in lower case, as lite demands; classic takes both."""
    for manifest in document()["Manifests"]:
        assert all(step == step.lower() for step in manifest["Lifecycle"])
        assert manifest["Platform"]["runtime"] == "*"


def test_scripts_use_what_both_nuclei_know(recipe: Recipe) -> None:
    """The scripts that run are in src/, and use no variable that one kind of nucleus lacks."""
    for step in recipe.steps.values():
        used = {part.split("}")[0] for part in step.script.split("{")[1:]}
        assert used <= VARIABLES
        script = next(word for word in step.script.split() if word.endswith(".sh"))
        assert (PROJECT / "src" / script.rpartition("/")[2]).is_file()


def test_run_is_replaced_by_the_program(recipe: Recipe) -> None:
    """The nucleus's shell gives way, so that signals and the exit code are the program's own."""
    assert recipe.steps["run"].script.startswith("exec ")


# -- identity -----------------------------------------------------------------------


def test_name_and_version(recipe: Recipe) -> None:
    """Recipe, package and artifact have one name and one version."""
    assert (recipe.name, recipe.version) == (certkeeper.COMPONENT_NAME, certkeeper.__version__)
    pyproject = (PROJECT / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{certkeeper.__version__}"\n' in pyproject
    [gdk] = json.loads((PROJECT / "gdk-config.json").read_text("utf-8"))["component"].items()
    # Whoever publishes a fork of it may let gdk count.
    assert gdk[0] == certkeeper.COMPONENT_NAME
    assert gdk[1]["version"] in (certkeeper.__version__, NEXT_PATCH)


def test_artifacts_are_named_by_the_build(recipe: Recipe) -> None:
    """Each URI has gdk's placeholders, and the name of an artifact that gdk_build.py makes."""
    made = {GENERIC, *map(artifact_name, ARCHITECTURES)}
    uris = [a["Uri"] for manifest in document()["Manifests"] for a in manifest["Artifacts"]]
    assert set(uris) == {f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{n}" for n in made}
    [artifact] = recipe.artifacts
    assert artifact.unarchive
    for step in recipe.steps.values():
        assert f"{{artifacts:decompressedPath}}/{Path(artifact.name).stem}/" in step.script


def test_the_install_step_has_time(recipe: Recipe) -> None:
    """Install may take longer than the nucleus's own two minutes, and run for ever."""
    assert (recipe.steps["install"].timeout, recipe.steps["run"].timeout) == (900, None)


def test_artifacts_are_the_owners_alone() -> None:
    """Nobody else on the device may read or run the artifact."""
    for manifest in document()["Manifests"]:
        for artifact in manifest["Artifacts"]:
            assert artifact["Permission"] == {"Read": "OWNER"}
