"""Reads a Greengrass component recipe as a nucleus does, and refuses what a nucleus refuses.

Classic and lite differ in which manifest they take and in how they spell lifecycle
keys; both ways are here. ``recipe_variables`` fills in the variables, ``lifecycle``
runs the steps, ``component_store`` lays out the artifacts. Left out: JSON recipes, and the
permissions of artifacts.

Sources: the component recipe reference of the AWS IoT Greengrass developer guide,
and the nucleus sources (``PlatformHelper`` and ``GenericExternalService`` of classic,
``ggl-recipe`` of lite).
"""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from lab.yaml_loader import SafeLoader

Runtime = Literal["classic", "lite"]

# Lite reads the recipe into a buffer of this many bytes.
LITE_RECIPE_LIMIT = 8196
_STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover")
_LITE_STEPS = ("bootstrap", "install", "startup", "run")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "aarch64", "armv7l": "arm", "i686": "x86"}
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
_NAME = re.compile(r"[a-zA-Z0-9-_.]{1,128}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SKIPIF = re.compile(r"!?\s*(exists|onpath) +\S.*")


class RecipeError(ValueError):
    """The nucleus would refuse this recipe; the message says what is wrong, and where."""


@dataclass(frozen=True)
class Step:
    """One lifecycle step: what ``install`` or ``run`` says, defaults not filled in.

    ``path`` is the step's place in the recipe as it is spelled there, for example
    ``Run.Script``; the nucleus logs it. ``timeout`` is in seconds.
    """

    path: str
    script: str
    requires_privilege: bool = False
    timeout: float | None = None
    setenv: Mapping[str, str] = dataclasses.field(default_factory=dict)
    skipif: str | None = None


@dataclass(frozen=True)
class Artifact:
    """One artifact of the manifest: its file name, and whether it is an archive to unpack."""

    name: str
    unarchive: bool


@dataclass(frozen=True)
class Recipe:
    """What one nucleus takes from a recipe; ``steps`` are keyed by lower-case step name."""

    runtime: Runtime
    name: str
    version: str
    default_configuration: Mapping[str, Any]
    dependencies: tuple[str, ...]
    steps: Mapping[str, Step]
    artifacts: tuple[Artifact, ...] = ()


def load_recipe(
    path: Path, runtime: Runtime, *, os: str = "linux", architecture: str | None = None
) -> Recipe:
    """The recipe in the YAML file ``path``, as the nucleus ``runtime`` takes it on a platform.

    ``architecture`` is in Greengrass's words (``amd64``, ``aarch64``, ``arm``, ``x86``);
    the default is this machine's. Raises RecipeError, or OSError if it cannot be read.
    """
    content = path.read_bytes()
    if runtime == "lite" and len(content) > LITE_RECIPE_LIMIT:
        _refuse(path.name, f"{len(content)} bytes; nucleus lite reads at most {LITE_RECIPE_LIMIT}")
    try:
        document = yaml.load(content, Loader=SafeLoader)  # noqa: S506  # a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name}: not YAML: {error}") from error
    recipe = _mapping(document, path.name)
    # Without quotes YAML takes it for a date.
    if str(recipe.get("RecipeFormatVersion")) != "2020-01-25":
        _refuse("RecipeFormatVersion", "must be 2020-01-25")
    name = _text(recipe.get("ComponentName"), "ComponentName")
    if not _NAME.fullmatch(name):
        _refuse("ComponentName", "1 to 128 letters, digits and '-_.' are allowed")
    version = _text(recipe.get("ComponentVersion"), "ComponentVersion")
    if not _VERSION.fullmatch(version):
        _refuse("ComponentVersion", f"not a semantic version: {version}")
    configuration = _mapping(recipe.get("ComponentConfiguration") or {}, "ComponentConfiguration")
    machine = architecture or _ARCHITECTURES.get(platform.machine(), platform.machine())
    target = {"os": os, "architecture": machine}
    select = _classic_manifest if runtime == "classic" else _lite_manifest
    index, lifecycle = select(recipe, target)
    return Recipe(
        runtime=runtime,
        name=name,
        version=version,
        default_configuration=_mapping(
            configuration.get("DefaultConfiguration") or {},
            "ComponentConfiguration.DefaultConfiguration",
        ),
        dependencies=tuple(
            _mapping(recipe.get("ComponentDependencies") or {}, "ComponentDependencies")
        ),
        steps=_steps(lifecycle, runtime),
        artifacts=_artifacts(_manifests(recipe)[index], f"Manifests[{index}].Artifacts"),
    )


# The index of the manifest that a nucleus takes, and the lifecycle that goes with it.
_Selected = tuple[int, Mapping[str, Any]]


def _classic_manifest(recipe: Mapping[str, Any], target: Mapping[str, str]) -> _Selected:
    """The first manifest that fits, with its own lifecycle or a part of the global one."""
    label = {**target, "runtime": "aws_nucleus_classic"}
    manifests = _manifests(recipe)
    for index, manifest in enumerate(manifests):
        wanted = _platform(manifest, index)
        if not all(_satisfied(key, label.get(key), value) for key, value in wanted.items()):
            continue
        lifecycle = _mapping(manifest.get("Lifecycle") or {}, f"Manifests[{index}].Lifecycle")
        if lifecycle:
            return index, lifecycle
        every = {"all"}.union(*(_selections(m, i) for i, m in enumerate(manifests)))
        chosen = _selections(manifest, index) or ("all",)
        whole = _mapping(recipe.get("Lifecycle") or {}, "Lifecycle")
        return index, _mapping(_selected(whole, chosen, every), "Lifecycle")
    fitting = " ".join(target.values())
    raise RecipeError(f"Manifests: none fits {fitting}")


def _satisfied(attribute: str, label: str | None, wanted: str) -> bool:
    """Whether a platform attribute fits: literal, ``*``, ``/regular expression/``."""
    if wanted == "*":
        return True
    if label is None:
        return False
    if len(wanted) >= 2 and wanted.startswith("/") and wanted.endswith("/"):
        try:
            return re.fullmatch(wanted[1:-1], label) is not None
        except re.error as error:
            raise RecipeError(f"Platform.{attribute}: {wanted}: {error}") from error
    return wanted == label or (attribute != "runtime" and wanted in ("all", "any"))


def _selected(part: object, chosen: Sequence[str], every: Set[str]) -> object:
    """A part of the global lifecycle with the choice among selection keys made, at any depth."""
    if not isinstance(part, dict):
        return part
    for key in chosen:
        if key in part:
            return _selected(part[key], chosen, every)
    return {k: _selected(v, chosen, every) for k, v in part.items() if k not in every}


def _lite_manifest(recipe: Mapping[str, Any], target: Mapping[str, str]) -> _Selected:
    """The first manifest with a lifecycle; one that does not name lite or ``*`` is not for lite."""
    for index, manifest in enumerate(_manifests(recipe)):
        if "Platform" not in manifest:
            _refuse(f"Manifests[{index}].Platform", "missing; nucleus lite requires it")
        wanted = _platform(manifest, index)
        if (
            wanted.get("runtime") not in ("*", "aws_nucleus_lite")
            or wanted.get("os", "*") not in ("linux", "*", "all")
            or wanted.get("architecture", "*") not in ("", "*", target["architecture"])
        ):
            continue
        lifecycle = _mapping(manifest.get("Lifecycle") or {}, f"Manifests[{index}].Lifecycle")
        if lifecycle:
            return index, lifecycle
        parts = _mapping(recipe.get("Lifecycle") or {}, "Lifecycle")
        for key in reversed(_selections(manifest, index) or ("all",)):
            if key in ("all", "linux") and key in parts:
                return index, _mapping(parts[key], f"Lifecycle.{key}")
    raise RecipeError("Manifests: none is for nucleus lite (runtime '*' or 'aws_nucleus_lite')")


def _manifests(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    manifests = recipe.get("Manifests")
    if not isinstance(manifests, list) or not manifests:
        _refuse("Manifests", "must be a list of at least one manifest")
    return [_mapping(manifest, f"Manifests[{i}]") for i, manifest in enumerate(manifests)]


def _artifacts(manifest: Mapping[str, Any], where: str) -> tuple[Artifact, ...]:
    listed = manifest.get("Artifacts") or []
    if not isinstance(listed, list):
        _refuse(where, "must be a list")
    artifacts = []
    for index, entry in enumerate(listed):
        settings = _mapping(entry, f"{where}[{index}]")
        uri = _text(settings.get("Uri"), f"{where}[{index}].Uri")
        unarchive = settings.get("Unarchive", "NONE")
        if unarchive not in ("NONE", "ZIP"):
            _refuse(f"{where}[{index}].Unarchive", "must be NONE or ZIP")
        artifacts.append(Artifact(uri.rpartition("/")[2], unarchive == "ZIP"))
    return tuple(artifacts)


def _platform(manifest: Mapping[str, Any], index: int) -> Mapping[str, str]:
    where = f"Manifests[{index}].Platform"
    wanted = _mapping(manifest.get("Platform") or {}, where)
    return {key: _text(value, f"{where}.{key}") for key, value in wanted.items()}


def _selections(manifest: Mapping[str, Any], index: int) -> tuple[str, ...]:
    where = f"Manifests[{index}].Selections"
    selections = manifest.get("Selections") or []
    if not isinstance(selections, list):
        _refuse(where, "must be a list")
    return tuple(_text(key, where) for key in selections)


def _steps(lifecycle: Mapping[str, Any], runtime: Runtime) -> dict[str, Step]:
    """The steps, each with the lifecycle's own Setenv below its own."""
    known = _STEPS if runtime == "classic" else _LITE_STEPS
    folded = str.lower if runtime == "classic" else str
    common: dict[str, str] = {}
    for key, value in lifecycle.items():
        if folded(key) == folded("Setenv"):
            common = _setenv(value, f"Lifecycle.{key}")
    steps = {
        folded(key): _step(key, value, common, folded)
        for key, value in lifecycle.items()
        if folded(key) in known
    }
    if not steps and runtime == "lite":
        _refuse(
            "Lifecycle", f"no step; nucleus lite knows only {', '.join(_LITE_STEPS)} as spelled"
        )
    return steps


def _step(key: str, value: object, common: Mapping[str, str], folded: Callable[[str], str]) -> Step:
    where = f"Lifecycle.{key}"
    if isinstance(value, str):
        return Step(path=key, script=value, setenv=dict(common))
    settings = {folded(name): (name, item) for name, item in _mapping(value, where).items()}
    spelled, script = settings.get(folded("Script"), ("Script", None))
    if script is None:
        _refuse(f"{where}.Script", "missing")
    _, privilege = settings.get(folded("RequiresPrivilege"), ("", False))
    if privilege not in (True, False, "true", "false"):
        _refuse(f"{where}.RequiresPrivilege", "must be true or false")
    _, timeout = settings.get(folded("Timeout"), ("", None))
    if timeout is not None and not re.fullmatch(r"[1-9]\d*", str(timeout)):
        _refuse(f"{where}.Timeout", f"must be a positive number of seconds: {timeout}")
    _, skipif = settings.get(folded("Skipif"), ("", None))
    if skipif is not None and not _SKIPIF.fullmatch(str(skipif).strip()):
        _refuse(f"{where}.Skipif", "must be '[!] onpath NAME' or '[!] exists PATH'")
    _, setenv = settings.get(folded("Setenv"), ("", {}))
    return Step(
        path=f"{key}.{spelled}",
        script=_text(script, f"{where}.{spelled}"),
        requires_privilege=privilege in (True, "true"),
        timeout=None if timeout is None else float(timeout),
        setenv={**common, **_setenv(setenv, f"{where}.Setenv")},
        # Lite knows no Skipif: there it is read over.
        skipif=str(skipif).strip() if skipif is not None and folded is str.lower else None,
    )


def _setenv(value: object, where: str) -> dict[str, str]:
    environment = {}
    for key, item in _mapping(value, where).items():
        if not _ENVIRONMENT_NAME.fullmatch(key):
            _refuse(f"{where}.{key}", "not a name for an environment variable")
        if isinstance(item, bool):
            item = str(item).lower()
        environment[key] = _text(str(item) if isinstance(item, (int, float)) else item, where)
    return environment


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        _refuse(where, "must be a map with text keys")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        _refuse(where, "missing" if value is None else "must be text")
    return value


def _refuse(where: str, why: str) -> NoReturn:
    raise RecipeError(f"{where}: {why}")
