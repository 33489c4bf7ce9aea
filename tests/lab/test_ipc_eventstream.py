"""The event-stream wire format."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.nucleus.eventstream import (
    MAX_HEADERS,
    Decoder,
    EventStreamError,
    Message,
    MessageType,
    Opaque,
    decode,
    encode,
)

_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 5: 8, 8: 8, 9: 16}
names = st.text(min_size=1, max_size=40).filter(
    lambda name: (
        len(name.encode()) <= 127 and name not in (":message-type", ":message-flags", ":stream-id")
    )
)
opaque = st.one_of(
    st.binary(max_size=40).map(lambda value: Opaque(6, value)),
    st.sampled_from(sorted(_SIZES)).flatmap(
        lambda kind: st.binary(min_size=_SIZES[kind], max_size=_SIZES[kind]).map(
            lambda value: Opaque(kind, value)
        )
    ),
)
values = st.one_of(st.integers(-(2**31), 2**31 - 1), st.text(max_size=60), opaque)
messages = st.builds(
    Message,
    type=st.sampled_from(MessageType),
    stream=st.integers(0, 2**31 - 1),
    flags=st.integers(0, 2**31 - 1),
    headers=st.dictionaries(names, values, max_size=6),
    payload=st.binary(max_size=200),
)


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    """Decoding what was encoded gives the same message."""
    assert decode(encode(message)) == message


@given(st.lists(messages, max_size=5), st.data())
def test_messages_are_found_in_pieces_of_any_size(sent: list[Message], data: st.DataObject) -> None:
    """However the bytes are cut, the same messages come out in the same order."""
    stream = b"".join(encode(message) for message in sent)
    decoder, received = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += list(decoder.feed(stream[:size]))
        stream = stream[size:]
    assert received == sent
    assert decoder.waiting == 0


@given(messages, st.data())
def test_a_changed_byte_never_passes(message: Message, data: st.DataObject) -> None:
    """A message with one byte changed anywhere is refused, or is not complete yet."""
    frame = bytearray(encode(message))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EventStreamError):
        decode(bytes(frame))


@given(messages, st.integers(0, 11), st.integers(1, 255))
def test_a_changed_length_is_refused_at_once(message: Message, position: int, flip: int) -> None:
    """Nobody waits for the bytes that a damaged length announces."""
    frame = bytearray(encode(message))
    frame[position] ^= flip
    with pytest.raises(EventStreamError):
        list(Decoder().feed(bytes(frame[:12])))


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waits(garbage: bytes) -> None:
    """Random bytes raise EventStreamError and nothing else, or are too short to judge."""
    decoder = Decoder()
    try:
        assert list(decoder.feed(garbage)) == []
    except EventStreamError:
        return
    assert decoder.waiting < 12


@given(st.binary(max_size=80))
def test_garbage_with_right_crcs_is_refused(block: bytes) -> None:
    """Headers that are garbage inside a sound frame raise EventStreamError and nothing else."""
    prelude = struct.pack(">II", 16 + len(block), len(block))
    frame = prelude + struct.pack(">I", zlib.crc32(prelude)) + block
    with pytest.raises(EventStreamError):
        decode(frame + struct.pack(">I", zlib.crc32(frame)))


def test_an_empty_message_is_these_bytes() -> None:
    """The layout is the documented one: lengths, CRC, headers by name, type and value, CRC."""
    frame = encode(Message(MessageType.CONNECT_ACK, flags=1))
    headers = (
        b"\x0d:message-type\x04\x00\x00\x00\x05"
        b"\x0e:message-flags\x04\x00\x00\x00\x01"
        b"\x0a:stream-id\x04\x00\x00\x00\x00"
    )
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers
    assert frame == body + struct.pack(">I", zlib.crc32(body))


def test_a_message_over_the_limit_is_refused_by_its_length_alone() -> None:
    """The decoder does not wait for the rest of a message that is too large."""
    frame = encode(Message(MessageType.PING, payload=bytes(1000)))
    assert list(Decoder(limit=len(frame)).feed(frame))
    with pytest.raises(EventStreamError, match="the limit is"):
        list(Decoder(limit=len(frame) - 1).feed(frame[:12]))


def test_headers_over_the_limit_are_refused() -> None:
    """More headers than the client's own library takes cannot be sent."""
    headers = {f"h{number}": "x" * 32767 for number in range(MAX_HEADERS // 32767 + 1)}
    with pytest.raises(EventStreamError, match="of headers; the limit is"):
        encode(Message(MessageType.PING, headers=headers))


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.PING, stream=2**31),
        Message(MessageType.PING, stream=-1),
        Message(MessageType.PING, headers={"": 1}),
        Message(MessageType.PING, headers={"n" * 128: 1}),
        Message(MessageType.PING, headers={"n": "x" * 32768}),
        Message(MessageType.PING, headers={"n": Opaque(5, b"short")}),
        Message(MessageType.PING, headers={"n": Opaque(4, b"1234")}),
        Message(MessageType.PING, headers={"n": Opaque(10, b"")}),
        Message(MessageType.PING, headers={":stream-id": 1}),
    ],
)
def test_what_does_not_fit_the_format_is_not_sent(message: Message) -> None:
    """Encoding refuses a message that no decoder would read back as it is."""
    with pytest.raises(EventStreamError):
        decode(encode(message))
