"""MQTT 3.1.1 and 5 packets to and from bytes: pure functions (OASIS MQTT 3.1.1 and 5.0).

PUBREC, PUBREL, PUBCOMP and AUTH are refused like any packet type that does not exist,
since AWS IoT Core has no QoS 2. Whatever is wrong with received bytes is a PacketError.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.iot_core import wire
from lab.iot_core.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from lab.iot_core.wire import (
    NO_PROPERTIES,
    PacketError,
    PacketType,
    Properties,
    Reader,
    Reason,
    read_properties,
)


def frame(buffer: bytes | bytearray, limit: int) -> tuple[int, bytes, int] | None:
    """The first packet in the buffer: its first byte, its body, and its whole length in bytes.

    None while it is incomplete. Raises PacketError for a length that is malformed or makes
    the packet longer than ``limit``, without waiting for the rest of it.
    """
    length = 0
    for position in range(1, min(len(buffer), 5)):
        length |= (buffer[position] & 0x7F) << (7 * (position - 1))
        if buffer[position] & 0x80:
            continue
        end = position + 1 + length
        if end > limit:
            raise PacketError(
                f"a packet of {end} bytes; {limit} are let in", Reason.PACKET_TOO_LARGE
            )
        if len(buffer) < end:
            return None
        return buffer[0], bytes(buffer[position + 1 : end]), end
    if len(buffer) >= 5:
        raise PacketError("the remaining length is longer than four bytes")
    return None


def decode(first_byte: int, body: bytes, version: Version | None) -> Packet:
    """The packet with this first byte and body; ``version`` is None until CONNECT tells it."""
    flags = first_byte & 0x0F
    reader = Reader(body)
    try:
        packet_type = PacketType(first_byte >> 4)
        decoder = _DECODERS[packet_type]
    except (ValueError, KeyError):
        raise PacketError(f"packet type {first_byte >> 4}", Reason.PROTOCOL_ERROR) from None
    if packet_type is PacketType.CONNECT:
        _no_flags(packet_type, flags)
        packet: Packet = _connect(reader)
    elif version is None:
        raise PacketError(f"{packet_type.name} before CONNECT", Reason.PROTOCOL_ERROR)
    else:
        if packet_type is not PacketType.PUBLISH:
            _no_flags(packet_type, flags)
        packet = decoder(reader, flags, version)
    if reader:
        raise PacketError(f"{packet_type.name} has bytes after its end")
    return packet


def _no_flags(packet_type: PacketType, flags: int) -> None:
    wanted = 2 if packet_type in (PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE) else 0
    if flags != wanted:
        raise PacketError(f"{packet_type.name} with flags {flags:#x}")


def _connect(reader: Reader) -> Connect:
    name = reader.text()
    level = reader.unsigned(1)
    if name != "MQTT" or level not in (4, 5):
        raise PacketError("neither MQTT 3.1.1 nor MQTT 5", Reason.UNSUPPORTED_PROTOCOL_VERSION)
    version = Version(level)
    flags = reader.unsigned(1)
    will_qos = flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (flags & 0x38 and not flags & 4):
        raise PacketError(f"CONNECT with connect flags {flags:#04x}")
    if version is Version.MQTT_3_1_1 and flags & 0x40 and not flags & 0x80:
        raise PacketError("CONNECT with a password and no user name")
    keep_alive = reader.unsigned(2)
    properties = _properties(reader, PacketType.CONNECT, version)
    client_id = reader.text()
    will = None
    if flags & 4:
        will_properties = _properties(reader, PacketType.WILL, version)
        will = Will(reader.text(), reader.binary(), will_qos, bool(flags & 0x20), will_properties)
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    return Connect(
        version, client_id, bool(flags & 2), keep_alive, will, username, password, properties
    )


def _properties(reader: Reader, packet: PacketType, version: Version) -> Properties:
    return read_properties(reader, packet) if version is Version.MQTT_5 else NO_PROPERTIES


def _packet_id(reader: Reader) -> int:
    packet_id = reader.unsigned(2)
    if packet_id == 0:
        raise PacketError("the packet identifier is 0", Reason.PROTOCOL_ERROR)
    return packet_id


def _publish(reader: Reader, flags: int, version: Version) -> Publish:
    qos = flags >> 1 & 3
    if qos == 3 or (flags & 8 and qos == 0):
        raise PacketError(f"PUBLISH with flags {flags:#x}")
    topic = reader.text()
    packet_id = _packet_id(reader) if qos else 0
    properties = _properties(reader, PacketType.PUBLISH, version)
    return Publish(
        topic, reader.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id, properties
    )


def _subscribe(reader: Reader, _flags: int, version: Version) -> Subscribe:
    packet_id = _packet_id(reader)
    properties = _properties(reader, PacketType.SUBSCRIBE, version)
    subscriptions = []
    while reader:
        topic_filter, options = reader.text(), reader.unsigned(1)
        reserved = 0xC0 if version is Version.MQTT_5 else 0xFC
        if options & reserved or options & 3 == 3 or options >> 4 & 3 == 3:
            raise PacketError(f"SUBSCRIBE with subscription options {options:#04x}")
        subscriptions.append(
            Subscription(
                topic_filter, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3
            )
        )
    if not subscriptions:
        raise PacketError("SUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return Subscribe(packet_id, tuple(subscriptions), properties)


def _unsubscribe(reader: Reader, _flags: int, version: Version) -> Unsubscribe:
    packet_id = _packet_id(reader)
    properties = _properties(reader, PacketType.UNSUBSCRIBE, version)
    filters = []
    while reader:
        filters.append(reader.text())
    if not filters:
        raise PacketError("UNSUBSCRIBE without a topic filter", Reason.PROTOCOL_ERROR)
    return Unsubscribe(packet_id, tuple(filters), properties)


def _connack(reader: Reader, _flags: int, version: Version) -> Connack:
    present = reader.unsigned(1)
    if present > 1:
        raise PacketError(f"CONNACK with acknowledge flags {present:#04x}")
    code = reader.unsigned(1)
    return Connack(bool(present), code, _properties(reader, PacketType.CONNACK, version))


def _puback(reader: Reader, _flags: int, version: Version) -> Puback:
    packet_id = _packet_id(reader)
    if version is not Version.MQTT_5 or not reader:
        return Puback(packet_id)
    reason = reader.unsigned(1)
    return Puback(packet_id, reason, _optional_properties(reader, PacketType.PUBACK))


def _optional_properties(reader: Reader, packet: PacketType) -> Properties:
    return read_properties(reader, packet) if reader else NO_PROPERTIES


def _suback(reader: Reader, _flags: int, version: Version) -> Suback:
    packet_id = _packet_id(reader)
    properties = _properties(reader, PacketType.SUBACK, version)
    return Suback(packet_id, tuple(reader.rest()), properties)


def _unsuback(reader: Reader, _flags: int, version: Version) -> Unsuback:
    packet_id = _packet_id(reader)
    properties = _properties(reader, PacketType.UNSUBACK, version)
    codes = tuple(reader.rest()) if version is Version.MQTT_5 else ()
    return Unsuback(packet_id, codes, properties)


def _disconnect(reader: Reader, _flags: int, version: Version) -> Disconnect:
    if version is not Version.MQTT_5 or not reader:
        return Disconnect()
    reason = reader.unsigned(1)
    return Disconnect(reason, _optional_properties(reader, PacketType.DISCONNECT))


_DECODERS: dict[PacketType, Callable[[Reader, int, Version], Packet]] = {
    PacketType.CONNECT: lambda reader, _flags, _version: _connect(reader),
    PacketType.CONNACK: _connack,
    PacketType.PUBLISH: _publish,
    PacketType.PUBACK: _puback,
    PacketType.SUBSCRIBE: _subscribe,
    PacketType.SUBACK: _suback,
    PacketType.UNSUBSCRIBE: _unsubscribe,
    PacketType.UNSUBACK: _unsuback,
    PacketType.PINGREQ: lambda _reader, _flags, _version: Pingreq(),
    PacketType.PINGRESP: lambda _reader, _flags, _version: Pingresp(),
    PacketType.DISCONNECT: _disconnect,
}


def encode(packet: Packet, version: Version) -> bytes:
    """The packet's bytes as that version writes them; MQTT 3.1.1 leaves properties out."""
    five = version is Version.MQTT_5
    flags = 0
    match packet:
        case Connect():
            packet_type, body = PacketType.CONNECT, _connect_body(packet)
        case Connack():
            packet_type = PacketType.CONNACK
            body = bytes([packet.session_present, packet.code])
            body += wire.properties(packet.properties) if five else b""
        case Publish():
            packet_type = PacketType.PUBLISH
            flags = packet.duplicate << 3 | packet.qos << 1 | packet.retain
            body = wire.text(packet.topic)
            body += wire.unsigned(packet.packet_id, 2) if packet.qos else b""
            body += wire.properties(packet.properties) if five else b""
            body += packet.payload
        case Puback():
            packet_type, body = PacketType.PUBACK, wire.unsigned(packet.packet_id, 2)
            body += _reason(packet) if five else b""
        case Subscribe():
            packet_type, flags = PacketType.SUBSCRIBE, 2
            filters = (wire.text(s.topic_filter) + _options(s) for s in packet.subscriptions)
            body = _identified(packet, version) + b"".join(filters)
        case Unsubscribe():
            packet_type, flags = PacketType.UNSUBSCRIBE, 2
            body = _identified(packet, version) + b"".join(map(wire.text, packet.topic_filters))
        case Suback():
            packet_type = PacketType.SUBACK
            body = _identified(packet, version) + bytes(packet.codes)
        case Unsuback():
            packet_type = PacketType.UNSUBACK
            body = _identified(packet, version) + (bytes(packet.codes) if five else b"")
        case Pingreq():
            packet_type, body = PacketType.PINGREQ, b""
        case Pingresp():
            packet_type, body = PacketType.PINGRESP, b""
        case Disconnect():
            packet_type, body = PacketType.DISCONNECT, _reason(packet) if five else b""
    return bytes([packet_type << 4 | flags]) + wire.varint(len(body)) + body


def _connect_body(packet: Connect) -> bytes:
    five = packet.version is Version.MQTT_5
    flags = packet.clean_start << 1
    payload = wire.text(packet.client_id)
    if packet.will is not None:
        flags |= 4 | packet.will.qos << 3 | packet.will.retain << 5
        payload += wire.properties(packet.will.properties) if five else b""
        payload += wire.text(packet.will.topic) + wire.binary(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
        payload += wire.text(packet.username)
    if packet.password is not None:
        flags |= 0x40
        payload += wire.binary(packet.password)
    head = wire.text("MQTT") + bytes([packet.version, flags]) + wire.unsigned(packet.keep_alive, 2)
    return head + (wire.properties(packet.properties) if five else b"") + payload


def _identified(packet: Subscribe | Suback | Unsubscribe | Unsuback, version: Version) -> bytes:
    head = wire.unsigned(packet.packet_id, 2)
    return head + (wire.properties(packet.properties) if version is Version.MQTT_5 else b"")


def _reason(packet: Puback | Disconnect) -> bytes:
    if packet.properties != NO_PROPERTIES:
        return bytes([packet.reason]) + wire.properties(packet.properties)
    return bytes([packet.reason]) if packet.reason else b""


def _options(s: Subscription) -> bytes:
    return bytes([s.qos | s.no_local << 2 | s.retain_as_published << 3 | s.retain_handling << 4])
