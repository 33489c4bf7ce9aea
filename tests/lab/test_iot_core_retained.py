"""Messages for later: retained ones and wills."""

from __future__ import annotations

import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from lab.iot_core.iot_core import Message
from lab.iot_core.packets import (
    Disconnect,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Version,
    Will,
)
from lab.iot_core.wire import Properties, Reason
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import WAIT, RawClient, Site, connect_packet

THREE, FIVE = Version.MQTT_3_1_1, Version.MQTT_5
both = pytest.mark.parametrize("version", [THREE, FIVE], ids=["3.1.1", "5"])


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


def test_retain_handling(site: Site) -> None:
    """MQTT 5: what is retained comes always, with a new subscription only, or never."""
    site_retains(site, "t", b"kept")
    with RawClient(site, site.device()) as client:
        client.connect(connect_packet("press-7"))
        for handling, again, comes in [
            (2, False, False),
            (1, True, False),
            (1, False, True),
            (0, True, True),
        ]:
            if not again:
                client.send(Unsubscribe(1, ("t",)))
                client.receive()
            client.send(Subscribe(1, (Subscription("t", retain_handling=handling),)), Pingreq())
            assert client.receive() == Suback(1, (0,))
            if comes:
                assert client.receive() == Publish("t", b"kept", retain=True)
            assert client.receive() == Pingresp()


def site_retains(site: Site, topic: str, payload: bytes) -> None:
    with PahoClient(site, site.device("retainer"), "retainer") as client:
        client.publish(topic, payload, retain=True)
        assert client.pubacks.get(timeout=WAIT) == 0


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


def test_disconnect_with_will(site: Site) -> None:
    """MQTT 5 lets a client leave politely and still have its will sent; its delay is left out."""
    device = site.device()
    will = Will("wills/one", b"gone", properties=Properties(will_delay=5, content_type="text"))
    with RawClient(site, device) as leaves, RawClient(site, device) as stays:
        stays.connect(connect_packet("stays"))
        stays.send(Subscribe(1, (Subscription("wills/#"),)))
        assert stays.receive() == Suback(1, (0,))
        leaves.connect(connect_packet("leaves", will=will))
        leaves.send(Disconnect(Reason.DISCONNECT_WITH_WILL))
        got = stays.receive()
    assert got == Publish("wills/one", b"gone", properties=Properties(content_type="text"))
