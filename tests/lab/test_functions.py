"""The functions run as Lambda's asynchronous invocations do: retried twice, then a dead letter."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cloud.functions import Functions
from lab.cloud.template import Function
from lab.states.execution import Answer
from lab.timeline import Timeline

FAILS = """
import os

def handler(event, context):
    with open(event["file"], "a") as file:
        file.write(f"{event['n']} {os.environ['GREETING']} {context.function_name}\\n")
    event["n"] = 99  # no later attempt sees this
    with open(event["file"]) as file:
        if len(file.readlines()) <= event["failures"]:
            raise RuntimeError("not yet")
    return {"n": event["n"]}
"""

Make = Callable[..., Functions]


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def make(tmp_path: Path, timeline: Timeline) -> Make:
    """A function whose handler fails as often as its event says."""
    code = tmp_path / "handler.py"
    code.write_text(FAILS)

    def made(**more: str) -> Functions:
        function = Function("Greet", code, "handler", {"GREETING": "hello"}, 3, 2)
        return Functions(
            {"Greet": function}, timeline, environment=more, retry_delay=lambda attempt: 0.0
        )

    return made


@pytest.mark.parametrize(
    ("failures", "attempts", "end"),
    [(0, 1, "function-done"), (2, 3, "function-done"), (9, 3, "dead-letter")],
)
def test_retries(
    make: Make, timeline: Timeline, tmp_path: Path, failures: int, attempts: int, end: str
) -> None:
    """Three attempts at the most, each with the event as it was; then it is a dead letter."""
    event = {"file": str(tmp_path / "log"), "n": 1, "failures": failures}
    with make() as functions:
        functions.invoke("Greet", event)
        functions.idle()
    assert (tmp_path / "log").read_text().splitlines() == ["1 hello Greet"] * attempts
    assert len(timeline.find("function-invoked", source="lambda")) == attempts
    assert len(timeline.find(end, source="lambda")) == 1
    if end == "dead-letter":
        assert timeline.find(end)[0].details["event"] == event


@pytest.mark.parametrize(("failures", "error"), [(0, None), (1, "RuntimeError")])
def test_answer_is_told(make: Make, tmp_path: Path, failures: int, error: str | None) -> None:
    """Who waits for a function hears what it answers or raises, and it is not tried again."""
    answers: list[Answer] = []
    event = {"file": str(tmp_path / "log"), "n": 1, "failures": failures}
    with make() as functions:
        functions.request("Greet", event, answers.append)
        functions.idle()
    (answer,) = answers
    assert answer.error == error
    if error is None:
        assert answer.result == {"n": 99}
    else:
        assert json.loads(answer.cause) == {"errorMessage": "not yet", "errorType": error}
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_environment_is_the_functions_and_goes_with_them(make: Make) -> None:
    """Its variables are there while the functions are, and no longer."""
    assert "GREETING" not in os.environ
    with make(MORE="1"):
        assert (os.environ["GREETING"], os.environ["MORE"]) == ("hello", "1")
    assert "GREETING" not in os.environ
    assert "MORE" not in os.environ


def test_functions_that_disagree_are_refused(tmp_path: Path, timeline: Timeline) -> None:
    """They share one process's environment: a variable has one value."""
    code = tmp_path / "handler.py"
    code.write_text(FAILS)
    pair = {
        name: Function(name, code, "handler", {"GREETING": name}, 3, 2) for name in ("One", "Two")
    }
    with pytest.raises(ValueError, match="wants another GREETING"):
        Functions(pair, timeline)


def test_a_handler_that_cannot_be_loaded(tmp_path: Path, timeline: Timeline) -> None:
    """It is an error at once, and the environment is as it was."""
    code = tmp_path / "handler.py"
    code.write_text("import a_module_that_is_not_there")
    function = Function("Broken", code, "handler", {"GREETING": "hello"}, 3, 2)
    with pytest.raises(ImportError), Functions({"Broken": function}, timeline):
        pass
    assert "GREETING" not in os.environ


def test_nothing_runs_after_the_end(make: Make, timeline: Timeline, tmp_path: Path) -> None:
    """An event that comes too late is dropped."""
    with make() as functions:
        pass
    functions.invoke("Greet", {"file": str(tmp_path / "log"), "n": 1, "failures": 0})
    functions.idle()
    assert timeline.find("function-invoked") == []
