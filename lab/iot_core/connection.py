"""One TCP connection: TLS, packets out of bytes, timers, and how it ends.

What the packets mean is for ``client``. A connection has some seconds to get from TCP to
CONNECT, and then one and a half keep-alive intervals between packets (OASIS MQTT 5.0,
3.1.2.10).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from lab.iot_core.admission import PACKET_MAXIMUM, ConnectRefusedError, admit
from lab.iot_core.client import Client, Services
from lab.iot_core.codec import decode, encode, frame
from lab.iot_core.packets import Connack, Connect, Disconnect, Packet, Version
from lab.iot_core.presence import DisconnectReason
from lab.iot_core.tls import TlsRefusedError, TlsServer
from lab.iot_core.wire import PacketError, Reason

LINGER = 1.0  # seconds that a peer gets to read the last words
_CONNECT = 0x10  # the first byte of the first packet


class Connection(asyncio.Protocol):
    def __init__(
        self,
        tls: TlsServer,
        services: Services,
        connect_timeout: float,
        gone: Callable[[Connection], None],
    ) -> None:
        """``gone`` is told once, when the TCP connection is closed."""
        self._tls = tls
        self._services = services
        self._connect_timeout = connect_timeout
        self._gone = gone
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._buffer = bytearray()
        self._heard = 0.0
        self._patience = 0.0
        self._client_id: str | None = None  # as CONNECT says it
        self.choked = False
        self.ended = False
        self.client: Client | None = None

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._ip_address: str = transport.get_extra_info("peername")[0]
        why = f"no CONNECT within {self._connect_timeout:g} s"
        self._timer = self._loop.call_later(
            self._connect_timeout, self.end, DisconnectReason.CLIENT_ERROR, why
        )

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        self._acknowledge_at_once()
        try:
            self._buffer += self._tls.receive(data)
        except TlsRefusedError as refusal:
            self.end(DisconnectReason.CONNECTION_LOST, str(refusal))
            return
        self._flush()
        self._heard = self._loop.time()
        try:
            if self.client is None and self._buffer and self._buffer[0] != _CONNECT:
                raise PacketError("the first packet is no CONNECT", Reason.PROTOCOL_ERROR)
            while not self.ended and (framed := frame(self._buffer, PACKET_MAXIMUM)):
                first_byte, body, length = framed
                del self._buffer[:length]
                version = self.client.version if self.client else None
                self._handle(decode(first_byte, body, version))
        except PacketError as error:
            self._answer_malformed(error)

    def _acknowledge_at_once(self) -> None:
        """The nucleus's MQTT client leaves Nagle's algorithm on: what it sends next waits for the
        acknowledgement of this, which the kernel holds back for 40 ms unless asked each time.
        See tcp(7), TCP_QUICKACK."""
        connected: socket.socket = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._close_down(DisconnectReason.CONNECTION_LOST, str(exc or "closed by the peer"))
        self._timer.cancel()
        self._gone(self)

    # --- the client's side

    def send(self, data: bytes) -> None:
        if not self.ended:
            self._tls.send(data)
            self._flush()

    def end(self, reason: DisconnectReason, why: str, code: Reason | None = None) -> None:
        """Close, with the last words: DISCONNECT with the code in MQTT 5, TLS close_notify."""
        if self.ended:
            return
        self._close_down(reason, why)
        if code is not None and self.client is not None and self.client.version is Version.MQTT_5:
            self._tls.send(encode(Disconnect(code), Version.MQTT_5))
        self._tls.close()
        self._flush()
        # Our half only: to close now, with bytes unread, would reset the connection and take
        # the last words back.
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset the connection, and the loop has yet to see it
            self._transport.abort()
        else:
            self._set_timer(LINGER, self._transport.abort)

    def reset(self, why: str) -> None:
        """Cut the connection as a network does that fails: no last words, a TCP reset."""
        self._close_down(DisconnectReason.CONNECTION_LOST, why)
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # --- within

    def _handle(self, packet: Packet) -> None:
        if self.client is not None:
            self.client.handle(packet)
            return
        assert isinstance(packet, Connect)  # decode lets nothing else be first
        assert self._tls.peer is not None  # there is no plaintext before the handshake
        self._client_id = packet.client_id
        try:
            admission = admit(packet, self._tls.peer, self._services.authorizer)
        except ConnectRefusedError as refusal:
            self.send(encode(refusal.connack, packet.version))
            self.end(DisconnectReason.AUTH_ERROR, str(refusal))
            return
        self._patience = admission.keep_alive * 1.5
        self._set_timer(self._patience, self._check_keep_alive)
        self.client = Client(self, self._services, admission, self._ip_address)

    def _answer_malformed(self, error: PacketError) -> None:
        if self.client is None and error.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
            # In the words of 3.1.1, whose second byte every client reads as the return code.
            self.send(encode(Connack(False, 1), Version.MQTT_3_1_1))
        self.end(DisconnectReason.CLIENT_ERROR, str(error), error.reason)

    def _check_keep_alive(self) -> None:
        left = self._heard + self._patience - self._loop.time()
        if left > 0:
            self._set_timer(left, self._check_keep_alive)
        else:
            self.end(
                DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT,
                f"nothing heard for {self._patience:g} s",
                Reason.KEEP_ALIVE_TIMEOUT,
            )

    def _close_down(self, reason: DisconnectReason, why: str) -> None:
        """Once: what the rest of the account has to know of the end."""
        if self.ended:
            return
        self.ended = True
        self._timer.cancel()
        if self.client is not None:
            self.client.left(reason, why)
        else:
            self._services.timeline.record(
                "iot-core",
                "refused",
                client_id=self._client_id,
                principal=self._tls.presented,
                why=why,
            )

    def _set_timer(self, seconds: float, action: Callable[[], object]) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, action)

    def _flush(self) -> None:
        self._transport.write(self._tls.outgoing())
