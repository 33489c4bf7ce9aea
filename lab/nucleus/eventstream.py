"""The event-stream RPC wire format of Greengrass IPC: one message to bytes and back.

A message, big-endian: total length u32, headers' length u32, CRC-32 of these 8 bytes,
headers, payload, CRC-32 of everything before. Nothing here knows what a message means.
Source: the vnd.amazon.event-stream encoding, as aws-c-event-stream speaks it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

# The limits of aws-c-event-stream.
MAX_MESSAGE = 24 * 1024 * 1024
MAX_HEADERS = 128 * 1024
_MAX_NAME = 127
_MAX_TEXT = 32767

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_INT32 = struct.Struct(">i")
_LENGTH = struct.Struct(">H")
_OVERHEAD = _PRELUDE.size + _CRC.size + _CRC.size
_INT32_KIND = 4
_BYTES_KIND = 6
_TEXT_KIND = 7
# Bytes of a value by kind: true, false, byte, int16, int32, int64, timestamp, UUID.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class EventStreamError(ValueError):
    """These bytes are no event-stream message, or one that is over the limits."""


class MessageType(IntEnum):
    """``:message-type``."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


# ``:message-flags``
CONNECTION_ACCEPTED = 1
TERMINATE_STREAM = 2


class Opaque(NamedTuple):
    """A header value of a kind that Greengrass IPC does not use: kept, not interpreted."""

    kind: int
    value: bytes


Value = int | str | Opaque


@dataclass(frozen=True)
class Message:
    """One message; ``headers`` without the three that every message has (type, flags, stream).

    An int header is an int32 on the wire.
    """

    type: MessageType
    stream: int = 0
    flags: int = 0
    headers: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """The bytes of a message. Raises EventStreamError if it does not fit the format."""
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":message-type", int(message.type)),
            (":message-flags", message.flags),
            (":stream-id", message.stream),
            *message.headers.items(),
        )
    )
    total = _OVERHEAD + len(headers) + len(message.payload)
    _check_lengths(total, len(headers), MAX_MESSAGE)
    prelude = _PRELUDE.pack(total, len(headers))
    frame = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), headers, message.payload))
    return frame + _CRC.pack(zlib.crc32(frame))


def decode(frame: bytes) -> Message:
    """The one message that these bytes are. Raises EventStreamError."""
    decoder = Decoder()
    messages = list(decoder.feed(frame))
    if len(messages) != 1 or decoder.waiting:
        raise EventStreamError("not exactly one message")
    return messages[0]


class Decoder:
    """Messages out of a byte stream that comes in pieces of any size.

    A length is believed only after its CRC was checked, so at most one message of
    ``limit`` bytes (the whole message, lengths and CRCs included) waits here.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """How many bytes of an unfinished message are here."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that ``data`` completes, in order.

        Raises EventStreamError at the first that is wrong; the stream is then of no
        more use, since nothing says where the next message begins.
        """
        self._buffer += data
        while len(self._buffer) >= _PRELUDE.size + _CRC.size:
            total, headers_length = _PRELUDE.unpack_from(self._buffer)
            (crc,) = _CRC.unpack_from(self._buffer, _PRELUDE.size)
            if zlib.crc32(self._buffer[: _PRELUDE.size]) != crc:
                raise EventStreamError("the lengths do not match their CRC")
            _check_lengths(total, headers_length, self._limit)
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _message(frame, headers_length)


def _check_lengths(total: int, headers_length: int, limit: int) -> None:
    if headers_length > MAX_HEADERS:
        raise EventStreamError(f"{headers_length} bytes of headers; the limit is {MAX_HEADERS}")
    if total < _OVERHEAD + headers_length:
        raise EventStreamError(f"{total} bytes in all, with {headers_length} of headers")
    if total > limit:
        raise EventStreamError(f"a message of {total} bytes; the limit is {limit}")


def _message(frame: bytes, headers_length: int) -> Message:
    (crc,) = _CRC.unpack_from(frame, len(frame) - _CRC.size)
    if zlib.crc32(frame[: -_CRC.size]) != crc:
        raise EventStreamError("the message does not match its CRC")
    begin = _PRELUDE.size + _CRC.size
    headers = _headers(frame[begin : begin + headers_length])
    number = _int32(headers, ":message-type")
    if number not in MessageType.__members__.values():
        raise EventStreamError(f"unknown message type {number}")
    return Message(
        type=MessageType(number),
        flags=_int32(headers, ":message-flags"),
        stream=_int32(headers, ":stream-id"),
        headers=headers,
        payload=frame[begin + headers_length : -_CRC.size],
    )


def _int32(headers: dict[str, Value], name: str) -> int:
    value = headers.pop(name, None)
    if not isinstance(value, int) or value < 0:
        raise EventStreamError(f"{name} is missing, negative or not an int32")
    return value


def _header(name: str, value: Value) -> bytes:
    name_bytes = name.encode()
    if not 1 <= len(name_bytes) <= _MAX_NAME:
        raise EventStreamError(f"a header name of {len(name_bytes)} bytes")
    if isinstance(value, Opaque):
        kind, body = value
        if kind == _BYTES_KIND:
            body = _sized(body)
        elif kind in (_INT32_KIND, _TEXT_KIND) or len(body) != _FIXED.get(kind):
            raise EventStreamError(f"{name}: {len(body)} bytes for kind {kind}")
    elif isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise EventStreamError(f"{name}: {value} is not an int32")
        kind, body = _INT32_KIND, _INT32.pack(value)
    else:
        kind, body = _TEXT_KIND, _sized(value.encode())
    return bytes((len(name_bytes),)) + name_bytes + bytes((kind,)) + body


def _sized(body: bytes) -> bytes:
    if len(body) > _MAX_TEXT:
        raise EventStreamError(f"a header value of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


def _headers(block: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        if at + size > len(block):
            raise EventStreamError("a header runs past the end of the headers")
        at += size
        return block[at - size : at]

    while at < len(block):
        size = take(1)[0]
        if not 1 <= size <= _MAX_NAME:
            raise EventStreamError(f"a header name of {size} bytes")
        name = _text(take(size))
        kind = take(1)[0]
        if kind in (_BYTES_KIND, _TEXT_KIND):
            (size,) = _LENGTH.unpack(take(_LENGTH.size))
            if size > _MAX_TEXT:
                raise EventStreamError(f"a header value of {size} bytes")
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise EventStreamError(f"unknown kind of header value: {kind}")
        body = take(size)
        if name in headers:
            raise EventStreamError("a header stands twice")
        if kind == _INT32_KIND:
            headers[name] = _INT32.unpack(body)[0]
        else:
            headers[name] = _text(body) if kind == _TEXT_KIND else Opaque(kind, body)
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EventStreamError("a header is not UTF-8") from error
