"""With which pair a nucleus connects, and when it reads a new one."""

from __future__ import annotations

import shutil

import pytest

from lab.nucleus.recipe import Runtime
from tests.lab.iot_core_site import WAIT, Site
from tests.lab.mqtt_device import Make, both


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
