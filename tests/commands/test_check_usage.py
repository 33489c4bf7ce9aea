"""``check`` for scripts, on odd terminals, and asked wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.command_line import (
    CANNOT_TELL,
    FINE,
    Answer,
    cells,
    certkeeper,
    check,
    configuration,
)
from tests.greengrass_root import DAY, NOW, certificate_pem, install, key_of

# -- for scripts --------------------------------------------------------------------


def decoded(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(answer.out)
    assert values["exitCode"] == answer.code
    return values


def test_json(tmp_path: Path) -> None:
    """With --json the same is one JSON object, with the exit code in it."""
    root = install(tmp_path, days_left=6.5)
    values = decoded(check(root, "--json"))
    assert set(values) == {"checkedAt", "exitCode", "privateKeyProblem", "certificates"}
    assert values["privateKeyProblem"] is None
    device, ca = values["certificates"]
    assert device["role"] == "core-device"
    assert device["source"] == str(root.certificate)
    assert device["pair"] == "matches"
    assert device["facts"]["subject"] == "CN=press-7"
    assert device["state"] == "critical"
    assert device["deadline"] == f"{NOW + 6.5 * DAY:%Y-%m-%dT%H:%M:%SZ}"
    assert (device["deadlineReason"], device["daysRemaining"]) == ("not-after", 6)
    assert device["findings"] == ["certificate.expiring"]
    assert (ca["role"], ca["state"], ca["findings"]) == ("root-ca", "ok", [])


def test_json_of_what_cannot_be_told(tmp_path: Path) -> None:
    """What is not known is null in JSON, never a guess."""
    root = install(tmp_path)
    root.certificate.write_bytes(b"")
    root.write_key(b"")
    values = decoded(check(root, "--json"))
    device = values["certificates"][0]
    assert (device["facts"], device["deadline"], device["daysRemaining"]) == (None, None, None)
    assert device["problem"] == "empty"
    assert values["privateKeyProblem"] == f"{root.key} holds no valid private key in PEM"


def test_a_terminal_that_takes_no_unicode(tmp_path: Path) -> None:
    """A path that the terminal cannot show is shown with codes; nothing breaks."""
    folder = tmp_path / "Prässe✓"
    folder.mkdir()
    answer = check(install(folder), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (answer.code, answer.err) == (FINE, "")
    assert r"Pr\xe4sse\u2713/thingCert.crt" in answer.out


def test_it_changes_nothing(tmp_path: Path) -> None:
    """A check leaves every file as it was, and no other behind."""
    root = install(tmp_path)

    def files() -> dict[str, tuple[int, int]]:
        found = {path: path.stat() for path in tmp_path.rglob("*") if path.is_file()}
        return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}

    before = files()
    assert check(root).code == FINE
    assert files() == before


# -- what is asked wrongly ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"schedule": "daily"}', "is not valid: schedule "),
        (b'{"thresholds": [0]}', "is not valid: thresholds "),
        (b'{"thresholds": [0], "maxAgeDays": "x"}', "; maxAgeDays "),
        (b'{"privateKeyPath": "/k"}', "is not valid: certificateFilePath "),
    ],
)
def test_a_bad_configuration(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A configuration that cannot be used is one line on the standard error, no verdict, and 2."""
    root = install(tmp_path)
    path = tmp_path / "try.json"
    if content is not None:
        path.write_bytes(content)
    answer = check(root, "--config", path)
    assert (answer.code, answer.out) == (CANNOT_TELL, "")
    assert answer.err.startswith(f"certkeeper: {path}")
    assert reason in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_folder_as_configuration(tmp_path: Path) -> None:
    """A folder in place of a configuration file is told as one."""
    answer = check(install(tmp_path), "--config", tmp_path)
    assert (answer.code, answer.err) == (
        CANNOT_TELL,
        f"certkeeper: {tmp_path} cannot be read: Is a directory\n",
    )


@pytest.mark.parametrize("arguments", [(), ("chek",), ("check", "--jsn"), ("check", "more")])
def test_a_command_that_is_none(arguments: tuple[str, ...]) -> None:
    """What is no command is answered with the usage, and 2."""
    answer = certkeeper(*arguments)
    assert (answer.code, answer.out) == (CANNOT_TELL, "")
    assert answer.err.startswith("usage: certkeeper")


def test_help_says_the_exit_codes() -> None:
    """--help names the commands and what their exit codes mean; --version the version."""
    answer = certkeeper("--help")
    assert answer.code == 0
    for said in ("run", "check", "doctor", "0 every certificate", "1 a threshold", "2 cannot tell"):
        assert said in answer.out
    assert certkeeper("--version").out.startswith("certkeeper 0.")


def test_certificates_of_every_key_type(tmp_path: Path) -> None:
    """The table names each key's algorithm as the configuration does."""
    root = install(tmp_path, key=key_of("RSA-2048"))
    extra = tmp_path / "extra.crt"
    extra.write_text(certificate_pem(key_of("ECDSA-P521")))
    answer = check(root, "--config", configuration(tmp_path, {"watch": [str(extra)]}))
    assert [cells(line)[5] for line in answer.lines[1:]] == ["RSA-2048", "ECDSA-P256", "ECDSA-P521"]
