"""Faults of the traffic between a device and the cloud, as scenarios need them.

Each is a MessageFault (lab/nucleus/faults.py): it takes a message and gives what goes on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from lab.nucleus.faults import MessageFault

Matches = Callable[[str, bytes], bool]


def to(suffix: str) -> Matches:
    """Messages on a topic that ends so."""
    return lambda topic, _: topic.endswith(suffix)


def update_to(status: str) -> Matches:
    """Updates of a job to this status."""

    def matches(topic: str, payload: bytes) -> bool:
        if not topic.endswith("/update"):
            return False
        return bool(json.loads(payload).get("status") == status)

    return matches


def lose_first(matches: Matches) -> MessageFault:
    """The first such message is lost."""
    lost: list[str] = []

    def fault(topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        if not lost and matches(topic, payload):
            lost.append(topic)
            return []
        return [(topic, payload)]

    return fault


class Held:
    """Loses every such message until it is released; ``seen`` is set at the first one."""

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._released = False
        self.seen = threading.Event()

    def __call__(self, topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        if self._released or not self._matches(topic, payload):
            return [(topic, payload)]
        self.seen.set()
        return []

    def release(self) -> None:
        self._released = True


class Delayed:
    """Keeps the first such message until it is released; then it follows the next message."""

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._released = False
        self._kept: list[tuple[str, bytes]] = []
        self.seen = threading.Event()

    def __call__(self, topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        if not self.seen.is_set() and self._matches(topic, payload):
            self._kept.append((topic, payload))
            self.seen.set()
            return []
        late: list[tuple[str, bytes]] = []
        if self._released:
            late, self._kept = self._kept, []
        return [(topic, payload), *late]

    def release(self) -> None:
        self._released = True


def altered(suffix: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> MessageFault:
    """Each message on a topic that ends so has its fields changed."""

    def fault(topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        if not topic.endswith(suffix):
            return [(topic, payload)]
        return [(topic, json.dumps(change(json.loads(payload))).encode())]

    return fault


def twice(topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
    """Every message comes twice."""
    return [(topic, payload), (topic, payload)]


def one_late() -> MessageFault:
    """Each message is also given once more after the next one: late, and out of order."""
    kept: list[tuple[str, bytes]] = []

    def fault(topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        late, kept[:] = list(kept), [(topic, payload)]
        return [(topic, payload), *late]

    return fault
