"""Bad input and many clients: nothing that one client sends hurts the others."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.iot_core.codec import encode
from lab.iot_core.iot_core import Message
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
    Version,
    Will,
)
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_site import WAIT, RawClient, Site, connect_packet

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5


def still_serves(site: Site, client: RawClient) -> bool:
    client.send(Pingreq())
    return client.receive() == Pingresp()


@pytest.fixture
def witness(site: Site) -> Iterator[RawClient]:
    """A well-behaved client that is connected all the while."""
    with RawClient(site, site.device("witness")) as client:
        client.connect(connect_packet("witness"))
        yield client
        assert still_serves(site, client)


def subscribe(*topic_filters: str, identifier: int | None = None) -> Subscribe:
    filters = tuple(Subscription(name) for name in topic_filters)
    return Subscribe(1, filters, Properties(subscription_identifier=identifier))


@pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])
@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (Publish("t", b"", 2, packet_id=1), Reason.QOS_NOT_SUPPORTED),
        (Publish("t", b"x" * 131073, 1, packet_id=1), Reason.PACKET_TOO_LARGE),
        (Publish("t/#", b""), Reason.TOPIC_NAME_INVALID),
        (Publish("", b""), Reason.TOPIC_NAME_INVALID),
        (connect_packet("witness-2"), Reason.PROTOCOL_ERROR),
        (Connack(False, 0), Reason.PROTOCOL_ERROR),
        (Pingresp(), Reason.PROTOCOL_ERROR),
        (subscribe(*"123456789"), Reason.QUOTA_EXCEEDED),
        (b"\x30\xff\xff\xff\x7f", Reason.PACKET_TOO_LARGE),
        (b"\x62\x02\x00\x01", Reason.PROTOCOL_ERROR),  # PUBREL
        (b"\xc1\x00", Reason.MALFORMED_PACKET),
    ],
)
def test_what_ends_a_connection(
    site: Site, witness: RawClient, version: Version, packet: Packet | bytes, code: Reason
) -> None:
    """What a client may not send closes its connection, with the reason where MQTT has one."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7", version))
        raw = packet if isinstance(packet, bytes) else encode(packet, version)
        client.tls.sendall(raw)
        if version is FIVE:
            assert client.receive() == Disconnect(code)
        assert client.receive() is None
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["reason"] == "CLIENT_ERROR"


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (Publish("", b"", properties=Properties(topic_alias=1)), Reason.PROTOCOL_ERROR),
        (Publish("t", b"", properties=Properties(topic_alias=9)), Reason.TOPIC_ALIAS_INVALID),
        (Publish("t", b"", properties=Properties(topic_alias=0)), Reason.TOPIC_ALIAS_INVALID),
        (
            Publish("t", b"", properties=Properties(subscription_identifier=1)),
            Reason.PROTOCOL_ERROR,
        ),
        (subscribe("t", identifier=1), Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED),
    ],
)
def test_what_ends_an_mqtt_5_connection(
    site: Site, witness: RawClient, packet: Packet, code: Reason
) -> None:
    """Properties that AWS does not take, or that make no sense, are an error."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7"))
        client.send(packet)
        assert client.receive() == Disconnect(code)
        assert client.receive() is None


def test_subscribing_with_qos_2(site: Site) -> None:
    """MQTT 5 is granted QoS 1; MQTT 3.1.1, which AWS never answers, is disconnected."""
    wanted = Subscribe(1, (Subscription("t", 2),))
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("five"))
        client.send(wanted)
        answer = client.receive()
        assert isinstance(answer, Suback)
        assert answer.codes == (1,)
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("three", THREE))
        client.send(wanted)
        assert client.receive() is None


def test_shared_subscriptions_are_refused(site: Site) -> None:
    """What this endpoint does not have, it says that it does not have."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7"))
        client.send(subscribe("$share/group/t"))
        assert client.receive() == Suback(1, (Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,))


@pytest.mark.parametrize(
    ("connect", "code"),
    [
        (
            connect_packet("press-7", properties=Properties(authentication_method="x")),
            Reason.BAD_AUTHENTICATION_METHOD,
        ),
        (connect_packet("press-7", will=Will("a/#", b"")), Reason.TOPIC_NAME_INVALID),
        (connect_packet("press-7", will=Will("a", b"", qos=2)), Reason.QOS_NOT_SUPPORTED),
        (connect_packet("", THREE, clean_start=False), 2),
    ],
)
def test_connects_that_are_refused(site: Site, connect: Connect, code: int) -> None:
    """What cannot be granted is refused in the CONNACK."""
    with RawClient(site, site.device()) as client:
        assert client.connect(connect).code == code
        assert client.receive() is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc0\x00",
        b"\x10\xff\xff\xff\xff\x01",
        b"\x10\xff\xff\xff\x7f",
        b"\x00" * 100_000,
    ],
)
def test_garbage_instead_of_connect(site: Site, witness: RawClient, data: bytes) -> None:
    """A first packet that is no CONNECT closes the connection."""
    with RawClient(site, site.device()) as client:
        client.tls.sendall(data)
        assert client.receive() is None
    assert "no CONNECT within" not in str(site.timeline.wait_for("refused"))  # but at once


def test_mqtt_3_1_is_told_so(site: Site) -> None:
    """The predecessor of 3.1.1 gets return code 1, unacceptable protocol version."""
    with RawClient(site, site.device()) as client:
        client.tls.sendall(bytes.fromhex("100f00064d51497364700302003c000161"))
        assert client.receive() == Connack(False, 1)
        assert client.receive() is None


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(500)]
)
def test_no_tls_at_all(site: Site, witness: RawClient, data: bytes) -> None:
    """Who speaks no TLS, or hangs up, is recorded as refused."""
    with socket.create_connection(("127.0.0.1", site.core.port), timeout=WAIT) as plain:
        plain.sendall(data)
    site.timeline.wait_for("refused")


def test_last_words_reach_a_client_that_goes_on_talking(site: Site, witness: RawClient) -> None:
    """The DISCONNECT is not lost to a reset because more was on its way from the client."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7"))
        client.tls.sendall(b"\xc1\x00" + bytes(20_000_000))
        assert client.receive() == Disconnect(Reason.MALFORMED_PACKET)


def test_a_client_that_is_gone_when_it_is_dropped(site: Site, witness: RawClient) -> None:
    """To say the last words to a peer that has closed its socket does no harm."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(connect_packet("press-7"))

        def drop(_: Message) -> None:
            client.tls.close()  # and the loop, which is busy here, has not seen it
            site.registry.set_status(device, "INACTIVE")
            site.core.enforce_registry()

        site.core.observe("t", drop)
        site.core.publish("t", b"")
        site.timeline.wait_for("disconnected", client_id="press-7")


fuzz = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def send_and_hang_up(client: RawClient, data: bytes) -> None:
    """Say it, then nothing more, and wait until the endpoint has had enough, too."""
    with suppress(ConnectionError, ssl.SSLError):
        client.tls.sendall(data)
        client.tls.shutdown(socket.SHUT_WR)
        while client.tls.recv(65536):
            pass


GOOD = [
    encode(packet, FIVE)
    for packet in (
        connect_packet("fuzz"),
        Publish("t", b"payload", 1, packet_id=1),
        Puback(1),
        subscribe("t/#"),
        Pingreq(),
        Disconnect(),
    )
]
damaged = st.tuples(st.sampled_from(GOOD), st.integers(0, 60), st.integers(0, 255)).map(
    lambda parts: parts[0][: parts[1]] + bytes([parts[2]]) + parts[0][parts[1] + 1 :]
)
pieces = st.lists(st.binary(max_size=30) | st.sampled_from(GOOD) | damaged, max_size=8)


@fuzz
@given(first=st.booleans(), rest=pieces)
def test_any_bytes_over_tls(site: Site, witness: RawClient, first: bool, rest: list[bytes]) -> None:
    """Whatever a registered client sends, the others are served."""
    with RawClient(site, site.device("fuzz")) as client:
        if first:
            client.connect(connect_packet("fuzz"))
        send_and_hang_up(client, b"".join(rest))
    assert still_serves(site, witness)


@fuzz
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_without_tls(
    site: Site, witness: RawClient, data: bytes, handshake: bool
) -> None:
    """Whatever arrives where TLS should, the others are served."""
    with socket.create_connection(("127.0.0.1", site.core.port), timeout=WAIT) as plain:
        plain.sendall((b"\x16\x03\x01" if handshake else b"") + data)
    assert still_serves(site, witness)


def test_two_hundred_clients_at_once(site: Site) -> None:
    """They all get in over mutual TLS, and each gets its own message."""
    device = site.device()
    count = 200

    def one(number: int) -> RawClient:
        client = RawClient(site, device)
        assert client.connect(connect_packet(f"press-{number}")).code == Reason.SUCCESS
        client.send(Subscribe(1, (Subscription(f"for/{number}", 1),)))
        assert client.receive() == Suback(1, (1,))
        return client

    with ExitStack() as stack, ThreadPoolExecutor(50) as pool:
        clients = [stack.enter_context(client) for client in pool.map(one, range(count))]
        assert len(site.core.connections()) == count
        for number in range(count):
            site.core.publish(f"for/{number}", b"%d" % number)
        for number, client in enumerate(clients):
            got = client.receive()
            assert isinstance(got, Publish)
            assert got.payload == b"%d" % number
