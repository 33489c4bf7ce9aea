"""A component's scripts are installed and run, fail and are tried again, as under a nucleus."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.nucleus import lifecycle
from lab.nucleus.lifecycle import State, component_environment
from lab.nucleus.recipe import RecipeError
from tests.lab.lifecycle_bench import NAME, Bench, script


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
