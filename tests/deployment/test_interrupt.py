"""Ctrl-C, at every stage; once with a real signal to a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.deployment.account_site import Site
from tests.deployment.fleet import OFFLINE
from tests.packaging.source import PROJECT

SCRIPT = PROJECT / "deploy_component_version.py"


def interrupt() -> None:
    raise KeyboardInterrupt


def test_while_it_is_watched(site: Site) -> None:
    """The deployment goes on, and the commands to look again and to stop it are given."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, interrupt)
    run = site.run("0.1.0", "presses", "--create", "--region", "eu-central-1")
    assert (run.code, run.err) == (130, "")
    assert "Stopped watching. The deployment goes on." in run.out
    made = site.fleet.deployments[-1]
    assert made.status == "ACTIVE"
    again = "python3 deploy_component_version.py --watch --region eu-central-1 presses"
    assert f"to look again: {again}" in run.out
    stop = f"aws greengrassv2 cancel-deployment --deployment-id {made.deployment_id}"
    assert f"to stop it: {stop} --region eu-central-1" in run.out


def test_in_a_terminal(site: Site) -> None:
    """The terminal's cursor is given back."""
    site.fleet.at(3, interrupt)
    run = site.run("0.1.0", "presses", "--create", terminal=True)
    assert run.code == 130
    assert run.out.count("\x1b[?25l") == run.out.count("\x1b[?25h") == 1


def test_before_anything_is_deployed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the deployment is made there is none."""
    monkeypatch.setattr("deployment.checks.component_version", lambda *_: interrupt())
    run = site.run("0.1.0", "presses", "--create")
    assert (run.code, site.fleet.deployments) == (130, [])
    assert "Stopped. Nothing was deployed." in run.out


def test_while_it_is_being_made(site: Site) -> None:
    """In between it is not known, and that is what it says."""
    site.api.unheard["CreateDeployment"] = 4
    site.fleet.at(1, interrupt)
    run = site.run("0.1.0", "presses", "--create")
    assert (run.code, len(site.fleet.deployments)) == (130, 1)
    assert "Stopped while the deployment was being made: it may be there." in run.out
    assert "to look: python3 deploy_component_version.py --watch presses" in run.out


@pytest.fixture
def heeds_sigint() -> Iterator[None]:
    """Whoever runs the tests in the background of a shell has SIGINT ignored, and so have his
    children; see "Signals" in bash(1)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_sigint")
def test_a_real_signal(site: Site) -> None:
    """A process that gets SIGINT while it watches ends with 130, and leaves the deployment."""
    site.fleet.devices.default_factory = lambda: OFFLINE
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "0.1.0", "presses", "--create"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            seen = ""
            while "queued 3" not in seen:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                seen += line
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait() == 130
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert re.search(r"Stopped watching\. The deployment goes on\.", rest)
    assert [made.status for made in site.fleet.deployments] == ["ACTIVE"]
