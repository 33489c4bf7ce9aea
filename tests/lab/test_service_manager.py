"""systemctl and systemd-run on a core device, called as its component calls them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from lab.nucleus.recipe import Runtime
from lab.nucleus.systemd_run import TimerRequest, Usage, parse
from tests.lab.iot_core_site import WAIT
from tests.lab.powered_device import DEAF, NUCLEUS, PoweredDevice, is_alive, powered_device

IOTCORED = "ggl.core.iotcored.service"
ARM = ("systemd-run", "--quiet", "--collect", "--unit=certkeeper-dead-man", "--on-active=600")
TIMER = "certkeeper-dead-man.timer"


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[PoweredDevice]:
    """A device that runs, with each kind of nucleus in turn."""
    runtime: Runtime = request.param
    with powered_device(runtime) as made:
        made.start()
        yield made


@pytest.fixture
def classic() -> Iterator[PoweredDevice]:
    """A device that runs nucleus classic."""
    with powered_device("classic") as made:
        made.start()
        yield made


@pytest.fixture
def lite() -> Iterator[PoweredDevice]:
    """A device that runs nucleus lite."""
    with powered_device("lite") as made:
        made.start()
        yield made


def test_restart_goes_on_though_it_kills_who_asked_for_it(device: PoweredDevice) -> None:
    """``--no-block`` answers at once; the component that called is killed, and back."""
    unit = NUCLEUS[device.runtime]
    device.script(
        run=f"""\
trap '' TERM  # which a restart begins with
echo ready
[ -e asked ] && exec sleep 600
touch asked
systemctl --no-block restart {unit}
echo answered $?
sleep 600
echo survived"""
    )
    new = device.site.device("new")
    device.use(new)
    device.core.restart_nucleus()
    answered = device.seen("answered", line="answered 0")
    asked = device.timeline.entries.index(answered)
    stopped = device.seen("stopped", source="nucleus", after=asked)
    device.up(device.timeline.entries.index(stopped))
    device.seen("job-done", unit=unit, after=asked)
    assert device.site.core.connections()[0].principal == new.certificate_id
    assert not device.timeline.find("survived")


def test_restart_kills_what_does_not_end_in_time(device: PoweredDevice) -> None:
    """A component that ignores SIGTERM dies with its control group, and the nucleus is back."""
    device.script(run=DEAF)
    device.core.setup.shutdown_seconds = 0.1
    mark = device.timeline.mark()
    device.core.restart_nucleus()
    device.up(mark)
    process = device.core.component_pid
    mark = device.timeline.mark()
    restart = ("systemctl", "restart", NUCLEUS[device.runtime])
    asking = threading.Thread(target=device.ask, args=restart)
    asking.start()
    device.up(mark)
    asking.join(WAIT)
    assert not asking.is_alive()
    assert not is_alive(process)


def test_restart_takes_the_whole_control_group(device: PoweredDevice) -> None:
    """What has left the component's process group ends with the nucleus too."""
    stray = device.process("stray")
    device.core.restart_nucleus()
    assert not is_alive(stray)


def test_units_can_be_stopped_and_started(device: PoweredDevice) -> None:
    """A stopped nucleus is inactive, and is started again, by hand or by ``start`` of the lab."""
    unit = NUCLEUS[device.runtime]
    environment = device.environment()
    del environment["LAB_UNIT"]  # asked from outside: who is in the unit is stopped with it
    assert device.ask("systemctl", "is-active", unit).stdout == "active\n"
    device.ask("systemctl", "stop", unit, environment=environment)
    asked = device.ask("systemctl", "is-active", unit, environment=environment)
    assert (asked.returncode, asked.stdout) == (3, "inactive\n")
    device.down()
    mark = device.timeline.mark()
    assert device.ask("systemctl", "start", unit, environment=environment).returncode == 0
    device.up(mark)
    device.ask("systemctl", "stop", unit, environment=environment)
    device.start()


def test_restart_of_iotcored_leaves_subscriptions_deaf(lite: PoweredDevice) -> None:
    """It connects with the new pair, and publishes; who had subscribed hears nothing more."""
    deaf = lite.subscribe("jobs")
    new = lite.site.device("new")
    lite.use(new)
    mark = lite.timeline.mark()
    assert lite.ask("systemctl", "is-active", IOTCORED).returncode == 0
    assert lite.ask("systemctl", "restart", IOTCORED).returncode == 0
    connected = lite.seen("mqtt-connected", after=mark)
    assert connected.details["principal"] == new.certificate_id
    arrived = threading.Event()
    lite.site.core.observe("alerts", lambda message: arrived.set())
    lite.publish("alerts", b"{}")
    assert arrived.wait(WAIT)
    lite.site.core.publish("jobs", b"unheard")
    again = lite.subscribe("jobs")
    lite.site.core.publish("jobs", b"heard")
    assert again.get(timeout=WAIT) == b"heard"
    assert deaf.empty()


def test_iotcored_can_be_stopped_and_started(lite: PoweredDevice) -> None:
    """Without iotcored nothing is published; started, it connects."""
    assert lite.ask("systemctl", "stop", IOTCORED).returncode == 0
    assert lite.ask("systemctl", "--quiet", "is-active", IOTCORED).returncode == 3
    mark = lite.timeline.mark()
    assert lite.ask("systemctl", "start", IOTCORED).returncode == 0
    lite.seen("mqtt-connected", after=mark)


@pytest.mark.parametrize(
    ("words", "code", "errors"),
    [
        ("restart x.service", 5, "Failed to restart x.service: Unit x.service not found.\n"),
        ("restart x", 5, "Failed to restart x.service: Unit x.service not found.\n"),
        ("stop x.timer", 5, "Failed to stop x.timer: Unit x.timer not loaded.\n"),
        (
            "reset-failed x.timer",
            1,
            "Failed to reset failed state of unit x.timer: Unit x.timer not loaded.\n",
        ),
        ("is-active x.timer", 4, ""),
        ("frob x", 1, "Unknown command verb 'frob'.\n"),
        ("restart", 1, "Too few arguments.\n"),
        ("--frob restart x", 1, "systemctl: unrecognized option '--frob'\n"),
    ],
)
def test_systemctl_fails_in_systemds_words(
    classic: PoweredDevice, words: str, code: int, errors: str
) -> None:
    """Exit code and message are those of systemd."""
    asked = classic.ask("systemctl", *words.split())
    assert (asked.returncode, asked.stderr) == (code, errors)


def test_each_runtime_has_its_own_units(device: PoweredDevice) -> None:
    """Lite does not know greengrass.service, nor classic lite's target."""
    other = NUCLEUS["lite" if device.runtime == "classic" else "classic"]
    assert device.ask("systemctl", "--no-block", "restart", other).returncode == 5


def test_systemctl_fault_fails_every_call(device: PoweredDevice) -> None:
    """While the fault lasts nothing is restarted, and the message is the fault's."""
    device.core.systemctl_fault = "Failed to connect to bus: No such file or directory"
    mark = device.timeline.mark()
    asked = device.ask("systemctl", "--no-block", "restart", NUCLEUS[device.runtime])
    assert (asked.returncode, asked.stderr) == (1, f"{device.core.systemctl_fault}\n")
    assert device.seen("systemctl-failed", after=mark, source="systemd").details["code"] == 1
    device.core.systemctl_fault = None
    assert device.ask("systemctl", "is-active", NUCLEUS[device.runtime]).returncode == 0


def test_calls_are_in_the_timeline(device: PoweredDevice) -> None:
    """Each call of a command is recorded with its arguments."""
    device.ask("systemctl", "--quiet", "is-active", "x.service")
    entry = device.seen("systemctl", source="systemd")
    assert entry.details["arguments"] == "--quiet is-active x.service"


# -- systemd-run -------------------------------------------------------------------------


def test_timer_runs_its_command_when_it_fires(device: PoweredDevice) -> None:
    """The command runs outside the component's group, with the device's commands on its PATH."""
    armed = device.ask(
        *ARM, "--timer-property=AccuracySec=1s", "/bin/sh", "-c", 'echo "$$PATH"; exit 3'
    )
    assert (armed.returncode, armed.stdout, armed.stderr) == (0, "", "")
    assert list(device.core.timers) == [TIMER]
    assert device.ask("systemctl", "is-active", TIMER).returncode == 0
    assert device.ask("systemctl", "is-active", "certkeeper-dead-man.service").returncode == 3
    assert device.core.fire_timer(TIMER) == 3
    assert device.seen("service-printed").details["line"] == device.environment()["PATH"]
    assert not device.core.timers
    assert device.ask("systemctl", "is-active", TIMER).returncode == 4


def test_timer_elapses_by_itself(classic: PoweredDevice) -> None:
    """After its seconds the command runs without anybody's help."""
    classic.ask("systemd-run", "--unit", "soon", "--on-active", "50ms", "echo", "elapsed")
    assert classic.seen("service-printed", unit="soon").details["line"] == "elapsed"
    assert classic.seen("service-exited", unit="soon").details["code"] == 0


def test_timer_outlives_the_nucleus_that_its_command_restarts(device: PoweredDevice) -> None:
    """The dead man's switch: armed by a component that is gone since, it restarts the nucleus."""
    device.ask(*ARM, "systemctl", "restart", NUCLEUS[device.runtime])
    device.core.restart_nucleus()
    assert list(device.core.timers) == [TIMER]
    mark = device.timeline.mark()
    assert device.core.fire_timer("certkeeper-dead-man") == 0
    device.up(mark)


def test_stopped_timer_never_runs(device: PoweredDevice) -> None:
    """Stopping disarms and unloads it; its name is free again."""
    device.ask(*ARM, "true")
    assert device.ask("systemctl", "stop", TIMER).returncode == 0
    assert not device.core.timers
    with pytest.raises(KeyError):
        device.core.fire_timer(TIMER)
    assert device.ask("systemctl", "stop", TIMER).returncode == 5
    assert device.ask(*ARM, "true").returncode == 0


def test_name_of_a_unit_is_taken_until_its_command_has_ended(classic: PoweredDevice) -> None:
    """While it waits, and while it runs, no other unit may have the name."""
    classic.ask(*ARM, "sleep", "600")
    again = classic.ask(*ARM, "true")
    assert again.returncode == 1
    assert again.stderr == (
        "Failed to start transient timer unit: "
        f"Unit {TIMER} was already loaded or has a fragment file.\n"
    )
    firing = threading.Thread(target=classic.core.fire_timer, args=(TIMER,))
    firing.start()
    classic.seen("timer-elapsed")
    assert classic.ask(*ARM, "true").returncode == 1
    with pytest.raises(KeyError):
        classic.core.fire_timer(TIMER)
    assert classic.ask("systemctl", "stop", "certkeeper-dead-man.service").returncode == 0
    firing.join(WAIT)
    assert classic.ask(*ARM, "true").returncode == 0


def test_command_that_is_not_there_is_not_armed(classic: PoweredDevice) -> None:
    """systemd-run looks for the command when it is asked to run it."""
    asked = classic.ask(*ARM, "/not/there")
    assert asked.returncode == 1
    assert "Failed to find executable /not/there" in asked.stderr
    assert not classic.core.timers


def test_systemd_run_says_what_it_does_unless_quiet(classic: PoweredDevice) -> None:
    """As systemd-run, on the standard error."""
    asked = classic.ask("systemd-run", "--unit=x", "--on-active=600", "true")
    assert asked.stderr == "Running timer as unit: x.timer\nWill run service as unit: x.service\n"


def test_command_that_cannot_be_executed_is_a_failed_service(classic: PoweredDevice) -> None:
    """A file that is no program ends as systemd's exit code 203 has it."""
    program = classic.core.work_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    classic.ask(*ARM, str(program))
    assert classic.core.fire_timer(TIMER) == 203


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--unit=x --on-active=5 true", TimerRequest("x", 5, ("true",), False)),
        (
            "-q -G --unit x.timer --on-active 1min30s -- a -b",
            TimerRequest("x", 90, ("a", "-b"), True),
        ),
        ("--unit=x.service --on-active=1h2.5 a", TimerRequest("x", 3602.5, ("a",), False)),
        (
            "--unit=x --on-active=5 --timer-property=AccuracySec=1s --description=d a $$b",
            TimerRequest("x", 5, ("a", "$b"), False),
        ),
    ],
)
def test_command_lines_that_are_taken(line: str, expected: TimerRequest) -> None:
    """Options end at the command, values may be apart, times are as systemd.time(7) has them."""
    assert parse(line.split()) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--unit=x --on-active=5", "Command line to execute required"),
        ("--unit=x --on-active=soon true", "Failed to parse timer value: soon"),
        ("--unit=x --on-active= true", "Failed to parse timer value"),
        ("--unit", "requires an argument"),
        ("--frob true", "unrecognized option '--frob'"),
        ("--unit=x --on-active=5 --timer-property=frob true", "Unknown assignment: frob"),
        ("true", "transient timers only"),
    ],
)
def test_command_lines_that_are_refused(line: str, message: str) -> None:
    """In systemd-run's words, or the lab's own."""
    with pytest.raises(Usage, match=message):
        parse(line.split())


def test_client_that_leaves_does_not_disturb(classic: PoweredDevice) -> None:
    """Who hangs up without a question, or with half of one, harms nobody."""

    async def hang_up(question: bytes) -> None:
        path = f"{classic.core.layout.root}.systemd"
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(question)
        writer.close()
        await writer.wait_closed()

    for question in (b"", b"systemctl\0is-act"):
        classic.loop.run(hang_up(question))
    assert classic.ask("systemctl", "is-active", "greengrass").returncode == 0
