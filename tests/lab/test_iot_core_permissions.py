"""What a policy does not allow, and how each protocol version is told."""

from __future__ import annotations

from typing import Any

import pytest

from lab.iot_core.packets import Connect, Version
from lab.iot_core.wire import Reason
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import ARN, EVERYTHING, WAIT, RawClient, Site, allow

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5
both = pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])


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
def test_thing_policy_variable_of_an_exclusive_thing(site: Site, version: Version) -> None:
    """A certificate that is exclusively a thing's speaks for it under every client id."""
    device = site.device(
        "press-7",
        allow("iot:Connect", resource=f"{ARN}:client/${{iot:Connection.Thing.ThingName}}#*"),
    )
    site.registry.things[device.certificate_id] = ["press-7"]
    with PahoClient(site, device, "press-7#2", version) as client:
        assert client.code != Reason.SUCCESS
    site.registry.exclusive[device.certificate_id] = "press-7"
    with PahoClient(site, device, "press-7#2", version) as client:
        assert client.code == Reason.SUCCESS
    with PahoClient(site, device, "press-70#2", version) as client:
        assert client.code != Reason.SUCCESS


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


def test_will_needs_permission(site: Site) -> None:
    """A will is a publication like any other for the policy."""
    device = site.device("press-7", allow("iot:Connect"))
    with PahoClient(site, device, "one", will=("wills/one", b"gone", 1, False)) as one:
        one.cut()
    site.timeline.wait_for("publish-denied", topic="wills/one")
