"""What a nucleus does with a message between taking it from a component and the PUBACK.

Classic keeps it in a spool in memory, and tries again what was not answered. Lite has no
spool: without a connection it takes nothing, and what is lost is lost.

Sources: ``Spool`` and ``MqttClient`` of the classic nucleus; ``iotcored`` and ``ggipcd``
(publish_to_iot_core.c) of lite.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from lab.nucleus.mqtt_connection import MqttConnection, OperationError
from lab.nucleus.mqtt_topics import check_message
from lab.nucleus.recipe import Runtime

SPOOL_LIMIT = int(2.5 * 1024 * 1024)
# Measured on lite 2.6: 7000 bytes pass, 7300 do not.
LITE_MESSAGE_LIMIT = 7000
# Reason codes from here on are refusals (MQTT 5, 2.4).
REFUSED = 0x80
_MAX_IN_FLIGHT: Mapping[Runtime, int] = {"classic": 5, "lite": 10}
_MAX_RETRIES = 100
# Not authorized, topic name invalid, payload format invalid (MQTT 5, 3.4.2.1).
_NO_RETRY = frozenset({0x87, 0x90, 0x99})


class SpoolError(Exception):
    """The nucleus does not take a request; the message is the nucleus's own, for ServiceError."""


@dataclass
class _Message:
    number: int
    topic: str
    payload: bytes
    qos: int
    tries: int = 0


class Spool:
    """The messages of one nucleus process. To be called on the lab's loop.

    ``connection`` gives the connection while there is one, ``spawn`` runs work beside,
    ``record`` writes into the timeline.
    """

    def __init__(
        self,
        runtime: Runtime,
        connection: Callable[[], MqttConnection | None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        record: Callable[..., None],
    ) -> None:
        self._runtime = runtime
        self._connection = connection
        self._spawn = spawn
        self._record = record
        self._numbers = itertools.count()
        self._waiting: list[_Message] = []
        self._bytes = 0  # those on their way included
        self._in_flight: dict[int, _Message] = {}

    def take(self, topic: str, payload: bytes, qos: int) -> None:
        """Success is: spooled (classic), or on its way (lite). Raises SpoolError."""
        message = _Message(next(self._numbers), topic, payload, qos)
        connected = self._connection() is not None
        if self._runtime == "lite":
            full = len(self._in_flight) >= _MAX_IN_FLIGHT["lite"]
            if full or not connected or len(payload) > LITE_MESSAGE_LIMIT:
                raise SpoolError("Failed to publish the message.")
            self._dispatch(message)
            return
        try:
            check_message(topic, payload)
        except ValueError as error:
            raise SpoolError(str(error)) from error
        if qos == 0 and not connected:
            raise SpoolError("Device is offline. Dropping QoS 0 message.")
        if self._bytes + len(payload) > SPOOL_LIMIT:
            raise SpoolError("Message spool is full. Message could not be added.")
        self._bytes += len(payload)
        self._waiting.append(message)
        self.send()

    def send(self) -> None:
        """There is a connection, or room on it: send what waits."""
        while (
            self._waiting
            and len(self._in_flight) < _MAX_IN_FLIGHT["classic"]
            and self._connection() is not None
        ):
            self._dispatch(self._waiting.pop(0))

    def forget(self) -> None:
        """The process ended, and with it all that it held."""
        self._waiting.clear()
        self._in_flight.clear()
        self._bytes = 0

    def _dispatch(self, message: _Message) -> None:
        connection = self._connection()
        assert connection is not None
        self._in_flight[message.number] = message
        self._spawn(self._send(message, connection))

    async def _send(self, message: _Message, connection: MqttConnection) -> None:
        code = None
        with contextlib.suppress(OperationError):
            code = await connection.publish(message.topic, message.payload, message.qos)
        del self._in_flight[message.number]
        refused = code is not None and code >= REFUSED
        if self._runtime == "classic":
            again = code is None or (refused and code not in _NO_RETRY)
            if again and message.qos == 1 and message.tries < _MAX_RETRIES:
                message.tries += 1
                bisect.insort(self._waiting, message, key=lambda waiting: waiting.number)
                self.send()
                return
            self._bytes -= len(message.payload)
        if refused:
            self._record("mqtt-publish-refused", topic=message.topic, reason_code=code)
        self.send()
