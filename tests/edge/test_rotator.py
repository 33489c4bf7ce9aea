"""The daemon's side of the rotating child: a real rotation, and how it ends.

What children say, and how they fail, is in test_rotator_answers.py.
"""

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
from certkeeper.core.settings import Settings
from certkeeper.edge import file_store, x509
from certkeeper.ports import Rotator
from rotation_protocol.reasons import FailureReason
from tests.edge import rotator_stage
from tests.edge.inspector_stage import shell, watched_children
from tests.edge.rotation_stage import certificate_id, commands, device, issue, key_lines
from tests.edge.rotator_stage import FOUND, PREPARE, SURVEY, Stage, speaker, workers
from tests.greengrass_root import GreengrassRoot


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


DIES_ONCE = """
import os, pathlib, sys
from certkeeper.edge import key_pair
from certkeeper.edge.file_store import FileStore
killed = pathlib.Path(sys.argv[1])
if not killed.exists():
    def die(*_):
        killed.touch()
        os.kill(os.getpid(), 9)
    {place} = die
from certkeeper.__main__ import main
sys.exit(main(["rotate"]))
"""


@pytest.mark.parametrize(
    "place",
    [
        *("key_pair.generate", "key_pair.csr_pem", "key_pair.key_pem"),
        *("FileStore.rehearse", "FileStore.adopt", "FileStore.wipe", "FileStore.write_key"),
    ],
)
def test_killed_in_the_middle_of_a_step(
    root: GreengrassRoot, stages: Any, tmp_path: Path, place: str
) -> None:
    """A child that is killed under way fails that step; the next one does it all again."""
    code = DIES_ONCE.format(place=place)
    stage: Stage = stages(root.folder, sys.executable, "-c", code, str(tmp_path / "killed"))
    surveyed(stage)
    assert stage.failed(PREPARE) == "the rotating process ended with -9:"
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
