"""What a client may do once it is in, with paho-mqtt in both protocol versions."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from lab.iot_core.iot_core import Message
from lab.iot_core.packets import Connack, Connect, Disconnect, Publish, Version
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_site import (
    ARN,
    EVERYTHING,
    WAIT,
    PahoClient,
    RawClient,
    Site,
    allow,
    connect_packet,
    running_site,
)

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5
both = pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path) as site:
        yield site


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
@pytest.mark.parametrize(
    ("connect", "five_says", "three_says"),
    [
        ({"client_id": "x" * 129}, Reason.CLIENT_IDENTIFIER_NOT_VALID, 2),
        ({"client_id": "not-allowed"}, Reason.NOT_AUTHORIZED, 5),
    ],
)
def test_connect_refused(
    site: Site, version: Version, connect: dict[str, Any], five_says: int, three_says: int
) -> None:
    """A CONNECT that breaks a limit or that the policy does not allow gets its code and a close."""
    device = site.device("press-7", allow("iot:*", resource=f"{ARN}:client/press-7"))
    with RawClient(site, device) as client:
        connack = client.connect(Connect(version, clean_start=True, keep_alive=60, **connect))
        assert connack.code == (five_says if version is FIVE else three_says)
        assert client.receive() is None
    entry = site.timeline.wait_for("refused", client_id=connect["client_id"])
    assert entry.details["principal"] == device.certificate_id
    assert not site.timeline.find("connected")


@both
def test_publish_denied_by_policy(site: Site, version: Version) -> None:
    """QoS 1: MQTT 3.1.1 is disconnected, MQTT 5 is told in its PUBACK and stays."""
    device = site.device(
        "press-7",
        allow("iot:Connect"),
        allow("iot:Publish", resource=f"{ARN}:topic/mine/*"),
    )
    with PahoClient(site, device, "press-7", version) as client:
        client.publish("others/7", b"", 1)
        if version is FIVE:
            assert client.pubacks.get(timeout=WAIT) == Reason.NOT_AUTHORIZED
            client.publish("mine/7", b"", 1)
            assert client.pubacks.get(timeout=WAIT) == Reason.SUCCESS
        else:
            assert client.disconnects.get(timeout=WAIT) != 0
    entry = site.timeline.wait_for("publish-denied", client_id="press-7", topic="others/7")
    assert entry.details["why"] == "no statement allows iot:Publish"
    assert not site.timeline.find("published", topic="others/7")


@both
def test_publish_with_qos_0_denied_by_policy(site: Site, version: Version) -> None:
    """Without a PUBACK to say so in, either version is disconnected."""
    device = site.device("press-7", allow("iot:Connect"))
    with PahoClient(site, device, "press-7", version) as client:
        client.publish("others/7", b"", 0)
        code = client.disconnects.get(timeout=WAIT)
    assert code == Reason.NOT_AUTHORIZED if version is FIVE else code != 0
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["reason"] == "AUTH_ERROR"


@both
def test_subscribe_denied_by_policy(site: Site, version: Version) -> None:
    """A filter that the policy does not allow fails in the SUBACK, and the client stays."""
    device = site.device(
        "press-7",
        allow("iot:Connect", "iot:Receive"),
        allow("iot:Subscribe", resource=f"{ARN}:topicfilter/mine/*"),
    )
    with PahoClient(site, device, "press-7", version) as client:
        denied = client.subscribe("others/+")
        assert denied == (Reason.NOT_AUTHORIZED if version is FIVE else 0x80)
        assert client.subscribe("mine/+") == 1
    assert site.timeline.find("subscribe-denied", topic_filter="others/+")
    assert site.timeline.find("subscribed", topic_filter="mine/+")


@both
def test_receive_is_asked_at_every_delivery(site: Site, version: Version) -> None:
    """A policy that changes under a subscriber counts for the next message."""
    device = site.device("press-7", EVERYTHING)
    with PahoClient(site, device, "press-7", version) as client:
        client.subscribe("t")
        site.core.publish("t", b"1")
        assert client.message().payload == b"1"
        site.registry.policies[device.certificate_id].append(
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Deny", "Action": "iot:Receive", "Resource": "*"},
            }
        )
        site.core.publish("t", b"2")
        site.timeline.wait_for("dropped", client_id="press-7", topic="t")
        del site.registry.policies[device.certificate_id][-1]
        site.core.publish("t", b"3")
        assert client.message().payload == b"3"


@both
def test_thing_policy_variable(site: Site, version: Version) -> None:
    """Thing variables count for the client whose id is the name of the attached thing."""
    thing = "${iot:Connection.Thing.ThingName}"
    device = site.device(
        "press-7",
        allow("iot:Connect"),
        allow("iot:Subscribe", resource=f"{ARN}:topicfilter/things/{thing}/#"),
    )
    site.registry.things[device.certificate_id] = ["press-7"]
    with (
        PahoClient(site, device, "press-7", version) as nucleus,
        PahoClient(site, device, "press-8", version) as other,
    ):
        assert nucleus.subscribe("things/press-7/#") == 1
        for name in ("press-7", "press-8"):
            assert other.subscribe(f"things/{name}/#") in (0x80, Reason.NOT_AUTHORIZED)


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


@both
def test_retained_message(site: Site, version: Version) -> None:
    """It goes, marked, to who subscribes to exactly its topic later; an empty one removes it."""
    device = site.device()
    with PahoClient(site, device, "one", version) as one:
        one.publish("state/7", b"running", retain=True)
        site.timeline.wait_for("published", topic="state/7")
        with PahoClient(site, device, "two", version) as two:
            two.subscribe("state/+")  # on AWS, a wildcard brings nothing back
            two.subscribe("state/7")
            first = two.message()
            assert (first.payload, first.retain) == (b"running", True)
            one.publish("state/7", b"stopped", retain=True)
            assert (two.message().retain, two.messages.empty()) == (False, True)
        one.publish("state/7", b"", retain=True)
        one.publish("state/8", b"")
        site.timeline.wait_for("published", topic="state/8")
        with PahoClient(site, device, "three", version) as three:
            three.subscribe("state/7")
            site.core.publish("state/7", b"fresh")
            assert three.message().payload == b"fresh"


def test_retaining_needs_its_own_permission(site: Site) -> None:
    """iot:Publish alone does not let a client retain; nothing is retained on reserved topics."""
    device = site.device("press-7", allow("iot:Connect", "iot:Publish"))
    with PahoClient(site, device, "press-7") as client:
        client.publish("t", b"", retain=True)
        assert client.pubacks.get(timeout=WAIT) == Reason.NOT_AUTHORIZED
        site.registry.policies[device.certificate_id] = [EVERYTHING]
        client.publish("t", b"", retain=True)
        assert client.pubacks.get(timeout=WAIT) == Reason.SUCCESS
        client.publish("$aws/things/press-7/shadow/update", b"", retain=True)
        assert client.pubacks.get(timeout=WAIT) == Reason.TOPIC_NAME_INVALID


def test_no_local_and_retain_as_published(site: Site) -> None:
    """The subscription options of MQTT 5 hold."""
    device = site.device()
    options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)
    with PahoClient(site, device, "one") as one, PahoClient(site, device, "two") as two:
        one.client.subscribe("t", options=options)
        one.subacks.get(timeout=WAIT)
        one.publish("t", b"mine", retain=True)
        assert one.pubacks.get(timeout=WAIT) == 0
        two.publish("t", b"theirs", retain=True)
        got = one.message()
    assert (got.payload, got.retain) == (b"theirs", True)


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
@pytest.mark.parametrize("polite", [True, False])
def test_will_is_published_only_after_an_impolite_end(
    site: Site, version: Version, polite: bool
) -> None:
    """The last will goes out when the connection is lost, not after a DISCONNECT."""
    device = site.device()
    wills: list[Message] = []
    site.core.observe("wills/#", wills.append)
    with PahoClient(site, device, "one", version, will=("wills/one", b"gone", 1, False)) as one:
        if not polite:
            one.cut()
    site.timeline.wait_for("disconnected", client_id="one")
    site.core.connections()  # the loop has come round
    assert [m.payload for m in wills] == ([] if polite else [b"gone"])


def test_will_needs_permission(site: Site) -> None:
    """A will is a publication like any other for the policy."""
    device = site.device("press-7", allow("iot:Connect"))
    with PahoClient(site, device, "one", will=("wills/one", b"gone", 1, False)) as one:
        one.cut()
    site.timeline.wait_for("publish-denied", topic="wills/one")


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
    with running_site(tmp_path, connect_timeout=0.2) as site:
        with RawClient(site, site.device()) as client:
            assert client.receive() is None
        assert site.timeline.wait_for("refused").details["why"] == "no CONNECT within 0.2 s"
