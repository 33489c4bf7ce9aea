"""From the project's recipe.yaml to the recipe of one build.

The build's version and publisher are put in, artifact URIs get the component's name and
version, and a manifest whose artifact was not built is left out. The bucket stays a
placeholder, which ``gdk component publish`` replaces, unless one is given.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from component_build.errors import BuildError
from component_build.project import Project

BUCKET = "BUCKET_NAME"
_FIRST_LINE = "# Made by gdk_build.py from recipe.yaml: change that one.\n"


def load(path: Path) -> dict[str, Any]:
    """The recipe in a YAML file. Raises BuildError if it is none, or says a key twice."""
    try:
        document = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  # a safe loader
    except OSError as error:
        raise BuildError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise BuildError(f"{path} is no recipe: it must be a mapping")
    return document


def built(
    source: Mapping[str, Any],
    project: Project,
    version: str,
    artifacts: Collection[str],
    bucket: str = BUCKET,
) -> dict[str, Any]:
    """The recipe of a build that made these artifacts (file names).

    Raises BuildError if the recipe is of another component, or wants none of them.
    """
    recipe = copy.deepcopy(dict(source))
    if recipe.get("ComponentName") != project.name:
        raise BuildError(
            f"recipe.yaml is of {recipe.get('ComponentName')!r}, gdk-config.json of "
            f"{project.name!r}: give both the same name"
        )
    recipe["ComponentVersion"] = version
    recipe["ComponentPublisher"] = project.publisher
    kept = []
    for manifest in _dictionaries(recipe.get("Manifests")):
        wanted = _dictionaries(manifest.get("Artifacts"))
        if not {str(artifact.get("Uri")).rpartition("/")[2] for artifact in wanted} <= {*artifacts}:
            continue
        for artifact in wanted:
            for placeholder, value in (
                (BUCKET, bucket),
                ("COMPONENT_NAME", project.name),
                ("COMPONENT_VERSION", version),
            ):
                artifact["Uri"] = str(artifact["Uri"]).replace(placeholder, value)
        kept.append(manifest)
    if not kept:
        raise BuildError(
            f"no manifest of recipe.yaml is for what was built ({', '.join(sorted(artifacts))}): "
            "its artifacts must be called so"
        )
    recipe["Manifests"] = kept
    return recipe


def rendered(recipe: Mapping[str, Any]) -> bytes:
    """The recipe as YAML, keys in their order."""
    text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=10_000)
    return (_FIRST_LINE + str(text)).encode()


def _dictionaries(value: object) -> list[dict[str, Any]]:
    """Those entries of a list that are mappings: the others are recipe_check's to refuse."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


class _Loader(yaml.SafeLoader):
    """YAML takes the last of two equal keys without a word; this one does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(f"{key.value} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
