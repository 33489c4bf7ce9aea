"""The daemon's side of the rotating child: a real rotation, and children that fail in every way."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.settings import Settings
from certkeeper.edge import file_store, x509
from certkeeper.edge.line_child import MAX_ANSWER
from certkeeper.edge.rotator import ChildRotator
from certkeeper.ports import Rotator
from rotation_protocol.reasons import FailureReason
from tests.edge.inspector_stage import shell, watched_children
from tests.edge.rotation_stage import certificate_id, commands, device, issue, key_lines
from tests.greengrass_root import GreengrassRoot

SURVEY = effects.Survey(Settings())
PREPARE = effects.Prepare("same", "auto")
#: A child that answers each request with the next of its arguments.
SPEAKER = 'for answer in "$@"; do read -r request; printf "%s\\n" "$answer"; done; exec cat >&2'
FOUND = {
    "event": "Surveyed",
    "folder": "/gg/certkeeper",
    "runtime": "classic",
    "adopted": False,
    "current": None,
    "slots": {s: {"hasKey": False, "certificateId": None, "whole": False} for s in "ab"},
    "inUse": "ab12",
    "journal": None,
}
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


def speaker(*answers: object) -> tuple[str, ...]:
    texts = [text if isinstance(text, str) else json.dumps(text) for text in answers]
    return ("sh", "-c", SPEAKER, "sh", *texts)


class Stage:
    """A ChildRotator, and what it posts."""

    def __init__(self, root: object = "/gg", *command: str, timeout: float | None = None) -> None:
        self.inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        chosen = {"command": command} if command else {}
        self.rotator = ChildRotator(self.inbox.put, str(root), "press-7", timeout=timeout, **chosen)

    def next(self) -> events.Event:
        return self.inbox.get(timeout=60)

    def do(self, step: RotatorStep) -> events.Event:
        self.rotator.do(step)
        return self.next()

    def failed(self, step: RotatorStep) -> str:
        event = self.do(step)
        if isinstance(step, effects.Survey):
            assert isinstance(event, events.SurveyFailed), event
            return event.reason
        assert isinstance(event, events.StepFailed), event
        assert (event.step, event.reason) == (type(step).__name__, FailureReason.INTERNAL_ERROR)
        return event.detail


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rotator"]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left when the test ends."""
    with watched_children(monkeypatch) as started:
        yield started


@pytest.fixture
def stages(children: queue.SimpleQueue[Any]) -> Iterator[Any]:
    """Makes stages, and closes them in the end: no thread and no child may be left."""
    made: list[Stage] = []

    def make(*arguments: Any, **named: Any) -> Stage:
        made.append(Stage(*arguments, **named))
        return made[-1]

    yield make
    for stage in made:
        stage.rotator.close()
    for worker in workers():
        worker.join(60)
    assert workers() == []


# -- the real child -----------------------------------------------------------------


def surveyed(stage: Stage) -> events.Surveyed:
    event = stage.do(SURVEY)
    assert isinstance(event, events.Surveyed), event
    return event


def prepared(stage: Stage) -> events.Prepared:
    event = stage.do(PREPARE)
    assert isinstance(event, events.Prepared), event
    return event


def staged(stage: Stage, of: events.Prepared) -> events.Staged:
    event = stage.do(effects.Stage(of.new_slot, of.csr, issue(of.csr)))
    assert isinstance(event, events.Staged), event
    return event


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A classic core device."""
    return device(tmp_path)


def test_a_whole_rotation(
    root: GreengrassRoot,
    stages: Any,
    children: queue.SimpleQueue[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One child does every step in turn, and in the end the device has the new pair alone."""
    noted = commands(tmp_path, monkeypatch)
    stage: Stage = stages(root.folder)
    before = surveyed(stage).store
    assert before.in_use == certificate_id(root.certificate)
    new = prepared(stage)
    assert new.old_certificate_id == before.in_use
    issued = staged(stage, new)
    said = stage.do(effects.Probe((new.new_slot,)))
    assert isinstance(said, events.Probed)
    assert [one.verdict for one in said.results] == ["unreachable"]
    assert stage.do(effects.Arm(new.old_slot, new.new_slot, 900)) == events.Armed()
    assert stage.do(effects.Activate(new.new_slot)) == events.Activated(new.new_slot)
    assert isinstance(stage.do(effects.Reconnect(0)), events.Reconnected)
    assert stage.do(effects.Disarm()) == events.Disarmed()
    assert stage.do(effects.Wipe(new.old_slot)) == events.Wiped(new.old_slot)
    after = surveyed(stage).store
    stage.rotator.do(effects.EndRotator())
    assert (after.in_use, after.current) == (issued.certificate_id, new.new_slot)
    assert (after.slots[new.new_slot].whole, after.slots[new.old_slot].has_key) == (True, False)
    certificate = x509.read_certificates(root.certificate)[0]
    assert x509.is_pair(certificate, x509.load_private_key(root.key))
    assert "restart greengrass.service" in noted.read_text()
    child = children.get_nowait()
    assert children.empty(), "one child for the whole rotation"
    assert child.wait(60) == 0, "it was let end by itself"


def test_settings_reach_the_child(root: GreengrassRoot, stages: Any) -> None:
    """The paths of the last survey's settings count, for later children too."""
    (root.folder / "mine").mkdir()
    certificate, key = root.folder / "mine" / "my.crt", root.folder / "mine" / "my.key"
    root.certificate.rename(certificate)
    root.key.rename(key)
    settings = Settings(certificate_file_path=str(certificate), private_key_path=str(key))
    stage: Stage = stages(root.folder)
    surveyed(stage)
    event = stage.do(effects.Survey(settings))
    assert isinstance(event, events.Surveyed)
    assert event.store.folder == str(root.folder / "mine" / "certkeeper")
    stage.rotator.do(effects.EndRotator())
    assert prepared(stage).new_slot == "b"
    assert file_store.FileStore(certificate, key).look()[0]


def test_a_new_child_knows_where_the_pair_is(
    root: GreengrassRoot, stages: Any, children: queue.SimpleQueue[Any]
) -> None:
    """After the end of one child, and after its death, the next step is done by another one."""
    stage: Stage = stages(root.folder)
    surveyed(stage)
    children.get(timeout=60)
    stage.rotator.do(effects.EndRotator())
    new = prepared(stage)
    second = children.get(timeout=60)
    second.kill()
    second.wait(60)
    staged(stage, new)
    assert children.get(timeout=60).pid != second.pid


def test_killed_in_the_middle_of_a_step(
    root: GreengrassRoot, stages: Any, children: queue.SimpleQueue[Any]
) -> None:
    """A child that dies while it makes a key fails that step; the next one does it all again."""
    stage: Stage = stages(root.folder)
    surveyed(stage)
    child = children.get(timeout=60)
    os.kill(child.pid, 19)  # SIGSTOP: it has the request and does not answer
    stage.rotator.do(effects.Prepare("RSA-3072", "auto"))
    child.kill()
    event = stage.next()
    assert isinstance(event, events.StepFailed)
    assert (event.step, event.reason) == ("Prepare", FailureReason.INTERNAL_ERROR)
    staged(stage, prepared(stage))


def test_what_the_child_finds_is_told(root: GreengrassRoot, stages: Any) -> None:
    """A step that cannot be done says why, and the child goes on."""
    stage: Stage = stages(root.folder)
    surveyed(stage)
    event = stage.do(effects.Prepare("ECDSA-P256", "SHA256WITHRSA"))
    assert isinstance(event, events.StepFailed)
    assert (event.step, event.reason) == ("Prepare", FailureReason.KEY_NOT_SUPPORTED)
    new = prepared(stage)
    event = stage.do(effects.Stage(new.new_slot, new.csr, "garbage"))
    assert isinstance(event, events.StepFailed)
    assert event.reason is FailureReason.CERTIFICATE_GARBAGE
    root.certificate.unlink()
    nowhere: Stage = stages(root.folder / "nowhere")
    assert "no certificate and key found" in nowhere.failed(SURVEY)
    event = nowhere.do(PREPARE)
    assert isinstance(event, events.StepFailed)
    assert event.reason is FailureReason.CREDENTIALS_UNREADABLE


def test_no_byte_of_a_key_in_any_event(
    root: GreengrassRoot, stages: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """No event of a rotation holds a line of a key, and the daemon prints none."""
    stage: Stage = stages(root.folder)
    said = [repr(surveyed(stage))]
    new = prepared(stage)
    lines = key_lines(root)
    said += [repr(new), repr(stage.do(effects.Stage("b", new.csr, root.key.read_text())))]
    said += [repr(staged(stage, new)), repr(surveyed(stage)), *capfd.readouterr()]
    assert len(lines) >= 6
    assert [line for line in lines for text in said if line in text] == []


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
    wrong: list[dict[str, Any]] = [{**answer, "event": "Inspected"}, {**answer, "event": None}]
    for field in answer:
        wrong.append({key: value for key, value in answer.items() if key != field})
        wrong.extend({**answer, field: value} for value in (None, 5, [5], {}))
    for each in wrong:
        stage: Stage = stages("/gg", *speaker(FOUND, each))
        stage.do(SURVEY)
        assert stage.failed(step), each
        stage.rotator.close()


@pytest.mark.parametrize("field", [name for name in FOUND if name != "event"])
def test_a_survey_is_read_strictly(field: str, stages: Any) -> None:
    """A store that is told in another shape is no store."""
    for value in (5, [], "?", {"a": {}}):
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
    script = 'read -r x; printf "%s\\n" "$0"; exec sleep 600'
    stage: Stage = stages("/gg", "sh", "-c", script, json.dumps(FOUND), timeout=5.0)
    stage.do(SURVEY)
    step = effects.Stage("b", "CSR", "x" * 1_000_000)
    assert stage.failed(step) == "no answer within 5 s"
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


# -- the end ------------------------------------------------------------------------


def test_the_end_of_a_child_that_stays(
    stages: Any, children: queue.SimpleQueue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that does not end when it is no longer needed is killed."""
    monkeypatch.setattr("certkeeper.edge.line_child.END_SECONDS", 0.1)
    script = 'read -r x; printf "%s\\n" "$0"; exec sleep 600'
    stage: Stage = stages("/gg", "sh", "-c", script, json.dumps(FOUND))
    stage.do(SURVEY)
    stage.rotator.do(effects.EndRotator())
    assert children.get(timeout=60).wait(60) == -9


def test_the_end_without_a_child(stages: Any) -> None:
    """To end what has not begun is harmless, and nothing follows from it."""
    stage: Stage = stages("/gg", *speaker(FOUND))
    stage.rotator.do(effects.EndRotator())
    stage.rotator.do(effects.EndRotator())
    assert isinstance(stage.do(SURVEY), events.Surveyed)


def test_close_ends_what_is_under_way(stages: Any, children: queue.SimpleQueue[Any]) -> None:
    """Closing kills the child at once; what it was about is no failure of the rotation."""
    stage: Stage = stages("/gg", *shell("exec sleep 600"))
    stage.rotator.do(SURVEY)
    child = children.get(timeout=60)
    stage.rotator.close()
    assert child.wait(60) == -9
    for worker in workers():
        worker.join(60)
    stage.rotator.do(PREPARE)
    assert stage.inbox.empty()


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
    stage.rotator.do(SURVEY)
    assert starting.wait(60)
    stage.rotator.close()
    closed.set()
    for worker in workers():
        worker.join(60)
    assert stage.inbox.empty()
    assert children.get(timeout=60).returncode == -9


def test_close_with_nothing_under_way() -> None:
    """Closing is harmless before the first step, and twice."""
    stage = Stage()
    stage.rotator.close()
    stage.rotator.close()
    stage.rotator.do(SURVEY)
    for worker in workers():
        worker.join(60)
    assert (stage.inbox.empty(), workers()) == (True, [])


def test_the_daemon_stays_small() -> None:
    """What the daemon imports of all this knows no X.509, no TLS and no YAML."""
    heavy = ["cryptography", "ssl", "hashlib", "yaml", "sqlite3", "http.client"]
    code = f"import certkeeper.edge.rotator, sys; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    said = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert said.stdout.decode().strip() == "[]"


def test_it_is_a_rotator() -> None:
    """It is what the daemon's port asks for."""
    rotator: Rotator = Stage().rotator
    rotator.close()
