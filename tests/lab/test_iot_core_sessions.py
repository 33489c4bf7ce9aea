"""Sessions: what outlives a connection, what is sent again, what a slow client gets."""

from __future__ import annotations

from typing import Any

import pytest

from lab.iot_core import session as session_module
from lab.iot_core.message import Message
from lab.iot_core.packets import (
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Version,
)
from lab.iot_core.session import Session
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import Device, RawClient, Site, connect_packet

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5
both = pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])


def persistent(version: Version, clean_start: bool = False, **properties: Any) -> Connect:
    """A CONNECT of press-7 for a session that outlives the connection."""
    if version is FIVE:
        properties.setdefault("session_expiry", 600)
    return connect_packet(
        "press-7", version, clean_start=clean_start, properties=Properties(**properties)
    )


def subscribe(client: RawClient, *topic_filters: str) -> None:
    client.send(Subscribe(1, tuple(Subscription(name, 1) for name in topic_filters)))
    assert client.receive() == Suback(1, (1,) * len(topic_filters))


def leave_a_session(site: Site, device: Device, version: Version, **properties: Any) -> None:
    """Connect, subscribe to t, and lose the connection."""
    with RawClient(site, device) as client:
        client.connect(persistent(version, **properties))
        subscribe(client, "t")
    site.timeline.wait_for("disconnected", client_id="press-7")


def let_time_pass(site: Site, device: Device) -> None:
    """A second and a half on the endpoint's own clock."""
    with RawClient(site, device) as client:
        client.connect(Connect(THREE, "sand-glass", True, keep_alive=1))
        assert client.receive() is None


@both
def test_a_clean_session_ends_with_its_connection(site: Site, version: Version) -> None:
    """Neither subscriptions nor messages are kept for who did not ask for it."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(connect_packet("press-7", version))
        subscribe(client, "t")
    site.timeline.wait_for("disconnected", client_id="press-7")
    site.core.publish("t", b"lost")
    with RawClient(site, device) as client:
        assert not client.connect(persistent(version)).session_present
        client.send(Pingreq())
        assert client.receive() == Pingresp()


@both
def test_a_persistent_session_queues_qos_1(site: Site, version: Version) -> None:
    """Messages with QoS 1 wait for the client, in order; those with QoS 0 do not."""
    device = site.device()
    leave_a_session(site, device, version)
    for number, qos in enumerate([1, 0, 1]):
        site.core.publish("t", b"%d" % number, qos)
    with RawClient(site, device) as client:
        assert client.connect(persistent(version)).session_present
        assert client.receive() == Publish("t", b"0", 1, packet_id=1)
        assert client.receive() == Publish("t", b"2", 1, packet_id=2)
        client.send(Puback(1), Puback(2))
        site.core.publish("t", b"still subscribed")
        assert client.receive() == Publish("t", b"still subscribed", 1, packet_id=3)


@both
def test_unacknowledged_is_sent_again(site: Site, version: Version) -> None:
    """Before anything new, with the same packet identifier and DUP; acknowledged is not."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(persistent(version))
        subscribe(client, "t")
        for number in range(3):
            site.core.publish("t", b"%d" % number)
            client.receive()
        client.send(Puback(2), Pingreq())
        assert client.receive() == Pingresp()
    site.timeline.wait_for("disconnected", client_id="press-7")
    site.core.publish("t", b"new")
    with RawClient(site, device) as client:
        client.connect(persistent(version))
        assert client.receive() == Publish("t", b"0", 1, duplicate=True, packet_id=1)
        assert client.receive() == Publish("t", b"2", 1, duplicate=True, packet_id=3)
        assert client.receive() == Publish("t", b"new", 1, packet_id=4)


@both
def test_clean_start_ends_the_old_session(site: Site, version: Version) -> None:
    """A client that starts clean finds nothing of what was kept."""
    device = site.device()
    leave_a_session(site, device, version)
    site.core.publish("t", b"kept")
    with RawClient(site, device) as client:
        assert not client.connect(persistent(version, clean_start=True)).session_present
        site.core.publish("t", b"not subscribed any more")
        client.send(Pingreq())
        assert client.receive() == Pingresp()


def test_a_session_expires(site: Site) -> None:
    """After its expiry interval a session is gone, with its messages."""
    device = site.device()
    leave_a_session(site, device, FIVE, session_expiry=1)
    let_time_pass(site, device)
    with RawClient(site, device) as client:
        assert not client.connect(persistent(FIVE)).session_present


def test_a_reconnection_stops_the_expiry(site: Site) -> None:
    """The interval counts from the last disconnection."""
    device = site.device()
    leave_a_session(site, device, FIVE, session_expiry=1)
    with RawClient(site, device) as client:
        assert client.connect(persistent(FIVE)).session_present
        let_time_pass(site, device)
        site.core.publish("t", b"here")
        assert client.receive() == Publish("t", b"here", 1, packet_id=1)


def test_the_longest_expiry_is_told(site: Site) -> None:
    """AWS keeps a session an hour, and says so to who asks for more."""
    with RawClient(site, site.device()) as client:
        connack = client.connect(persistent(FIVE, session_expiry=0xFFFFFFFF))
    assert connack.properties.session_expiry == 3600


def test_disconnect_may_shorten_the_expiry(site: Site) -> None:
    """DISCONNECT with a session expiry of 0 ends the session at once."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(persistent(FIVE))
        client.send(Disconnect(properties=Properties(session_expiry=0)))
        assert client.receive() is None
    with RawClient(site, device) as client:
        assert not client.connect(persistent(FIVE)).session_present


def test_disconnect_may_not_start_a_session(site: Site) -> None:
    """A session expiry in DISCONNECT after none in CONNECT is a protocol error."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7"))
        client.send(Disconnect(properties=Properties(session_expiry=10)))
        assert client.receive() == Disconnect(Reason.PROTOCOL_ERROR)


@both
def test_a_second_connection_takes_the_client_id(site: Site, version: Version) -> None:
    """The first is told and closed, the second has the session and its messages."""
    device = site.device()
    with RawClient(site, device) as first, RawClient(site, device) as second:
        first.connect(persistent(version))
        subscribe(first, "t")
        assert second.connect(persistent(version)).session_present
        if version is FIVE:
            assert first.receive() == Disconnect(Reason.SESSION_TAKEN_OVER)
        assert first.receive() is None
        site.core.publish("t", b"for the second")
        got = second.receive()
        assert isinstance(got, Publish)
        assert got.payload == b"for the second"
        assert len(site.core.connections()) == 1
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["reason"] == "DUPLICATE_CLIENTID"


def test_receive_maximum_bounds_what_is_unacknowledged(site: Site) -> None:
    """The client's window holds the rest back until it acknowledges."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(persistent(FIVE, receive_maximum=2))
        subscribe(client, "t")
        for number in range(4):
            site.core.publish("t", b"%d" % number)
        assert client.receive() == Publish("t", b"0", 1, packet_id=1)
        assert client.receive() == Publish("t", b"1", 1, packet_id=2)
        client.send(Pingreq())
        assert client.receive() == Pingresp()
        client.send(Puback(2))
        assert client.receive() == Publish("t", b"2", 1, packet_id=3)
        client.send(Puback(1), Puback(3))
        assert client.receive() == Publish("t", b"3", 1, packet_id=4)


@both
def test_at_most_100_are_unacknowledged(site: Site, version: Version) -> None:
    """Without a smaller window of the client's, AWS's own holds."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7", version))
        subscribe(client, "t")
        for _ in range(101):
            site.core.publish("t", b"")
        got = [client.receive() for _ in range(100)]
        ids = [packet.packet_id for packet in got if isinstance(packet, Publish)]
        assert ids == list(range(1, 101))
        client.send(Pingreq())
        assert client.receive() == Pingresp()
        client.send(Puback(50))
        assert client.receive() == Publish("t", b"", 1, packet_id=101)


def test_too_large_for_the_client_is_left_out(site: Site) -> None:
    """A message over the client's maximum packet size is dropped, and holds nothing up."""
    with RawClient(site, site.device()) as client:
        client.connect(persistent(FIVE, maximum_packet_size=5000, receive_maximum=1))
        subscribe(client, "t")
        site.core.publish("t", b"x" * 5000)
        site.core.publish("t", b"x" * 4990)
        site.core.publish("t", b"small", qos=0)
        got = client.receive()
        assert isinstance(got, Publish)
        assert len(got.payload) == 4990
        assert client.receive() == Publish("t", b"small")
    entry = site.timeline.wait_for("dropped", client_id="press-7", topic="t")
    assert entry.details["why"] == "5009 bytes; the client takes 5000"


def test_message_expiry(site: Site) -> None:
    """What expires while the client is away is not sent; what does not, says what is left."""
    device = site.device()
    leave_a_session(site, device, FIVE)
    with RawClient(site, device) as publisher:
        publisher.connect(connect_packet("publisher"))
        for seconds in (1, 1000):
            properties = Properties(message_expiry=seconds)
            publisher.send(Publish("t", b"%d" % seconds, 1, packet_id=1, properties=properties))
            assert publisher.receive() == Puback(1)
        let_time_pass(site, device)
    with RawClient(site, device) as client:
        client.connect(persistent(FIVE))
        got = client.receive()
    assert isinstance(got, Publish)
    assert got.payload == b"1000"
    left = got.properties.message_expiry
    assert left is not None
    assert left < 1000


def test_a_client_that_does_not_read_loses_qos_0(site: Site) -> None:
    """The endpoint buffers little for it, and what it does get is whole."""
    with RawClient(site, site.device(), receive_buffer=4096) as client:
        client.connect(connect_packet("press-7", THREE))
        subscribe(client, "t")
        sent = 0
        while not site.timeline.find("dropped", client_id="press-7"):
            site.core.publish("t", b"%5d" % sent + b"x" * 100_000, qos=0)
            sent += 1
            assert sent < 1000
        got = client.receive()
        assert isinstance(got, Publish)
        assert got.payload[:5] == b"    0"
    dropped = site.timeline.find("dropped", client_id="press-7")[0]
    assert dropped.details["why"] == "the client reads too slowly"


def test_sessions_outlive_an_outage_of_the_cloud(site: Site) -> None:
    """A persistent session is still there when the cloud comes back."""
    device = site.device()
    with RawClient(site, device) as client:
        client.connect(persistent(THREE))
        subscribe(client, "t")
        site.core.go_away()
        assert client.receive() is None
    site.core.publish("t", b"meanwhile")
    site.core.come_back()
    with PahoClient(site, device, "press-7", THREE, clean=False) as client_again:
        assert client_again.present
        assert client_again.message().payload == b"meanwhile"


def message(payload: bytes = b"") -> Message:
    return Message("t", payload, 1, None, None, 0.0)


def test_packet_identifiers_in_use_are_skipped() -> None:
    """Identifiers go round from 65,535 to 1 and pass over those that await their PUBACK."""
    session = Session("press-7")
    session.keep(message())
    assert session.take(10) is not None  # identifier 1, never acknowledged
    for expected in [*range(2, 65536), 2, 3]:
        session.keep(message())
        taken = session.take(10)
        assert taken is not None
        assert taken[0] == expected
        session.acknowledge(expected)


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session keeps so many messages and no more; the newest are the ones that are lost."""
    monkeypatch.setattr(session_module, "QUEUE_MAXIMUM", 2)
    session = Session("press-7")
    assert [session.keep(message(b"%d" % n)) for n in range(3)] == [True, True, False]
    assert session.take(10) == (1, message(b"0"))
