"""MQTT's data types and MQTT 5 properties, to and from bytes (OASIS MQTT 5.0, 1.5 and 2.2.2).

Knows nothing of packets but which properties each may carry. Whatever is wrong with
the bytes is a PacketError that bears the reason code to answer with.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

VARINT_MAXIMUM = 268_435_455


class Reason(IntEnum):
    """The MQTT 5 reason codes that this endpoint sends or understands (OASIS MQTT 5.0, 2.4)."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    DISCONNECT_WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    NOT_AUTHORIZED = 0x87
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1


class PacketError(ValueError):
    """Bytes that are not the MQTT they should be; ``reason`` is the code to answer with."""

    def __init__(self, why: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(why)
        self.reason = reason


class PacketType(IntEnum):
    """The high four bits of a packet's first byte; WILL stands for a CONNECT's will properties."""

    WILL = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Reader:
    """Takes MQTT values off the front of some bytes; PacketError when they end too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise PacketError("the packet ends in the middle of a field")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        value = 0
        for position in range(4):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << (7 * position)
            if not byte & 0x80:
                if position and not byte:
                    raise PacketError("a variable byte integer is longer than it needs to be")
                return value
        raise PacketError("a variable byte integer is longer than four bytes")

    def binary(self) -> bytes:
        return self.take(self.unsigned(2))

    def text(self) -> str:
        try:
            text = self.binary().decode("utf-8")
        except UnicodeDecodeError:
            raise PacketError("a string is not UTF-8") from None
        if "\0" in text:
            raise PacketError("a string contains U+0000")
        return text


def unsigned(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def varint(value: int) -> bytes:
    if value > VARINT_MAXIMUM:
        raise PacketError("too large for a variable byte integer", Reason.PACKET_TOO_LARGE)
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


def binary(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise PacketError("longer than 65,535 bytes", Reason.PACKET_TOO_LARGE)
    return unsigned(len(value), 2) + value


def text(value: str) -> bytes:
    return binary(value.encode("utf-8"))


@dataclass(frozen=True)
class Properties:
    """MQTT 5 properties by name; None (or no user properties) is what was not sent."""

    payload_format: int | None = None
    message_expiry: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifier: int | None = None
    session_expiry: int | None = None
    assigned_client_identifier: str | None = None
    server_keep_alive: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    maximum_packet_size: int | None = None
    wildcard_subscription_available: int | None = None
    subscription_identifiers_available: int | None = None
    shared_subscription_available: int | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


NO_PROPERTIES = Properties()

_T = PacketType
_MESSAGE = {_T.PUBLISH, _T.WILL}
_ANSWER = {_T.CONNACK, _T.PUBACK, _T.SUBACK, _T.UNSUBACK, _T.DISCONNECT}
# identifier: (name, how it is encoded, who may carry it), from OASIS MQTT 5.0, table 2-4
_TABLE: dict[int, tuple[str, str, set[PacketType]]] = {
    0x01: ("payload_format", "bool", _MESSAGE),
    0x02: ("message_expiry", "u32", _MESSAGE),
    0x03: ("content_type", "text", _MESSAGE),
    0x08: ("response_topic", "text", _MESSAGE),
    0x09: ("correlation_data", "binary", _MESSAGE),
    0x0B: ("subscription_identifier", "varint", {_T.PUBLISH, _T.SUBSCRIBE}),
    0x11: ("session_expiry", "u32", {_T.CONNECT, _T.CONNACK, _T.DISCONNECT}),
    0x12: ("assigned_client_identifier", "text", {_T.CONNACK}),
    0x13: ("server_keep_alive", "u16", {_T.CONNACK}),
    0x15: ("authentication_method", "text", {_T.CONNECT, _T.CONNACK}),
    0x16: ("authentication_data", "binary", {_T.CONNECT, _T.CONNACK}),
    0x17: ("request_problem_information", "bool", {_T.CONNECT}),
    0x18: ("will_delay", "u32", {_T.WILL}),
    0x19: ("request_response_information", "bool", {_T.CONNECT}),
    0x1A: ("response_information", "text", {_T.CONNACK}),
    0x1C: ("server_reference", "text", {_T.CONNACK, _T.DISCONNECT}),
    0x1F: ("reason_string", "text", _ANSWER),
    0x21: ("receive_maximum", "u16", {_T.CONNECT, _T.CONNACK}),
    0x22: ("topic_alias_maximum", "u16", {_T.CONNECT, _T.CONNACK}),
    0x23: ("topic_alias", "u16", {_T.PUBLISH}),
    0x24: ("maximum_qos", "bool", {_T.CONNACK}),
    0x25: ("retain_available", "bool", {_T.CONNACK}),
    0x26: ("user_properties", "pair", set(PacketType) - {_T.PINGREQ, _T.PINGRESP}),
    0x27: ("maximum_packet_size", "u32", {_T.CONNECT, _T.CONNACK}),
    0x28: ("wildcard_subscription_available", "bool", {_T.CONNACK}),
    0x29: ("subscription_identifiers_available", "bool", {_T.CONNACK}),
    0x2A: ("shared_subscription_available", "bool", {_T.CONNACK}),
}
_IDENTIFIERS = {name: (identifier, kind) for identifier, (name, kind, _) in _TABLE.items()}
_NEVER_ZERO = {"receive_maximum", "maximum_packet_size", "subscription_identifier"}


def read_properties(reader: Reader, packet: PacketType) -> Properties:
    """The properties at the reader's position; PacketError if ``packet`` may not carry them."""
    block = Reader(reader.take(reader.varint()))
    found: dict[str, Any] = {}
    users: list[tuple[str, str]] = []
    while block:
        identifier = block.varint()
        if identifier not in _TABLE:
            raise PacketError(f"there is no property {identifier:#04x}")
        name, kind, packets = _TABLE[identifier]
        if packet not in packets:
            raise PacketError(f"{packet.name} carries no {name}", Reason.PROTOCOL_ERROR)
        if kind == "pair":
            users.append((block.text(), block.text()))
            continue
        if name in found:
            raise PacketError(f"{name} is there twice", Reason.PROTOCOL_ERROR)
        found[name] = _read_value(block, kind)
        if found[name] == 0 and name in _NEVER_ZERO:
            raise PacketError(f"{name} is 0", Reason.PROTOCOL_ERROR)
    return Properties(**found, user_properties=tuple(users))


def _read_value(reader: Reader, kind: str) -> int | str | bytes:
    if kind == "text":
        return reader.text()
    if kind == "binary":
        return reader.binary()
    if kind == "varint":
        return reader.varint()
    if kind == "bool":
        value = reader.unsigned(1)
        if value > 1:
            raise PacketError(f"{value} stands where only 0 or 1 may", Reason.PROTOCOL_ERROR)
        return value
    return reader.unsigned(_SIZES[kind])


_SIZES = {"bool": 1, "u16": 2, "u32": 4}


def properties(values: Properties) -> bytes:
    """The property block with its length."""
    block = bytearray()
    for field in fields(values):
        value = getattr(values, field.name)
        if value is None:
            continue
        identifier, kind = _IDENTIFIERS[field.name]
        if kind == "pair":
            for key, content in value:
                block += varint(identifier) + text(key) + text(content)
        else:
            block += varint(identifier) + _value(value, kind)
    return varint(len(block)) + bytes(block)


def _value(value: Any, kind: str) -> bytes:
    if kind == "text":
        return text(value)
    if kind == "binary":
        return binary(value)
    if kind == "varint":
        return varint(value)
    return unsigned(value, _SIZES[kind])
