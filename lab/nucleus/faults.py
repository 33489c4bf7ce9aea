"""The faults that a device's surroundings can have, as a scenario sets them.

They hold until they are taken back, also over restarts and power cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

# Takes a message's topic and payload, and gives the messages that go on in its place, in
# order: none for a loss. A fault may keep a message, and give it after a later one. Called
# on the lab's loop, which must not be blocked.
MessageFault = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


class DeviceFaults:
    """What befalls one device."""

    def __init__(self) -> None:
        # Messages between the nucleus and AWS IoT Core, as the nucleus hears and says them.
        self.inbound_fault: MessageFault | None = None
        self.outbound_fault: MessageFault | None = None
        # What every systemctl says and fails with.
        self.systemctl_fault: str | None = None
        # Whether the kernel can destroy sockets for ``ss -K`` (INET_DIAG_DESTROY).
        self.ss_kills = True

    def arriving(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """What the nucleus hears when the cloud has sent this."""
        return _befall(self.inbound_fault, topic, payload)

    def leaving(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """What the nucleus sends when a component has asked it to send this."""
        return _befall(self.outbound_fault, topic, payload)


def _befall(fault: MessageFault | None, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
    return [(topic, payload)] if fault is None else list(fault(topic, payload))
