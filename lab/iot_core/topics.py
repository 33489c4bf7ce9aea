"""MQTT topics and topic filters as AWS IoT Core takes and matches them.

Two ways in which AWS differs from the standard are kept: ``a/#`` does not match ``a``,
and a topic has at most seven slashes. (AWS IoT Developer Guide, "MQTT topics",
"Reserved topics", "AWS IoT differences from MQTT"; AWS IoT Core quotas.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

MAXIMUM_BYTES = 256
MAXIMUM_SLASHES = 7
BASIC_INGEST = "$aws/rules/"
_EVENTS = "$aws/events/"

T = TypeVar("T")


def topic_fault(topic: str) -> str | None:
    """Why a client may not publish to this topic, or None if it may."""
    if "+" in topic or "#" in topic:
        return "a topic has no wildcards"
    if topic.startswith("$") and not topic.startswith("$aws/"):
        return "topics that begin with $ are reserved"
    if topic.startswith(_EVENTS):
        return "only AWS IoT publishes events"
    return _length_fault(topic)


def filter_fault(topic_filter: str) -> str | None:
    """Why a client may not subscribe to this filter, or None if it may."""
    levels = topic_filter.split("/")
    if any("+" in level and level != "+" for level in levels):
        return "+ stands alone in its level"
    if any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]:
        return "# stands alone in the last level"
    return _length_fault(topic_filter)


def _length_fault(topic: str) -> str | None:
    if not topic:
        return "it is empty"
    if len(topic.encode("utf-8")) > MAXIMUM_BYTES:
        return f"longer than {MAXIMUM_BYTES} bytes"
    # The first three levels of a basic-ingest topic, $aws/rules/<rule>, do not count.
    free = 3 if topic.startswith(BASIC_INGEST) else 0
    if topic.count("/") > MAXIMUM_SLASHES + free:
        return f"more than {MAXIMUM_SLASHES} slashes"
    return None


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a publication to the topic is for a subscriber to the filter."""
    tree = FilterTree[None]()
    tree.add(topic_filter, None)
    return any(True for _ in tree.matching(topic))


class FilterTree(Generic[T]):
    """Values under topic filters, found by topic in a time that does not grow with their number."""

    def __init__(self) -> None:
        self._children: dict[str, FilterTree[T]] = {}
        self._values: dict[T, None] = {}  # a set that keeps its order
        self._filter = ""

    def add(self, topic_filter: str, value: T) -> None:
        node = self
        for level in topic_filter.split("/"):
            node = node._children.setdefault(level, FilterTree())
        node._filter = topic_filter
        node._values[value] = None

    def remove(self, topic_filter: str, value: T) -> None:
        """Take the value from the filter; nothing happens if it is not there."""
        self._remove(topic_filter.split("/"), value)

    def _remove(self, levels: list[str], value: T) -> None:
        if not levels:
            self._values.pop(value, None)
            return
        child = self._children.get(levels[0])
        if child is not None:
            child._remove(levels[1:], value)
            if not child._children and not child._values:
                del self._children[levels[0]]

    def matching(self, topic: str) -> Iterator[tuple[str, T]]:
        """Each (filter, value) whose filter matches the topic."""
        levels = topic.split("/")
        # A wildcard in the first level does not match reserved topics (OASIS MQTT 5.0, 4.7.2).
        yield from self._matching(levels, wildcards=not topic.startswith("$"))

    def _matching(self, levels: list[str], *, wildcards: bool) -> Iterator[tuple[str, T]]:
        if not levels:
            for value in list(self._values):
                yield self._filter, value
            return
        if wildcards and "#" in self._children:
            yield from self._children["#"]._matching([], wildcards=True)
        for level in (levels[0], "+") if wildcards else (levels[0],):
            if level in self._children:
                yield from self._children[level]._matching(levels[1:], wildcards=True)
