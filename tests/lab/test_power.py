"""The power of a core device: cut at any instant, and back; crashes, and faults of messages."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import awsiot.greengrasscoreipc
import pytest
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from lab.iot_core.iot_core import Message
from lab.nucleus.lifecycle import State
from lab.nucleus.lifecycle_operations import Deferral
from lab.nucleus.recipe import Runtime
from tests.lab.iot_core_site import WAIT
from tests.lab.powered_device import (
    DEAF,
    PoweredDevice,
    is_alive,
    powered_device,
    processes_of,
)


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[PoweredDevice]:
    """A device with each kind of nucleus in turn."""
    runtime: Runtime = request.param
    with powered_device(runtime) as made:
        yield made


@pytest.fixture
def classic() -> Iterator[PoweredDevice]:
    """A device with nucleus classic."""
    with powered_device("classic") as made:
        yield made


@pytest.fixture
def lite() -> Iterator[PoweredDevice]:
    """A device with nucleus lite."""
    with powered_device("lite") as made:
        yield made


def _installs(device: PoweredDevice) -> int:
    return len(device.timeline.find("component-exited", step="install", code=0))


def test_power_cut_kills_every_process_without_a_goodbye(device: PoweredDevice) -> None:
    """The component, its child and what left its group are dead, and the cloud sees a reset."""
    device.start()
    processes = [device.process(name) for name in ("main", "child", "stray")]
    assert all(map(is_alive, processes))
    mark = device.site.timeline.mark()
    device.core.power_off()
    assert not any(map(is_alive, processes))
    lost = device.site.timeline.wait_for("disconnected", after=mark, timeout=WAIT)
    assert lost.details["reason"] == "CONNECTION_LOST"
    assert not device.timeline.find("component-state", state="STOPPING")
    assert device.core.component_state is State.NEW
    device.down()


def test_device_boots_again_from_its_disk(device: PoweredDevice) -> None:
    """After a cut ``start`` boots; what was installed stays so on lite, classic installs anew."""
    device.start()
    (device.core.work_path / "kept").write_text("x")
    device.core.power_off()
    device.start()
    assert (device.core.work_path / "kept").read_text() == "x"
    assert _installs(device) == (2 if device.runtime == "classic" else 1)


def test_power_cut_twice_or_without_power_is_nothing(device: PoweredDevice) -> None:
    """A device that was never on, or is off, can lose its power again."""
    device.core.power_off()
    device.start()
    device.core.power_off()
    device.core.power_off()
    device.core.stop()
    device.start()


@pytest.mark.parametrize(
    "event", ["started", "component-state", "component-exited", "ready", "mqtt-connected"]
)
def test_power_cut_in_the_middle_of_a_start(device: PoweredDevice, event: str) -> None:
    """Cut on the lab's own loop at any event of a start, the device is off, and boots again."""
    device.when(event, device.core.power_off)
    device.core.start()
    device.seen("power-off")
    device.core.power_off()
    assert not processes_of(device.core.layout.root)
    device.down()
    device.start()


def test_power_cut_from_another_thread_during_a_start(device: PoweredDevice) -> None:
    """A start that races with a cut, at twenty instants, leaves nothing running."""
    for number in range(20):
        cut = threading.Timer(number * 0.002, device.core.power_off)
        cut.start()
        device.core.start()
        cut.join()
        device.core.power_off()  # the first one may have come before the start
        assert not processes_of(device.core.layout.root)
        device.down()
    device.start()


def test_install_that_was_cut_is_done_again(lite: PoweredDevice) -> None:
    """Lite installs at the next boot what it could not finish to install."""
    lite.script(install="echo installing; sleep 600")
    lite.core.start()
    lite.seen("installing")
    lite.core.power_off()
    lite.script()
    lite.start()
    assert _installs(lite) == 1


def test_power_cut_ends_a_stop_that_takes_long(device: PoweredDevice) -> None:
    """A component that does not end is dead at once, and a restart under way goes no further."""
    device.script(run=DEAF)
    device.start()
    device.when("component-state", lambda: device.core.power_off(wait=False))
    mark = device.timeline.mark()
    device.core.restart_nucleus()
    device.core.power_off()
    assert not device.timeline.find("started", source="nucleus", after=mark)
    assert not processes_of(device.core.layout.root)


def test_power_cut_forgets_timers_and_units(device: PoweredDevice) -> None:
    """What systemd-run had armed is gone with the power, and what it had started is dead."""
    device.start()
    arm = ("systemd-run", "--quiet", "--collect", "--on-active=600")
    assert device.ask(*arm, "--unit=waits", "true").returncode == 0
    assert device.ask(*arm, "--unit=runs", "sleep", "600").returncode == 0
    firing = threading.Thread(target=device.core.fire_timer, args=("runs",))
    firing.start()
    device.seen("timer-elapsed", unit="runs")
    assert list(device.core.timers) == ["waits.timer"]
    device.core.power_off()
    firing.join(WAIT)
    assert not firing.is_alive()
    assert not device.core.timers
    device.start()
    assert not device.core.timers


def test_second_start_is_a_fault(classic: PoweredDevice) -> None:
    """A nucleus that runs is not started a second time."""
    classic.start()
    with pytest.raises(RuntimeError, match="started already"):
        classic.core.start()


def test_killed_component_is_a_crash(device: PoweredDevice) -> None:
    """Its children end with it, and the nucleus starts it again."""
    device.start()
    child, mark = device.process("child"), device.timeline.mark()
    device.core.kill_component()
    device.seen("component-state", state="ERRORED", after=mark)
    device.seen("ready", after=mark)
    assert not is_alive(child)


def test_restarted_nucleus_reads_the_credentials_anew(device: PoweredDevice) -> None:
    """A restart of the nucleus connects with the pair that lies there now."""
    device.start()
    new = device.site.device("new")
    device.use(new)
    mark = device.timeline.mark()
    device.core.restart_nucleus()
    device.up(mark)
    assert device.site.core.connections()[0].principal == new.certificate_id
    assert _installs(device) == (2 if device.runtime == "classic" else 1)


def test_restart_of_a_device_that_is_off_is_a_fault(classic: PoweredDevice) -> None:
    """There is no nucleus to restart."""
    with pytest.raises(RuntimeError, match="not started"):
        classic.core.restart_nucleus()


def _client(device: PoweredDevice) -> Any:
    """The SDK's client, connected as the component."""
    inner = awsiot.greengrasscoreipc.connect(
        ipc_socket=str(device.core.layout.ipc_socket), authtoken=device.environment()["SVCUID"]
    )
    return GreengrassCoreIPCClientV2(client=inner, executor=None)


def test_component_may_defer_a_deployment(classic: PoweredDevice) -> None:
    """A test sees what the component answers to a deployment, and that nobody is asked before."""
    classic.start()
    assert classic.core.ask_deployment("d-1") == {}
    client = _client(classic)

    def defer(event: Any) -> None:
        client.defer_component_update_async(
            deployment_id=event.pre_update_event.deployment_id,
            message="rotating",
            recheck_after_ms=60_000,
        )

    client.subscribe_to_component_updates(
        on_stream_event=defer, on_stream_error=lambda error: True, on_stream_closed=lambda: None
    )
    answers = classic.core.ask_deployment("d-2", timeout=WAIT)
    assert list(answers.values()) == [Deferral(60_000, "rotating")]
    client.close().result(WAIT)


def test_deployment_needs_a_device_that_runs(classic: PoweredDevice) -> None:
    """A device that is off is not asked."""
    with pytest.raises(RuntimeError, match="not started"):
        classic.core.ask_deployment("d-1")


def test_messages_from_the_cloud_are_lost_doubled_altered_late(device: PoweredDevice) -> None:
    """An inbound fault decides what the nucleus hears, also after a restart of it."""
    kept: list[tuple[str, bytes]] = []

    def fault(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if payload == b"late":
            kept.append((topic, payload))
        fates: dict[bytes, list[bytes]] = {
            b"lost": [],
            b"late": [],
            b"twice": [payload, payload],
            b"altered": [b"other"],
        }
        late = [kept.pop()] if payload == b"last" else []
        return [(topic, fate) for fate in fates.get(payload, [payload])] + late

    device.core.inbound_fault = fault
    device.start()
    for _ in range(2):
        heard = device.subscribe("jobs")
        for payload in (b"lost", b"late", b"twice", b"altered", b"last"):
            device.site.core.publish("jobs", payload)
        expected = [b"twice", b"twice", b"other", b"last", b"late"]
        assert [heard.get(timeout=WAIT) for _ in expected] == expected
        mark = device.timeline.mark()
        device.core.restart_nucleus()
        device.up(mark)


def test_messages_to_the_cloud_are_lost_and_altered(device: PoweredDevice) -> None:
    """An outbound fault decides what is sent; whoever published sees success."""
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    device.site.core.observe("alerts/#", lambda message: arrived.put(_plain(message)))
    device.core.outbound_fault = lambda topic, payload: (
        [] if payload == b"lost" else [(f"{topic}/1", payload), (f"{topic}/2", payload)]
    )
    device.start()
    device.publish("alerts", b"lost")
    device.publish("alerts", b"kept")
    assert [arrived.get(timeout=WAIT) for _ in range(2)] == [
        ("alerts/1", b"kept"),
        ("alerts/2", b"kept"),
    ]


def _plain(message: Message) -> tuple[str, bytes]:
    return message.topic, message.payload
