"""What a component publishes: the nucleus sends it at once, later, or not at all."""

from __future__ import annotations

import pytest

from lab.nucleus.mqtt_connection import MqttConnection, OperationError
from lab.nucleus.mqtt_proxy import LITE_MESSAGE_LIMIT, SPOOL_LIMIT, SpoolError
from lab.nucleus.mqtt_topics import MESSAGE_LIMIT
from lab.nucleus.recipe import Runtime
from tests.lab.iot_core_site import WAIT, Site, allow
from tests.lab.mqtt_device import Make, both, is_silent, observed


@both
def test_publishes_at_both_qualities_of_service(site: Site, core: Make, runtime: Runtime) -> None:
    """What a component publishes arrives at the cloud as it was said."""
    device = core(runtime)
    device.connect()
    device.online()
    with observed(site, "alerts/#") as messages:
        for qos in (0, 1):
            device.publish(f"alerts/{qos}", b"\x00\xff", qos)
            message = messages.get(timeout=WAIT)
            assert (message.topic, message.payload, message.qos) == (
                f"alerts/{qos}",
                b"\x00\xff",
                qos,
            )


def test_classic_spools_while_offline_and_sends_later_in_order(site: Site, core: Make) -> None:
    """Success means spooled: what was published offline arrives after the connection."""
    site.core.go_away()
    device = core()
    device.connect()
    device.timeline.wait_for("mqtt-connect-failed", timeout=WAIT)
    for number in range(20):
        device.publish("alerts", str(number).encode())
    with observed(site, "alerts") as messages:
        site.core.come_back()
        arrived = [messages.get(timeout=WAIT).payload for _ in range(20)]
    assert arrived == [str(number).encode() for number in range(20)]


def test_classic_drops_qos_0_while_offline(site: Site, core: Make) -> None:
    """A QoS 0 publish without a connection is refused in the nucleus's words."""
    site.core.go_away()
    device = core()
    with pytest.raises(SpoolError, match="MQTT client is shut down"):
        device.publish("alerts", qos=0)
    device.connect()
    with pytest.raises(SpoolError, match=r"Device is offline\. Dropping QoS 0 message\."):
        device.publish("alerts", qos=0)


def test_classic_refuses_what_the_spool_cannot_hold(site: Site, core: Make) -> None:
    """Two and a half megabytes are kept, not more; when they are sent, there is room again."""
    site.core.go_away()
    device = core()
    device.connect()
    payload = bytes(MESSAGE_LIMIT)
    for _ in range(SPOOL_LIMIT // MESSAGE_LIMIT):
        device.publish("alerts", payload)
    with pytest.raises(SpoolError, match=r"Message spool is full\. Message could not be added\."):
        device.publish("alerts", b"x")
    with observed(site, "alerts") as messages:
        site.core.come_back()
        for _ in range(SPOOL_LIMIT // MESSAGE_LIMIT):
            messages.get(timeout=WAIT)
        device.publish("alerts", b"x")
        assert messages.get(timeout=WAIT).payload == b"x"


def test_classic_sends_again_what_was_not_acknowledged(
    site: Site, core: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish whose connection broke before the answer stays spooled, and is sent again."""
    publish, broken = MqttConnection.publish, ["first", "second"]

    async def breaking(self: MqttConnection, topic: str, payload: bytes, qos: int) -> int:
        if broken:
            broken.pop()
            raise OperationError(5147, "AWS_ERROR_MQTT5_OPERATION_FAILED", "the connection broke")
        return await publish(self, topic, payload, qos)

    monkeypatch.setattr(MqttConnection, "publish", breaking)
    device = core()
    device.connect()
    device.online()
    with observed(site, "alerts") as messages:
        for number in range(4):
            device.publish("alerts", str(number).encode())
        arrived = sorted(messages.get(timeout=WAIT).payload for _ in range(4))
    assert arrived == [b"0", b"1", b"2", b"3"]


def test_a_restart_of_the_nucleus_loses_spool_and_subscriptions(site: Site, core: Make) -> None:
    """Both live in memory; the first connection of a process has a clean session."""
    device = core()
    device.connect()
    device.online()
    device.subscribe("jobs")
    site.core.go_away()
    device.timeline.wait_for("mqtt-disconnected", timeout=WAIT)
    device.publish("alerts", b"lost")
    device.disconnect()
    assert not device.proxy.connected
    assert device.proxy.principal is None
    with observed(site, "alerts") as messages:
        site.core.come_back()
        after = device.timeline.mark()
        device.connect()
        assert device.online(after).details["session_present"] is False
        site.core.publish("jobs", b"unheard")
        device.publish("alerts", b"first")
        assert messages.get(timeout=WAIT).payload == b"first"
    assert is_silent(device.received)


def test_a_publish_that_the_policy_refuses_is_dropped_without_a_word(
    site: Site, core: Make
) -> None:
    """The component saw success; only the timeline knows, and what comes after is sent."""
    policy = allow("iot:Connect"), allow("iot:Publish", resource="*:topic/allowed")
    for runtime in ("classic", "lite"):
        device = core(runtime, *policy)
        device.connect()
        device.online()
        before = site.timeline.mark()
        with observed(site, "#") as messages:
            device.publish("refused", b"x")
            entry = device.timeline.wait_for("mqtt-publish-refused", timeout=WAIT)
            assert (entry.details["topic"], entry.details["reason_code"]) == ("refused", 0x87)
            device.publish("allowed", b"y")
            while (message := messages.get(timeout=WAIT)).topic.startswith("$aws/events"):
                pass
            assert message.topic == "allowed"
        assert device.proxy.connected
        assert len(device.timeline.find("mqtt-publish-refused")) == 1
        assert len(site.timeline.find("publish-denied", after=before)) == 1
        device.disconnect()


def test_lite_keeps_nothing_while_offline(site: Site, core: Make) -> None:
    """Lite has no spool: publish and subscribe fail without a connection."""
    site.core.go_away()
    device = core("lite")
    device.connect()
    for qos in (0, 1):
        with pytest.raises(SpoolError, match=r"Failed to publish the message\."):
            device.publish("alerts", qos=qos)
    with pytest.raises(SpoolError, match=r"Failed to bind the subscription\."):
        device.subscribe("jobs")


def test_lite_publishes_about_seven_thousand_bytes(site: Site, core: Make) -> None:
    """A larger message does not fit lite's internal bus."""
    device = core("lite")
    device.connect()
    device.online()
    with observed(site, "alerts") as messages:
        device.publish("alerts", bytes(LITE_MESSAGE_LIMIT))
        assert len(messages.get(timeout=WAIT).payload) == LITE_MESSAGE_LIMIT
    with pytest.raises(SpoolError, match="Failed to publish"):
        device.publish("alerts", bytes(LITE_MESSAGE_LIMIT + 1))


@pytest.mark.parametrize(
    ("topic", "payload", "message"),
    [
        ("alerts", bytes(MESSAGE_LIMIT + 1), "exceeds the configured limit of 131072 bytes"),
        ("a/+", b"", "should not contain wildcard"),
        ("", b"", "Topic must not be empty"),
        ("/".join("123456789"), b"", "no more than 7 slashes"),
        ("x" * 257, b"", "no larger than 256"),
    ],
)
def test_classic_refuses_what_aws_iot_would_not_take(
    core: Make, topic: str, payload: bytes, message: str
) -> None:
    """Size and topic are checked before anything is spooled."""
    device = core()
    device.connect()
    with pytest.raises(SpoolError, match=message):
        device.publish(topic, payload)


def test_the_segments_of_basic_ingest_do_not_count(site: Site, core: Make) -> None:
    """``$aws/rules/<name>/`` stands before a topic that may have all its seven slashes."""
    device = core()
    device.connect()
    device.online()
    device.publish("$aws/rules/store/" + "/".join("12345678"), b"x")
