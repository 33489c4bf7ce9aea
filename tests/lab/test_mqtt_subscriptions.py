"""What a nucleus hears for its components, and when it asks the cloud for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.nucleus.mqtt_proxy import SpoolError
from lab.nucleus.mqtt_topics import covers
from lab.nucleus.recipe import Runtime
from tests.lab.iot_core_site import WAIT, RawClient, Site, allow, connect_packet
from tests.lab.mqtt_device import Make, both, is_silent


@both
def test_delivers_to_every_subscriber_whose_filter_matches(
    site: Site, core: Make, runtime: Runtime
) -> None:
    """Overlapping filters each get the message, and what nobody asked for goes to nobody."""
    device = core(runtime)
    device.connect()
    device.online()
    device.subscribe("jobs/+/update")
    device.subscribe("jobs/1/update")
    device.subscribe("other/#")
    if runtime == "lite":
        site.timeline.wait_for("subscribed", topic_filter="other/#", timeout=WAIT)
    site.core.publish("jobs/2/update", b"one")
    assert device.next() == ("jobs/2/update", b"one")
    site.core.publish("jobs/1/update", b"two")
    assert device.next() == device.next() == ("jobs/1/update", b"two")
    site.core.publish("jobs/1/other", b"three")
    site.core.publish("other/x", b"four")
    assert device.next() == ("other/x", b"four")


def test_classic_asks_the_cloud_only_for_what_it_does_not_get_already(
    site: Site, core: Make
) -> None:
    """A filter covered by another is not subscribed, so nothing comes twice."""
    device = core()
    device.connect()
    device.online()
    device.subscribe("jobs/#")
    device.subscribe("jobs/1")
    site.core.publish("jobs/1", b"once")
    assert device.next() == device.next() == ("jobs/1", b"once")
    assert is_silent(device.received)
    asked = [e.details["topic_filter"] for e in site.timeline.find("subscribed")]
    assert asked == ["jobs/#"]


def test_a_subscription_ends_for_the_one_that_ended_it(
    site: Site, core: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other subscriber of a covering filter keeps it; the last one takes it away."""
    device = core()
    device.connect()
    device.online()
    end_wide, end_narrow = device.subscribe("jobs/#"), device.subscribe("jobs/1")
    end_wide()
    end_wide()
    site.core.publish("jobs/1", b"still")
    assert device.next() == ("jobs/1", b"still")
    end_narrow()
    arrived: list[str] = []
    hear = device.proxy.on_message

    def overheard(topic: str, payload: bytes) -> None:
        arrived.append(topic)
        hear(topic, payload)

    monkeypatch.setattr(device.proxy, "on_message", overheard)
    site.core.publish("jobs/1", b"gone")
    device.subscribe("after")
    site.core.publish("after", b"x")
    assert device.next() == ("after", b"x")
    assert arrived == ["after"]


def test_a_subscription_that_has_ended_is_not_made_again(site: Site, core: Make) -> None:
    """After a reconnection the cloud is asked for what is still wanted, and for no more."""
    device = core("lite")
    device.connect()
    device.online()
    device.subscribe("ended")()
    device.subscribe("kept")
    site.timeline.wait_for("subscribed", topic_filter="kept", timeout=WAIT)
    after, asked = device.timeline.mark(), site.timeline.mark()
    site.core.go_away()
    site.core.come_back()
    device.online(after)
    site.timeline.wait_for("subscribed", topic_filter="kept", after=asked, timeout=WAIT)
    site.core.publish("kept", b"x")
    assert device.next() == ("kept", b"x")
    assert not site.timeline.find("subscribed", topic_filter="ended", after=asked)


def test_classic_subscribes_again_when_its_session_is_lost(site: Site, core: Make) -> None:
    """Another client of the same id ends the session; the nucleus comes back and hears."""
    device = core()
    device.connect()
    device.online()
    device.subscribe("jobs/#")
    after, asked = device.timeline.mark(), site.timeline.mark()
    with RawClient(site, device.pair) as other:
        other.connect(connect_packet("press-7"))
        assert device.online(after).details["session_present"] is False
    site.timeline.wait_for("subscribed", topic_filter="jobs/#", after=asked, timeout=WAIT)
    site.core.publish("jobs/1", b"heard")
    assert device.next() == ("jobs/1", b"heard")


def test_a_subscriber_that_fails_does_not_keep_a_message_from_others(
    site: Site, core: Make
) -> None:
    """Each delivery stands by itself."""
    device = core()
    device.connect()
    device.online()
    faults: list[dict[str, Any]] = []
    device.loop.loop.set_exception_handler(lambda _, context: faults.append(context))

    def fail(topic: str, payload: bytes) -> None:
        raise RuntimeError(topic)

    device.loop.run(device.proxy.subscribe("jobs/1", 1, fail))
    device.subscribe("jobs/1")
    site.core.publish("jobs/1", b"x")
    assert device.next() == ("jobs/1", b"x")
    assert str(faults[0]["exception"]) == "jobs/1"


def test_a_subscription_that_the_policy_refuses_fails_on_classic_only(
    site: Site, core: Make
) -> None:
    """Classic passes the refusal on in the nucleus's words; lite never looks at it."""
    policy = allow("iot:Connect")
    device = core("classic", policy)
    device.connect()
    device.online()
    with pytest.raises(
        SpoolError, match="Subscribe to topic jobs failed with error NOT_AUTHORIZED"
    ):
        device.subscribe("jobs")
    device.disconnect()
    device = core("lite", policy)
    device.connect()
    device.online()
    device.subscribe("jobs")
    entry = device.timeline.wait_for("mqtt-subscribe-refused", timeout=WAIT)
    assert entry.details["reason_code"] == 0x87


def test_classic_does_not_answer_a_subscription_before_it_was_ever_connected(
    site: Site, core: Make
) -> None:
    """Never connected, a subscribe waits; the first connection completes it."""
    site.core.go_away()
    device = core()
    device.connect()
    waiting = asyncio.run_coroutine_threadsafe(
        device.proxy.subscribe("jobs", 1, lambda topic, payload: None), device.loop.loop
    )
    device.timeline.wait_for("mqtt-connect-failed", timeout=WAIT)
    assert not waiting.done()
    site.core.come_back()
    waiting.result(WAIT)
    assert site.timeline.find("subscribed", topic_filter="jobs")


def test_a_subscription_that_waits_ends_with_the_process(site: Site, core: Make) -> None:
    """When the nucleus stops, whoever still waits for the first connection is told."""
    site.core.go_away()
    device = core()
    device.connect()
    waiting = asyncio.run_coroutine_threadsafe(
        device.proxy.subscribe("jobs", 1, lambda topic, payload: None), device.loop.loop
    )
    device.timeline.wait_for("mqtt-connect-failed", timeout=WAIT)
    device.disconnect()
    with pytest.raises(SpoolError, match="MQTT client is shut down"):
        waiting.result(WAIT)


def test_classic_refuses_a_subscription_while_the_connection_is_down(
    site: Site, core: Make
) -> None:
    """Once it has been connected, a subscribe while offline fails at once."""
    device = core()
    device.connect()
    device.online()
    site.core.go_away()
    device.timeline.wait_for("mqtt-disconnected", timeout=WAIT)
    with pytest.raises(SpoolError, match="Subscribe to topic jobs failed with error"):
        device.subscribe("jobs")


def test_packets_over_five_thousand_bytes_never_reach_lite(site: Site, core: Make) -> None:
    """Lite announces its buffer as the maximum packet size, and the cloud keeps to it."""
    for runtime, arrives in (("lite", False), ("classic", True)):
        device = core(runtime)
        device.connect()
        device.online()
        device.subscribe("jobs")
        site.timeline.wait_for("subscribed", topic_filter="jobs", timeout=WAIT)
        site.core.publish("jobs", bytes(5000))
        site.core.publish("jobs", b"small")
        expected = [bytes(5000), b"small"] if arrives else [b"small"]
        assert [device.next()[1] for _ in expected] == expected
        device.disconnect()


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/#", "a", False),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$aws/things", True),
        ("+/things", "$aws/things", True),
        ("$aws/#", "$aws/things", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/+/c", "a/+/c", True),
        ("a/+", "a/#", True),
        ("a/#", "a/+", True),
        ("a/#", "a/#", True),
        ("a/b", "a/+", False),
    ],
)
def test_which_filter_covers_what(wide: str, narrow: str, expected: bool) -> None:
    """Wildcards cover topics and filters as the nucleus counts, which is not quite MQTT's way."""
    assert covers(wide, narrow) is expected
