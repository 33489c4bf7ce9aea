"""AWS IoT Core's message broker for blocking code: start it, publish, observe, take it away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.iot_core.authorizer import Authorizer
from lab.iot_core.broker import Broker, Handler, Reply
from lab.iot_core.client import Services
from lab.iot_core.endpoint import Endpoint
from lab.iot_core.message import Message
from lab.iot_core.presence import Presence
from lab.iot_core.registry import AutoRegistration, Registry
from lab.loop import LoopThread
from lab.timeline import Timeline

__all__ = ["Connection", "IotCore", "Message", "Registry", "Reply"]

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """A client that is connected now; ``since`` is in seconds since the epoch."""

    client_id: str
    principal: str  # certificate id
    protocol_version: str  # "MQTT 3.1.1" or "MQTT 5"
    since: float


class IotCore:
    """Callbacks are called on the loop, one at a time, in order: they must not block.

    ``start`` and ``come_back`` may be called from any thread but the loop's own, everything
    else from there too.
    """

    host = "localhost"

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        registry: Registry,
        *,
        server_certificate: Path,
        server_key: Path,
        region: str,
        account_id: str,
        connect_timeout: float = 10.0,
        auto_registration: AutoRegistration | None = None,
    ) -> None:
        """PEM files for a server certificate that names ``host``; claims a port on loopback.

        ``connect_timeout`` is what a connection has, in seconds, to get as far as CONNECT.
        """
        self._loop = loop
        self._timeline = timeline
        self._broker = Broker()
        self._endpoint = Endpoint(
            Services(
                Authorizer(registry, region, account_id),
                self._broker,
                Presence(self._publish, time.time),
                timeline,
            ),
            server_certificate,
            server_key,
            connect_timeout,
            None if auto_registration is None else self._shown,
        )
        self._auto_registration = auto_registration

    @property
    def port(self) -> int:
        """The same for as long as this object lives."""
        return self._endpoint.port

    def start(self) -> None:
        self._loop.run(self._endpoint.listen())

    def stop(self) -> None:
        """Reset every connection and give the port back, once and for all."""
        self._on_loop(self._endpoint.close)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish as the cloud does: rules, services, the console's test client."""

        def publish() -> None:
            self._timeline.record("iot-core", "published", client_id=None, topic=topic, qos=qos)
            self._publish(topic, payload, qos)

        self._on_loop(publish)

    def observe(self, topic_filter: str, callback: Callable[[Message], None]) -> Callable[[], None]:
        """Call back for every accepted publication that matches; the result ends that."""
        self._on_loop(lambda: self._broker.observe(topic_filter, callback))
        return lambda: self._on_loop(lambda: self._broker.stop_observing(topic_filter, callback))

    def reserve(self, topic_filter: str, handler: Handler) -> None:
        """Give what clients publish on these topics to a service, and to nobody else.

        The handler takes the message and a ``reply(topic, payload, qos=1)`` that goes
        straight to the connection that asked, subscribed or not, now or later.
        (AWS IoT Developer Guide, "Reserved topics", job topics.)
        """
        self._on_loop(lambda: self._broker.reserve(topic_filter, handler))

    def connections(self) -> list[Connection]:
        return self._on_loop(
            lambda: [
                Connection(
                    client.principal.client_id,
                    client.principal.certificate_id,
                    str(client.version),
                    client.since,
                )
                for client in self._endpoint.clients()
            ]
        )

    def enforce_registry(self) -> None:
        """Drop the clients whose certificates are no longer ACTIVE (AWS takes some minutes)."""
        self._on_loop(self._endpoint.enforce_registry)

    def go_away(self) -> None:
        """The cloud is unreachable: connections are reset, new ones refused."""

        def go_away() -> None:
            self._endpoint.refuse()
            self._endpoint.reset_all("the cloud went away")

        self._on_loop(go_away)

    def come_back(self) -> None:
        """The cloud is reachable again, on the same port, with the sessions it kept."""
        self._loop.run(self._endpoint.listen())

    def _shown(self, certificate: bytes) -> None:
        assert self._auto_registration is not None  # else nobody calls
        event = self._auto_registration.presented(certificate)
        if event is not None:
            topic, payload = event
            self._timeline.record("iot-core", "published", client_id=None, topic=topic, qos=1)
            # Not in the midst of a handshake.
            self._loop.loop.call_soon(self._publish, topic, payload)

    def _publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self._broker.publish(Message(topic, payload, qos, None, None, time.time()))

    def _on_loop(self, function: Callable[[], T]) -> T:
        try:
            here = asyncio.get_running_loop() is self._loop.loop
        except RuntimeError:
            here = False
        if here:
            return function()

        async def run() -> T:
            return function()

        return self._loop.run(run())
