"""``check``: what a person sees, what a script gets, and the exit codes 0, 1 and 2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certkeeper.edge.state_files import ConfigurationFile
from tests.commands.command_line import (
    CANNOT_TELL,
    CROSSED,
    FINE,
    Answer,
    cells,
    certkeeper,
    check,
    configuration,
)
from tests.edge.classic_files import CERTIFICATE, KEY, changed, log
from tests.greengrass_root import (
    AGE_DAYS,
    DAY,
    DAYS_LEFT,
    NOBODY,
    NOW,
    SECRET,
    another_key,
    install,
    key_of,
    open_folder,
    pkcs8,
)

# -- what it says of time -----------------------------------------------------------


def test_every_certificate_is_fine(tmp_path: Path) -> None:
    """A device far from every end: a table of its certificates, no remark, and 0."""
    root = install(tmp_path)
    answer = check(root)
    assert (answer.code, answer.err) == (FINE, "")
    heading, device, ca = (cells(line) for line in answer.lines)
    assert heading == ["ROLE", "STATE", "DEADLINE", "DAYS LEFT", "BECAUSE OF", "KEY", "SOURCE"]
    end = f"{NOW + DAYS_LEFT * DAY:%Y-%m-%d %H:%M}Z"
    source = str(root.certificate)
    assert device == ["core-device", "OK", end, "400", "not-after", "ECDSA-P256", source]
    assert ca[:2] == ["root-ca", "OK"]
    assert ca[-1] == str(root.root_ca)


def test_columns_stand_below_each_other(tmp_path: Path) -> None:
    """Every row's source begins where the heading's does."""
    answer = check(install(tmp_path))
    at = answer.lines[0].index("SOURCE")
    assert all(line[at - 2 : at] == "  " and line[at] == "/" for line in answer.lines[1:])


@pytest.mark.parametrize(
    ("days_left", "state", "remark"),
    [
        (29.5, "WARNING", "certificate.expiring (threshold 30)"),
        (6.5, "CRITICAL", "certificate.expiring (threshold 7)"),
        (0.5, "CRITICAL", "certificate.expiring (threshold 1)"),
        (-1.5, "CRITICAL", "certificate.expired"),
    ],
)
def test_a_threshold_is_crossed(tmp_path: Path, days_left: float, state: str, remark: str) -> None:
    """Near its end, or past it: the row says how bad, a remark says why, and 1."""
    answer = check(install(tmp_path, days_left=days_left))
    assert (answer.code, answer.err) == (CROSSED, "")
    assert cells(answer.lines[1])[1] == state
    assert cells(answer.lines[1])[3] == str(int(days_left // 1))
    assert answer.lines[-1].startswith(f"! core-device: {remark}")


def test_configuration_to_try(tmp_path: Path) -> None:
    """With --config a configuration is tried out before it is deployed."""
    root = install(tmp_path)
    young = check(root, "--config", configuration(tmp_path, {"thresholds": [500]}))
    assert young.code == CROSSED
    assert "certificate.expiring (threshold 500)" in young.out
    old = check(root, "--config", configuration(tmp_path, {"maxAgeDays": 20}))
    assert old.code == CROSSED
    end = f"{NOW + (20 - AGE_DAYS) * DAY:%Y-%m-%d %H:%M}Z"
    assert cells(old.lines[1])[2:5] == [end, "-11", "max-age"]
    assert "certificate.overdue" in old.out


def test_the_configuration_that_the_component_accepted(tmp_path: Path) -> None:
    """Without --config the one that the component last accepted counts; --work says where."""
    root = install(tmp_path)
    ConfigurationFile(root.work).save({"maxAgeDays": 20})
    assert check(root).code == CROSSED
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert check(root, "--work", elsewhere).code == FINE


def test_a_clock_that_cannot_be_right(tmp_path: Path) -> None:
    """Before the certificate was issued nothing is said of its end: no deadline, and 2."""
    answer = check(install(tmp_path, age_days=-10))
    assert answer.code == CANNOT_TELL
    assert cells(answer.lines[1])[2:5] == ["-", "-", "-"]
    assert "clock.untrusted: " in answer.out
    assert "before the device's certificate was issued" in answer.out


# -- what it says of the files ------------------------------------------------------


def test_the_key_of_another_certificate(tmp_path: Path) -> None:
    """A key that is not the certificate's is critical, and 1, though the certificate lasts."""
    root = install(tmp_path)
    root.write_key(pkcs8(another_key()))
    root.root_ca.write_text("garbage")
    answer = check(root)
    assert answer.code == CROSSED
    assert cells(answer.lines[1])[1] == "CRITICAL"
    assert "! core-device: certificate.mismatch: the private key is not" in answer.out


@pytest.mark.parametrize("content", [b"", b"\0" * 500, SECRET.encode(), pkcs8(key_of(), b"pass")])
def test_a_key_that_is_none(tmp_path: Path, content: bytes) -> None:
    """With a key file that holds no usable key nobody can tell that the device is fine: 2."""
    root = install(tmp_path)
    root.write_key(content)
    answer = check(root)
    assert answer.code == CANNOT_TELL
    assert answer.lines[-1].startswith(f"! core-device: key.unreadable: {root.key} ")
    assert SECRET not in answer.out + answer.err


def test_no_key(tmp_path: Path) -> None:
    """Where the key's file is gone the installer's files are no pair; a named one is missing."""
    root = install(tmp_path)
    root.key.unlink()
    assert check(root).code == CANNOT_TELL
    log(root.folder, [changed(CERTIFICATE, str(root.certificate)), changed(KEY, str(root.key))])
    answer = check(root)
    assert answer.code == CANNOT_TELL
    assert answer.lines[-1] == f"! core-device: key.unreadable: {root.key} does not exist"


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    """A certificate file that holds none is told with its path and why, and 2."""
    root = install(tmp_path)
    root.certificate.write_bytes(b"")
    answer = check(root)
    assert answer.code == CANNOT_TELL
    assert cells(answer.lines[1])[1] == "CRITICAL"
    remark = f"certificate.unreadable: The file is empty. {root.certificate} is empty"
    assert f"! core-device: {remark}" in answer.lines


def test_a_root_ca_that_is_none(tmp_path: Path) -> None:
    """A root CA file that holds none leaves the device's certificate as it is, and is a 2."""
    root = install(tmp_path)
    root.root_ca.write_text("garbage")
    answer = check(root)
    assert answer.code == CANNOT_TELL
    assert cells(answer.lines[1])[1] == "OK"
    assert "! root-ca: certificate.unreadable: " in answer.out


def test_no_credentials(tmp_path: Path) -> None:
    """A folder that is no Greengrass root: it says where it looked and what to do, and 2."""
    answer = certkeeper("check", "--root", tmp_path)
    assert (answer.code, answer.err) == (CANNOT_TELL, "")
    assert str(tmp_path / "config" / "config.tlog") in answer.out
    assert "What to do: " in answer.out


def test_no_such_root(tmp_path: Path) -> None:
    """A root that is not there is told by its name, and 2."""
    answer = certkeeper("check", "--root", tmp_path / "gone")
    assert answer.code == CANNOT_TELL
    assert f"{tmp_path / 'gone'} is no folder" in answer.out


def test_a_root_named_from_where_one_stands(tmp_path: Path) -> None:
    """A root may be given relative to the current folder."""
    root = install(tmp_path)
    answer = certkeeper("check", "--root", ".", cwd=tmp_path)
    assert answer.code == FINE
    assert str(root.certificate) in answer.out


def test_a_key_in_a_token(tmp_path: Path) -> None:
    """A key that is in no file is no fault of the device: its certificate is fine, and 0."""
    root = install(tmp_path)
    token = "pkcs11:object=device;type=private?pin-value=4711"
    log(root.folder, [changed(CERTIFICATE, str(root.certificate)), changed(KEY, token)])
    answer = check(root)
    assert answer.code == FINE
    assert "4711" not in answer.out + answer.err


def test_a_pair_in_a_token(tmp_path: Path) -> None:
    """A certificate that is in a token cannot be told of; it says how to, and no PIN; 2."""
    token = "pkcs11:object=device;pin-value=4711"
    log(tmp_path, [changed(CERTIFICATE, token), changed(KEY, token)])
    answer = certkeeper("check", "--root", tmp_path)
    assert answer.code == CANNOT_TELL
    assert "set certificateFilePath" in answer.out
    assert "4711" not in answer.out + answer.err


#: The first run, whose output goes nowhere, loads every module: the interpreter may stand
#: where the person may not look.
AS_NOBODY = """
import contextlib, io, os, sys
from certkeeper import __main__
with contextlib.redirect_stdout(io.StringIO()):
    __main__.main(sys.argv[2:])
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(int(sys.argv[1]))
    os.seteuid(int(sys.argv[1]))
sys.exit(__main__.main(sys.argv[2:]))
"""


def as_nobody(*arguments: object) -> Answer:
    """The command run by a person without privilege."""
    return certkeeper(NOBODY, *arguments, interpreter=("-c", AS_NOBODY))


def test_a_person_without_privilege() -> None:
    """Who may not read the key is told so, and what to do, without a traceback; 2."""
    with open_folder() as folder:
        root = install(folder)
        if os.geteuid() != 0:
            root.key.chmod(0)
        answer = as_nobody("check", "--root", folder)
        assert (answer.code, answer.err) == (CANNOT_TELL, "")
        assert cells(answer.lines[1])[1] == "OK"
        assert answer.lines[-1] == f"! private key: {root.key} may not be read"


def test_a_configuration_that_may_not_be_read() -> None:
    """Who may not read the component's configuration is not shown a verdict by another one."""
    with open_folder() as folder:
        root = install(folder)
        ConfigurationFile(root.work).save({"maxAgeDays": 20})
        if os.geteuid() != 0:
            (root.work / "configuration.json").chmod(0)
        answer = as_nobody("check", "--root", folder)
        path = root.work / "configuration.json"
    assert (answer.code, answer.out) == (CANNOT_TELL, "")
    assert answer.err.startswith(f"certkeeper: {path} cannot be read")
    assert "--config" in answer.err


def test_a_damaged_configuration(tmp_path: Path) -> None:
    """A configuration that is there and cannot be understood is not taken for none; 2."""
    root = install(tmp_path)
    (root.work / "configuration.json").write_text("{")
    answer = check(root)
    assert (answer.code, answer.out) == (CANNOT_TELL, "")
    assert str(root.work / "configuration.json") in answer.err
