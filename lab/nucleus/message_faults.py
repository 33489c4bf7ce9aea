"""Faults of single messages between a device and the cloud: lost, twice, altered, late."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Takes a message, and gives those that go on in its place, in order: none for a loss. A
# fault may keep a message, and give it after a later one. Called on the lab's loop.
Fault = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


@dataclass
class MessageFaults:
    """What befalls the messages of one device: from the cloud, and to it."""

    inbound: Fault | None = None
    outbound: Fault | None = None

    def arriving(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """What the nucleus hears when the cloud has sent this."""
        return _befall(self.inbound, topic, payload)

    def leaving(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """What the nucleus sends when a component has asked it to send this."""
        return _befall(self.outbound, topic, payload)


def _befall(fault: Fault | None, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
    return [(topic, payload)] if fault is None else list(fault(topic, payload))
