"""``python -m lab offline`` where it cannot show what it is for: it says so, and fails.

That it can, with the real packages, is seen by ``make offline``: it takes a package index first.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab import offline


def test_a_machine_with_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another interface than loopback nothing is shown: the way out is open."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    assert offline.within(("lite",), tmp_path, tmp_path) == 1
    assert capsys.readouterr().out == "OFFLINE FAILED: the network is not cut off: lo, eth0\n"


def test_a_machine_without_namespaces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the network cannot be cut off nothing is fetched, and the reason is said."""
    refused = [sys.executable, "-c", "import sys; sys.exit('Operation not permitted')"]
    monkeypatch.setattr(offline, "cut_off", lambda command: refused)
    assert offline.run(("lite",), tmp_path, None) == 1
    said = capsys.readouterr().out
    assert said.startswith("OFFLINE FAILED: no network namespace can be made here")
    assert "Operation not permitted" in said


def test_a_folder_without_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in which there is no Python is named."""
    monkeypatch.setattr(offline, "require_a_namespace", lambda: None)
    assert offline.run(("lite",), tmp_path, None) == 1
    assert f"no python3 runs in {tmp_path}" in capsys.readouterr().out


def test_cut_off() -> None:
    """What runs cut off sees loopback, and nothing else."""
    try:
        offline.require_a_namespace()
    except offline.OfflineFailed as failure:
        pytest.skip(str(failure))
    look = "import socket; print([name for _, name in socket.if_nameindex()])"
    seen = subprocess.run(
        offline.cut_off([sys.executable, "-c", look]), capture_output=True, text=True, check=True
    )
    assert seen.stdout == "['lo']\n"
