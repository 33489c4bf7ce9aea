"""What the daemon believes of a rotating child, and children that fail in every way."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.settings import Settings
from certkeeper.edge.line_child import MAX_ANSWER
from rotation_protocol.reasons import FailureReason
from tests.edge import rotator_stage
from tests.edge.inspector_stage import shell, watched_children
from tests.edge.rotator_stage import FOUND, PREPARE, SURVEY, Stage, speaker, workers

STEPS: list[tuple[RotatorStep, dict[str, Any], events.Event]] = [
    (
        PREPARE,
        {
            "event": "Prepared",
            "oldSlot": "a",
            "newSlot": "b",
            "csr": "CSR",
            "oldCertificateId": "ab12",
            "keyAlgorithm": "RSA-2048",
        },
        events.Prepared("a", "b", "CSR", "ab12", "RSA-2048"),
    ),
    (
        effects.Stage("b", "CSR", "PEM"),
        {"event": "Staged", "certificateId": "cd34"},
        events.Staged("cd34"),
    ),
    (
        effects.Probe(("a", "b")),
        {
            "event": "Probed",
            "results": [
                {"slot": "a", "verdict": "accepted", "detail": ""},
                {"slot": "b", "verdict": "unclear", "detail": "500"},
            ],
        },
        events.Probed(
            (events.ProbeResult("a", "accepted"), events.ProbeResult("b", "unclear", "500"))
        ),
    ),
    (effects.Arm("a", "b", 900), {"event": "Armed"}, events.Armed()),
    (effects.Activate("b"), {"event": "Activated", "slot": "b"}, events.Activated("b")),
    (
        effects.Reconnect(1),
        {"event": "Reconnected", "means": "restart", "restartsUs": True},
        events.Reconnected("restart", True),
    ),
    (effects.Disarm(), {"event": "Disarmed"}, events.Disarmed()),
    (effects.Wipe("a"), {"event": "Wiped", "slot": "a"}, events.Wiped("a")),
]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left when the test ends."""
    with watched_children(monkeypatch) as started:
        yield started


@pytest.fixture
def stages(children: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """Makes stages, and closes them in the end: no thread and no child may be left."""
    with rotator_stage.stages() as make:
        yield make


# -- what is said ---------------------------------------------------------------------


@pytest.mark.parametrize(("step", "answer", "event"), STEPS, ids=lambda x: type(x).__name__)
def test_each_step_has_its_answer(
    step: RotatorStep, answer: dict[str, Any], event: events.Event, stages: Any
) -> None:
    """The answer to each step becomes its event; so does a failure, but not that of another."""
    failure = {
        "event": "StepFailed",
        "step": type(step).__name__,
        "reason": "store-full",
        "detail": "no room",
    }
    stage: Stage = stages("/gg", *speaker(FOUND, answer, failure, {**failure, "step": "Other"}))
    assert isinstance(stage.do(SURVEY), events.Surveyed)
    assert stage.do(step) == event
    why = events.StepFailed(type(step).__name__, FailureReason.STORE_FULL, "no room")
    assert stage.do(step) == why
    assert "step is none of" in stage.failed(step)


@pytest.mark.parametrize(("step", "answer", "_"), STEPS, ids=lambda x: type(x).__name__)
def test_answers_are_read_strictly(
    step: RotatorStep, answer: dict[str, Any], _: events.Event, stages: Any
) -> None:
    """An answer that lacks a field, or has it of another type, or is another step's, is none."""
    others: list[object] = [None, 5, [5], {}]
    wrong: list[dict[str, Any]] = [{**answer, "event": "Inspected"}, {**answer, "event": None}]
    for field in answer:
        wrong.append({key: value for key, value in answer.items() if key != field})
        wrong.extend({**answer, field: value} for value in others)
    for each in wrong:
        stage: Stage = stages("/gg", *speaker(FOUND, each))
        stage.do(SURVEY)
        assert stage.failed(step), each
        stage.rotator.close()


@pytest.mark.parametrize("field", [name for name in FOUND if name != "event"])
def test_a_survey_is_read_strictly(field: str, stages: Any) -> None:
    """A store that is told in another shape is no store."""
    others: list[object] = [5, [], "?", {"a": {}}]
    for value in others:
        if (field, value) in (("folder", "?"), ("runtime", "?"), ("inUse", "?")):
            continue  # a text like any other
        stage: Stage = stages("/gg", *speaker({**FOUND, field: value}))
        assert stage.failed(SURVEY), value
        stage.rotator.close()


def test_the_store_arrives_whole(stages: Any) -> None:
    """Every field of the store, the journal's bytes among them, is what the child saw."""
    told = {
        **FOUND,
        "adopted": True,
        "current": "b",
        "slots": {
            "a": {"hasKey": True, "certificateId": None, "whole": False},
            "b": {"hasKey": True, "certificateId": "cd34", "whole": True},
        },
        "journal": "AP8=",
    }
    event = stages("/gg", *speaker(told)).do(SURVEY)
    assert isinstance(event, events.Surveyed)
    store = event.store
    assert (store.folder, store.runtime) == ("/gg/certkeeper", "classic")
    assert (store.adopted, store.current, store.in_use) == (True, "b", "ab12")
    assert store.slots["a"].has_key
    assert not store.slots["a"].whole
    assert (store.slots["b"].certificate_id, store.slots["b"].whole) == ("cd34", True)
    assert store.journal == b"\x00\xff"


def test_each_request(stages: Any, tmp_path: Path) -> None:
    """What the child is asked is what the step says; a survey comes before everything."""
    script = f'while read -r line; do echo "$line" >> {tmp_path}/asked; echo "$1"; done'
    stage: Stage = stages("/gg", "sh", "-c", script, "sh", json.dumps(FOUND))
    stage.do(SURVEY)
    for step, _, _ in STEPS:
        stage.failed(step)
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    survey = asked[0]
    assert survey == {
        "do": "survey",
        "root": "/gg",
        "thingName": "press-7",
        "certificateFilePath": None,
        "privateKeyPath": None,
    }
    assert [one for one in asked if one != survey] == [
        {"do": "prepare", "keyAlgorithm": "same", "signingAlgorithm": "auto"},
        {"do": "stage", "slot": "b", "csr": "CSR", "certificatePem": "PEM"},
        {"do": "probe", "slots": ["a", "b"]},
        {"do": "arm", "oldSlot": "a", "newSlot": "b", "seconds": 900},
        {"do": "activate", "slot": "b"},
        {"do": "reconnect", "strength": 1},
        {"do": "disarm"},
        {"do": "wipe", "slot": "a"},
    ]


# -- children that fail -------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(("/no/such/program",), "no process could be started: ", id="no-program"),
        pytest.param(shell("exit 3"), "ended with 3:", id="exit-code"),
        pytest.param(shell("kill -9 $$"), "ended with -9:", id="killed"),
        pytest.param(
            shell("read x; echo first >&2; echo 'MemoryError: no' >&2; exit 1"),
            "the rotating process ended with 1: MemoryError: no",
            id="traceback",
        ),
        pytest.param(shell("exec 0<&-; exit 1"), "ended with 1:", id="deaf"),
        pytest.param(speaker(""), "not understood (JSONDecodeError)", id="an-empty-line"),
        pytest.param(speaker("garbage"), "not understood (JSONDecodeError)", id="garbage"),
        pytest.param(shell("read x; printf '\\377\\n'; cat"), "UnicodeDecodeError", id="no-UTF-8"),
        pytest.param(speaker("[" * 100_000), "RecursionError", id="deep"),
        pytest.param(speaker([1]), "not understood (TypeError)", id="a-list"),
        pytest.param(speaker({}), "not understood (KeyError)", id="nothing-in-it"),
        pytest.param(shell("read x; echo '{}'; echo '{}'; cat"), "not understood", id="two-lines"),
        pytest.param(
            shell("read x; head -c 10485760 /dev/zero; cat"),
            f"the answer has more than {MAX_ANSWER} bytes",
            id="10 MB",
        ),
        pytest.param(
            shell("read x; head -c 10485760 /dev/zero >&2; exit 1"),
            "ended with 1:",
            id="10 MB-of-errors",
        ),
    ],
)
def test_a_failing_child_is_told(command: tuple[str, ...], reason: str, stages: Any) -> None:
    """However a child fails, each step is answered with one short reason, again and again."""
    stage: Stage = stages("/gg", *command)
    for step in (SURVEY, PREPARE):
        said = stage.failed(step)
        assert reason in said
        assert len(said) <= 300


def test_much_noise_beside_an_answer(stages: Any) -> None:
    """What a child says on standard error holds up neither it nor its answer."""
    noise = "read x; head -c 1048576 /dev/zero >&2; printf '%s\\n' \"$0\"; exec cat >&2"
    assert isinstance(
        stages("/gg", "sh", "-c", noise, json.dumps(FOUND)).do(SURVEY), events.Surveyed
    )


def test_a_child_that_hangs(stages: Any, children: queue.SimpleQueue[Any]) -> None:
    """A child that gives no answer in time is killed, and the next step has another one."""
    stage: Stage = stages("/gg", *shell("exec sleep 600"), timeout=0.1)
    assert stage.failed(SURVEY) == "no answer within 0.1 s"
    assert children.get(timeout=60).wait(60) == -9
    assert stage.failed(PREPARE) == "no answer within 0.1 s"
    assert children.get(timeout=60).wait(60) == -9


def test_a_child_that_does_not_read(stages: Any, children: queue.SimpleQueue[Any]) -> None:
    """A child that never reads its request, however long that is, is given up as well."""
    stage: Stage = stages("/gg", *shell("exec sleep 600"), timeout=0.1)
    long = Settings(certificate_file_path="/" + "a" * 1_000_000, private_key_path="/key")
    assert stage.failed(effects.Survey(long)) == "no answer within 0.1 s"
    assert children.get(timeout=60).wait(60) == -9


def test_a_grandchild_that_keeps_the_pipe(
    stages: Any, children: queue.SimpleQueue[Any], tmp_path: Path
) -> None:
    """A dead child whose own child still holds its pipes is seen to be dead all the same."""
    script = f"read x; sleep 600 & echo $! > {tmp_path}/pid; kill -9 $$"
    stage: Stage = stages("/gg", *shell(script))
    try:
        assert "ended with -9:" in stage.failed(SURVEY)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)
    assert children.get(timeout=60).returncode == -9


def test_no_survey_yet(stages: Any, children: queue.SimpleQueue[Any]) -> None:
    """Before the first survey no child is started, since nobody knows with which settings."""
    assert stages("/gg").failed(PREPARE) == "no survey has been asked for yet"
    assert children.empty()


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no thread is answered at once, and tried again with the next step."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    stage = Stage("/gg", "/no/such/program")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert "can't start new thread" in stage.failed(SURVEY)
        stage.rotator.do(effects.EndRotator())
        assert stage.inbox.empty()
    assert "no process could be started" in stage.failed(SURVEY)
    stage.rotator.close()
    for worker in workers():
        worker.join(60)
