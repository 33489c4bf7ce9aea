"""What a client may do once it is in, with paho-mqtt in both protocol versions."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from lab.iot_core.packets import Connack, Connect, Disconnect, Publish, Version
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import WAIT, RawClient, Site, connect_packet, running_site

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5
both = pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])


@both
@pytest.mark.parametrize("qos", [0, 1])
def test_publish_reaches_a_subscriber(site: Site, version: Version, qos: int) -> None:
    """What one client publishes, a subscribed one gets, at the lower of the two QoS."""
    device = site.device()
    with (
        PahoClient(site, device, "one", version) as one,
        PahoClient(site, device, "two", version) as two,
    ):
        assert two.subscribe("plant/+/alerts", qos=1) == 1
        one.publish("plant/7/alerts", b"\x00hot\xff", qos)
        got = two.message()
    assert (got.topic, got.payload, got.qos) == ("plant/7/alerts", b"\x00hot\xff", qos)
    assert not got.retain
    entry = site.timeline.wait_for("published", client_id="one")
    assert entry.details["topic"] == "plant/7/alerts"


@both
def test_a_subscription_bounds_the_qos(site: Site, version: Version) -> None:
    """A subscriber that asked for QoS 0 gets QoS 0, whatever was published."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        assert client.subscribe("t", qos=0) == 0
        client.publish("t", b"", qos=1)
        assert client.message().qos == 0


def test_versions_talk_to_each_other(site: Site) -> None:
    """A 3.1.1 client and an MQTT 5 client share topics."""
    device = site.device()
    with (
        PahoClient(site, device, "three", THREE) as three,
        PahoClient(site, device, "five", FIVE) as five,
    ):
        three.subscribe("a")
        five.subscribe("b")
        three.publish("b", b"from 3.1.1")
        five.publish("a", b"from 5")
        assert five.message().payload == b"from 3.1.1"
        assert three.message().payload == b"from 5"


def test_mqtt_5_properties_are_forwarded(site: Site) -> None:
    """What MQTT 5 has a publisher say about its message arrives with it."""
    device = site.device()
    said = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
    said.ContentType = "application/json"
    said.ResponseTopic = "answers/here"
    said.CorrelationData = b"\x01\x02"
    said.PayloadFormatIndicator = 1
    said.MessageExpiryInterval = 1000
    said.UserProperty = [("a", "1"), ("a", "2")]
    with PahoClient(site, device, "one") as one, PahoClient(site, device, "two") as two:
        two.subscribe("t")
        one.client.publish("t", b"{}", 1, properties=said)
        heard = two.message().properties
    for name in ("ContentType", "ResponseTopic", "CorrelationData", "PayloadFormatIndicator"):
        assert getattr(heard, name) == getattr(said, name)
    assert heard.UserProperty == [("a", "1"), ("a", "2")]
    assert 0 < heard.MessageExpiryInterval <= 1000


def test_connack_states_the_limits_of_aws(site: Site) -> None:
    """The terms in an MQTT 5 CONNACK are those that AWS IoT Core sends."""
    with RawClient(site, site.device()) as client:
        connack = client.connect(connect_packet("press-7"))
    assert connack == Connack(
        False,
        Reason.SUCCESS,
        Properties(
            receive_maximum=100,
            maximum_qos=1,
            retain_available=1,
            maximum_packet_size=149504,
            topic_alias_maximum=8,
            wildcard_subscription_available=1,
            subscription_identifiers_available=0,
            shared_subscription_available=0,
            server_keep_alive=60,
        ),
    )


@both
def test_a_client_without_an_id_gets_one(site: Site, version: Version) -> None:
    """An empty client id is replaced by one that nobody else has."""
    device = site.device()
    with RawClient(site, device) as a, RawClient(site, device) as b:
        assert a.connect(connect_packet("", version)).code == 0
        assigned = b.connect(connect_packet("", version)).properties.assigned_client_identifier
        names = [connection.client_id for connection in site.core.connections()]
    assert len(set(names)) == 2
    assert all(names)
    assert assigned == (names[1] if version is FIVE else None)


@both
@pytest.mark.parametrize("topic", ["a/b/c/d/e/f/g/h/i", "x" * 257, "$mine/x", "$aws/events/x"])
def test_topics_that_nobody_may_publish_to(site: Site, version: Version, topic: str) -> None:
    """AWS's limits on topics hold, whatever the policy says."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        client.publish(topic, b"", 1)
        if version is FIVE:
            assert client.pubacks.get(timeout=WAIT) == Reason.TOPIC_NAME_INVALID
        else:
            assert client.disconnects.get(timeout=WAIT) != 0


@both
def test_bad_filters_and_too_many(site: Site, version: Version) -> None:
    """A malformed filter and the 51st one fail in their SUBACK."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        for number in range(50):
            assert client.subscribe(f"t/{number}") == 1
        five = version is FIVE
        assert client.subscribe("t/50") == (Reason.QUOTA_EXCEEDED if five else 0x80)
        assert client.subscribe("t/49") == 1  # once more, not one more
        client.client.unsubscribe("t/0")
        bad = client.subscribe("/".join("123456789"))
        assert bad == (Reason.TOPIC_FILTER_INVALID if five else 0x80)
        assert client.subscribe("t/50") == 1


@both
def test_unsubscribed_is_left_alone(site: Site, version: Version) -> None:
    """After UNSUBACK, nothing more comes on that filter."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        client.subscribe("t/1")
        client.subscribe("t/2")
        client.client.unsubscribe("t/1")
        client.subscribe("t/3")  # answered after the UNSUBACK
        site.core.publish("t/1", b"")
        site.core.publish("t/2", b"")
        assert client.message().topic == "t/2"


@both
def test_overlapping_filters_give_one_message(site: Site, version: Version) -> None:
    """A message that matches two filters of a client comes once, at the better QoS."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        client.subscribe("t/+", 0)
        client.subscribe("t/1", 1)
        site.core.publish("t/1", b"first", 1)
        site.core.publish("t/1", b"second", 1)
        got = [client.message(), client.message()]
    assert [(m.payload, m.qos) for m in got] == [(b"first", 1), (b"second", 1)]


@both
def test_hash_does_not_match_its_parent(site: Site, version: Version) -> None:
    """On AWS, sensor/# is not for sensor."""
    with PahoClient(site, site.device(), "press-7", version) as client:
        client.subscribe("sensor/#")
        site.core.publish("sensor", b"")
        site.core.publish("sensor/1", b"")
        assert client.message().topic == "sensor/1"


def test_topic_alias(site: Site) -> None:
    """A client may shorten topics to aliases 1 to 8; the subscriber sees whole topics."""
    device = site.device()
    with RawClient(site, device) as raw, PahoClient(site, device, "two") as two:
        raw.connect(connect_packet("one"))
        two.subscribe("t/#")
        eight = Properties(topic_alias=8)
        raw.send(Publish("t/long", b"1", properties=eight), Publish("", b"2", properties=eight))
        raw.send(Publish("t/other", b"3", properties=eight), Publish("", b"4", properties=eight))
        got = [two.message() for _ in range(4)]
    assert [m.topic for m in got] == ["t/long", "t/long", "t/other", "t/other"]
    assert not any(hasattr(m.properties, "TopicAlias") for m in got)  # which is the sender's own


@both
@pytest.mark.parametrize(
    ("other", "first"), [(1.25, "refused"), (1.75, "disconnected")], ids=["later", "sooner"]
)
def test_keep_alive_of_a_silent_client(
    tmp_path: Path, version: Version, other: float, first: str
) -> None:
    """It is disconnected after one and a half intervals: not before, and not long after."""
    with running_site(tmp_path, connect_timeout=other) as site, RawClient(site, site.device()) as c:
        # The other clock, that of a connection without CONNECT, starts right after or before.
        with ExitStack() as stack:
            if first == "refused":
                stack.enter_context(socket.create_connection(("localhost", site.core.port)))
            c.connect(Connect(version, "press-7", True, keep_alive=1))
            if first == "disconnected":
                stack.enter_context(socket.create_connection(("localhost", site.core.port)))
            last = c.receive()
            site.timeline.wait_for("refused")
        if version is FIVE:
            assert last == Disconnect(Reason.KEEP_ALIVE_TIMEOUT)
        ended = site.timeline.wait_for("disconnected", client_id="press-7")
        assert ended.details["reason"] == "MQTT_KEEP_ALIVE_TIMEOUT"
        events = [e.event for e in site.timeline.entries if e.event in ("refused", "disconnected")]
        assert events[0] == first


@both
def test_pings_keep_a_connection_alive(site: Site, version: Version) -> None:
    """A client that pings outlives several of its intervals."""
    device = site.device()
    with PahoClient(site, device, "pings", version, keep_alive=1):
        for _ in range(2):  # a silent one is thrown out twice meanwhile
            mark = site.timeline.mark()
            with RawClient(site, device) as silent:
                silent.connect(Connect(version, "silent", True, keep_alive=1))
                site.timeline.wait_for("disconnected", client_id="silent", after=mark)
        assert [c.client_id for c in site.core.connections()] == ["pings"]


def test_connect_has_a_deadline(tmp_path: Path) -> None:
    """Who does not get as far as CONNECT in time is disconnected."""
    with running_site(tmp_path, connect_timeout=1.0) as site:
        with RawClient(site, site.device()) as client:
            assert client.receive() is None
        assert site.timeline.wait_for("refused").details["why"] == "no CONNECT within 1 s"
