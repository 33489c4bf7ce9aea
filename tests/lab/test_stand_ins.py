"""``ss`` on a core device, and how the stand-ins stand before the real commands."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.nucleus.recipe import Runtime
from lab.nucleus.socket_statistics import socket_statistics
from lab.nucleus.stand_ins.folder import COMMANDS, StandIns
from lab.nucleus.tcp_socket import Mark, TcpSocket, abort, find
from tests.lab.powered_device import PoweredDevice, powered_device

LIST = ("ss", "-Htnp", "state", "established")
SOCKET = TcpSocket("127.0.0.1", 40001, "127.0.0.1", 8883, 7)
ROW = "127.0.0.1:40001 127.0.0.1:8883"


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[PoweredDevice]:
    """A device that runs, with each kind of nucleus in turn."""
    runtime: Runtime = request.param
    with powered_device(runtime) as made:
        made.start()
        yield made


@pytest.fixture
def lite() -> Iterator[PoweredDevice]:
    """A device that runs nucleus lite."""
    with powered_device("lite") as made:
        made.start()
        yield made


def _ports(device: PoweredDevice) -> tuple[int, int]:
    found = re.search(r":(\d+) \S+:(\d+) ", device.ask(*LIST).stdout)
    assert found is not None
    return int(found[1]), int(found[2])


def test_ss_shows_the_connection_that_the_nucleus_has(device: PoweredDevice) -> None:
    """One line in the real format, with the real ports, as owned by the nucleus's process."""
    asked = device.ask(*LIST)
    process = {"classic": "java", "lite": "iotcored"}[device.runtime]
    assert asked.returncode == 0
    assert re.fullmatch(
        r"0 +0 +127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ users:\(\(\""
        + process
        + r"\",pid=\d+,fd=\d+\)\) *\n",
        asked.stdout,
    )
    assert _ports(device)[1] == device.site.core.port


def test_ss_shows_nothing_without_a_connection(device: PoweredDevice) -> None:
    """While the cloud is away there is no established connection."""
    device.site.core.go_away()
    device.seen("mqtt-disconnected")
    assert device.ask(*LIST).stdout == ""
    device.site.core.come_back()


def test_ss_kills_and_lite_is_back_with_what_its_files_hold(lite: PoweredDevice) -> None:
    """The killed connection is replaced by one with the new pair, and subscriptions live on."""
    heard = lite.subscribe("jobs")
    new = lite.site.device("new")
    lite.use(new)
    port, _ = _ports(lite)
    mark, asked_again = lite.timeline.mark(), lite.site.timeline.mark()
    killed = lite.ask("ss", "-K", "-tn", "sport", "=", f":{port}")
    assert killed.returncode == 0
    assert f"127.0.0.1:{port} " in killed.stdout
    connected = lite.seen("mqtt-connected", after=mark)
    assert connected.details["principal"] == new.certificate_id
    assert _ports(lite)[0] != port
    lite.site.timeline.wait_for("subscribed", topic_filter="jobs", after=asked_again)
    lite.site.core.publish("jobs", b"heard")
    assert heard.get(timeout=10) == b"heard"


def test_killed_connection_is_reset_for_the_cloud(lite: PoweredDevice) -> None:
    """No DISCONNECT is sent: the cloud has lost the connection."""
    mark = lite.site.timeline.mark()
    lite.ask("ss", "-K", "state", "established")
    lost = lite.site.timeline.wait_for("disconnected", after=mark)
    assert lost.details["reason"] == "CONNECTION_LOST"


def test_killed_classic_comes_back_with_the_pair_that_it_has() -> None:
    """Classic has read its files at its start, and does not look at them again."""
    with powered_device("classic") as device:
        device.start()
        device.use(device.site.device("new"))
        mark = device.timeline.mark()
        device.ask("ss", "-K", "-tn", "dport", "=", f":{device.site.core.port}")
        connected = device.seen("mqtt-connected", after=mark)
        assert connected.details["principal"] == device.pair.certificate_id


def test_nothing_is_killed_of_another_port(lite: PoweredDevice) -> None:
    """A filter that does not select the connection leaves it alone."""
    before = _ports(lite)
    assert lite.ask("ss", "-HK", "-tn", "sport", "=", ":1").stdout == ""
    assert _ports(lite) == before


def test_kernel_that_cannot_kill_says_nothing(lite: PoweredDevice) -> None:
    """Without INET_DIAG_DESTROY ss succeeds, prints nothing, and the connection stays."""
    lite.core.ss_kills = False
    before = _ports(lite)
    killed = lite.ask("ss", "-HK", "-tn", "sport", "=", f":{before[0]}")
    assert (killed.returncode, killed.stdout, killed.stderr) == (0, "", "")
    assert _ports(lite) == before


def test_refused_lite_has_no_connection_to_break(lite: PoweredDevice) -> None:
    """Between two tries ss finds nothing to kill; a restart of the target tries at once."""
    lite.core.stop()
    lite.core.setup.reconnect_delays = (600.0, 600.0)
    lite.site.registry.set_status(lite.pair, "INACTIVE")
    mark = lite.timeline.mark()
    lite.core.start()
    lite.seen("mqtt-connect-failed", after=mark)
    lite.seen("ready", after=mark)
    lite.site.registry.set_status(lite.pair, "ACTIVE")
    assert lite.ask(*LIST).stdout == ""
    assert lite.ask("ss", "-HK", "state", "established").stdout == ""
    mark = lite.timeline.mark()
    lite.core.restart_nucleus()
    lite.up(mark)


def test_device_can_lack_commands_while_it_runs(device: PoweredDevice) -> None:
    """Neither the stand-in nor the real command is found, by a component that runs already."""
    path = device.environment()["PATH"]
    assert str(shutil.which("ss", path=path)).startswith(str(device.core.layout.root))
    device.core.without_commands({"ss", "systemctl"})
    assert shutil.which("ss", path=path) is None
    assert shutil.which("systemctl", path=path) is None
    assert shutil.which("systemd-run", path=path) is not None
    assert shutil.which("sh", path=path) is not None
    device.core.without_commands(set())
    assert device.ask(*LIST).returncode == 0


def test_unknown_command_cannot_be_removed(tmp_path: Path) -> None:
    """Only what the lab stands in for can be missing."""
    stand_ins = StandIns(tmp_path / "commands", tmp_path / "socket")
    with pytest.raises(ValueError, match="no stand-ins: cp"):
        stand_ins.remove(frozenset({"cp"}))


def test_real_commands_are_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the lab's own PATH holds, a device that lacks a command lacks it."""
    real = tmp_path / "real"
    real.mkdir()
    for name in (*COMMANDS, "other"):
        (real / name).write_text("#!/bin/sh\n")
        (real / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(real))
    stand_ins = StandIns(tmp_path / "commands", tmp_path / "socket")
    assert str(shutil.which("ss", path=stand_ins.path)).startswith(str(tmp_path / "commands"))
    stand_ins.remove(COMMANDS)
    assert not [name for name in COMMANDS if shutil.which(name, path=stand_ins.path)]
    assert shutil.which("other", path=stand_ins.path) is not None


def test_stand_in_without_a_service_manager_fails(tmp_path: Path) -> None:
    """As systemctl where systemd does not run."""
    stand_ins = StandIns(tmp_path / "commands", tmp_path / "socket")
    asked = subprocess.run(
        ["systemctl", "is-active", "x"],
        env={"PATH": stand_ins.path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert asked.stderr.startswith("System has not been booted with systemd")


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("-Htn state established", f"0      0      {ROW} \n"),
        ("-Htn", f"ESTAB 0      0      {ROW} \n"),
        ("-H -t -n sport = :40001", f"ESTAB 0      0      {ROW} \n"),
        ("--no-header --tcp sport eq 40001 and dport = :8883", f"ESTAB 0      0      {ROW} \n"),
        ("-Htn state established ( dport = :8883 )", f"0      0      {ROW} \n"),
        ("-Htn dport = :443", ""),
        ("-H6tn", ""),
        (
            "-tnp state established dport = :1",
            "Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n",
        ),
        ("-tn dport = :1", "State Recv-Q Send-Q Local Address:Port  Peer Address:Port\n"),
    ],
)
def test_ss_filters(line: str, output: str) -> None:
    """The filters that a component may use select by state and port."""
    answer = socket_statistics(line.split(), process="iotcored", socket=SOCKET, kill=lambda: None)
    assert answer == (0, output, "")


@pytest.mark.parametrize(
    ("line", "code", "errors"),
    [
        ("frob", 1, 'rather than "frob"'),
        ("sport =", 1, 'rather than "sport"'),
        ("state frob", 255, "wrong state name: frob"),
        ("--frob", 255, "unrecognized option '--frob'"),
        ("-Z", 255, "invalid option -- 'Z'"),
    ],
)
def test_ss_refuses_what_it_does_not_know(line: str, code: int, errors: str) -> None:
    """As ss, or with an error at least: never with an answer to another question."""
    answer = socket_statistics(line.split(), process="iotcored", socket=SOCKET, kill=lambda: None)
    assert answer.code == code
    assert errors in answer.errors


def test_socket_is_found_by_its_mark_and_aborted() -> None:
    """Of many sockets the marked one is found while established, and its peer gets a reset."""
    mark = Mark.new()
    assert find(mark) is None
    assert abort(mark) is None
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, mark.idle)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, mark.interval)
        assert find(mark) is None
        client.connect(server.getsockname())
        with server.accept()[0] as peer:
            found = find(mark)
            assert found is not None
            assert found.local_port == client.getsockname()[1]
            assert found.peer_port == server.getsockname()[1]
            assert found.descriptor == client.fileno()
            assert abort(mark) == found
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
            assert find(mark) is None
