"""One client of the nucleus's IPC socket: it says who it is, then asks on streams.

Each request runs in a task of its own, so one that is never answered holds up no other.
Operations know nothing of messages, and this file nothing of what operations do.

Sources: ``ServiceOperationMappingContinuationHandler`` and ``OperationContinuationHandler``
of the event-stream RPC server that classic uses; ``ipc_server.c`` of lite, which ends a
connection where classic answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import cast

from lab.nucleus.eventstream import (
    CONNECTION_ACCEPTED,
    MAX_MESSAGE,
    TERMINATE_STREAM,
    Decoder,
    EventStreamError,
    Message,
    MessageType,
    encode,
)
from lab.nucleus.ipc_stream import Stream
from lab.nucleus.operations import (
    PREFIX,
    UNSERVED,
    IpcError,
    MalformedRequest,
    Nucleus,
    Operation,
    parse_request,
)

# Lite reads what follows the prelude into a buffer of 10,000 bytes.
LITE_MAX_MESSAGE = 12 + 10_000
# Against a client that opens streams without end, or reads nothing of what is sent.
MAX_STREAMS = 1000
MAX_UNREAD = 32 * 1024 * 1024

Authenticate = Callable[[str], str | None]
Serve = Callable[[str], Operation | None]


class Connection(asyncio.Protocol):
    """The server's end of one client's connection.

    ``authenticate`` gives the component of a token, ``serve`` the operation of a name
    (without ``aws.greengrass#``); ``made`` and ``lost`` hear once that it came and went.
    """

    def __init__(
        self,
        nucleus: Nucleus,
        authenticate: Authenticate,
        serve: Serve,
        made: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.token: str | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._nucleus = nucleus
        self._authenticate = authenticate
        self._serve = serve
        self._made = made
        self._lost = lost
        self._component: str | None = None
        self._refused = False
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._reason = "closed by the client"
        self._decoder = Decoder(MAX_MESSAGE if nucleus.classic else LITE_MAX_MESSAGE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there; it has said nothing yet."""
        self._transport = cast(asyncio.Transport, transport)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        try:
            for message in self._decoder.feed(data):
                if self._transport.is_closing():
                    return
                self._receive(message)
        except EventStreamError as error:
            self._break_off(f"not the event-stream protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more, for whatever reason."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.end()
        if self._component is not None:
            self._nucleus.record("ipc-disconnected", component=self._component, reason=self._reason)
        self._lost(self)
        self.gone.set_result(None)

    def close(self, reason: str) -> None:
        """Cut the connection at once."""
        if self._transport.is_closing():
            return
        self._reason = reason
        self._transport.abort()

    def send(self, message: Message) -> None:
        """To the client, unless it is gone."""
        if self._transport.is_closing():
            return
        self._transport.write(encode(message))
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self.close("it does not read what it is sent")

    def _receive(self, message: Message) -> None:
        if self._component is None:
            self._connect(message)
        elif message.stream == 0:
            self._protocol_message(message)
        elif message.flags & TERMINATE_STREAM:
            self._end(message.stream)
        elif message.type is not MessageType.APPLICATION_MESSAGE:
            self._protocol_error(f"{message.type.name} on a stream")
        elif message.stream not in self._streams:
            self._open(message)
        # No operation takes more than the one request on its stream.

    def _connect(self, message: Message) -> None:
        if self._refused or message.type is not MessageType.CONNECT or message.stream != 0:
            self._break_off("it did not connect first")
            return
        reason = self._why_refused(message)
        if reason is None:
            self._nucleus.record("ipc-connected", component=self._component)
            self.send(Message(MessageType.CONNECT_ACK, flags=CONNECTION_ACCEPTED))
        elif self._nucleus.classic:
            self._refused = True
            self._nucleus.record("ipc-refused", reason=reason)
            self.send(Message(MessageType.CONNECT_ACK))
        else:
            self._break_off(reason)

    def _break_off(self, reason: str) -> None:
        """Close for what the client did."""
        if self._component is None and not self._refused:
            self._nucleus.record("ipc-refused", reason=reason)
        self.close(reason)

    def _why_refused(self, message: Message) -> str | None:
        if message.headers.get(":version") != "0.1.0":
            return "not protocol version 0.1.0"
        try:
            token = parse_request(message.payload).text("authToken")
        except MalformedRequest:
            return "malformed authentication"
        self._component = None if token is None else self._authenticate(token)
        if self._component is None:
            return "no running component has this token"
        self.token = token
        return None

    def _protocol_message(self, message: Message) -> None:
        if message.type is MessageType.PING and self._nucleus.classic:
            headers = {k: v for k, v in message.headers.items() if not k.startswith(":")}
            self.send(Message(MessageType.PING_RESPONSE, headers=headers, payload=message.payload))
        elif message.type is not MessageType.PING_RESPONSE:
            self._protocol_error(f"{message.type.name} where none is expected")

    def _protocol_error(self, reason: str) -> None:
        self.send(Message(MessageType.PROTOCOL_ERROR))
        self.close(reason)

    def _open(self, message: Message) -> None:
        operation = message.headers.get("operation")
        if message.stream <= self._last_stream or not isinstance(operation, str):
            self._protocol_error("a stream that was not opened, or not by an operation")
            return
        if len(self._streams) >= MAX_STREAMS:
            self._protocol_error(f"more than {MAX_STREAMS} streams")
            return
        self._last_stream = message.stream
        assert self._component is not None
        stream = self._streams[message.stream] = Stream(self.send, message.stream, self._component)
        stream.task = asyncio.get_running_loop().create_task(
            self._run(stream, message.stream, operation, message.payload)
        )
        stream.task.add_done_callback(self._finished)

    async def _run(self, stream: Stream, number: int, operation: str, payload: bytes) -> None:
        keep = False
        known = operation.startswith(PREFIX)
        served = self._serve(operation.removeprefix(PREFIX)) if known else None
        try:
            if served is None:
                raise self._unserved(operation)
            stream.request = parse_request(payload)
            answer = await served.handle(stream)
            keep = served.streams
            # Lite leaves it to the client to end the stream.
            flags = TERMINATE_STREAM if self._nucleus.classic and not keep else 0
            stream.answer(f"{operation.removeprefix(PREFIX)}Response", answer, flags=flags)
        except _UnknownOperation:
            text = {"error": "Unsupported Operation", "message": f"{operation} is unsupported"}
            stream.fail_unmodelled("application/json", json.dumps(text).encode())
        except MalformedRequest as error:
            self._nucleus.record(
                "ipc-malformed",
                component=stream.component,
                operation=operation,
                reason=str(error),
            )
            if self._nucleus.classic:
                stream.fail_unmodelled("text/plain", b"InternalServerError")
            else:
                self._fail(stream, IpcError("ServiceError", "Received invalid parameters."))
        except IpcError as error:
            self._fail(stream, error)
        finally:
            stream.task = None
            if not keep:
                self._end(number)

    def _unserved(self, operation: str) -> Exception:
        if not self._nucleus.classic:
            return IpcError("ServiceError")
        if operation.startswith(PREFIX) and operation.removeprefix(PREFIX) in UNSERVED:
            return IpcError("ServiceError", f"Operation {operation} is not supported by Greengrass")
        return _UnknownOperation()

    def _fail(self, stream: Stream, error: IpcError) -> None:
        if self._nucleus.classic:
            stream.fail(error.model, {"message": error.message})
        else:
            stream.fail(error.model, {"_message": error.message, "_errorCode": error.model})

    def _end(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.end()

    def _finished(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        # A fault of the lab itself: loud, and the client must not wait for ever.
        asyncio.get_running_loop().call_exception_handler(
            {"message": "an IPC operation failed", "exception": task.exception(), "task": task}
        )
        self.send(Message(MessageType.INTERNAL_ERROR))
        self.close("a fault of the lab")


class _UnknownOperation(Exception):
    """Not even in the nucleus's model."""
