"""The nucleus's own traffic with AWS IoT Core, on behalf of its components.

Classic: a publish succeeds when it is in the spool, which lives in memory and is sent
when there is a connection; the client keeps the pair that it was built with. Lite: no
spool, no memory of anything, and the files are read again for each connection. Left out:
the second connection that classic opens past 50 subscriptions, its limit of 100 publishes
a second, and DiskSpooler.

Sources: ``MqttClient``, ``Spool`` and ``MqttProxyIPCAgent`` of the classic nucleus;
``iotcored`` and ``ggipcd`` (publish_to_iot_core.c, subscribe_to_iot_core.c) of lite.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import functools
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.nucleus.mqtt_connection import MqttConnection, OperationError, Settings
from lab.nucleus.mqtt_topics import check_message, check_topic, covers
from lab.nucleus.recipe import Runtime
from lab.timeline import Timeline

SPOOL_LIMIT = int(2.5 * 1024 * 1024)
# Measured on lite 2.6: 7000 bytes pass, 7300 do not.
LITE_MESSAGE_LIMIT = 7000
_SHUT_DOWN = "MQTT client is shut down"
_MAX_IN_FLIGHT: Mapping[Runtime, int] = {"classic": 5, "lite": 10}
_MAX_RETRIES = 100
# Reason codes from here on are refusals (MQTT 5, 2.4).
_REFUSED = 0x80
# Not authorized, topic name invalid, payload format invalid (MQTT 5, 3.4.2.1).
_NO_RETRY = frozenset({0x87, 0x90, 0x99})
_REASONS = {0x80: "UNSPECIFIED_ERROR", 0x87: "NOT_AUTHORIZED", 0x8F: "TOPIC_FILTER_INVALID"}

Deliver = Callable[[str, bytes], None]


class SpoolError(Exception):
    """The nucleus does not take a request; the message is the nucleus's own, for ServiceError."""


@dataclass
class _Message:
    number: int
    topic: str
    payload: bytes
    qos: int
    tries: int = 0


@dataclass(eq=False)
class _Subscription:
    topic_filter: str
    deliver: Deliver


class MqttProxy:
    """One nucleus's MQTT, from process start (``connect``) to its end (``disconnect``).

    The client id is the thing name; paths are PEM files; delays are in seconds, and lite
    waits only between failures. All methods are called on the lab's loop, and so are the
    subscribers. What happens is in the timeline: mqtt-connected, mqtt-connect-failed,
    mqtt-disconnected, mqtt-publish-refused, mqtt-subscribe-refused.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        thing_name: str,
        host: str,
        port: int,
        certificate_path: Path,
        private_key_path: Path,
        root_ca_path: Path,
        timeline: Timeline,
        min_reconnect_delay: float = 1.0,
        max_reconnect_delay: float = 120.0,
    ) -> None:
        self.connected = False
        self._classic = runtime == "classic"
        self._settings = Settings(
            runtime=runtime,
            client_id=thing_name,
            host=host,
            port=port,
            certificate_path=certificate_path,
            private_key_path=private_key_path,
            root_ca_path=root_ca_path,
            min_reconnect_delay=min_reconnect_delay,
            max_reconnect_delay=max_reconnect_delay,
        )
        self._timeline = timeline
        self._connection: MqttConnection | None = None
        # Done at the first connection; None while the process does not run.
        self._online: asyncio.Future[None] | None = None
        self._failures = 0
        self._numbers = itertools.count()
        self._spool: list[_Message] = []
        self._spooled = 0  # bytes, those on their way included
        self._in_flight: dict[int, _Message] = {}
        self._subscriptions: list[_Subscription] = []
        # What the cloud was asked for: filter and QoS.
        self._cloud: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def principal(self) -> str | None:
        """SHA-256 (hex) of the DER of the certificate that the client was built with."""
        return None if self._connection is None else self._connection.principal

    # -- the life of the process ----------------------------------------------------

    async def connect(self) -> None:
        """The nucleus process starts: build the client and let it connect. Does not wait."""
        if self._online is not None:
            raise RuntimeError("the nucleus's MQTT client is started already")
        self._online = asyncio.get_running_loop().create_future()
        self._failures = 0
        self._open()

    async def disconnect(self) -> None:
        """The nucleus process ends: what was spooled and subscribed is lost."""
        online, self._online = self._online, None
        if online is not None and not online.done():
            online.set_exception(SpoolError(_SHUT_DOWN))
            online.exception()  # looked at, whether or not somebody waits
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.connected = False
        self._spool.clear()
        self._in_flight.clear()
        self._spooled = 0
        self._subscriptions.clear()
        self._cloud.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.stop()

    def _open(self) -> None:
        try:
            self._connection = MqttConnection(self._settings, self)
        except (OSError, ValueError, OperationError) as error:
            # A key of another certificate is found out here, before a byte is sent.
            self._record("mqtt-connect-failed", reason=f"{type(error).__name__}: {error}")
            self._open_later()
        else:
            self._connection.start()

    def _open_later(self) -> None:
        self._failures += 1
        settings = self._settings
        delay = settings.min_reconnect_delay * 2 ** min(self._failures - 1, 20)
        self._spawn(self._reopen(min(delay, settings.max_reconnect_delay)))

    async def _reopen(self, delay: float) -> None:
        if self._connection is not None:
            await self._connection.stop()
            self._connection = None
        await asyncio.sleep(delay)
        self._open()

    # -- what becomes of the connection: called by it --------------------------------

    def on_connected(self, session_present: bool) -> None:
        self.connected = True
        self._failures = 0
        self._record("mqtt-connected", principal=self.principal, session_present=session_present)
        if self._online is not None and not self._online.done():
            self._online.set_result(None)
        if not session_present:
            for topic_filter, qos in self._cloud.items():
                self._spawn(self._subscribe_again(topic_filter, qos))
        self._send_spooled()

    def on_connect_failed(self, reason: str) -> None:
        self._record("mqtt-connect-failed", reason=reason)
        if not self._classic:
            self._open_later()

    def on_disconnected(self, reason: str) -> None:
        self.connected = False
        self._record("mqtt-disconnected", reason=reason)
        if not self._classic:
            self._spawn(self._reopen(0))

    def on_message(self, topic: str, payload: bytes) -> None:
        for subscription in self._subscriptions:
            if covers(subscription.topic_filter, topic):
                # Each by itself: one that fails does not keep it from the others.
                asyncio.get_running_loop().call_soon(subscription.deliver, topic, payload)

    # -- publish --------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message: on classic into the spool, on lite to the wire. Not: deliver it.

        Raises SpoolError for what the nucleus does not take. What IoT Core refuses later
        is only in the timeline.
        """
        if self._online is None:
            raise SpoolError(_SHUT_DOWN)
        message = _Message(next(self._numbers), topic, payload, qos)
        if not self._classic:
            full = len(self._in_flight) >= _MAX_IN_FLIGHT["lite"]
            if full or not self.connected or len(payload) > LITE_MESSAGE_LIMIT:
                raise SpoolError("Failed to publish the message.")
            self._dispatch(message)
            return
        try:
            check_message(topic, payload)
        except ValueError as error:
            raise SpoolError(str(error)) from error
        if qos == 0 and not self.connected:
            raise SpoolError("Device is offline. Dropping QoS 0 message.")
        if self._spooled + len(payload) > SPOOL_LIMIT:
            raise SpoolError("Message spool is full. Message could not be added.")
        self._spooled += len(payload)
        self._spool.append(message)
        self._send_spooled()

    def _send_spooled(self) -> None:
        while self.connected and self._spool and len(self._in_flight) < _MAX_IN_FLIGHT["classic"]:
            self._dispatch(self._spool.pop(0))

    def _dispatch(self, message: _Message) -> None:
        assert self._connection is not None
        self._in_flight[message.number] = message
        self._spawn(self._send(message, self._connection))

    async def _send(self, message: _Message, connection: MqttConnection) -> None:
        code = None
        with contextlib.suppress(OperationError):
            code = await connection.publish(message.topic, message.payload, message.qos)
        del self._in_flight[message.number]
        if not self._classic:
            if code is not None and code >= _REFUSED:
                self._record("mqtt-publish-refused", topic=message.topic, reason_code=code)
            return
        again = code is None or (code >= _REFUSED and code not in _NO_RETRY)
        if again and message.qos == 1 and message.tries < _MAX_RETRIES:
            message.tries += 1
            bisect.insort(self._spool, message, key=lambda waiting: waiting.number)
        else:
            self._spooled -= len(message.payload)
            if code is not None and code >= _REFUSED:
                self._record("mqtt-publish-refused", topic=message.topic, reason_code=code)
        self._send_spooled()

    # -- subscribe ------------------------------------------------------------------

    async def subscribe(
        self, topic_filter: str, qos: int, deliver: Deliver
    ) -> Callable[[], Awaitable[None]]:
        """Call ``deliver(topic, payload)`` for what arrives; gives what ends that.

        Classic answers when the cloud has; if it was never connected, not before it is.
        Lite answers at once, offline with an error, and never hears of a refusal. Raises
        SpoolError for what the nucleus or, on classic, the cloud does not take.
        """
        if self._online is None:
            raise SpoolError(_SHUT_DOWN)
        if self._classic:
            try:
                check_topic(topic_filter)
            except ValueError as error:
                raise SpoolError(str(error)) from error
        elif not self.connected:
            raise SpoolError("Failed to bind the subscription.")
        subscription = _Subscription(topic_filter, deliver)
        self._subscriptions.append(subscription)
        if self._classic:
            try:
                await self._ask_for(topic_filter, qos, self._online)
            except BaseException:
                with contextlib.suppress(ValueError):
                    self._subscriptions.remove(subscription)
                raise
        else:
            self._cloud[topic_filter] = qos
            self._spawn(self._subscribe_again(topic_filter, qos))
        return functools.partial(self._unsubscribe, subscription)

    async def _ask_for(self, topic_filter: str, qos: int, online: asyncio.Future[None]) -> None:
        if any(covers(known, topic_filter) for known in self._cloud):
            return
        await asyncio.shield(online)
        if self._connection is None:
            raise SpoolError(_SHUT_DOWN)
        failed = f"Subscribe to topic {topic_filter} failed with error"
        try:
            code = await self._connection.subscribe(topic_filter, qos)
        except OperationError as error:
            raise SpoolError(f"{failed} {error}") from error
        if code >= _REFUSED:
            self._record("mqtt-subscribe-refused", topic_filter=topic_filter, reason_code=code)
            raise SpoolError(f"{failed} {_REASONS.get(code, _REASONS[_REFUSED])}")
        self._cloud[topic_filter] = qos

    async def _subscribe_again(self, topic_filter: str, qos: int) -> None:
        assert self._connection is not None
        # If the connection breaks, the next one will do it.
        with contextlib.suppress(OperationError):
            code = await self._connection.subscribe(topic_filter, qos)
            if code >= _REFUSED:
                self._record("mqtt-subscribe-refused", topic_filter=topic_filter, reason_code=code)

    async def _unsubscribe(self, subscription: _Subscription) -> None:
        if subscription not in self._subscriptions:
            return
        self._subscriptions.remove(subscription)
        wanted = [other.topic_filter for other in self._subscriptions]
        for known in list(self._cloud):
            if known in wanted or (self._classic and any(covers(known, w) for w in wanted)):
                continue
            del self._cloud[known]
            if self.connected and self._connection is not None:
                with contextlib.suppress(OperationError):
                    await self._connection.unsubscribe(known)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self, event: str, **details: object) -> None:
        self._timeline.record("nucleus", event, client_id=self._settings.client_id, **details)
