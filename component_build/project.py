"""What gdk-config.json says of the component: its name, its version, its publisher.

Source: "Greengrass Development Kit CLI configuration file" in the AWS IoT Greengrass
developer guide.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from component_build import version as versions
from component_build.errors import BuildError

CONFIGURATION = "gdk-config.json"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Project:
    """A component's project: its folder, and what it builds.

    ``version`` is a semantic version or NEXT_PATCH.
    """

    folder: Path
    name: str
    version: str
    publisher: str


def load(folder: Path) -> Project:
    """The project in this folder. Raises BuildError if its configuration is not one."""
    path = folder / CONFIGURATION
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BuildError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BuildError(f"{path} is not JSON: {error}") from error
    components = _mapping(document, path, "the whole of it").get("component")
    components = _mapping(components, path, "component")
    if len(components) != 1:
        raise BuildError(f"{path}: component must name one component, not {len(components)}")
    [(name, settings)] = components.items()
    settings = _mapping(settings, path, f"component.{name}")
    for key in ("version", "author"):
        if not isinstance(settings.get(key), str) or not settings[key]:
            raise BuildError(f"{path}: component.{name}.{key} must be a text")
    if (problem := versions.problem(settings["version"])) is not None:
        raise BuildError(f"{path}: version {problem}")
    return Project(folder, name, settings["version"], settings["author"])


def _mapping(value: object, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BuildError(f"{path}: {what} must be a JSON object")
    return value
