"""One MQTT 5 client of the AWS Common Runtime, as a nucleus holds it: connect, say, hear.

The client is the one that the classic nucleus uses, with the nucleus's settings; its
callbacks come on the runtime's own thread and are handed to the lab's loop here. What is
queued, retried and subscribed again is ``mqtt_proxy``'s.

Sources: ``AwsIotMqtt5Client`` and ``MqttClient`` of the classic nucleus; ``iotcored``
(mqtt.c, tls.c) of lite.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from awscrt import io, mqtt5
from awscrt.exceptions import AwsCrtError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from lab.nucleus.tcp_socket import Mark, TcpSocket, abort, find

# What a client operation on the connection may raise: the runtime's error.
OperationError = AwsCrtError

_KEEP_ALIVE_SECONDS = {"classic": 60, "lite": 30}
_SESSION_EXPIRY_SECONDS = 10_080
_RECEIVE_MAXIMUM = 100
# Lite's network buffer, which it announces as the largest packet that it takes.
LITE_MAXIMUM_PACKET_SIZE = 5000
_OPERATION_SECONDS = 30
_SOCKET_TIMEOUT_MS = 3000
_NEVER_MS = 2**31


@dataclass(frozen=True)
class Settings:
    """Where and as whom to connect, and how long to wait in between (seconds)."""

    runtime: str
    client_id: str
    host: str
    port: int
    certificate_path: Path
    private_key_path: Path
    root_ca_path: Path
    min_reconnect_delay: float
    max_reconnect_delay: float


@dataclass(frozen=True)
class Credentials:
    """A pair as it was read: PEM, and the certificate's id, the SHA-256 of its DER in hex."""

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    principal: str

    @classmethod
    def read(cls, settings: Settings) -> Credentials:
        """Read the files as they are now; OSError or ValueError if there is no such pair."""
        certificate_pem = settings.certificate_path.read_bytes()
        leaf = x509.load_pem_x509_certificate(certificate_pem)
        if settings.runtime == "lite":
            # Lite presents the leaf only, whatever else is in the file.
            certificate_pem = leaf.public_bytes(serialization.Encoding.PEM)
        return cls(
            certificate_pem=certificate_pem,
            private_key_pem=settings.private_key_path.read_bytes(),
            principal=leaf.fingerprint(hashes.SHA256()).hex(),
        )


class Listener(Protocol):
    """Is told on the lab's loop what becomes of a connection; after ``stop``, nothing more."""

    def on_connected(self, session_present: bool) -> None: ...
    def on_connect_failed(self, reason: str) -> None: ...
    def on_disconnected(self, reason: str) -> None: ...
    def on_message(self, topic: str, payload: bytes) -> None: ...


class MqttConnection:
    """A client built with the credentials that lie on disk at this moment.

    On classic it reconnects by itself, with the pair that it was built with. On lite it
    tries once: the listener builds another. To be called on the lab's loop.
    """

    def __init__(self, settings: Settings, listener: Listener) -> None:
        """Raises OSError, ValueError or OperationError if the credentials cannot be used."""
        credentials = Credentials.read(settings)
        self.principal = credentials.principal
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopping = False
        self._mark = Mark.new()
        self._client = mqtt5.Client(_options(settings, credentials, self._mark, self))

    def start(self) -> None:
        """Begin to connect; the listener hears of it."""
        self._client.start()

    async def stop(self) -> None:
        """Close the connection without a word (the nucleus sends no DISCONNECT), and wait."""
        self._stopping = True
        # A client that is stopped before it has begun never says that it has stopped.
        await self._begun.wait()
        self._client.stop()
        await self._stopped.wait()

    @property
    def socket(self) -> TcpSocket | None:
        """The client's TCP connection, if it has one now. From any thread."""
        return find(self._mark)

    def abort(self) -> TcpSocket | None:
        """Kill the TCP connection, and give what it was; the listener hears. From any thread."""
        return abort(self._mark)

    def cut(self) -> None:
        """The power is gone: the listener hears no more, the peer a reset. From any thread.

        ``stop`` is still to be called.
        """
        self._stopping = True
        self.abort()

    async def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """The PUBACK's reason code, 0 for QoS 0; raises OperationError if there was none."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS(qos))
        done = await _answer(self._client.publish(packet))
        return 0 if qos == 0 else int(done.puback.reason_code)

    async def subscribe(self, topic_filter: str, qos: int) -> int:
        """The SUBACK's reason code; raises OperationError if there was none."""
        wanted = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS(qos))
        packet = mqtt5.SubscribePacket(subscriptions=[wanted])
        suback = await _answer(self._client.subscribe(packet))
        return int(suback.reason_codes[0])

    async def unsubscribe(self, topic_filter: str) -> None:
        """Raises OperationError if the server did not answer."""
        packet = mqtt5.UnsubscribePacket(topic_filters=[topic_filter])
        await _answer(self._client.unsubscribe(packet))

    # -- called by the runtime, on its thread ---------------------------------------

    def has_begun(self, _event: Any) -> None:
        self._loop.call_soon_threadsafe(self._begun.set)

    def has_connected(self, event: Any) -> None:
        self._tell(self._listener.on_connected, bool(event.connack_packet.session_present))

    def has_failed(self, event: Any) -> None:
        connack = event.connack_packet
        reason = str(event.exception) if connack is None else f"CONNACK {connack.reason_code!r}"
        self._tell(self._listener.on_connect_failed, reason)

    def has_disconnected(self, event: Any) -> None:
        said = event.disconnect_packet
        reason = str(event.exception) if said is None else f"DISCONNECT {said.reason_code!r}"
        self._tell(self._listener.on_disconnected, reason)

    def has_received(self, event: Any) -> None:
        packet = event.publish_packet
        self._tell(self._listener.on_message, packet.topic, bytes(packet.payload or b""))

    def has_stopped(self, _event: Any) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)

    def _tell(self, listener: Callable[..., None], *what: object) -> None:
        self._loop.call_soon_threadsafe(self._pass_on, listener, *what)

    # -- on the lab's loop ----------------------------------------------------------

    def _pass_on(self, listener: Callable[..., None], *what: object) -> None:
        if not self._stopping:
            listener(*what)


def _answer(future: concurrent.futures.Future[Any]) -> asyncio.Future[Any]:
    """What the runtime will answer; whoever stops waiting for it does not cancel it there."""
    answer = asyncio.wrap_future(future)
    # Looked at even if nobody waits any more.
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return asyncio.shield(answer)


def _options(settings: Settings, credentials: Credentials, mark: Mark, to: MqttConnection) -> Any:
    tls = io.TlsContextOptions.create_client_with_mtls(
        credentials.certificate_pem, credentials.private_key_pem
    )
    tls.override_default_trust_store(settings.root_ca_path.read_bytes())
    try:
        context = io.ClientTlsContext(tls)
    except RuntimeError as error:
        raise ValueError(f"the pair cannot be used: {error}") from error
    socket_options = io.SocketOptions()
    socket_options.connect_timeout_ms = _SOCKET_TIMEOUT_MS
    socket_options.keep_alive = True
    # The runtime's names for the two are the other way round.
    socket_options.keep_alive_interval_secs = mark.idle
    socket_options.keep_alive_timeout_secs = mark.interval
    classic = settings.runtime == "classic"
    rejoin = mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS
    return mqtt5.ClientOptions(
        host_name=settings.host,
        port=settings.port,
        bootstrap=io.ClientBootstrap.get_or_create_static_default(),
        socket_options=socket_options,
        tls_ctx=context,
        connect_options=mqtt5.ConnectPacket(
            client_id=settings.client_id,
            keep_alive_interval_sec=_KEEP_ALIVE_SECONDS[settings.runtime],
            session_expiry_interval_sec=_SESSION_EXPIRY_SECONDS if classic else None,
            receive_maximum=_RECEIVE_MAXIMUM if classic else None,
            request_problem_information=True if classic else None,
            maximum_packet_size=None if classic else LITE_MAXIMUM_PACKET_SIZE,
        ),
        session_behavior=rejoin if classic else mqtt5.ClientSessionBehaviorType.CLEAN,
        offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
        # Without chance: the lab's runs are to be alike.
        retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.NONE,
        min_reconnect_delay_ms=_ms(settings.min_reconnect_delay) if classic else _NEVER_MS,
        max_reconnect_delay_ms=_ms(settings.max_reconnect_delay) if classic else _NEVER_MS,
        ack_timeout_sec=_OPERATION_SECONDS,
        on_publish_callback_fn=to.has_received,
        on_lifecycle_event_attempting_connect_fn=to.has_begun,
        on_lifecycle_event_stopped_fn=to.has_stopped,
        on_lifecycle_event_connection_success_fn=to.has_connected,
        on_lifecycle_event_connection_failure_fn=to.has_failed,
        on_lifecycle_event_disconnection_fn=to.has_disconnected,
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
