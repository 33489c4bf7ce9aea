"""The daemon's side of the inspecting child: children that fail in every way, and the end.

What every inspector does is in tests/contract; the real child is in test_inspecting_child.py.
"""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certkeeper.core import events
from certkeeper.core.settings import Settings
from certkeeper.edge import inspecting_child
from certkeeper.edge.inspector import MAX_ANSWER
from tests.edge.inspector_stage import Stage, alert, printing, shell, watched_children
from tests.greengrass_root import GreengrassRoot, install


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it."""
    return install(tmp_path)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left when the test ends."""
    with watched_children(monkeypatch) as started:
        yield started


# -- children that fail -------------------------------------------------------------


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(("/no/such/program",), "no process could be started: ", id="no-program"),
        pytest.param(shell("exit 3"), "ended with 3:", id="exit-code"),
        pytest.param(shell("kill -9 $$"), "ended with -9:", id="killed"),
        pytest.param(
            shell("echo first >&2; echo 'MemoryError: no' >&2; exit 1"),
            "the inspecting process ended with 1: MemoryError: no",
            id="traceback",
        ),
        pytest.param(shell("exec 0<&-; sleep 0; exit 1"), "ended with 1:", id="deaf"),
        pytest.param(printing(""), "the answer is not JSON", id="silent"),
        pytest.param(printing("\\xff{"), "the answer is not JSON", id="garbage"),
        pytest.param(shell("cat >/dev/null; printf '\\377'"), "is not JSON", id="not-UTF-8"),
        pytest.param(printing("[" * 100_000), "the answer is not JSON", id="deep"),
        pytest.param(printing([1]), "the answer is not an object", id="a-list"),
        pytest.param(printing({"error": "because"}), "because", id="an-error"),
        pytest.param(printing({}), "the answer is not understood: KeyError", id="nothing-in-it"),
        pytest.param(printing({"inventory": None}), "not understood: TypeError", id="null"),
        pytest.param(printing({"inventory": {}}), "not understood: KeyError", id="empty"),
        pytest.param(
            shell("cat >/dev/null; head -c 10485760 /dev/zero"),
            f"the answer has more than {MAX_ANSWER} bytes",
            id="10 MB",
        ),
        pytest.param(
            shell("cat >/dev/null; head -c 10485760 /dev/zero >&2; exit 1"),
            "ended with 1:",
            id="10 MB-of-errors",
        ),
    ],
)
def test_a_failing_child_is_told(command: tuple[str, ...], reason: str) -> None:
    """However a child fails, the look is answered with one short reason."""
    said = Stage("/gg", *command).why_not()
    assert reason in said
    assert len(said) <= 300


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("field", ["role", "facts", "pair", "problem"])
@pytest.mark.parametrize("value", [None, 5, "no such word", [], {}])
def test_an_answer_of_another_shape(root: GreengrassRoot, field: str, value: object) -> None:
    """A reading whose fields are of other types is taken or refused; either way it is answered."""
    inventory = inspecting_child.answer(
        {
            "do": "inspect",
            "root": str(root.folder),
            "watch": [],
            "certificateFilePath": None,
            "privateKeyPath": None,
        }
    )
    inventory["inventory"]["readings"][0][field] = value
    stage = Stage("/gg", *printing(inventory))
    stage.inspector.inspect(Settings())
    assert isinstance(stage.next(), events.Inspected | events.InspectionFailed)


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"signatures": ["a..b"]}, "not one signature for each alert"),
        ({"signatures": ["a..b"] * 3}, "not one signature for each alert"),
        ({"signatures": 5}, "not one signature for each alert"),
        ({"signatures": {"0": "a", "1": "b"}}, "not one signature for each alert"),
        ({"signatures": ["a..b", None]}, "not one signature for each alert"),
        ({}, "KeyError"),
        ({"error": "the key is gone"}, "the key is gone"),
        ("garbage", "the answer is not JSON"),
    ],
)
def test_no_alert_is_lost_for_want_of_a_signature(answer: object, problem: str) -> None:
    """Whatever the child answers, every alert comes back, unsigned, with the reason."""
    alerts = (alert("/a"), alert("/b"))
    signed = Stage("/gg", *printing(answer)).signed(alerts)
    assert signed.alerts == alerts
    assert problem in signed.problem


def test_an_alert_that_has_no_bytes_to_sign() -> None:
    """An alert that cannot be written as JSON at all is answered too; no child is needed."""
    odd = alert("/a/\udcff")
    signed = Stage("/gg", "/no/such/program").signed((odd,))
    assert signed.alerts == (odd,)
    assert "surrogate" in signed.problem


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no thread is answered at once."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stage = Stage("/gg")
    assert "can't start new thread" in stage.why_not()
    signed = stage.signed((alert(),))
    assert (signed.alerts, "can't start new thread" in signed.problem) == ((alert(),), True)


def test_a_child_that_hangs(children: queue.SimpleQueue[Any]) -> None:
    """A child that gives no answer is given up, killed, and waited for."""
    stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
    assert stage.why_not() == "no answer within 0.1 s"
    assert children.get(timeout=60).returncode == -9


def test_a_child_that_does_not_read(children: queue.SimpleQueue[Any]) -> None:
    """A child that never reads its request, however long that is, is given up as well."""
    stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
    stage.inspector.inspect(Settings(watch=("/" + "a" * 200_000,)))
    assert isinstance(stage.next(), events.InspectionFailed)
    assert children.get(timeout=60).returncode == -9


def test_a_child_that_cannot_be_killed(
    monkeypatch: pytest.MonkeyPatch, children: queue.SimpleQueue[Any]
) -> None:
    """A child that a dead disk holds in the kernel does not hold up the answer."""
    waited: list[float | None] = []

    def never(self: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        waited.append(timeout)
        raise subprocess.TimeoutExpired("child", timeout or 0)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", never)
        stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
        assert stage.why_not() == "no answer within 0.1 s"
    assert waited == [5.0]
    children.get(timeout=60).wait(60)


# -- the end ------------------------------------------------------------------------


def test_close_ends_what_is_under_way(children: queue.SimpleQueue[Any]) -> None:
    """Closing while the child works kills it at once; the look is still answered."""
    stage = Stage("/gg", *shell("exec sleep 600"))
    stage.inspector.inspect(Settings())
    child = children.get(timeout=60)
    stage.inspector.close()
    event = stage.next()
    assert isinstance(event, events.InspectionFailed)
    assert child.returncode == -9


def test_close_while_the_child_is_being_started(
    monkeypatch: pytest.MonkeyPatch, children: queue.SimpleQueue[Any]
) -> None:
    """A child that is only just being started when all is closed does not outlive it."""
    starting, closed = threading.Event(), threading.Event()
    real: Any = subprocess.Popen

    def slow(*arguments: Any, **named: Any) -> Any:
        starting.set()
        assert closed.wait(60)
        return real(*arguments, **named)

    monkeypatch.setattr(subprocess, "Popen", slow)
    stage = Stage("/gg", *shell("exec sleep 600"))
    stage.inspector.inspect(Settings())
    assert starting.wait(60)
    stage.inspector.close()
    closed.set()
    assert isinstance(stage.next(), events.InspectionFailed)
    assert children.get(timeout=60).returncode == -9


def test_close_with_nothing_under_way(root: GreengrassRoot) -> None:
    """Closing is harmless before and after the work, and twice."""
    stage = Stage(root.folder)
    stage.inspector.close()
    stage.inspector.close()
    assert stage.inbox.empty()
