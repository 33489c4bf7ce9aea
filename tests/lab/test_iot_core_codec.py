"""MQTT packets to and from bytes: what is encoded decodes, and garbage is one kind of error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.iot_core.codec import decode, encode, frame
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
    _TABLE,
    NO_PROPERTIES,
    PacketError,
    PacketType,
    Properties,
    Reason,
)

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
blobs = st.binary(max_size=40)
ids = st.integers(1, 0xFFFF)
bits = st.integers(0, 1)
_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bool": bits,
    "u16": ids,
    "u32": st.integers(1, 0xFFFFFFFF),
    "varint": st.integers(1, 268_435_455),
    "text": texts,
    "binary": blobs,
    "pair": st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
}


def properties(packet: PacketType) -> st.SearchStrategy[Properties]:
    """Any properties that the packet may carry."""
    return st.fixed_dictionaries(
        {},
        optional={
            name: _KINDS[kind] for name, kind, packets in _TABLE.values() if packet in packets
        },
    ).map(lambda values: Properties(**values))


T = PacketType
wills = st.builds(Will, texts, blobs, st.integers(0, 2), st.booleans(), properties(T.WILL))
subscriptions = st.builds(
    Subscription, texts, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2)
)
published = st.builds(
    Publish,
    topic=texts,
    payload=blobs,
    qos=st.integers(1, 2),
    retain=st.booleans(),
    duplicate=st.booleans(),
    packet_id=ids,
    properties=properties(T.PUBLISH),
)
connects = st.builds(
    Connect,
    st.just(FIVE),
    texts,
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.none() | wills,
    st.none() | texts,
    st.none() | blobs,
    properties(T.CONNECT),
)
codes = st.lists(st.integers(0, 255), min_size=1, max_size=4).map(tuple)
five_packets: st.SearchStrategy[Packet] = st.one_of(
    connects,
    st.builds(Connack, st.booleans(), st.integers(0, 255), properties(T.CONNACK)),
    published,
    published.map(lambda p: replace(p, qos=0, duplicate=False, packet_id=0)),
    st.builds(Puback, ids, st.integers(0, 255), properties(T.PUBACK)),
    st.builds(
        Subscribe,
        ids,
        st.lists(subscriptions, min_size=1, max_size=3).map(tuple),
        properties(T.SUBSCRIBE),
    ),
    st.builds(Suback, ids, codes, properties(T.SUBACK)),
    st.builds(
        Unsubscribe,
        ids,
        st.lists(texts, min_size=1, max_size=3).map(tuple),
        properties(T.UNSUBSCRIBE),
    ),
    st.builds(Unsuback, ids, codes, properties(T.UNSUBACK)),
    st.just(Pingreq()),
    st.just(Pingresp()),
    st.builds(Disconnect, st.integers(0, 255), properties(T.DISCONNECT)),
)


def as_three(packet: Packet) -> Packet:
    """What is left of an MQTT 5 packet in MQTT 3.1.1."""
    if not isinstance(packet, Pingreq | Pingresp):
        packet = replace(packet, properties=NO_PROPERTIES)
    match packet:
        case Connect():
            will = packet.will and replace(packet.will, properties=NO_PROPERTIES)
            password = packet.password if packet.username is not None else None
            return replace(packet, version=THREE, will=will, password=password)
        case Puback():
            return Puback(packet.packet_id)
        case Unsuback():
            return Unsuback(packet.packet_id)
        case Disconnect():
            return Disconnect()
        case Subscribe():
            plain = tuple(Subscription(s.topic_filter, s.qos) for s in packet.subscriptions)
            return replace(packet, subscriptions=plain)
    return packet


def there_and_back(packet: Packet, version: Version) -> Packet:
    data = encode(packet, version)
    framed = frame(data + b"next", len(data))
    assert framed is not None
    first_byte, body, length = framed
    assert length == len(data)
    return decode(first_byte, body, version)


@given(five_packets)
def test_mqtt_5_there_and_back(packet: Packet) -> None:
    """Whatever MQTT 5 packet is encoded decodes to the same packet."""
    assert there_and_back(packet, FIVE) == packet


@given(five_packets.map(as_three))
def test_mqtt_3_1_1_there_and_back(packet: Packet) -> None:
    """Whatever MQTT 3.1.1 packet is encoded decodes to the same packet."""
    assert there_and_back(packet, THREE) == packet


def test_every_property_has_its_name() -> None:
    """The table of properties and the fields of Properties are the same list."""
    assert {name for name, _, _ in _TABLE.values()} == {f.name for f in fields(Properties)}


@given(st.binary(max_size=200), st.sampled_from([THREE, FIVE, None]))
def test_garbage_is_a_packet_error(data: bytes, version: Version | None) -> None:
    """Bytes from anywhere are a packet, are incomplete, or are a PacketError; nothing else."""
    with suppress(PacketError):
        framed = frame(data, 1000)
        if framed is not None:
            decode(framed[0], framed[1], version)


@given(five_packets, st.data())
def test_a_damaged_packet_is_a_packet_error(packet: Packet, data: st.DataObject) -> None:
    """A packet with one byte changed or its end cut off decodes or is a PacketError."""
    encoded = bytearray(encode(packet, FIVE))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    damaged = bytes(encoded[: data.draw(st.integers(1, len(encoded)))])
    with suppress(PacketError):
        framed = frame(damaged, 1000)
        if framed is not None:
            decode(framed[0], framed[1], FIVE)
        decode(damaged[0], damaged[2:], FIVE)


def test_a_packet_in_pieces_is_waited_for() -> None:
    """No prefix of a packet is taken for the packet."""
    data = encode(Publish("t", b"x" * 300), FIVE)
    assert [frame(data[:end], 1000) for end in range(len(data))] == [None] * len(data)


def test_too_long_is_refused_by_its_header() -> None:
    """A length over the limit is an error at once, without the packet; at the limit it is none."""
    with pytest.raises(PacketError) as caught:
        frame(bytes.fromhex("30ffffff7f"), 149_504)
    assert caught.value.reason is Reason.PACKET_TOO_LARGE
    assert frame(bytes([0x30, 98]) + bytes(98), 100) is not None
    with pytest.raises(PacketError):
        frame(bytes([0x30, 99]), 100)


@pytest.mark.parametrize(
    ("data", "version", "reason"),
    [
        ("30ffffffff01", FIVE, Reason.MALFORMED_PACKET),  # five bytes of length
        ("0000", FIVE, Reason.PROTOCOL_ERROR),  # packet type 0
        ("5000", FIVE, Reason.PROTOCOL_ERROR),  # PUBREC
        ("f000", FIVE, Reason.PROTOCOL_ERROR),  # AUTH
        ("c000", None, Reason.PROTOCOL_ERROR),  # PINGREQ before CONNECT
        ("c100", FIVE, Reason.MALFORMED_PACKET),  # PINGREQ with a flag
        ("c00100", FIVE, Reason.MALFORMED_PACKET),  # PINGREQ with a body
        ("800700010000017401", FIVE, Reason.MALFORMED_PACKET),  # SUBSCRIBE without its flag
        ("8203000100", FIVE, Reason.PROTOCOL_ERROR),  # SUBSCRIBE to nothing
        ("a203000100", FIVE, Reason.PROTOCOL_ERROR),  # UNSUBSCRIBE from nothing
        ("820700000000017401", FIVE, Reason.PROTOCOL_ERROR),  # packet identifier 0
        ("820700010000017403", FIVE, Reason.MALFORMED_PACKET),  # QoS 3
        ("820700010000017440", FIVE, Reason.MALFORMED_PACKET),  # reserved option
        ("8206000100017404", THREE, Reason.MALFORMED_PACKET),  # no local in 3.1.1
        ("360400017400", THREE, Reason.MALFORMED_PACKET),  # QoS 3
        ("38050001740001", THREE, Reason.MALFORMED_PACKET),  # DUP with QoS 0
        ("32050001740000", THREE, Reason.PROTOCOL_ERROR),  # packet identifier 0
        ("30020005", THREE, Reason.MALFORMED_PACKET),  # a topic that ends early
        ("30030001ff", THREE, Reason.MALFORMED_PACKET),  # not UTF-8
        ("30050003610062", THREE, Reason.MALFORMED_PACKET),  # U+0000
        ("3006000361eda080", THREE, Reason.MALFORMED_PACKET),  # a surrogate
        ("3006000174020100", FIVE, None),  # payload format 0: good
        ("3006000174020102", FIVE, Reason.PROTOCOL_ERROR),  # payload format 2
        ("30080001740401000100", FIVE, Reason.PROTOCOL_ERROR),  # twice
        ("3006000174027f00", FIVE, Reason.MALFORMED_PACKET),  # no such property
        ("300700017403130001", FIVE, Reason.PROTOCOL_ERROR),  # of CONNACK
        ("300700017480000000", FIVE, Reason.MALFORMED_PACKET),  # 0 in two bytes
        ("300400017409", FIVE, Reason.MALFORMED_PACKET),  # properties that end early
        ("101000044d51545405020000000003616263", None, None),  # a good CONNECT
        ("101100044d5154540502000003210000000161", None, Reason.PROTOCOL_ERROR),  # window of 0
        ("100d00044d51545404030000000161", None, Reason.MALFORMED_PACKET),  # reserved flag
        ("100d00044d515454041a0000000161", None, Reason.MALFORMED_PACKET),  # will QoS, no will
        ("100d00044d51545404420000000161", None, Reason.MALFORMED_PACKET),  # password alone
        ("100d00044d51545403020000000161", None, Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("100f00064d51497364700302003c000161", None, Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("2003020000", FIVE, Reason.MALFORMED_PACKET),  # CONNACK flags
    ],
)
def test_malformed(data: str, version: Version | None, reason: Reason | None) -> None:
    """Each way to break a packet has its reason code; the good ones among them are good."""
    assert fault(bytes.fromhex(data), version) == reason


def fault(raw: bytes, version: Version | None) -> Reason | None:
    try:
        framed = frame(raw, 1000)
        assert framed is not None, "incomplete"
        assert framed[2] == len(raw), "the example is not one packet"
        decode(framed[0], framed[1], version)
    except PacketError as error:
        return error.reason
    return None
