"""What a nucleus, or AWS, would refuse of a recipe, found before anything is uploaded.

Stricter than JSON schemas of recipes, which fold all keys to lower case and know one
nucleus: here a recipe has to mean the same to classic (2.6 and newer) and to lite. So
keys are spelled exactly, a step that lite lacks is refused, and so is whatever either would
read over in silence. Left out: component dependencies and the global Lifecycle, which this
project's recipe has no use for.

Sources: the component recipe reference of the AWS IoT Greengrass developer guide;
``recipe.c``, ``ggl-recipe`` and ``ggdeploymentd`` of nucleus lite for its spelling and limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from component_build import version as versions
from component_build.recipe_access import access_problems

#: Lite reads a recipe into a buffer of so many bytes: as the cloud hands it out, in JSON,
#: with a digest for each artifact, or the YAML of a local deployment.
LITE_RECIPE_BYTES = 8196
DIGEST_BYTES = 200
#: One value of the configuration, as JSON, on lite.
LITE_LEAF_BYTES = 1024

#: Keys of each mapping: those that it must have, and those that it may have.
_TOP = (
    {"RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests"},
    {"ComponentType", "ComponentDescription", "ComponentPublisher", "ComponentConfiguration"},
)
_MANIFEST = ({"Platform", "Lifecycle", "Artifacts"}, {"Name"})
_PLATFORM = ({"os", "runtime"}, {"architecture"})
_STEP = ({"Script"}, {"RequiresPrivilege", "Timeout", "Setenv"})
_ARTIFACT = ({"Uri"}, {"Unarchive", "Permission"})
#: Steps that both kinds of nucleus have.
_STEPS = ((), ("bootstrap", "install", "startup", "run"))
_ARCHITECTURES = ("amd64", "aarch64", "arm", "x86")
_VARIABLES = (
    *("iot:thingName", "kernel:rootPath", "work:path"),
    *("artifacts:path", "artifacts:decompressedPath"),
)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_URI = re.compile(r"s3://[^/{}\s]+/([^/{}\s]+)/([^/{}\s]+)/([^/{}\s]+)")
_UNPACKED = re.compile(r"\{artifacts:decompressedPath\}/([^/\s]+)/(\S+)")


def problems(
    recipe: Mapping[str, Any], artifacts: Mapping[str, Collection[str]], rendered: bytes
) -> list[str]:
    """Everything that is wrong with a recipe, each with its place; nothing if it is fine.

    ``artifacts`` are the archives that were built, by file name, with the paths in each;
    ``rendered`` is the recipe as it is written to the disk.
    """
    return [
        *_keys(recipe, "recipe", *_TOP),
        *_identity(recipe),
        *_configuration(recipe),
        *_manifests(recipe, artifacts),
        *_size(recipe, artifacts, rendered),
    ]


def _keys(
    found: Mapping[Any, Any], where: str, required: Collection[str], optional: Collection[str]
) -> Iterator[str]:
    known = {*required, *optional}
    spelled = {name.lower(): name for name in known}
    for key in found:
        if key not in known:
            meant = spelled.get(str(key).lower())
            yield f"{where}.{key}: " + (
                f"spell it {meant}: nucleus lite takes no other" if meant else "not a key of it"
            )
    for name in sorted({*required} - {*found}):
        yield f"{where}.{name}: missing"


def _identity(recipe: Mapping[str, Any]) -> Iterator[str]:
    if recipe.get("RecipeFormatVersion") != "2020-01-25":
        yield 'RecipeFormatVersion: must be the text "2020-01-25", in quotes'
    name, version = recipe.get("ComponentName"), recipe.get("ComponentVersion")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "ComponentName: must be 1 to 128 letters, digits and '._-'"
    if not isinstance(version, str):
        yield f"ComponentVersion: must be a text, in quotes: {version!r}"
    elif (problem := versions.problem(version)) is not None:
        yield f"ComponentVersion: {problem}"
    for key in ("ComponentDescription", "ComponentPublisher"):
        if not isinstance(recipe.get(key, ""), str):
            yield f"{key}: must be a text"
    if recipe.get("ComponentType", "aws.greengrass.generic") != "aws.greengrass.generic":
        yield "ComponentType: must be aws.greengrass.generic"


# -- configuration ------------------------------------------------------------------


def _configuration(recipe: Mapping[str, Any]) -> Iterator[str]:
    where = "ComponentConfiguration"
    configuration = recipe.get(where, {})
    if not isinstance(configuration, dict):
        yield f"{where}: must be a mapping"
        return
    yield from _keys(configuration, where, (), {"DefaultConfiguration"})
    defaults = configuration.get("DefaultConfiguration", {})
    where += ".DefaultConfiguration"
    if not isinstance(defaults, dict):
        yield f"{where}: must be a mapping"
        return
    for path, leaf in _leaves(defaults, where):
        try:
            size = len(json.dumps(leaf, separators=(",", ":")).encode())
        except TypeError:
            yield f"{path}: JSON has no such value; put it in quotes"
            continue
        if size > LITE_LEAF_BYTES:
            yield f"{path}: {size} bytes of JSON; nucleus lite takes {LITE_LEAF_BYTES}"
    if "accessControl" in defaults:
        yield from access_problems(defaults["accessControl"], str(recipe.get("ComponentName")))


def _leaves(node: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, node


# -- manifests ----------------------------------------------------------------------


def _manifests(
    recipe: Mapping[str, Any], artifacts: Mapping[str, Collection[str]]
) -> Iterator[str]:
    manifests = recipe.get("Manifests")
    if not isinstance(manifests, list) or not manifests:
        yield "Manifests: must be a list of at least one manifest"
        return
    identity = (recipe.get("ComponentName"), recipe.get("ComponentVersion"))
    taken: list[str] = []
    for index, manifest in enumerate(manifests):
        where = f"Manifests[{index}]"
        if not isinstance(manifest, dict):
            yield f"{where}: must be a mapping"
            continue
        yield from _keys(manifest, where, *_MANIFEST)
        yield from _platform(manifest.get("Platform"), f"{where}.Platform", taken)
        yield from _artifacts(manifest.get("Artifacts"), f"{where}.Artifacts", identity, artifacts)
        yield from _lifecycle(manifest.get("Lifecycle"), f"{where}.Lifecycle", artifacts)


def _platform(platform: object, where: str, taken: list[str]) -> Iterator[str]:
    """``taken`` are the architectures of the manifests before, which each nucleus tries first."""
    if not isinstance(platform, dict):
        yield f"{where}: must be a mapping"
        return
    yield from _keys(platform, where, *_PLATFORM)
    if platform.get("os") != "linux":
        yield f"{where}.os: must be linux"
    if platform.get("runtime") != "*":
        yield f"{where}.runtime: must be '*', or one kind of nucleus passes it over"
    architecture = platform.get("architecture", "*")
    if architecture != "*" and architecture not in _ARCHITECTURES:
        yield f"{where}.architecture: must be one of {', '.join(_ARCHITECTURES)}: {architecture!r}"
    if "*" in taken or architecture in taken:
        yield f"{where}: a manifest before it takes every device that this one is for"
    taken.append(str(architecture))


def _lifecycle(
    lifecycle: object, where: str, artifacts: Mapping[str, Collection[str]]
) -> Iterator[str]:
    if not isinstance(lifecycle, dict):
        yield f"{where}: must be a mapping"
        return
    yield from _keys(lifecycle, where, *_STEPS)
    if ("run" in lifecycle) == ("startup" in lifecycle):
        yield f"{where}: must have either run or startup"
    for name, step in lifecycle.items():
        path = f"{where}.{name}"
        step = {"Script": step} if isinstance(step, str) else step
        if not isinstance(step, dict):
            yield f"{path}: must be a text or a mapping"
            continue
        yield from _keys(step, path, *_STEP)
        if not isinstance(step.get("RequiresPrivilege", False), bool):
            yield f"{path}.RequiresPrivilege: must be true or false, without quotes"
        timeout = step.get("Timeout", 1)
        if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout <= 0:
            yield f"{path}.Timeout: must be a whole number of seconds: {timeout!r}"
        setenv = step.get("Setenv", {})
        if not isinstance(setenv, dict) or not all(isinstance(v, str) for v in setenv.values()):
            yield f"{path}.Setenv: must be a mapping of texts"
        yield from _script(step.get("Script"), f"{path}.Script", artifacts)


def _script(script: object, where: str, artifacts: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not isinstance(script, str) or not script.strip():
        yield f"{where}: must be a text"
        return
    for opened in script.split("{")[1:]:
        if opened.partition("}")[0] not in _VARIABLES or "}" not in opened:
            yield f"{where}: {{{opened[:30]!r}: both kinds of nucleus know {', '.join(_VARIABLES)}"
    for stem, path in _UNPACKED.findall(script):
        if path not in artifacts.get(f"{stem}.zip", ()):
            yield f"{where}: there is no {path} in {stem}.zip"


def _artifacts(
    wanted: object, where: str, identity: tuple[object, object], built: Collection[str]
) -> Iterator[str]:
    if not isinstance(wanted, list) or not wanted:
        yield f"{where}: must be a list of at least one artifact"
        return
    for index, artifact in enumerate(wanted):
        path = f"{where}[{index}]"
        if not isinstance(artifact, dict):
            yield f"{path}: must be a mapping"
            continue
        yield from _keys(artifact, path, *_ARTIFACT)
        uri = _URI.fullmatch(str(artifact.get("Uri")))
        if uri is None:
            yield f"{path}.Uri: must be s3://BUCKET/NAME/VERSION/FILE: {artifact.get('Uri')!r}"
        elif uri.groups()[:2] != identity:
            yield f"{path}.Uri: must be of {identity[0]} {identity[1]}: {uri[0]}"
        elif uri[3] not in built:
            yield f"{path}.Uri: {uri[3]} was not built"
        if artifact.get("Unarchive", "NONE") not in ("ZIP", "NONE"):
            yield f"{path}.Unarchive: must be ZIP or NONE, in capitals"
        permission = artifact.get("Permission", {})
        if not isinstance(permission, dict):
            yield f"{path}.Permission: must be a mapping"
            continue
        yield from _keys(permission, f"{path}.Permission", (), {"Read", "Execute"})
        for key, value in permission.items():
            if value not in ("NONE", "OWNER", "ALL"):
                yield f"{path}.Permission.{key}: must be NONE, OWNER or ALL"


# -- size ---------------------------------------------------------------------------


def deployed_size(recipe: Mapping[str, Any]) -> int:
    """About how many bytes the recipe has on a device: JSON, with a digest an artifact."""
    text = json.dumps(recipe, separators=(",", ":"), default=str)
    return len(text.encode()) + DIGEST_BYTES * text.count('"Uri"')


def _size(
    recipe: Mapping[str, Any], artifacts: Mapping[str, Collection[str]], rendered: bytes
) -> Iterator[str]:
    for size, what in ((len(rendered), "as YAML"), (deployed_size(recipe), "as JSON")):
        if size > LITE_RECIPE_BYTES:
            yield f"recipe: {size} bytes {what}; nucleus lite reads at most {LITE_RECIPE_BYTES}"
