"""Fills in the variables of a recipe's lifecycle, as each nucleus does.

Classic does it when a component is deployed, and knows its configuration; lite does
it at each start of a script. Left out: the variables of dependencies
(``{component:namespace:key}``).

Sources: ``KernelConfigResolver`` of the classic nucleus, ``recipe-runner`` of lite.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.nucleus.recipe import Recipe, RecipeError

_CLASSIC_VARIABLE = re.compile(r"\{([.\w]+):([^:}]+)\}")
_LITE_VARIABLE = re.compile(r"\{([^}]*)(\}?)")


def with_variables(
    recipe: Recipe, *, root: Path, thing_name: str, configuration: Mapping[str, Any]
) -> Recipe:
    """The recipe with the variables in its scripts and environment replaced.

    Classic leaves a variable that it does not know as it stands. Lite takes every
    ``{`` for the start of a variable, so any other use of one raises RecipeError.
    """
    variables = _variables(recipe, root, thing_name)

    def replaced(text: str, where: str) -> str:
        if recipe.runtime == "lite":
            return _lite(text, variables, where)
        return _classic(text, variables, configuration)

    steps = {
        name: dataclasses.replace(
            step,
            script=replaced(step.script, f"Lifecycle.{step.path}"),
            setenv={
                key: replaced(value, f"Lifecycle.{step.path}: Setenv.{key}")
                for key, value in step.setenv.items()
            },
        )
        for name, step in recipe.steps.items()
    }
    return dataclasses.replace(recipe, steps=steps)


def _variables(recipe: Recipe, root: Path, thing_name: str) -> dict[str, str]:
    # Lite ends its folders with a slash, classic does not.
    end = "/" if recipe.runtime == "lite" else ""
    component = f"{recipe.name}/{recipe.version}{end}"
    return {
        "iot:thingName": thing_name,
        "kernel:rootPath": str(root),
        "work:path": f"{root}/work/{recipe.name}{end}",
        "artifacts:path": f"{root}/packages/artifacts/{component}",
        "artifacts:decompressedPath": f"{root}/packages/artifacts-unarchived/{component}",
    }


def _classic(text: str, variables: Mapping[str, str], configuration: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        namespace, key = match.groups()
        if namespace != "configuration":
            return variables.get(f"{namespace}:{key}", match.group())
        found = _at(configuration, key)
        if found is None:
            return match.group()
        return found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))

    return _CLASSIC_VARIABLE.sub(value, text)


def _lite(text: str, variables: Mapping[str, str], where: str) -> str:
    def value(match: re.Match[str]) -> str:
        if not match.group(2) or match.group(1) not in variables:
            raise RecipeError(
                f"{where}: nucleus lite takes every '{{' for a variable, and knows none that "
                f"begins {match.group()[:40]!r}"
            )
        return variables[match.group(1)]

    return _LITE_VARIABLE.sub(value, text)


def _at(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) finds, or None."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
