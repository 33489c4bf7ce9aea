"""One TCP connection: TLS if there is any, requests out of bytes, one answer at a time.

Answers are made on worker threads, since who makes them may wait; the loop never does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from lab.https.message import Request, RequestReader, RequestRefused, Response, encode, failed
from lab.iot_core.tls import PeerCertificate, TlsRefusedError, TlsServer
from lab.timeline import Timeline

LINGER = 1.0  # seconds that a peer gets to read the last words

Serve = Callable[[Request, PeerCertificate | None], Response]


@dataclass(frozen=True)
class Service:
    """What all connections to a port share.

    ``serve`` is called on a thread of ``workers``, with the certificate if there is TLS.
    ``source`` is who speaks in the timeline; ``patience`` in seconds is for a whole request.
    """

    source: str
    serve: Serve
    workers: concurrent.futures.Executor
    timeline: Timeline
    patience: float


class HttpConnection(asyncio.Protocol):
    def __init__(
        self, tls: TlsServer | None, service: Service, roster: dict[HttpConnection, None]
    ) -> None:
        """Stands in ``roster`` until the TCP connection is closed."""
        self._tls = tls
        self._service = service
        self._roster = roster
        self._roster[self] = None
        self._reader = RequestReader()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._made = False
        self._busy = False
        self._ended = False

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._made = True
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._service.patience, self._tired)
        if self._ended:  # reset between accept and now
            self.reset()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            self._reader.feed(data if self._tls is None else self._tls.receive(data))
        except TlsRefusedError as refusal:
            self._refused(str(refusal))
            return
        self._flush()
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._timer.cancel()
        del self._roster[self]

    # --- the listener's side

    def reset(self) -> None:
        """Cut the connection as a network does that fails: no last words, a TCP reset."""
        self._ended = True
        if not self._made:
            return
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # --- within

    def _advance(self) -> None:
        """Begin the next request, if it is whole and none is being answered."""
        if self._busy or self._ended:
            return
        try:
            request = self._reader.next()
        except RequestRefused as refusal:
            self._send(failed(refusal.status, "InvalidRequestException", str(refusal)), last=True)
            return
        if request is None:
            return
        self._busy = True
        self._timer.cancel()
        self._transport.pause_reading()  # so that nobody fills the memory meanwhile
        peer = None if self._tls is None else self._tls.peer
        answer = self._loop.run_in_executor(
            self._service.workers, self._service.serve, request, peer
        )
        answer.add_done_callback(lambda done: self._answer(request, peer, done))

    def _answer(
        self, request: Request, peer: PeerCertificate | None, done: asyncio.Future[Response]
    ) -> None:
        self._busy = False
        error = done.exception()
        if error is None:
            response = done.result()
        else:
            response = failed(500, "InternalFailureException", "the lab failed: see its log")
            self._loop.call_exception_handler({"message": "no answer", "exception": error})
        details = {} if peer is None else {"principal": peer.certificate_id}
        if response.error is not None:
            details["error"] = response.error
        self._service.timeline.record(
            self._service.source,
            "request",
            method=request.method,
            path="/" + "/".join(request.path),
            status=response.status,
            **details,
        )
        if self._ended:
            return
        self._send(response, last=request.last)
        if not request.last:
            self._timer = self._loop.call_later(self._service.patience, self._tired)
            self._transport.resume_reading()
            self._advance()

    def _send(self, response: Response, *, last: bool) -> None:
        data = encode(response, last=last)
        if self._tls is None:
            self._transport.write(data)
        else:
            self._tls.send(data)
            self._flush()
        if last:
            self._end()

    def _tired(self) -> None:
        self._refused(f"no whole request within {self._service.patience:g} s")

    def _refused(self, why: str) -> None:
        principal = None if self._tls is None else self._tls.presented
        self._service.timeline.record(self._service.source, "refused", principal=principal, why=why)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._timer.cancel()
        if self._tls is not None:
            self._tls.close()
            self._flush()
        # Our half only: to close now, with bytes unread, would reset the connection and take
        # the last words back.
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset the connection, and the loop has yet to see it
            self._transport.abort()
        else:
            self._transport.resume_reading()  # or the end of the peer's half is never seen
            self._timer = self._loop.call_later(LINGER, self._transport.abort)

    def _flush(self) -> None:
        if self._tls is not None:
            self._transport.write(self._tls.outgoing())
