"""A component's scripts run, fail, restart and end as under a nucleus; small shell scripts."""

from __future__ import annotations

import datetime
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lab.loop import LoopThread
from lab.nucleus import lifecycle
from lab.nucleus.component_log import ComponentLog
from lab.nucleus.lifecycle import Component, State, component_environment
from lab.nucleus.recipe import Recipe, RecipeError, Runtime, Step
from lab.timeline import Timeline

NAME = "com.example.Watcher"
AT = datetime.datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=datetime.UTC)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One component on a loop of its own, with everything that it touches in sight."""

    def __init__(self, folder: Path, loop: LoopThread) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.log_path = folder / f"{NAME}.log"
        self.timeline = Timeline()
        self.loop = loop
        self.clock = Clock()
        self.starts = 0
        self.components: list[Component] = []

    def component(
        self,
        runtime: Runtime = "classic",
        *,
        environment: Callable[[], Mapping[str, str]] | None = None,
        shutdown_seconds: float | None = None,
        **steps: Step,
    ) -> Component:
        recipe = Recipe(
            runtime=runtime,
            name=NAME,
            version="1.0.0",
            default_configuration={},
            dependencies=(),
            steps=steps,
        )
        component = Component(
            recipe,
            work_path=self.work,
            log=ComponentLog(self.log_path, NAME, self.timeline, now=lambda: AT),
            timeline=self.timeline,
            environment=environment or dict,
            clock=self.clock,
            shutdown_seconds=shutdown_seconds,
        )
        self.components.append(component)
        return component

    def start(self, component: Component, *, install: bool = True) -> None:
        self.loop.run(component.start(install=install))

    def wait_for(self, state: State, after: int = 0) -> None:
        self.timeline.wait_for("component-state", state=state.value, after=after)

    def states(self) -> list[object]:
        return [entry.details["state"] for entry in self.timeline.find("component-state")]


def script(
    text: str,
    *,
    timeout: float | None = None,
    setenv: Mapping[str, str] | None = None,
    skipif: str | None = None,
) -> Step:
    return Step(path="run.Script", script=text, timeout=timeout, setenv=setenv or {}, skipif=skipif)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with LoopThread() as loop:
        bench = Bench(tmp_path, loop)
        yield bench
        for component in bench.components:
            loop.run(component.kill())


def ended(process: int) -> bool:
    """Whether a process has ended, given ten seconds to do so."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def test_installs_then_runs_to_the_end(bench: Bench) -> None:
    """Install runs before run, in the component's work folder, and exit 0 finishes it."""
    component = bench.component(install=script("pwd > where"), run=script("cat where"))
    bench.start(component)
    bench.wait_for(State.FINISHED)
    assert bench.states() == ["NEW", "INSTALLED", "STARTING", "RUNNING", "FINISHED"]
    assert bench.timeline.find(str(bench.work), source="component")
    exits = [
        (e.details["step"], e.details["code"]) for e in bench.timeline.find("component-exited")
    ]
    assert exits == [("install", 0), ("run", 0)]
    assert component.state is State.FINISHED
    assert component.process_id is None


def test_a_later_start_on_lite_does_not_install_again(bench: Bench) -> None:
    """Started without install, the component goes to its run script at once."""
    component = bench.component("lite", install=script("exit 9"), run=script("true"))
    bench.start(component, install=False)
    bench.wait_for(State.FINISHED)
    assert bench.states() == ["INSTALLED", "STARTING", "RUNNING", "FINISHED"]


def test_scripts_see_the_nucleus_environment_and_nothing_of_the_labs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is asked for at each script's start, and Setenv is laid over it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the lab")
    tokens = iter(["first", "second"])

    def environment() -> dict[str, str]:
        return component_environment(
            svcuid=next(tokens),
            thing_name="press-7",
            region="eu-central-1",
            root_ca_path=Path("/greengrass/v2/rootCA.pem"),
            ipc_socket=Path("/greengrass/v2/ipc.socket"),
            version="2.18.0",
        )

    bench.start(
        bench.component(
            environment=environment,
            install=script("env > install.env"),
            run=script("env > run.env", setenv={"AWS_REGION": "us-east-1"}),
        )
    )
    bench.wait_for(State.FINISHED)
    install = dict(
        line.split("=", 1) for line in (bench.work / "install.env").read_text().splitlines()
    )
    run = dict(line.split("=", 1) for line in (bench.work / "run.env").read_text().splitlines())
    assert install["SVCUID"] == install["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "first"
    assert run["SVCUID"] == "second"
    assert (install["AWS_REGION"], run["AWS_REGION"]) == ("eu-central-1", "us-east-1")
    assert run["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert run["AWS_IOT_THING_NAME"] == "press-7"
    assert run["GG_ROOT_CA_PATH"] == "/greengrass/v2/rootCA.pem"
    assert run["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].endswith("/ipc.socket")
    assert "AWS_SECRET_ACCESS_KEY" not in run


def test_the_third_failure_within_an_hour_breaks_it(bench: Bench) -> None:
    """A failing run is restarted at once, twice, and then never again."""
    bench.start(bench.component(run=script("exit 7")))
    bench.wait_for(State.BROKEN)
    retry = ["STARTING", "RUNNING"]
    assert bench.states() == [
        *("NEW", "INSTALLED"),
        *(*retry, "ERRORED", *retry, "ERRORED", *retry, "BROKEN"),
    ]
    assert [e.details["code"] for e in bench.timeline.find("component-exited")] == [7, 7, 7]
    bench.loop.run(bench.components[0].stop())
    assert bench.components[0].state is State.BROKEN


def test_failures_an_hour_apart_do_not_break_it(bench: Bench) -> None:
    """A failure that comes an hour after the one before starts the count again."""
    os.mkfifo(bench.work / "go")
    component = bench.component(run=script("read word < go; exit 1"))
    bench.start(component)
    after = 0
    for _ in range(5):
        bench.wait_for(State.RUNNING, after)
        after = bench.timeline.mark()
        bench.clock.now += lifecycle.ERROR_RESET_SECONDS
        (bench.work / "go").write_text("on\n")
        bench.wait_for(State.ERRORED, after)
    assert component.state is not State.BROKEN
    assert "BROKEN" not in bench.states()


def test_failures_just_within_the_hour_break_it(bench: Bench) -> None:
    """The hour counts from one failure to the next, not from the first."""
    os.mkfifo(bench.work / "go")
    bench.start(bench.component(run=script("read word < go; exit 1")))
    after = 0
    for expected in (State.ERRORED, State.ERRORED, State.BROKEN):
        bench.wait_for(State.RUNNING, after)
        after = bench.timeline.mark()
        bench.clock.now += lifecycle.ERROR_RESET_SECONDS - 1
        (bench.work / "go").write_text("on\n")
        bench.wait_for(expected, after)


def test_a_broken_component_gets_a_new_chance_at_the_next_start(bench: Bench) -> None:
    """A restart of the nucleus forgets the failures."""
    component = bench.component(run=script("test -e mended || exit 1"))
    bench.start(component)
    bench.wait_for(State.BROKEN)
    (bench.work / "mended").touch()
    bench.start(component)
    bench.wait_for(State.FINISHED)


def test_a_failing_install_is_repeated_and_breaks_it_too(bench: Bench) -> None:
    """Install has three tries as well, and its failures do not count for run."""
    bench.start(bench.component(install=script("exit 3"), run=script("true")))
    bench.wait_for(State.BROKEN)
    assert bench.states() == ["NEW", "ERRORED", "ERRORED", "BROKEN"]

    twice = "test -e one || { touch one; exit 1; }; test -e two || { touch two; exit 1; }"
    bench.start(
        bench.component(install=script(twice), run=script("test -e ran || { touch ran; exit 1; }"))
    )
    bench.wait_for(State.FINISHED)


def test_an_install_that_takes_too_long_is_an_error(bench: Bench) -> None:
    """The install time-out ends the script, and everything that it started."""
    install = script("echo $$ >> pids; sleep 600 & echo $! >> pids; wait", timeout=1.0)
    bench.start(bench.component(install=install, run=script("true")))
    bench.wait_for(State.BROKEN)
    assert len(bench.timeline.find("component-timed-out")) == 3
    assert {e.details["code"] for e in bench.timeline.find("component-exited")} == {137}
    pids = [int(pid) for pid in (bench.work / "pids").read_text().split()]
    assert len(pids) == 6
    assert all(ended(pid) for pid in pids)


def test_a_classic_run_time_out_is_an_error_and_lite_has_none(bench: Bench) -> None:
    """Classic bounds the run script's time, lite does not."""
    bench.start(bench.component(run=script("sleep 600", timeout=0.1)))
    bench.wait_for(State.BROKEN)
    os.mkfifo(bench.work / "go")
    lite = bench.component("lite", run=script("read word < go; echo past", timeout=0.1))
    after = bench.timeline.mark()
    bench.start(lite)
    bench.wait_for(State.RUNNING, after)
    with (bench.work / "go").open("w") as go:
        # Twice the time-out, spent in a script that is still running.
        subprocess.run(["/bin/sleep", "0.2"], check=True)
        go.write("on\n")
    bench.wait_for(State.FINISHED, after)


TAKES_ITS_LEAVE = """
import os, signal, time

def leave(*_):
    time.sleep(0.1)
    os.write(1, b"bye\\n")
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
os.write(1, b"ready\\n")
signal.pause()
"""


@pytest.mark.parametrize(("shell_stays", "code"), [(False, 0), (True, 143)])
def test_stop_lets_the_component_end_by_itself(bench: Bench, shell_stays: bool, code: int) -> None:
    """What SIGTERM makes it say is still heard, even if the shell before it dies at once."""
    (bench.work / "component.py").write_text(TAKES_ITS_LEAVE)
    command = f"{sys.executable} component.py"
    component = bench.component(
        run=script(f"{command}; true" if shell_stays else f"exec {command}")
    )
    bench.start(component)
    bench.timeline.wait_for("ready", source="component")
    bench.loop.run(component.stop())
    assert bench.timeline.find("bye", source="component")
    assert bench.timeline.find("component-exited", code=code)
    assert bench.states()[-2:] == ["STOPPING", "FINISHED"]
    assert component.process_id is None


def test_stop_kills_what_does_not_listen(bench: Bench) -> None:
    """After the shutdown time SIGKILL ends the group, children included."""
    run = script("trap '' TERM; sleep 600 & echo pids $$ $!; wait; wait; wait")
    component = bench.component(run=run, shutdown_seconds=0.2)
    bench.start(component)
    line = str(bench.timeline.wait_for("pids").details["line"])
    bench.loop.run(component.stop())
    assert all(ended(int(pid)) for pid in line.split()[1:])
    assert component.state is State.FINISHED


def test_stop_is_not_held_up_by_a_process_that_left_the_group(bench: Bench) -> None:
    """One that made a session of its own may keep the log's pipe, and nobody waits for it."""
    run = script("setsid sh -c 'echo escaped $$; exec sleep 600' & exec sleep 600")
    component = bench.component(run=run, shutdown_seconds=0.2)
    bench.start(component)
    escaped = int(str(bench.timeline.wait_for("escaped").details["line"]).split()[1])
    try:
        bench.loop.run(component.stop())
        assert component.state is State.FINISHED
    finally:
        os.kill(escaped, 9)


def test_a_power_cut_leaves_nothing_alive(bench: Bench) -> None:
    """Kill ends the whole group at once; no script hears of it, nothing restarts."""
    run = script("trap 'echo heard' TERM; sleep 600 & echo pids $$ $!; wait")
    component = bench.component(run=run)
    bench.start(component)
    line = str(bench.timeline.wait_for("pids").details["line"])
    bench.loop.run(component.kill())
    assert all(ended(int(pid)) for pid in line.split()[1:])
    assert component.state is State.NEW
    assert bench.states()[-1] == "RUNNING"
    assert not bench.timeline.find("heard")


def test_what_a_finished_script_left_running_is_ended(bench: Bench) -> None:
    """A background child does not outlive its script."""
    bench.start(bench.component(run=script("sleep 600 > /dev/null 2>&1 & echo child $!")))
    line = str(bench.timeline.wait_for("child").details["line"])
    bench.wait_for(State.FINISHED)
    assert ended(int(line.split()[1]))


def test_nothing_outlives_the_interpreter(tmp_path: Path) -> None:
    """A lab that ends without stopping its component takes the component with it."""
    program = f"""
import sys
from pathlib import Path
from tests.lab.test_lifecycle import Bench, script
from lab.loop import LoopThread
loop = LoopThread().__enter__()
bench = Bench(Path({str(tmp_path)!r}), loop)
bench.start(bench.component(run=script("sleep 600 & echo pids $$ $!; wait")))
print(bench.timeline.wait_for("pids").details["line"], flush=True)
"""
    interpreter = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    pids = [int(pid) for pid in interpreter.stdout.split()[1:]]
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


def test_skipif_skips_install_where_its_condition_holds(bench: Bench) -> None:
    """Classic looks for a file or a program before it installs."""
    (bench.work / "done").touch()
    done = bench.work / "done"
    conditions = {
        f"exists {done}": True,
        f"! exists {done}": False,
        "onpath sh": True,
        "!onpath no-such-program": True,
        "onpath no-such-program": False,
    }
    for condition, skipped in conditions.items():
        after = bench.timeline.mark()
        install = script("echo installed", skipif=condition)
        bench.start(bench.component(install=install, run=script("true")))
        bench.wait_for(State.FINISHED, after)
        ran = bool(bench.timeline.find("installed", after=after))
        assert ran is not skipped, condition


def test_a_step_that_the_lab_does_not_run_is_refused(bench: Bench) -> None:
    """A recipe with a startup step would silently behave otherwise than on a device."""
    with pytest.raises(RecipeError, match=r"Lifecycle\.startup: the lab runs only"):
        bench.component(startup=script("true"))


def test_a_script_that_cannot_be_started_is_an_error(bench: Bench) -> None:
    """Without its work folder a component is ERRORED like any other, and then BROKEN."""
    bench.work.rmdir()
    bench.start(bench.component(run=script("true")))
    bench.wait_for(State.BROKEN)
    reason = str(bench.timeline.find("component-not-started")[0].details["reason"])
    assert str(bench.work) in reason


def test_a_component_that_runs_cannot_be_started_again(bench: Bench) -> None:
    """Two lives of one component at once would be a fault of the lab."""
    component = bench.component(run=script("sleep 600"))
    bench.start(component)
    with pytest.raises(RuntimeError, match=f"{NAME} is started already"):
        bench.start(component)


def test_the_log_is_written_as_the_nucleus_writes_it(bench: Bench) -> None:
    """What is printed, the start and the exit are lines in the classic nucleus's format."""
    run = script("echo '  health ok=1  '; echo oops >&2; exit 0")
    bench.start(bench.component(run=run))
    bench.wait_for(State.FINISHED)
    lines = bench.log_path.read_text().splitlines()
    at = "2026-11-22T10:00:00.123Z"
    about = f"serviceName={NAME}, currentState=RUNNING"
    where = f"scriptName=services.{NAME}.lifecycle.run.Script"
    assert lines[0] == (
        f"{at} [INFO] (pool-3-thread-1) {NAME}: shell-runner-start. "
        f"{{{where}, serviceName={NAME}, currentState=STARTING, "
        "command=[\"echo '  health ok=1  '; echo oops >&2; exit 0\"]}"
    )
    assert set(lines[1:3]) == {
        f"{at} [INFO] (Copier) {NAME}: stdout. health ok=1. {{{where}, {about}}}",
        f"{at} [WARN] (Copier) {NAME}: stderr. oops. {{{where}, {about}}}",
    }
    assert lines[3] == (f"{at} [INFO] (Copier) {NAME}: Run script exited. {{exitCode=0, {about}}}")
    (health,) = bench.timeline.find("health", source="component")
    assert health.details == {"line": "health ok=1", "component": NAME}


def test_a_line_without_end_is_broken_up(bench: Bench) -> None:
    """A component that prints no newline cannot fill the lab's memory, and loses no byte."""
    size = 3 * 64 * 1024 + 17
    bench.start(
        bench.component(run=script(f"head -c {size} /dev/zero | tr '\\0' x; echo; echo end"))
    )
    bench.timeline.wait_for("end", source="component")
    bench.wait_for(State.FINISHED)
    printed = [str(e.details["line"]) for e in bench.timeline.entries if e.source == "component"]
    assert sum(len(line) for line in printed if line.startswith("x")) == size
    assert len(printed) > 2


def test_lite_waits_before_it_restarts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """On lite the service manager pauses between tries, and a stop ends the pause."""
    monkeypatch.setattr(lifecycle, "_RESTART_SECONDS", {"classic": 0.0, "lite": 3600.0})
    component = bench.component("lite", run=script("exit 1"))
    bench.start(component)
    bench.wait_for(State.ERRORED)
    bench.loop.run(component.stop())
    assert bench.states()[-2:] == ["STOPPING", "FINISHED"]
    assert len(bench.timeline.find("component-exited")) == 1
