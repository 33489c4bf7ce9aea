"""``doctor``: what is ready, what is not, what to do; and its exit codes 0, 1 and 2."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certkeeper import COMPONENT_NAME, commands
from certkeeper.commands import Look
from certkeeper.core.certificate import Inventory
from certkeeper.core.record import Record
from certkeeper.core.settings import Settings
from certkeeper.edge.state_files import RecordFile
from rotation_protocol.codec import encode_health
from rotation_protocol.fields import time_text
from rotation_protocol.messages import Health, ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName
from tests.commands.command_line import Answer, certkeeper
from tests.greengrass_root import SECRET, GreengrassRoot, another_key, install, pkcs8

OK, WARN, FAIL, UNKNOWN = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL, CheckStatus.UNKNOWN
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it, on a machine that has systemctl."""
    (tmp_path / "bin").mkdir()
    for command in ("systemctl", "systemd-run"):
        (tmp_path / "bin" / command).touch(0o755)
    folder = tmp_path / "v2"
    folder.mkdir()
    return install(folder)


def doctor(root: GreengrassRoot, *arguments: object) -> Answer:
    path = str(root.folder.parent / "bin")
    return certkeeper("doctor", "--root", root.folder, *arguments, environment={"PATH": path})


def rows(answer: Answer) -> dict[str, str]:
    """The status of each check in the table."""
    table = answer.out.split("\n\n")[0].splitlines()
    return {line.split()[1]: line.split()[0] for line in table}


def look(*statuses: CheckStatus, notes: tuple[str, ...] = ()) -> Look:
    names = list(ReadinessCheckName)
    checks = tuple(
        ReadinessCheck(name, status, "detail", "do this" if status is FAIL else None)
        for name, status in zip(names, statuses, strict=False)
    )
    inventory = Inventory("classic", None, None, (), (), notes=notes)
    return Look(inventory, Settings(), (), checks, NOW)


def test_an_installed_device(root: GreengrassRoot) -> None:
    """Every check has a row; what only the running component can tell is not guessed."""
    answer = doctor(root)
    assert answer.err == ""
    assert rows(answer) == {
        "credentials-found": "OK",
        "certificate-readable": "OK",
        "key-readable": "OK",
        "pair-matches": "OK",
        "key-type": "OK",
        "store-writable": "OK",
        "store-space": "OK",
        "store-links": "OK",
        "supervisor": "OK",
        "probe-endpoint": "WARN",
        "clock": "OK",
        "configuration": "OK",
        "ipc": "UNKNOWN",
    }
    assert answer.code == 1
    assert "What to do:\n-> probe-endpoint: set iotDataEndpoint" in answer.out


def test_what_the_running_component_saw(root: GreengrassRoot) -> None:
    """The check of IPC is the component's own, from its last health message, with its time."""
    seen = ReadinessCheck(ReadinessCheckName.IPC, CheckStatus.OK, "connected")
    health = Health("press-7", "healthy", NOW, None, "0.1.0", "classic", 0, (), 0, (seen,))
    RecordFile(root.folder / "work" / COMPONENT_NAME).save(
        Record(last_health=encode_health(health).decode())
    )
    answer = doctor(root)
    assert rows(answer)["ipc"] == "OK"
    assert f"connected (at {time_text(NOW)})" in answer.out


@pytest.mark.parametrize("last_health", ["", "garbage", "{}", "[" * 50_000])
def test_a_last_health_message_that_is_none(root: GreengrassRoot, last_health: str) -> None:
    """A health message that cannot be understood leaves it unknown what the component saw."""
    RecordFile(root.work).save(Record(last_health=last_health))
    assert rows(doctor(root))["ipc"] == "UNKNOWN"


def test_what_to_do(root: GreengrassRoot) -> None:
    """What fails is marked, and the remedies stand together below."""
    root.write_key(pkcs8(another_key()), mode=0o644)
    (root.folder.parent / "bin" / "systemctl").unlink()
    answer = doctor(root)
    assert answer.code == 1
    found = rows(answer)
    assert (found["pair-matches"], found["key-readable"], found["supervisor"]) == (
        "FAIL",
        "WARN",
        "WARN",
    )
    assert f"-> key-readable: chmod 600 {root.key}" in answer.lines
    assert "-> pair-matches: put back the file that was replaced" in answer.out


def test_no_credentials(tmp_path: Path) -> None:
    """Without credentials there is little to look at; it says where it looked, and 1."""
    answer = certkeeper("doctor", "--root", tmp_path)
    assert (answer.code, answer.err) == (1, "")
    assert rows(answer)["credentials-found"] == "FAIL"
    assert "-> credentials-found: " in answer.out


def test_a_note_on_the_configuration(root: GreengrassRoot) -> None:
    """A key that is not known is a warning that names the one that was meant."""
    path = root.folder / "try.json"
    path.write_text('{"maxAgeDay": 20}')
    answer = doctor(root, "--config", path)
    assert rows(answer)["configuration"] == "WARN"
    assert "did you mean maxAgeDays?" in answer.out


def test_notes_on_the_nucleus(root: GreengrassRoot) -> None:
    """What was odd about the nucleus's own files is noted."""
    (root.folder / "config").mkdir()
    (root.folder / "config" / "config.tlog").write_bytes(b"garbage\n")
    assert "note: " in doctor(root).out


def test_json(root: GreengrassRoot) -> None:
    """With --json the same is one JSON object, with the exit code in it."""
    answer = doctor(root, "--json")
    values = json.loads(answer.out)
    assert values["exitCode"] == answer.code == 1
    names = [check["name"] for check in values["checks"]]
    assert names == [name.value for name in ReadinessCheckName]
    assert all(set(check) == {"name", "status", "detail", "remedy"} for check in values["checks"])


def test_nothing_secret(root: GreengrassRoot) -> None:
    """A key that cannot be read is described without a byte of it."""
    root.write_key(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----".encode())
    answer = doctor(root)
    assert rows(answer)["key-readable"] == "FAIL"
    assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((OK, OK), 0),
        ((OK, UNKNOWN), 2),
        ((OK, WARN), 1),
        ((OK, FAIL), 1),
        ((UNKNOWN, FAIL), 1),
        ((UNKNOWN, WARN, OK), 1),
    ],
)
def test_exit_codes(statuses: tuple[CheckStatus, ...], code: int) -> None:
    """0 if all is ready, 1 if anything is not, 2 if something could not be looked at."""
    assert commands.doctor_exit_code(look(*statuses)) == code
    assert json.loads(commands.doctor(look(*statuses), as_json=True))["exitCode"] == code


def test_a_ready_device_is_told_nothing_to_do() -> None:
    """Where all is ready there is a table, and nothing else."""
    assert commands.doctor(look(OK, OK), as_json=False).splitlines() == [
        "OK  credentials-found     detail",
        "OK  certificate-readable  detail",
    ]


def test_notes_follow_the_remedies() -> None:
    """Table, remedies, notes: in this order."""
    assert commands.doctor(look(OK, FAIL, notes=("odd",)), as_json=False).splitlines() == [
        "OK    credentials-found     detail",
        "FAIL  certificate-readable  detail",
        "",
        "What to do:",
        "-> certificate-readable: do this",
        "note: odd",
    ]
