"""A component's scripts take too long, are stopped, lose their power, leave something behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.nucleus.lifecycle import State
from tests.lab.lifecycle_bench import Bench, ended, script


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
