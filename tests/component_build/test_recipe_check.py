"""What a nucleus or AWS would refuse of a recipe is found before anything is uploaded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from component_build import recipe_check
from component_build.project import load
from component_build.recipe import built, rendered
from component_build.recipe_check import problems
from tests.component_build.tree import NAME, PROJECT

FILES = {
    "certkeeper.zip": {"install.sh", "run.sh"},
    "certkeeper-amd64.zip": {"install.sh", "run.sh"},
}
SOURCE = yaml.safe_load((PROJECT / "recipe.yaml").read_text())
GOOD = built(SOURCE, load(PROJECT), "1.2.3", FILES)
POLICY = f"{NAME}:mqttproxy:1"

Change = Callable[[dict[str, Any]], object]


def found(change: Change) -> list[str]:
    """The problems of the recipe with this change."""
    recipe = copy.deepcopy(GOOD)
    change(recipe)
    return problems(recipe, FILES, rendered(recipe))


def defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    return configuration


def policies(recipe: dict[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = defaults(recipe)["accessControl"]["aws.greengrass.ipc.mqttproxy"]
    return service


def step(recipe: dict[str, Any], name: str = "run") -> dict[str, Any]:
    taken: dict[str, Any] = recipe["Manifests"][0]["Lifecycle"][name]
    return taken


def platform(recipe: dict[str, Any], index: int = 0) -> dict[str, Any]:
    taken: dict[str, Any] = recipe["Manifests"][index]["Platform"]
    return taken


def artifact(recipe: dict[str, Any]) -> dict[str, Any]:
    taken: dict[str, Any] = recipe["Manifests"][0]["Artifacts"][0]
    return taken


def respelled(mapping: dict[str, Any], key: str, other: str) -> None:
    mapping[other] = mapping.pop(key)


def test_ours_is_fine() -> None:
    """The project's own recipe has no problem."""
    assert found(lambda recipe: None) == []


FAULTS: list[tuple[str, Change, str]] = [
    # Spelling: lite takes keys as they are.
    (
        "a top key",
        lambda r: respelled(r, "Manifests", "manifests"),
        "manifests: spell it Manifests",
    ),
    ("a step", lambda r: respelled(r["Manifests"][0]["Lifecycle"], "run", "Run"), "spell it run"),
    ("a script", lambda r: respelled(step(r), "Script", "script"), "script: spell it Script"),
    (
        "a timeout",
        lambda r: respelled(step(r, "install"), "Timeout", "TimeOut"),
        "spell it Timeout",
    ),
    ("a URI", lambda r: respelled(artifact(r), "Uri", "URI"), "URI: spell it Uri"),
    ("a runtime", lambda r: respelled(platform(r), "runtime", "Runtime"), "spell it runtime"),
    ("a permission", lambda r: artifact(r)["Permission"].update(read="ALL"), "spell it Read"),
    # What one nucleus has and the other has not.
    ("skipif", lambda r: step(r).update(Skipif="onpath x"), "Skipif: not a key of it"),
    (
        "shutdown",
        lambda r: r["Manifests"][0]["Lifecycle"].update(shutdown="x"),
        "shutdown: not a key",
    ),
    ("a global lifecycle", lambda r: r.update(Lifecycle={}), "recipe.Lifecycle: not a key of it"),
    ("selections", lambda r: r["Manifests"][0].update(Selections=["all"]), "Selections: not a key"),
    ("no runtime", lambda r: platform(r).pop("runtime"), "Platform.runtime: missing"),
    ("one runtime", lambda r: platform(r).update(runtime="aws_nucleus_lite"), "passes it over"),
    ("no platform", lambda r: r["Manifests"][0].pop("Platform"), "Platform: missing"),
    ("windows", lambda r: platform(r).update(os="windows"), "os: must be linux"),
    ("a variable of classic", lambda r: step(r).update(Script="echo {configuration:/a}"), "know"),
    (
        "a brace of the shell",
        lambda r: step(r).update(Script="echo ${HOME}"),
        "kinds of nucleus know",
    ),
    (
        "a brace left open",
        lambda r: step(r).update(Script="echo {work:path"),
        "kinds of nucleus know",
    ),
    # Types.
    ("a quoted privilege", lambda r: step(r).update(RequiresPrivilege="true"), "without quotes"),
    ("a quoted timeout", lambda r: step(r).update(Timeout="900"), "whole number of seconds"),
    ("no time at all", lambda r: step(r).update(Timeout=0), "whole number of seconds"),
    ("true seconds", lambda r: step(r).update(Timeout=True), "whole number of seconds"),
    ("an environment of numbers", lambda r: step(r).update(Setenv={"A": 1}), "mapping of texts"),
    ("an empty script", lambda r: step(r).update(Script=" "), "Script: must be a text"),
    ("a list of scripts", lambda r: step(r).update(Script=["a"]), "Script: must be a text"),
    (
        "a step that is a list",
        lambda r: r["Manifests"][0]["Lifecycle"].update(run=[1]),
        "a mapping",
    ),
    ("a date", lambda r: r.update(RecipeFormatVersion=20200125), "RecipeFormatVersion: must be"),
    (
        "a number for a version",
        lambda r: r.update(ComponentVersion=1.2),
        "ComponentVersion: must be",
    ),
    ("a version of two parts", lambda r: r.update(ComponentVersion="1.2"), "no semantic version"),
    ("a name with a blank", lambda r: r.update(ComponentName="a b"), "ComponentName: must be"),
    ("another type", lambda r: r.update(ComponentType="aws.greengrass.plugin"), "must be aws."),
    ("manifests by name", lambda r: r.update(Manifests={"a": 1}), "Manifests: must be a list"),
    ("no manifest", lambda r: r.update(Manifests=[]), "at least one manifest"),
    ("defaults in a list", lambda r: r.update(ComponentConfiguration=[]), "must be a mapping"),
    (
        "a date in the defaults",
        lambda r: defaults(r).update(watch=yaml.safe_load("2020-01-01")),
        "JSON",
    ),
    # Manifests and artifacts.
    ("an architecture's other name", lambda r: platform(r).update(architecture="x86_64"), "one of"),
    (
        "one for all first",
        lambda r: r["Manifests"].reverse(),
        "Manifests[1].Platform: a manifest bef",
    ),
    ("one architecture twice", lambda r: platform(r, 1).update(architecture="amd64"), "before it"),
    (
        "neither run nor startup",
        lambda r: r["Manifests"][0]["Lifecycle"].pop("run"),
        "either run or",
    ),
    (
        "run and startup",
        lambda r: r["Manifests"][0]["Lifecycle"].update(startup="x"),
        "either run or",
    ),
    ("no artifact", lambda r: r["Manifests"][0].update(Artifacts=[]), "at least one artifact"),
    ("another archive", lambda r: artifact(r).update(Unarchive="TAR"), "Unarchive: must be ZIP"),
    (
        "one not built",
        lambda r: artifact(r).update(Uri=f"s3://b/{NAME}/1.2.3/x.zip"),
        "was not built",
    ),
    (
        "another version",
        lambda r: artifact(r).update(Uri=f"s3://b/{NAME}/1.2.4/x.zip"),
        "must be of",
    ),
    ("no S3", lambda r: artifact(r).update(Uri="https://b/x.zip"), "s3://BUCKET/NAME/VERSION/FILE"),
    (
        "a permission in words",
        lambda r: artifact(r)["Permission"].update(Read="me"),
        "Read: must be",
    ),
    (
        "a script that is not there",
        lambda r: step(r).update(Script="exec sh {artifacts:decompressedPath}/certkeeper/start.sh"),
        "there is no start.sh in certkeeper.zip",
    ),
    (
        "a folder of another archive",
        lambda r: step(r).update(Script="exec sh {artifacts:decompressedPath}/keeper/run.sh"),
        "there is no run.sh in keeper.zip",
    ),
    # Access.
    ("a wild card of MQTT", lambda r: policies(r)[POLICY].update(resources=["a/+/b"]), "no +"),
    ("a wild card of MQTT's", lambda r: policies(r)[POLICY].update(resources=["a/#"]), "no #"),
    ("a variable", lambda r: policies(r)[POLICY].update(resources=["a/{iot:thingName}"]), "no { }"),
    ("an escape", lambda r: policies(r)[POLICY].update(resources=["a/${*}"]), "no $ { }"),
    ("a resource alone", lambda r: policies(r)[POLICY].update(resources="a"), "must be a list"),
    ("a number", lambda r: policies(r)[POLICY].update(resources=[7]), "resources: must be texts"),
    ("no operation", lambda r: policies(r)[POLICY].pop("operations"), "operations: must be a list"),
    ("a key too many", lambda r: policies(r)[POLICY].update(Resources=[]), "Resources: not a key"),
    ("an id of others", lambda r: respelled(policies(r), POLICY, "mqtt:1"), "must begin with"),
    ("access in a list", lambda r: defaults(r).update(accessControl=[]), "accessControl: must be"),
    (
        "a policy alone",
        lambda r: defaults(r)["accessControl"].update(s="x"),
        "s: must be a mapping",
    ),
    # What lite has room for.
    ("a long list", lambda r: defaults(r).update(watch=["/certificate.pem"] * 70), "takes 1024"),
    ("a long recipe", lambda r: r.update(ComponentDescription="x" * 9000), "at most 8196"),
    (
        "many resources",
        lambda r: policies(r)[POLICY].update(resources=[f"a/{n}" for n in range(60)]),
        "refuses all",
    ),
]


@pytest.mark.parametrize(("change", "said"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_faults_are_found(change: Change, said: str) -> None:
    """Each fault is found, and said with its place."""
    assert [problem for problem in found(change) if said in problem], found(change)


def test_the_size_on_a_device_counts_the_digests() -> None:
    """The cloud puts a digest to each artifact: a recipe that just fits may not fit any more."""
    size = recipe_check.deployed_size(GOOD)
    assert size > len(str(GOOD)) * 0.8
    more = copy.deepcopy(GOOD)
    more["Manifests"][0]["Artifacts"] *= 2
    assert recipe_check.deployed_size(more) - size > recipe_check.DIGEST_BYTES
