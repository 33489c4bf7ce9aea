"""Doctor's checks: one status for each thing it looks at, and what to do where it is not ok."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from certkeeper.core.algorithms import KEY_ALGORITHMS
from certkeeper.core.certificate import CertificateFacts, PairState, Reading, Role
from certkeeper.edge import readiness
from certkeeper.edge.nucleus_config import NucleusConfig
from certkeeper.edge.readiness import KeyFile
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from tests.greengrass_root import DAY, NOW, open_folder, without_privilege

OK, WARN, FAIL, UNKNOWN = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL, CheckStatus.UNKNOWN
Name = ReadinessCheckName

FACTS = CertificateFacts("ab" * 32, "CN=press-7", "CN=CA", "1", NOW, NOW + DAY, "ECDSA-P256")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key file as it should be."""
    path = tmp_path / "privKey.key"
    path.write_text("key")
    path.chmod(0o600)
    return path


def config(**changes: str | None) -> NucleusConfig:
    plain = NucleusConfig(
        runtime="classic",
        root="/gg",
        thing_name="press-7",
        certificate_uri="/gg/thingCert.crt",
        private_key_uri="/gg/privKey.key",
        root_ca_path=None,
        source="/gg/config/config.tlog",
        notes=(),
        iot_cred_endpoint="creds.example",
        iot_data_endpoint="data.example",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # names of text fields only


def core(**changes: object) -> Reading:
    reading = Reading(Role.CORE_DEVICE, "/gg/thingCert.crt", FACTS, pair=PairState.MATCHES)
    return replace(reading, **changes)  # type: ignore[arg-type]  # each test names its fields


def made(
    key: KeyFile, reading: Reading | None = None, try_endpoint: bool = False, **of_config: str
) -> dict[Name, ReadinessCheck]:
    checks = readiness.checks(config(**of_config), reading or core(), key, try_endpoint)
    by_name = {check.name: check for check in checks}
    assert len(by_name) == len(checks)
    return by_name


def test_a_ready_device(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that is ready, every check that can be made from outside the daemon is ok."""
    for command in ("systemctl", "systemd-run"):
        (key.parent / command).touch(0o755)
    monkeypatch.setenv("PATH", str(key.parent))
    checks = made(KeyFile(key))
    assert {check.status for check in checks.values()} == {OK}
    of_the_daemon = {Name.CLOCK, Name.CONFIGURATION, Name.IPC}
    assert set(checks) == set(Name) - of_the_daemon
    assert checks[Name.CREDENTIALS_FOUND].detail == "in /gg/config/config.tlog"


# -- the pair -----------------------------------------------------------------------


def test_a_certificate_that_may_not_be_read(key: Path) -> None:
    """A certificate that may not be read fails, and the remedy is privilege."""
    reading = core(facts=None, problem=ReadProblem.DENIED, detail="/gg/x may not be read")
    check = made(KeyFile(key), reading)[Name.CERTIFICATE_READABLE]
    assert (check.status, check.detail) == (FAIL, "/gg/x may not be read")
    assert "RequiresPrivilege" in (check.remedy or "")


def test_a_certificate_that_is_none(key: Path) -> None:
    """What is no certificate fails; the pair and the key's type are unknown then."""
    reading = core(
        facts=None,
        problem=ReadProblem.EMPTY,
        detail="/gg/x is empty",
        pair=PairState.NOT_CHECKED,
    )
    checks = made(KeyFile(key), reading)
    assert (checks[Name.CERTIFICATE_READABLE].status, checks[Name.PAIR_MATCHES].status) == (
        FAIL,
        UNKNOWN,
    )
    assert checks[Name.KEY_TYPE].status is UNKNOWN


def test_a_key_that_cannot_be_used(key: Path) -> None:
    """A key file that is none fails with its reason; more privilege is no remedy for that."""
    check = made(KeyFile(key, "it is encrypted"))[Name.KEY_READABLE]
    assert (check.status, check.detail) == (FAIL, "it is encrypted")
    assert check.remedy == "put the key back before the nucleus restarts"


def test_a_key_that_may_not_be_read(key: Path) -> None:
    """A key file that may not be read fails, and the remedy is privilege."""
    check = made(KeyFile(key, "it may not be read", denied=True))[Name.KEY_READABLE]
    assert check.status is FAIL
    assert "RequiresPrivilege" in (check.remedy or "")


def test_a_key_that_is_in_no_file() -> None:
    """A key in a token is a warning: such a device can be watched; there is no store to try."""
    checks = made(KeyFile(None, "it is in a token"))
    assert checks[Name.KEY_READABLE].status is WARN
    assert checks[Name.KEY_READABLE].detail == "it is in a token"
    assert not {Name.STORE_WRITABLE, Name.STORE_SPACE, Name.STORE_LINKS} & set(checks)


@pytest.mark.parametrize(
    ("mode", "status"),
    [(0o600, OK), (0o400, OK), (0o640, WARN), (0o604, WARN), (0o610, WARN), (0o666, WARN)],
)
def test_a_key_that_others_can_read(key: Path, mode: int, status: CheckStatus) -> None:
    """A key file that group or others may use is a warning that says the mode and the command."""
    key.chmod(mode)
    check = made(KeyFile(key))[Name.KEY_READABLE]
    assert check.status is status
    if status is WARN:
        assert f"mode {mode:04o}" in check.detail
        assert check.remedy == f"chmod 600 {key}"


def test_the_mode_of_a_linked_key_is_that_of_the_file(key: Path) -> None:
    """A link has no mode of its own that counts: that of the key file does."""
    link = key.with_name("current.key")
    link.symlink_to(key.name)
    assert made(KeyFile(link))[Name.KEY_READABLE].status is OK
    key.chmod(0o644)
    assert made(KeyFile(link))[Name.KEY_READABLE].status is WARN


def test_a_key_whose_mode_cannot_be_seen() -> None:
    """A key that vanished after it was read leaves its mode unknown."""
    with open_folder() as folder:
        inner = folder / "inner"
        inner.mkdir(0o700)
        if os.geteuid() != 0:
            inner.chmod(0)
        with without_privilege():
            check = made(KeyFile(inner / "privKey.key"))[Name.KEY_READABLE]
        inner.chmod(0o755)
    assert check.status is UNKNOWN
    assert "Permission denied" in check.detail


def test_a_pair_that_does_not_match(key: Path) -> None:
    """Key and certificate that do not belong together fail, with what to do before a restart."""
    reading = core(pair=PairState.MISMATCH, detail="the private key is not its key")
    check = made(KeyFile(key), reading)[Name.PAIR_MATCHES]
    assert (check.status, check.detail) == (FAIL, "the private key is not its key")
    assert "before the nucleus restarts" in (check.remedy or "")


def test_a_pair_that_cannot_be_compared(key: Path) -> None:
    """Without a readable key, whether the pair matches is unknown."""
    reading = core(pair=PairState.KEY_UNREADABLE, detail="the key may not be read")
    check = made(KeyFile(key), reading)[Name.PAIR_MATCHES]
    assert (check.status, check.detail) == (UNKNOWN, "the key may not be read")


@pytest.mark.parametrize("algorithm", [*KEY_ALGORITHMS, "RSA-4096", "Ed25519", "unknown"])
def test_key_types(key: Path, algorithm: str) -> None:
    """The five key types of AWS IoT are fine; another one is a warning that names the five."""
    reading = core(facts=replace(FACTS, key_algorithm=algorithm))
    check = made(KeyFile(key), reading)[Name.KEY_TYPE]
    if algorithm in KEY_ALGORITHMS:
        assert (check.status, check.remedy) == (OK, None)
    else:
        assert check.status is WARN
        assert all(name in (check.remedy or "") for name in KEY_ALGORITHMS)


# -- the surroundings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "commands", "status"),
    [
        ("classic", ["systemctl", "systemd-run"], OK),
        ("classic", ["systemctl"], WARN),
        ("classic", [], WARN),
        ("lite", ["systemctl", "systemd-run", "ss"], OK),
        ("lite", ["systemctl", "systemd-run"], OK),
        ("lite", ["ss"], WARN),
    ],
)
def test_the_supervisor(
    key: Path,
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    commands: list[str],
    status: CheckStatus,
) -> None:
    """Without systemd there is no dead-man's switch, and so no rotation; ss is a gentler way."""
    path = key.parent / "bin"
    path.mkdir()
    for command in commands:
        (path / command).touch(0o755)
    monkeypatch.setenv("PATH", str(path))
    assert made(KeyFile(key), runtime=runtime)[Name.SUPERVISOR].status is status


def no_network(*_: object, **__: object) -> socket.socket:
    raise AssertionError("the endpoint was tried")


def test_the_endpoint_is_named_without_being_tried(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check needs no network: the endpoint is only named."""
    monkeypatch.setattr(socket, "create_connection", no_network)
    check = made(KeyFile(key))[Name.PROBE_ENDPOINT]
    assert (check.status, check.detail) == (OK, "creds.example (not tried)")


def test_the_data_endpoint_stands_in(key: Path) -> None:
    """Without a credentials endpoint the probe uses the data endpoint; without both it warns."""
    checks = made(KeyFile(key), iot_cred_endpoint="")
    assert checks[Name.PROBE_ENDPOINT].detail == "data.example (not tried)"
    checks = made(KeyFile(key), iot_cred_endpoint="", iot_data_endpoint="")
    assert checks[Name.PROBE_ENDPOINT].status is WARN
    assert checks[Name.PROBE_ENDPOINT].remedy


def test_an_endpoint_that_answers(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that takes a connection on port 443 is ok, and the connection is closed."""
    asked: list[object] = []
    here, there = socket.socketpair()

    def connect(address: object, timeout: float) -> socket.socket:
        asked.append((address, timeout))
        return here

    monkeypatch.setattr(socket, "create_connection", connect)
    with there:
        check = made(KeyFile(key), try_endpoint=True)[Name.PROBE_ENDPOINT]
        assert there.recv(1) == b""
    assert (check.status, check.detail) == (OK, "creds.example answers")
    assert asked == [(("creds.example", 443), 5)]


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(-2, "Name or service not known"), TimeoutError("timed out"), OSError(111, "")],
)
def test_an_endpoint_that_does_not_answer(
    key: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A host that is not known, silent or refuses fails, and the remedy names the port."""

    def connect(*_: object, **__: object) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    check = made(KeyFile(key), try_endpoint=True)[Name.PROBE_ENDPOINT]
    assert check.status is FAIL
    assert check.detail.startswith("creds.example: ")
    assert "443" in (check.remedy or "")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "two..dots", "nul\0.example"])
def test_an_endpoint_that_is_no_name(key: Path, host: str) -> None:
    """What can be no host's name at all fails as one that does not answer."""
    check = made(KeyFile(key), try_endpoint=True, iot_cred_endpoint=host)[Name.PROBE_ENDPOINT]
    assert check.status is FAIL
