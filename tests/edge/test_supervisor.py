"""How the nucleus is made to use the new pair, with fake commands and with the real ss."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from certkeeper.edge import command
from certkeeper.edge.supervisor import Means, SupervisorError, reconnect
from tests.edge.fake_commands import FakeCommands

IOTCORED = '0      0      10.0.0.7:{port}   52.1.2.3:8883   users:(("iotcored",pid=1,fd=7))'
SIX = '0      0      [fe80::1%eth0]:{port}   [2600::2]:443   users:(("iotcored",pid=1,fd=7))'
OTHER = '0      0      10.0.0.7:4000    52.1.2.3:8883   users:(("notiotcored",pid=2,fd=3))'
SHARED = '0 0 10.0.0.7:{port} 52.1.2.3:8883 users:(("sh",pid=3,fd=7),("iotcored",pid=1,fd=7))'
LIST = ["ss", "-Htnp", "state", "established"]
RESTART = ["systemctl", "--no-block", "restart", "greengrass-lite.target"]
RESTARTED = Means("restart of greengrass-lite.target", restarts_us=True)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    """A systemctl that succeeds, and no other command."""
    fake = FakeCommands(tmp_path / "bin", monkeypatch, alone=True)
    fake.link("cat", "rm", "sleep", "head")
    fake.add("systemctl")
    return fake


def with_connections(commands: FakeCommands, *lines: str, killed: bool = True) -> None:
    """An ss that lists these; once it was told to kill any, none of iotcored's (if ``killed``)."""
    listed = commands.folder / "listed"
    listed.write_text("".join(f"{line}\n" for line in lines))
    rest = OTHER if killed else "\n".join(lines)
    commands.add(
        "ss",
        f"""case "$1" in
        -K) printf '%s\\n' '{rest}' > '{listed}';;
        *) cat '{listed}';;
        esac""",
    )


# -- classic ----------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0, 1, 5])
def test_classic_is_restarted(commands: FakeCommands, strength: int) -> None:
    """Classic reads the files at its start only: its service is restarted, and we with it."""
    assert reconnect("classic", strength) == Means(
        "restart of greengrass.service", restarts_us=True
    )
    assert commands.called() == [["systemctl", "--no-block", "restart", "greengrass.service"]]


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_a_restart_that_is_refused(commands: FakeCommands, runtime: str) -> None:
    """What systemctl says against it is told."""
    commands.add("systemctl", "echo 'Unit not found.' >&2; exit 5")
    with pytest.raises(SupervisorError, match="systemctl ended with 5: Unit not found"):
        reconnect(runtime, 1)


def test_no_systemctl(commands: FakeCommands) -> None:
    """Without systemctl it says so."""
    (commands.folder / "systemctl").unlink()
    with pytest.raises(SupervisorError, match="there is no systemctl on the path"):
        reconnect("classic", 0)


# -- lite -------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [IOTCORED, SIX, SHARED])
def test_lites_connection_is_broken(commands: FakeCommands, line: str) -> None:
    """Only the connection of iotcored is broken, by its local port, and nothing is restarted."""
    with_connections(commands, OTHER, line.format(port=5000))
    means = reconnect("lite", 0)
    assert means == Means("break of 1 connection(s) of iotcored", restarts_us=False)
    assert commands.called() == [LIST, ["ss", "-K", "-tn", "sport", "=", ":5000"], LIST]


def test_all_of_its_connections_are_broken(commands: FakeCommands) -> None:
    """If it has several, each is broken."""
    with_connections(commands, IOTCORED.format(port=5000), IOTCORED.format(port=5001))
    assert reconnect("lite", 0).name == "break of 2 connection(s) of iotcored"
    ports = {call[-1] for call in commands.called() if "-K" in call}
    assert ports == {":5000", ":5001"}


@pytest.mark.parametrize("strength", [1, 2])
def test_the_stronger_means(commands: FakeCommands, strength: int) -> None:
    """With more strength the target is restarted, and no connection looked for."""
    with_connections(commands, IOTCORED.format(port=5000))
    assert reconnect("lite", strength) == RESTARTED
    assert commands.called() == [RESTART]


def test_a_kernel_that_breaks_nothing(commands: FakeCommands) -> None:
    """Where the connection is still there afterwards, the target is restarted instead."""
    with_connections(commands, IOTCORED.format(port=5000), killed=False)
    assert reconnect("lite", 0) == RESTARTED


def test_no_connection(commands: FakeCommands) -> None:
    """Where iotcored has none it waits to try again, up to minutes: the target is restarted."""
    with_connections(commands, OTHER)
    assert reconnect("lite", 0) == RESTARTED
    assert commands.called() == [LIST, RESTART]


@pytest.mark.parametrize(
    "script",
    [
        None,
        "exit 1",
        "exec head -c 2000000 /dev/zero",
        "echo 0 0 nonsense; echo; echo 'users:((\"iotcored\",pid=1,fd=1))'",
    ],
    ids=["not-there", "fails", "floods", "says-something-else"],
)
def test_an_ss_that_is_of_no_use(commands: FakeCommands, script: str | None) -> None:
    """Whatever is wrong with ss, the target is restarted."""
    if script is not None:
        commands.add("ss", script)
    assert reconnect("lite", 0) == RESTARTED
    assert commands.called()[-1] == RESTART


def test_an_ss_that_hangs(commands: FakeCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ss that does not end counts as one that does not help."""
    commands.add("ss", "exec sleep 60")
    real = command.run

    def run(*words: str) -> str:
        monkeypatch.setattr(command, "TIMEOUT_SECONDS", 0.1 if words[0] == "ss" else 10.0)
        return real(*words)

    monkeypatch.setattr(command, "run", run)
    assert reconnect("lite", 0) == RESTARTED


# -- the real ss ------------------------------------------------------------------------

CLIENT = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, b"iotcored", 0, 0, 0)
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sys.stdout.write("connected\\n")
sys.stdout.flush()
try:
    connection.recv(1)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_real_connection(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ss finds the connection of a process with that name, breaks it, and no other."""
    if shutil.which("ss") is None or os.geteuid() != 0:
        pytest.skip("there is no ss here, or it may not break connections")
    fake = FakeCommands(tmp_path / "bin", monkeypatch)
    fake.add("systemctl")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"there is no {address} here")
        server.listen()
        port = server.getsockname()[1]
        words = [sys.executable, "-c", CLIENT, address, str(port)]
        with (
            subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client,
            socket.create_connection((address, port)) as other,
        ):
            try:
                assert client.stdout is not None
                assert client.stdout.readline() == "connected\n"
                means = reconnect("lite", 0)
                if means.restarts_us:
                    pytest.skip("this kernel does not break connections")
                assert means.name == "break of 1 connection(s) of iotcored"
                assert client.stdout.readline() == "Software caused connection abort\n"
                other.sendall(b"still there")
            finally:
                client.kill()
