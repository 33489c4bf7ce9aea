"""The demo as a newcomer runs it: it passes, and it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import demo

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_demo_passes(runtime: str) -> None:
    """The command exits with 0, and its last line says so."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-m", "lab", "demo", "--runtime", runtime],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.splitlines()[-1] == "DEMO PASSED"
    assert "signature=verified" in finished.stdout
    assert finished.stderr == ""


def test_demo_fails_when_what_it_shows_does_not_happen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a certificate that is not near enough its end, the demo says what is missing."""
    monkeypatch.setattr(demo, "DAYS_LEFT", 10)
    assert demo.run(("classic",)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "DEMO FAILED: the alert is not CRITICAL"


def test_demo_fails_on_a_forged_signature(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alert whose signature is not the device's makes the demo fail."""
    monkeypatch.setattr("lab.cloud_inbox.ALGORITHMS", ["ES512"])
    assert demo.run(("classic",)) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("DEMO FAILED: signature NOT VERIFIED")
