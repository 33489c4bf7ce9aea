"""A tree of configuration whose leaves know when they last changed.

Names keep the case they came with; classic finds them in any case, lite only as they
are. Lists are leaves. Times are milliseconds since the epoch. Nobody is told here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KeyPath = tuple[str, ...]
# Measured on lite 2.6: a leaf is at most so many bytes of JSON.
LITE_LEAF_BYTES = 1024


class KindChange(ValueError):
    """A merge would make a leaf a branch, or a branch a leaf: neither nucleus does that."""


@dataclass
class Leaf:
    """A value, and when it was last changed."""

    name: str
    value: Any
    modified: int

    def has(self, value: object) -> bool:
        """Whether the value is this one. JSON's, unlike Python's, keep 1, 1.0 and true apart."""
        return _canonical(self.value) == _canonical(value)


@dataclass
class Branch:
    """Named nodes; ``case_sensitive`` is True on lite."""

    case_sensitive: bool
    name: str = ""
    _children: dict[str, Leaf | Branch] = field(default_factory=dict)

    def find(self, path: Sequence[str]) -> Leaf | Branch | None:
        """The node at a path below this one; this one itself for the empty path."""
        node: Leaf | Branch | None = self
        for name in path:
            if not isinstance(node, Branch):
                return None
            node = node._children.get(self._key(name))
        return node

    def covers(self, path: Sequence[str], other: Sequence[str]) -> bool:
        """Whether ``other`` names the node at ``path`` or one below it."""
        return [self._key(name) for name in path] == [
            self._key(name) for name in other[: len(path)]
        ]

    def merge(
        self, values: Mapping[str, Any], modified: int, *, replace: bool = True, at: KeyPath = ()
    ) -> list[KeyPath]:
        """Write ``values`` into this branch; gives the paths of the leaves that changed.

        A leaf that was changed after ``modified`` stays as it is; with ``replace`` False,
        so does every leaf that there is. Raises KindChange, with some leaves written.
        """
        changed: list[KeyPath] = []
        for name, value in values.items():
            child = self._children.get(self._key(name))
            path = (*at, child.name if child else name)
            if isinstance(value, Mapping):
                if isinstance(child, Leaf):
                    raise KindChange(f"{'.'.join(path)} is a leaf, cannot become a container")
                if child is None:
                    child = self._children[self._key(name)] = Branch(self.case_sensitive, name)
                changed += child.merge(value, modified, replace=replace, at=path)
            elif isinstance(child, Branch):
                raise KindChange(f"{'.'.join(path)} is a container, cannot become a leaf")
            elif child is None:
                self._children[self._key(name)] = Leaf(name, value, modified)
                changed.append(path)
            elif replace and modified >= child.modified and not child.has(value):
                child.value, child.modified = value, modified
                changed.append(path)
        return changed

    def remove(self, path: KeyPath) -> bool:
        """Take out the node at a path, or everything for the empty path; False if not there."""
        if not path:
            self._children.clear()
            return True
        parent = self.find(path[:-1])
        if not isinstance(parent, Branch):
            return False
        return parent._children.pop(self._key(path[-1]), None) is not None

    def leaves(self, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Leaf]]:
        """Every leaf with its path."""
        for child in self._children.values():
            path = (*at, child.name)
            if isinstance(child, Branch):
                yield from child.leaves(path)
            else:
                yield path, child

    def missing_from(self, other: Branch, at: KeyPath = ()) -> Iterator[KeyPath]:
        """The topmost paths that are here and not in ``other``."""
        for key, child in self._children.items():
            path, counterpart = (*at, child.name), other._children.get(key)
            if isinstance(child, Branch) and isinstance(counterpart, Branch):
                yield from child.missing_from(counterpart, path)
            elif counterpart is None:
                yield path

    def newest(self) -> int:
        """When the youngest leaf was changed; 0 if there is none."""
        return max((leaf.modified for _, leaf in self.leaves()), default=0)

    def copy(self) -> Branch:
        """Another tree with the same values (which nobody changes in place)."""
        twin = Branch(self.case_sensitive, self.name)
        for key, child in self._children.items():
            twin._children[key] = (
                child.copy()
                if isinstance(child, Branch)
                else Leaf(child.name, child.value, child.modified)
            )
        return twin

    def plain(self) -> dict[str, Any]:
        """As maps and values."""
        return {
            child.name: child.plain() if isinstance(child, Branch) else child.value
            for child in self._children.values()
        }

    def _key(self, name: str) -> str:
        return name if self.case_sensitive else name.lower()


def json_bytes(value: object) -> int:
    """The size of a value as the shortest JSON, in bytes of UTF-8."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)
