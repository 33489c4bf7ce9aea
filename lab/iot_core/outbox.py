"""What one connected client is sent: at once with QoS 0, within its window with QoS 1.

The policy's iot:Receive is asked at each sending, and what expired, or is larger than the
client takes, is left out, as AWS does it. (AWS IoT Developer Guide, "AWS IoT Core policy
actions"; OASIS MQTT 5.0, 3.1.2.11.4 and 4.9.)
"""

from __future__ import annotations

import time
from typing import Protocol

from lab.iot_core.admission import Admission
from lab.iot_core.authorizer import Authorizer
from lab.iot_core.codec import encode
from lab.iot_core.message import Message
from lab.iot_core.packets import Publish
from lab.iot_core.session import Session
from lab.timeline import Timeline


class Line(Protocol):
    """The way to the client."""

    @property
    def choked(self) -> bool:
        """Whether the client does not read as fast as it is sent to."""

    def send(self, data: bytes) -> None: ...


class Outbox:
    def __init__(
        self,
        line: Line,
        session: Session,
        admission: Admission,
        authorizer: Authorizer,
        timeline: Timeline,
    ) -> None:
        self._line = line
        self._session = session
        self._admission = admission
        self._authorizer = authorizer
        self._timeline = timeline

    def resume(self) -> None:
        """Send again what the session's last connection left unacknowledged, then the rest."""
        for packet_id, message in self._session.unacknowledged():
            self._send(message, packet_id, duplicate=True)
        self._send_waiting()

    def put(self, message: Message) -> None:
        """Send a message, or with QoS 1 see to it that it is sent."""
        if message.qos == 0:
            if self._line.choked:
                self._drop(message, "the client reads too slowly")
            else:
                self._send(message, 0)
        elif self._session.keep(message):
            self._send_waiting()
        else:
            self._drop(message, "the session's queue is full")

    def acknowledge(self, packet_id: int) -> None:
        self._session.acknowledge(packet_id)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while taken := self._session.take(self._admission.receive_maximum):
            packet_id, message = taken
            self._send(message, packet_id)

    def _send(self, message: Message, packet_id: int, *, duplicate: bool = False) -> None:
        now = time.time()
        publish = Publish(
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            duplicate,
            packet_id,
            message.properties_at(now),
        )
        data = encode(publish, self._admission.version)
        fault = self._fault(message, len(data), now)
        if fault is None:
            self._line.send(data)
        else:
            self._session.acknowledge(packet_id)
            self._drop(message, fault)

    def _fault(self, message: Message, size: int, now: float) -> str | None:
        if message.expired(now):
            return "its message expiry interval is over"
        if size > self._admission.packet_maximum:
            return f"{size} bytes; the client takes {self._admission.packet_maximum}"
        principal = self._admission.principal
        decision = self._authorizer.decide(principal, "iot:Receive", message.topic)
        return None if decision.allowed else decision.why

    def _drop(self, message: Message, why: str) -> None:
        self._timeline.record(
            "iot-core",
            "dropped",
            client_id=self._admission.principal.client_id,
            topic=message.topic,
            why=why,
        )
