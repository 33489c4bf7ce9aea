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
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.nucleus.faults import DeviceFaults
from lab.nucleus.mqtt_connection import MqttConnection, OperationError, Settings
from lab.nucleus.mqtt_spool import LITE_MESSAGE_LIMIT, REFUSED, SPOOL_LIMIT, Spool, SpoolError
from lab.nucleus.mqtt_topics import check_topic, covers
from lab.nucleus.recipe import Runtime
from lab.nucleus.tcp_socket import TcpSocket
from lab.timeline import Timeline

__all__ = ["LITE_MESSAGE_LIMIT", "SPOOL_LIMIT", "MqttProxy", "SpoolError"]

_SHUT_DOWN = "MQTT client is shut down"
_REASONS = {0x80: "UNSPECIFIED_ERROR", 0x87: "NOT_AUTHORIZED", 0x8F: "TOPIC_FILTER_INVALID"}

Deliver = Callable[[str, bytes], None]


@dataclass(eq=False)
class _Subscription:
    topic_filter: str
    deliver: Deliver


class MqttProxy:
    """One nucleus's MQTT, from process start (``connect``) to its end (``disconnect``).

    The client id is the thing name; paths are PEM files; delays are in seconds, and lite
    waits only between failures. ``faults`` befall the messages. All methods are called on
    the lab's loop, and so are the subscribers. What happens is in the timeline:
    mqtt-connected, mqtt-connect-failed, mqtt-disconnected, mqtt-publish-refused,
    mqtt-subscribe-refused.
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
        faults: DeviceFaults | None = None,
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
        self._faults = faults or DeviceFaults()
        self._spool = Spool(
            runtime,
            lambda: self._connection if self.connected else None,
            self._spawn,
            self._record,
        )
        self._subscriptions: list[_Subscription] = []
        # What the cloud was asked for: filter and QoS.
        self._cloud: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def principal(self) -> str | None:
        """SHA-256 (hex) of the DER of the certificate that the client was built with."""
        return None if self._connection is None else self._connection.principal

    @property
    def started(self) -> bool:
        """Whether the process runs, connected or not."""
        return self._online is not None

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
        await self._forget()

    async def _forget(self) -> None:
        """What the process holds that speaks with the cloud, and is lost when it ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.connected = False
        self._spool.forget()
        self._subscriptions.clear()
        self._cloud.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.stop()

    @property
    def socket(self) -> TcpSocket | None:
        """The TCP connection, if there is one now. From any thread."""
        connection = self._connection
        return None if connection is None else connection.socket

    def force_reconnect(self) -> TcpSocket | None:
        """The kernel kills the TCP connection, as ``ss -K`` asks it to; gives what it was.

        Lite reads the files anew and is back at once, its subscriptions made again. Classic
        comes back with the pair that it has. None, and nothing done, without a connection.
        """
        connection = self._connection
        return None if connection is None else connection.abort()

    async def restart_process(self) -> None:
        """Lite's ``iotcored`` is restarted by itself: it reads the files anew, and connects.

        Whoever had subscribed is deaf from then on, and is told nothing; publishing works.
        """
        if self._online is None:
            raise RuntimeError("the nucleus's MQTT client is not started")
        await self._forget()
        self._failures = 0
        self._open()

    def cut(self) -> None:
        """The power is gone: no byte more to or from the cloud. From any thread.

        ``disconnect`` is still to be called.
        """
        connection = self._connection
        if connection is not None:
            connection.cut()

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
        self._spool.send()

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
        for message in self._faults.arriving(topic, payload):
            for subscription in self._subscriptions:
                if covers(subscription.topic_filter, message[0]):
                    # Each by itself: one that fails does not keep it from the others.
                    asyncio.get_running_loop().call_soon(subscription.deliver, *message)

    # -- publish --------------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message: on classic into the spool, on lite to the wire. Not: deliver it.

        Raises SpoolError for what the nucleus does not take. What IoT Core refuses later
        is only in the timeline.
        """
        if self._online is None:
            raise SpoolError(_SHUT_DOWN)
        for message in self._faults.leaving(topic, payload):
            self._spool.take(*message, qos)

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
            except BaseException:  # also where whoever waits is cancelled
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
        if code >= REFUSED:
            self._record("mqtt-subscribe-refused", topic_filter=topic_filter, reason_code=code)
            raise SpoolError(f"{failed} {_REASONS.get(code, _REASONS[REFUSED])}")
        self._cloud[topic_filter] = qos

    async def _subscribe_again(self, topic_filter: str, qos: int) -> None:
        assert self._connection is not None
        # If the connection breaks, the next one will do it.
        with contextlib.suppress(OperationError):
            code = await self._connection.subscribe(topic_filter, qos)
            if code >= REFUSED:
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
