"""A fleet behind a real endpoint, and the command run against it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

import deploy_component_version
from tests.deployment.fleet import REGION, START, Fleet
from tests.deployment.fleet_api import FleetApi
from tests.packaging.source import PROJECT

SECRET = "a-secret-that-nobody-prints"


class FleetClock:
    """watching.Clock whose time is the fleet's: to sleep is to let it pass."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def now(self) -> datetime:
        return START + timedelta(seconds=self._fleet.time)

    def monotonic(self) -> float:
        return self._fleet.time

    def sleep(self, seconds: float) -> None:
        self._fleet.advance(seconds)


@dataclass(frozen=True)
class Run:
    """How one call of the command ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Site:
    """A fleet, its account's API, and the command, run in this process against both."""

    fleet: Fleet
    api: FleetApi
    clock: FleetClock
    _capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str, terminal: bool = False) -> Run:
        """``deploy_component_version.py`` with these arguments; time is the fleet's."""
        file = io.StringIO()
        console = Console(
            file=file,
            force_terminal=terminal,
            width=100 if terminal else None,
            color_system="truecolor" if terminal else None,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )
        self._capsys.readouterr()
        try:
            code = deploy_component_version.main(arguments, console, self.clock)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        captured = self._capsys.readouterr()
        return Run(code, file.getvalue() + captured.out, captured.err)

    def first(self, *options: str) -> tuple[int, str]:
        """Deploys to ``presses``, which may have no deployment; the exit code, and what was
        printed."""
        run = self.run("0.1.0", "presses", "--create", *options)
        assert run.err == ""
        return run.code, run.out


def told(out: str) -> list[str]:
    """The lines with a time: what was told while it was watched, without the time."""
    return [line[11:] for line in out.splitlines() if line[2:3] == ":" and line[8:9] == "Z"]


#: What a person's machine may have set, and would lead elsewhere.
UNSET = (
    *("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_COLOR", "FORCE_COLOR"),
)


def environment(url: str) -> dict[str, str]:
    """What leads the command to the endpoint at ``url``, and nowhere else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def policy() -> dict[str, Any]:
    """The IAM policy that docs/operations.md gives to whoever deploys."""
    text = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    said = text[text.index("### What it may do") :]
    [block] = re.findall(r"```json\n(.*?)```", said[: said.index("\n## ")], re.S)
    parsed: dict[str, Any] = json.loads(block)
    return parsed
