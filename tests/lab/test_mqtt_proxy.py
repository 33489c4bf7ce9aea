"""The nucleus's MQTT against the lab's IoT Core, over mutual TLS, with the real client."""

from __future__ import annotations

import asyncio
import queue
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.iot_core.iot_core import Message
from lab.loop import LoopThread
from lab.nucleus.mqtt_connection import MqttConnection, OperationError
from lab.nucleus.mqtt_proxy import LITE_MESSAGE_LIMIT, SPOOL_LIMIT, MqttProxy, SpoolError
from lab.nucleus.mqtt_topics import MESSAGE_LIMIT, covers
from lab.nucleus.recipe import Runtime
from lab.timeline import Entry, Timeline
from tests.lab.iot_core_site import (
    WAIT,
    Device,
    RawClient,
    Site,
    allow,
    connect_packet,
    running_site,
)

NEVER = 0.3  # seconds in which something that must not happen would have happened


@dataclass
class Core:
    """A device's MQTT, what it received, and the files that it connects with."""

    proxy: MqttProxy
    loop: LoopThread
    timeline: Timeline
    pair: Device
    certificate: Path
    key: Path
    received: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)

    def connect(self) -> None:
        self.loop.run(self.proxy.connect())

    def disconnect(self) -> None:
        self.loop.run(self.proxy.disconnect())

    def online(self, after: int = 0) -> Entry:
        return self.timeline.wait_for("mqtt-connected", after=after, timeout=WAIT)

    def publish(self, topic: str, payload: bytes = b"{}", qos: int = 1) -> None:
        self.loop.run(self.proxy.publish(topic, payload, qos))

    def subscribe(self, topic_filter: str, qos: int = 1) -> Callable[[], None]:
        def deliver(topic: str, payload: bytes) -> None:
            self.received.put((topic, payload))

        ended = self.loop.run(self.proxy.subscribe(topic_filter, qos, deliver))

        async def end() -> None:
            await ended()

        return lambda: self.loop.run(end())

    def next(self) -> tuple[str, bytes]:
        return self.received.get(timeout=WAIT)

    def use(self, device: Device) -> None:
        """Put another pair where the nucleus has its own."""
        shutil.copy(device.certificate, self.certificate)
        shutil.copy(device.key, self.key)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    with running_site(folder) as site:
        yield site


@pytest.fixture
def core(site: Site, tmp_path: Path) -> Iterator[Callable[..., Core]]:
    """Makes a device that may do all, unless policies are given; not yet connected."""
    loops: list[Core] = []
    faults: list[dict[str, Any]] = []
    with LoopThread() as loop:
        loop.loop.set_exception_handler(lambda _, context: faults.append(context))

        def make(runtime: Runtime = "classic", *policies: dict[str, Any]) -> Core:
            device = site.device("press-7", *policies)
            certificate, key = tmp_path / "thingCert.crt", tmp_path / "privKey.key"
            timeline = Timeline()
            proxy = MqttProxy(
                runtime,
                thing_name="press-7",
                host="localhost",
                port=site.core.port,
                certificate_path=certificate,
                private_key_path=key,
                root_ca_path=site.authority.certificate,
                timeline=timeline,
                min_reconnect_delay=0.02,
                max_reconnect_delay=0.1,
            )
            made = Core(proxy, loop, timeline, device, certificate, key)
            made.use(device)
            loops.append(made)
            return made

        yield make
        for made in loops:
            made.disconnect()
    assert not faults, f"the loop had to report {faults}"


Make = Callable[..., Core]
both = pytest.mark.parametrize("runtime", ["classic", "lite"])


@contextmanager
def observed(site: Site, topic_filter: str = "#") -> Iterator[queue.Queue[Message]]:
    """What the cloud accepts on a topic, in order."""
    messages: queue.Queue[Message] = queue.Queue()
    stop = site.core.observe(topic_filter, messages.put)
    try:
        yield messages
    finally:
        stop()


def is_silent(of: queue.Queue[Any]) -> bool:
    """Whether nothing comes for a while."""
    try:
        of.get(timeout=NEVER)
    except queue.Empty:
        return True
    return False


@both
def test_connects_as_the_thing_with_the_pair_on_disk(
    site: Site, core: Make, runtime: Runtime
) -> None:
    """The client id is the thing name, and the principal the SHA-256 of the certificate's DER."""
    device = core(runtime)
    before = device.proxy.principal
    assert before is None
    device.connect()
    entry = device.online()
    (connection,) = site.core.connections()
    assert (connection.client_id, connection.protocol_version) == ("press-7", "MQTT 5")
    assert connection.principal == device.proxy.principal == entry.details["principal"]
    assert entry.details["session_present"] is False
    assert device.proxy.connected


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


@both
def test_reconnects_and_its_subscriptions_live_on(site: Site, core: Make, runtime: Runtime) -> None:
    """After the cloud was away both nuclei are back by themselves, and hear."""
    device = core(runtime)
    device.connect()
    device.online()
    device.subscribe("jobs/#")
    device.subscribe("other")
    site.timeline.wait_for("subscribed", topic_filter="other", timeout=WAIT)
    after, asked = device.timeline.mark(), site.timeline.mark()
    site.core.go_away()
    device.timeline.wait_for("mqtt-disconnected", after=after, timeout=WAIT)
    device.timeline.wait_for("mqtt-connect-failed", after=after, timeout=WAIT)
    assert not device.proxy.connected
    site.core.come_back()
    present = device.online(after).details["session_present"]
    assert present is (runtime == "classic")
    if not present:
        for topic_filter in ("jobs/#", "other"):
            site.timeline.wait_for(
                "subscribed", topic_filter=topic_filter, after=asked, timeout=WAIT
            )
    site.core.publish("jobs/1", b"heard")
    assert device.next() == ("jobs/1", b"heard")


def test_classic_keeps_the_pair_it_was_built_with_and_lite_reads_it_again(
    site: Site, core: Make
) -> None:
    """New files change classic at its restart only, and lite at its next connection."""
    old, new = site.device("old"), site.device("new")
    for runtime in ("classic", "lite"):
        device = core(runtime)
        device.use(old)
        device.connect()
        assert device.online().details["principal"] == old.certificate_id
        device.use(new)
        after = device.timeline.mark()
        site.core.go_away()
        device.timeline.wait_for("mqtt-disconnected", after=after, timeout=WAIT)
        site.core.come_back()
        kept = old if runtime == "classic" else new
        assert device.online(after).details["principal"] == kept.certificate_id
        assert site.core.connections()[0].principal == kept.certificate_id
        device.disconnect()
        after = device.timeline.mark()
        device.connect()
        assert device.online(after).details["principal"] == new.certificate_id
        device.disconnect()


@both
def test_a_certificate_that_is_not_active_is_let_in_when_it_is(
    site: Site, core: Make, runtime: Runtime
) -> None:
    """A refused nucleus tries again and again, without anybody's help."""
    device = core(runtime)
    pair = site.device("late")
    site.registry.set_status(pair, "INACTIVE")
    device.use(pair)
    device.connect()
    for _ in range(3):
        after = device.timeline.mark()
        device.timeline.wait_for("mqtt-connect-failed", after=after, timeout=WAIT)
    assert not device.proxy.connected
    site.registry.set_status(pair, "ACTIVE")
    device.online()


@both
@pytest.mark.parametrize("fault", ["another key", "no key", "garbage"])
def test_credentials_that_cannot_be_used_are_tried_again(
    site: Site, core: Make, runtime: Runtime, fault: str
) -> None:
    """Without a pair that fits the nucleus stays offline, and recovers when there is one."""
    device = core(runtime)
    good, other = site.device("good"), site.device("other")
    device.use(good)
    if fault == "another key":
        shutil.copy(other.key, device.key)
    elif fault == "no key":
        device.key.unlink()
    else:
        device.certificate.write_text("not a certificate")
    device.connect()
    reason = str(device.timeline.wait_for("mqtt-connect-failed", timeout=WAIT).details["reason"])
    assert "PRIVATE KEY" not in reason
    device.use(good)
    assert device.online().details["principal"] == good.certificate_id


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


@both
def test_stops_at_any_instant_after_its_start(site: Site, core: Make, runtime: Runtime) -> None:
    """A process that ends before its client has begun to connect ends all the same."""
    device = core(runtime)
    for _ in range(50):
        device.connect()
        device.disconnect()
    after = device.timeline.mark()
    device.connect()
    device.online(after)


def test_a_second_start_without_a_stop_is_a_fault(core: Make) -> None:
    """One process has one client."""
    device = core()
    device.connect()
    with pytest.raises(RuntimeError, match="started already"):
        device.connect()
