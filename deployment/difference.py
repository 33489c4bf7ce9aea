"""What changes between two deployments, in lines for a person. Pure.

Values of other components' configuration are not shown: they are not ours, and may be secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployment.ports import Content

#: A PKCS#11 URI may hold its PIN (RFC 7512, section 2.4).
_PIN = re.compile(r"(pin-value=)[^&;\s\"']+", re.IGNORECASE)
_LONGEST = 120

Path = tuple[str, ...]


def difference(before: Content, after: Content, component: str) -> list[str]:
    """One line for each value that is added (+), removed (-) or changed (~), in order."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    lines = []
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            lines.append(f"+ {_name(path)}: {_shown(path, new[path], component)}")
        elif path not in new:
            lines.append(f"- {_name(path)}: {_shown(path, old[path], component)}")
        elif old[path] != new[path]:
            was, is_ = (_shown(path, each[path], component) for each in (old, new))
            lines.append(f"~ {_name(path)}: {was} -> {is_}")
    return lines


def unchanged(before: Content, after: Content) -> str:
    """What goes over as it is, in a line; empty if there is nothing."""
    components = [
        name
        for name, entry in before.get("components", {}).items()
        if after.get("components", {}).get(name) == entry
    ]
    words = {
        "deploymentName": "name",
        "deploymentPolicies": "policies",
        "iotJobConfiguration": "rollout",
        "parentTargetArn": "parent",
        "tags": "tags",
    }
    same = [word for key, word in words.items() if key in before and before[key] == after.get(key)]
    if components:
        many = "components" if len(components) > 1 else "component"
        same.insert(0, f"{len(components)} {many} ({', '.join(sorted(components))})")
    return ", ".join(same)


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each value that is no object, by its path; an empty object counts as a value."""
    if path[-2:] == ("configurationUpdate", "merge"):
        value = _object(value)
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif not (isinstance(value, Mapping) and path in ((), ("components",))):
        yield path, value


def _object(text: object) -> object:
    """What is written in a merge configuration; the text itself if that cannot be told."""
    try:
        return json.loads(str(text))
    except ValueError:
        return text


def _name(path: Path) -> str:
    shown = path[1:] if path[0] == "components" else path
    return " ".join(shown).replace("configurationUpdate merge", "configuration")


def _shown(path: Path, value: object, component: str) -> str:
    if "configurationUpdate" in path and path[1] != component:
        return "(not shown)"
    text = _PIN.sub(r"\1***", json.dumps(value, ensure_ascii=True))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
