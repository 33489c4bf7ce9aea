"""An MQTT session: what the endpoint keeps for a client, whether it is connected or not.

(OASIS MQTT 5.0, 4.1 and 4.4.) Decides nothing about time or permission: ``client`` does.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.iot_core.message import Message
from lab.iot_core.packets import Subscription

QUEUE_MAXIMUM = 10_000  # waiting QoS 1 messages; AWS drops what comes beyond its limit, too
_PACKET_IDS = 0xFFFF


@dataclass(eq=False)
class Session:
    client_id: str
    expiry: float = 0.0  # seconds that it outlives its connection
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    _waiting: deque[Message] = field(default_factory=deque)
    _unacknowledged: dict[int, Message] = field(default_factory=dict)
    _last_id: int = 0

    def keep(self, message: Message) -> bool:
        """Queue a QoS 1 message for the client; False if the queue is full and it is lost."""
        if len(self._waiting) >= QUEUE_MAXIMUM:
            return False
        self._waiting.append(message)
        return True

    def take(self, window: int) -> tuple[int, Message] | None:
        """The next message to send, with its packet identifier, now awaiting its PUBACK.

        None if nothing waits, or if ``window`` messages are unacknowledged already.
        """
        if not self._waiting or len(self._unacknowledged) >= window:
            return None
        packet_id = self._last_id % _PACKET_IDS + 1
        while packet_id in self._unacknowledged:
            packet_id = packet_id % _PACKET_IDS + 1
        self._last_id = packet_id
        message = self._waiting.popleft()
        self._unacknowledged[packet_id] = message
        return packet_id, message

    def acknowledge(self, packet_id: int) -> None:
        """The client has it, or will not get it; an unknown identifier changes nothing."""
        self._unacknowledged.pop(packet_id, None)

    def unacknowledged(self) -> Iterator[tuple[int, Message]]:
        """What was sent and not acknowledged, in order: to be sent again, with DUP."""
        return iter(list(self._unacknowledged.items()))
