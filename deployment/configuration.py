"""The configuration that is to be merged: read from a file, and checked.

What the keys may be is the component's own business, so its own settings check them.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from certkeeper import __version__
from certkeeper.core.settings import SettingsError, parse
from certkeeper.edge import schedule
from deployment.ports import CannotDeploy

#: Ours fits in a page; CreateDeployment takes 10 MB, nucleus lite a few thousand bytes.
_MOST_BYTES = 64 * 1024
#: Of one leaf, as JSON: what nucleus lite can keep (docs/configuration.md).
_LITE_LEAF = 1024


def read(path: Path) -> dict[str, Any]:
    """The object in a JSON or YAML file, as JSON has it. Raises CannotDeploy."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CannotDeploy(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise CannotDeploy(f"{path} is larger than {_MOST_BYTES} bytes: is it the right file?")
    try:
        values = _parsed(content.decode("utf-8-sig"), is_json=path.suffix == ".json")
        # What JSON cannot say (a date, not a number) the deployment cannot say either.
        values = json.loads(json.dumps(values, allow_nan=False))
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CannotDeploy(f"{path}{where}: {error.problem or 'is not YAML'}") from None
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        kind = "JSON" if path.suffix == ".json" else "JSON or YAML that JSON can say"
        raise CannotDeploy(f"{path} is not {kind}: {error}") from None
    if not isinstance(values, dict):
        raise CannotDeploy(f"{path} must hold an object of keys and values")
    return values


def checked(values: Mapping[str, Any], version: str) -> list[str]:
    """What a person should know of this configuration of the component in that version.

    Raises CannotDeploy with every key that is at fault. The settings known here are those of
    this checkout; for another version what they find is only a note.
    """
    said: list[str] = []
    try:
        said += parse(values, schedule.problem).notes
    except SettingsError as error:
        problems = "; ".join(str(problem) for problem in error.problems)
        if version == __version__:
            raise CannotDeploy(
                f"the component would refuse this configuration: {problems}. Every key is "
                f"explained in docs/configuration.md"
            ) from None
        said.append(
            f"version {__version__}, which is the one here, would refuse this configuration: "
            f"{problems}. Whether {version} does cannot be told from here"
        )
    for key, value in values.items():
        if not isinstance(value, Mapping) and len(json.dumps(value)) > _LITE_LEAF:
            said.append(f"{key} is longer than {_LITE_LEAF} bytes: nucleus lite will not take it")
    return said


def _parsed(text: str, *, is_json: bool) -> Any:
    if is_json:
        return json.loads(text, object_pairs_hook=_without_repeats)
    return yaml.load(text, _PlainLoader)  # noqa: S506  (a SafeLoader, with less)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key} stands there twice")
        values[key] = value
    return values


class _PlainLoader(yaml.SafeLoader):
    """YAML as far as JSON goes: no anchors, which can make a small file huge; no key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value} stands there twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
