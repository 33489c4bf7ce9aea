"""The cloud's side: observing, publishing, presence, reserved services, going away."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab.iot_core.broker import Reply
from lab.iot_core.iot_core import Connection, Message
from lab.iot_core.packets import (
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
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import ARN, WAIT, RawClient, Site, allow, connect_packet, running_site

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5


def observed(site: Site, topic_filter: str) -> queue.Queue[Message]:
    messages: queue.Queue[Message] = queue.Queue()
    site.core.observe(topic_filter, messages.put)
    return messages


def test_observers_see_what_was_accepted(site: Site) -> None:
    """An observer gets every accepted publication, with who made it, and refused ones never."""
    device = site.device(
        "press-7",
        allow("iot:Connect"),
        allow("iot:Publish", resource=f"{ARN}:topic/mine/*"),
    )
    seen = observed(site, "+/7")
    with PahoClient(site, device, "press-7") as client:
        client.publish("others/7", b"refused")
        client.publish("mine/7", b"accepted", qos=1)
        message = seen.get(timeout=WAIT)
    site.core.publish("cloud/7", b"from a rule")
    from_cloud = seen.get(timeout=WAIT)
    assert (message.topic, message.payload, message.qos) == ("mine/7", b"accepted", 1)
    assert (message.client_id, message.principal) == ("press-7", device.certificate_id)
    assert (from_cloud.topic, from_cloud.client_id, from_cloud.principal) == ("cloud/7", None, None)
    assert message.at <= from_cloud.at


def test_an_observer_can_stop(site: Site) -> None:
    """After unsubscribing, an observer is left alone and the others are not."""
    first: list[Message] = []
    stop = site.core.observe("t", first.append)
    second = observed(site, "t")
    site.core.publish("t", b"1")
    second.get(timeout=WAIT)
    stop()
    site.core.publish("t", b"2")
    second.get(timeout=WAIT)
    assert [m.payload for m in first] == [b"1"]


def test_observers_may_publish(site: Site) -> None:
    """A callback, which runs on the loop, may call the facade."""
    site.core.observe("question", lambda m: site.core.publish("answer", m.payload))
    answers = observed(site, "answer")
    site.core.publish("question", b"42")
    assert answers.get(timeout=WAIT).payload == b"42"
    threads: list[str] = []
    site.core.observe("who", lambda _: threads.append(threading.current_thread().name))
    done = observed(site, "who")
    site.core.publish("who", b"")
    done.get(timeout=WAIT)
    assert threads == ["lab-loop"]


def test_basic_ingest_reaches_rules_only(site: Site) -> None:
    """What is published to $aws/rules/... is observed, and no subscriber gets it."""
    seen = observed(site, "$aws/rules/#")
    with PahoClient(site, site.device(), "press-7") as client:
        client.subscribe("$aws/rules/#")
        client.subscribe("t")
        client.publish("$aws/rules/alerts/plant/7", b"hot")
        assert seen.get(timeout=WAIT).payload == b"hot"
        site.core.publish("t", b"after")
        assert client.message().payload == b"after"


def test_connections_are_listed(site: Site) -> None:
    """Whoever is connected is listed, and nobody else."""
    device = site.device()
    with (
        PahoClient(site, device, "three", THREE),
        PahoClient(site, device, "five", FIVE) as five,
        RawClient(site, device),  # no CONNECT yet
    ):
        three, other = site.core.connections()
        assert three == Connection("three", device.certificate_id, "MQTT 3.1.1", three.since)
        assert other == Connection("five", device.certificate_id, "MQTT 5", other.since)
        five.client.disconnect()
        site.timeline.wait_for("disconnected", client_id="five")
        assert [c.client_id for c in site.core.connections()] == ["three"]


def test_presence_events(site: Site) -> None:
    """Connecting and leaving are told with the certificate id, a version and the reason."""
    device = site.device()
    seen = observed(site, "$aws/events/presence/+/press-7")

    def event() -> dict[str, Any]:
        message = seen.get(timeout=WAIT)
        told: dict[str, Any] = json.loads(message.payload)
        assert message.topic == f"$aws/events/presence/{told['eventType']}/press-7"
        return told

    with PahoClient(site, device, "press-7"):
        came = event()
    left = event()
    with PahoClient(site, device, "press-7") as client:
        again = event()
        client.cut()
        lost = event()
    assert came == {
        "clientId": "press-7",
        "timestamp": came["timestamp"],
        "eventType": "connected",
        "sessionIdentifier": came["sessionIdentifier"],
        "principalIdentifier": device.certificate_id,
        "ipAddress": "127.0.0.1",
        "versionNumber": 0,
    }
    assert left == {
        "clientId": "press-7",
        "timestamp": left["timestamp"],
        "eventType": "disconnected",
        "sessionIdentifier": came["sessionIdentifier"],
        "principalIdentifier": device.certificate_id,
        "clientInitiatedDisconnect": True,
        "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
        "versionNumber": 0,
    }
    assert again["versionNumber"] == lost["versionNumber"] == 1
    assert again["sessionIdentifier"] != came["sessionIdentifier"]
    assert (lost["clientInitiatedDisconnect"], lost["disconnectReason"]) == (
        False,
        "CONNECTION_LOST",
    )
    assert came["timestamp"] <= left["timestamp"] <= time.time() * 1000 + 1  # milliseconds
    assert came["timestamp"] > 1e12


def test_presence_of_a_duplicate_client_id(site: Site) -> None:
    """The one that was thrown out is told to have left before the other is told to have come."""
    device = site.device()
    seen = observed(site, "$aws/events/presence/#")
    with RawClient(site, device) as first, RawClient(site, device) as second:
        first.connect(connect_packet("press-7"))
        second.connect(connect_packet("press-7"))
        events = [json.loads(seen.get(timeout=WAIT).payload) for _ in range(3)]
    assert [(e["eventType"], e["versionNumber"]) for e in events] == [
        ("connected", 0),
        ("disconnected", 0),
        ("connected", 1),
    ]
    assert events[1]["disconnectReason"] == "DUPLICATE_CLIENTID"


@pytest.mark.parametrize("client_id", ["press-7#2", "a+b"])
def test_no_presence_events_for_odd_client_ids(site: Site, client_id: str) -> None:
    """Client ids with # or + connect and cause no events."""
    device = site.device()
    seen = observed(site, "$aws/events/presence/#")
    with PahoClient(site, device, client_id) as client:
        assert client.code == 0
    site.timeline.wait_for("disconnected", client_id=client_id)
    with PahoClient(site, device, "press-7"):
        assert json.loads(seen.get(timeout=WAIT).payload)["clientId"] == "press-7"


def test_devices_may_subscribe_to_presence(site: Site) -> None:
    """Presence events are messages like any other for who may subscribe to them."""
    device = site.device()
    with PahoClient(site, device, "watcher") as watcher:
        watcher.subscribe("$aws/events/presence/connected/press-7")
        with PahoClient(site, device, "press-7"):
            event = json.loads(watcher.message().payload)
    assert event["principalIdentifier"] == device.certificate_id


JOBS = "$aws/things/+/jobs/#"


def test_a_reserved_topic_goes_to_its_service_alone(site: Site) -> None:
    """The service answers the connection that asked; nobody else sees question or answer."""
    asked: list[Message] = []

    def service(message: Message, reply: Reply) -> None:
        asked.append(message)
        reply(message.topic + "/accepted", b'{"jobs":[]}')

    site.core.reserve(JOBS, service)
    seen: list[Message] = []
    site.core.observe("$aws/#", seen.append)
    device = site.device()
    get = "$aws/things/press-7/jobs/get"
    with RawClient(site, device) as asks, RawClient(site, device) as listens:
        asks.connect(connect_packet("press-7#2"))  # which is not subscribed
        listens.connect(connect_packet("press-7#3"))
        listens.send(Subscribe(1, (Subscription("$aws/#", 1),)))
        assert listens.receive() == Suback(1, (1,))
        asks.send(Publish(get, b"{}", 1, packet_id=9))
        assert asks.receive() == Puback(9)
        assert asks.receive() == Publish(f"{get}/accepted", b'{"jobs":[]}', 1, packet_id=1)
        site.core.publish("$aws/things/press-7/jobs/notify", b"from the cloud")
        notified = listens.receive()
    assert isinstance(notified, Publish)
    assert notified.payload == b"from the cloud"
    assert [(m.topic, m.client_id, m.principal) for m in asked] == [
        (get, "press-7#2", device.certificate_id)
    ]
    assert [m.payload for m in seen] == [b"from the cloud"]


def test_a_service_may_answer_later_and_from_elsewhere(site: Site) -> None:
    """A reply from another thread arrives; one to a connection that has gone goes nowhere."""
    replies: queue.Queue[Reply] = queue.Queue()
    site.core.reserve(JOBS, lambda _, reply: replies.put(reply))
    device = site.device()
    again = connect_packet("press-7", clean_start=False, properties=Properties(session_expiry=60))
    with RawClient(site, device) as client:
        client.connect(again)
        client.send(Publish("$aws/things/press-7/jobs/get", b"{}"))
        reply = replies.get(timeout=WAIT)
        reply("first", b"", qos=0)
        assert client.receive() == Publish("first", b"")
    site.timeline.wait_for("disconnected", client_id="press-7")
    reply("second", b"", qos=1)
    with RawClient(site, device) as client:
        assert client.connect(again).session_present
        reply("third", b"", qos=1)
        site.core.connections()  # the loop has come round
        client.send(Pingreq())
        assert client.receive() == Pingresp()


def test_replies_need_permission_to_be_received(site: Site) -> None:
    """iot:Receive holds for a service's replies too."""
    site.core.reserve(JOBS, lambda message, reply: reply(message.topic + "/accepted", b""))
    device = site.device("press-7", allow("iot:Connect", "iot:Publish"))
    with PahoClient(site, device, "press-7") as client:
        client.publish("$aws/things/press-7/jobs/get")
        site.timeline.wait_for("dropped", topic="$aws/things/press-7/jobs/get/accepted")


def test_the_policy_comes_before_the_service(site: Site) -> None:
    """A service never sees what the client may not publish."""
    asked: list[Message] = []
    site.core.reserve(JOBS, lambda message, _: asked.append(message))
    device = site.device("press-7", allow("iot:Connect"))
    with PahoClient(site, device, "press-7") as client:
        client.publish("$aws/things/press-7/jobs/get")
        assert client.pubacks.get(timeout=WAIT) == Reason.NOT_AUTHORIZED
    assert asked == []


def plain_connection(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.core.port), timeout=WAIT)


def test_the_cloud_goes_away_and_comes_back(site: Site) -> None:
    """Connections are reset, new ones refused, and then the same port answers again."""
    device = site.device()
    port = site.core.port
    with RawClient(site, device) as client, plain_connection(site) as plain:
        client.connect(connect_packet("press-7"))
        site.core.go_away()
        assert client.receive() is None  # without a DISCONNECT
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    with pytest.raises(ConnectionRefusedError):
        RawClient(site, device)
    with socket.socket() as squatter, pytest.raises(OSError, match="in use"):
        squatter.bind(("127.0.0.1", port))
    site.core.go_away()  # again: no harm
    assert site.core.connections() == []
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["why"] == "the cloud went away"
    site.core.come_back()
    site.core.come_back()  # again: no harm
    assert site.core.port == port
    with RawClient(site, device) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS


def test_stop_ends_everything(tmp_path: Path) -> None:
    """After stop nobody is connected and nobody listens."""
    with running_site(tmp_path) as site:
        device = site.device()
        with RawClient(site, device) as client:
            client.connect(connect_packet("press-7"))
            site.core.stop()
            assert client.receive() is None
        with pytest.raises(ConnectionRefusedError):
            RawClient(site, device)


def test_a_policy_that_is_not_understood_is_loud(site: Site) -> None:
    """The timeline says which part of a policy is not supported."""
    odd = allow("iot:*", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})
    with RawClient(site, site.device("press-7", odd)) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.NOT_AUTHORIZED
    entry = site.timeline.wait_for("refused", client_id="press-7")
    assert entry.details["why"] == "policy not supported: condition operator IpAddress"


def test_no_secret_in_the_timeline(site: Site) -> None:
    """User names, passwords and payloads stay out of the timeline."""
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7", username="MARK-user", password=b"MARK-secret"))
        client.send(Publish("t", b"MARK-payload", 1, packet_id=1), Disconnect())
        client.receive()
    site.timeline.wait_for("disconnected", client_id="press-7")
    assert "MARK" not in " ".join(map(str, site.timeline.entries))
    assert "MARK-secret" not in repr(connect_packet("x", password=b"MARK-secret"))
