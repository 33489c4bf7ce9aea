"""One component's configuration: read, updated by the component, changed by deployments.

Those who subscribed are told the path of every leaf that changes. Not thread-safe.

Sources: ``Topics`` and ``KernelConfigResolver`` of the classic nucleus; ``ggconfigd`` of
lite (keys case-sensitive, a leaf of 1024 bytes at most, a stale write quietly ignored,
a reset that makes the subscribers of its keys deaf).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lab.nucleus.configuration_tree import (
    LITE_LEAF_BYTES,
    Branch,
    KeyPath,
    KindChange,
    Leaf,
    json_bytes,
)
from lab.nucleus.recipe import Runtime

ACCESS_CONTROL = "accessControl"

Notify = Callable[[KeyPath], None]


class UnknownKey(LookupError):
    """No component of this name on the device, or no such key in its configuration."""


class ConfigurationRefused(Exception):
    """The nucleus does not take this change, and nothing has changed; says why."""


class StaleUpdate(Exception):
    """Something under this key was changed after the time that the update bears (classic)."""


class Proposal(NamedTuple):
    """What a deployment would make of a configuration, and who would hear of it."""

    tree: Branch
    defaults: Mapping[str, Any]
    told: Sequence[KeyPath]
    deaf: Sequence[KeyPath]


class Configuration:
    """What a component is configured with, from its recipe's ``DefaultConfiguration`` on.

    ``changed`` hears of every change, whatever becomes of subscriptions. Raises
    ConfigurationRefused if the defaults are no JSON, or more than the nucleus keeps.
    """

    def __init__(
        self,
        defaults: Mapping[str, Any],
        runtime: Runtime,
        now: int,
        changed: Notify = lambda path: None,
    ) -> None:
        self._runtime = runtime
        self._changed = changed
        self._defaults: Mapping[str, Any] = _json_copy(defaults)
        self._subscribers: list[tuple[KeyPath, Notify]] = []
        self._tree = Branch(case_sensitive=runtime == "lite")
        self._tree.merge(self._defaults, now)
        self._check_leaves(self._tree)

    def get(self, key_path: Sequence[str] = ()) -> Any:
        """The map or value at a path. Raises UnknownKey."""
        node = self.node(key_path)
        return node.plain() if isinstance(node, Branch) else node.value

    def node(self, key_path: Sequence[str]) -> Branch | Leaf:
        """The node at a path, to look at only. Raises UnknownKey."""
        node = self._tree.find(key_path)
        if node is None:
            raise UnknownKey("Key not found")
        return node

    def is_access_control(self, key_path: Sequence[str]) -> bool:
        """Whether this path leads to or into the access control policies."""
        return self._tree.covers((ACCESS_CONTROL,), key_path)

    def update(self, key_path: Sequence[str], value: object, modified: int, now: int) -> None:
        """Merge what the component itself sets at a path, as of ``modified``.

        Raises ConfigurationRefused; and StaleUpdate on classic, after what was older is
        written nevertheless.
        """
        classic = self._runtime == "classic"
        known = self._tree.find(key_path)
        if classic and known is None:
            modified = now
        values = value
        for name in reversed(key_path):
            values = {name: values}
        if not isinstance(values, Mapping):
            raise ConfigurationRefused("the whole configuration cannot become a leaf")
        tree = self._tree.copy()
        try:
            changed = tree.merge(_json_copy(values), modified)
        except KindChange as error:
            raise ConfigurationRefused(str(error)) from error
        self._check_leaves(tree)
        self._tree = tree
        self._tell(changed)
        node = self._tree.find(key_path)
        if classic and isinstance(node, Branch) and modified < node.newest():
            raise StaleUpdate(
                "Proposed timestamp is older than the config's latest modified timestamp"
            )

    def propose(
        self,
        merge: Mapping[str, Any],
        reset: Iterable[str],
        defaults: Mapping[str, Any] | None,
        modified: int,
    ) -> Proposal:
        """What a deployment makes of it: ``reset`` pointers, then defaults, then ``merge``."""
        tree = self._tree.copy()
        paths = [_pointer(pointer) for pointer in reset]
        gone = [path for path in paths if tree.remove(path)]
        fresh = self._defaults if defaults is None else _json_copy(defaults)
        try:
            written = tree.merge(fresh, modified, replace=False)
            written += tree.merge(_json_copy(merge), modified)
        except KindChange as error:
            raise ConfigurationRefused(str(error)) from error
        self._check_leaves(tree)
        if self._runtime == "lite":
            return Proposal(tree, fresh, told=written, deaf=gone)
        # Classic works it out aside, and then applies the difference.
        removed = list(self._tree.missing_from(tree))
        changed = [path for path, leaf in tree.leaves() if not _holds(self._tree, path, leaf)]
        return Proposal(tree, fresh, told=removed + changed, deaf=removed)

    def apply(self, proposal: Proposal) -> None:
        """Make a proposal the configuration, and tell the subscribers."""
        self._tree, self._defaults = proposal.tree, proposal.defaults
        if self._runtime == "lite":
            self._drop_subscribers(proposal.deaf)
        self._tell(proposal.told)
        if self._runtime == "classic":
            self._drop_subscribers(proposal.deaf)

    def subscribe(self, key_path: Sequence[str], notify: Notify) -> Callable[[], None]:
        """Call ``notify`` with the path of every leaf that changes there; gives the way out.

        Raises UnknownKey if nothing is there now.
        """
        self.node(key_path)
        entry = (tuple(key_path), notify)
        self._subscribers.append(entry)

        def unsubscribe() -> None:
            self._subscribers = [other for other in self._subscribers if other is not entry]

        return unsubscribe

    def _tell(self, paths: Iterable[KeyPath]) -> None:
        for path in paths:
            self._changed(path)
            for subscribed, notify in tuple(self._subscribers):
                if self._tree.covers(subscribed, path):
                    notify(path)

    def _drop_subscribers(self, paths: Iterable[KeyPath]) -> None:
        for path in paths:
            self._subscribers = [
                entry for entry in self._subscribers if not self._tree.covers(path, entry[0])
            ]

    def _check_leaves(self, tree: Branch) -> None:
        for path, leaf in tree.leaves() if self._runtime == "lite" else ():
            size = json_bytes(leaf.value)
            if size > LITE_LEAF_BYTES:
                raise ConfigurationRefused(
                    f"{'.'.join(path)} has {size} bytes; nucleus lite keeps {LITE_LEAF_BYTES}"
                )


def _holds(tree: Branch, path: KeyPath, leaf: Leaf) -> bool:
    node = tree.find(path)
    return isinstance(node, Leaf) and node.has(leaf.value)


def _json_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        copied: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationRefused(f"not JSON: {error}") from error
    return copied


def _pointer(pointer: str) -> KeyPath:
    """The path of a JSON pointer (RFC 6901)."""
    if pointer and not pointer.startswith("/"):
        raise ConfigurationRefused(f"not a JSON pointer: {pointer!r}")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])
