"""What is seen, in a terminal and elsewhere."""

from __future__ import annotations

import io
import re

import pyte
import pytest
from rich.console import Console

from deployment.ports import Counts
from deployment.progress import Failure
from deployment.screen import Screen
from tests.deployment.account_site import FleetClock, Site
from tests.deployment.aws_wire import ApiError
from tests.deployment.fleet import OFFLINE, Device, Fleet

EVIL = "\x1b[2J[red]x[/red] :smile: \u202e"


def shown(text: str, rows: int = 40) -> list[str]:
    """What stands in a terminal of 100 columns after this was written to it."""
    screen = pyte.Screen(100, rows)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display if line.strip()]


def test_no_terminal(site: Site) -> None:
    """Where there is no terminal, no line has an escape sequence, and none is broken."""
    site.fleet.devices["press-2"] = Device(status="FAILED", details={"error": "long " * 50})
    run = site.run("0.1.0", "presses", "--create")
    assert "\x1b" not in run.out
    assert "\r" not in run.out
    assert ("long " * 50).strip() in run.out


def test_a_terminal(site: Site) -> None:
    """In a terminal there is a bar while it is watched, and nothing of it afterwards."""
    site.fleet.devices["press-2"] = Device(ends=30, status="FAILED", details={"error": "broken"})
    run = site.run("0.1.0", "presses", "--create", terminal=True)
    assert run.code == 1
    assert run.out.count("Ctrl-C stops watching, not the deployment") > 3
    screen = shown(run.out)
    assert not any("Ctrl-C" in line or "\u2588" in line for line in screen)
    assert any(line.startswith("\u2717 press-2 FAILED: broken") for line in screen)
    assert any(line.endswith("2 of 3 devices have it") for line in screen)


def test_the_bar(site: Site) -> None:
    """The bar has a part for each state, as long as its share of all devices expected."""
    site.fleet.groups["presses"].things = [f"press-{number}" for number in range(1, 5)]
    site.fleet.devices["press-2"] = Device(ends=30, status="FAILED")
    site.fleet.devices["press-3"] = Device(ends=None)
    site.fleet.devices["press-4"] = OFFLINE
    site.fleet.at(42, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    out = site.run("0.1.0", "presses", "--create", terminal=True).out
    screen = shown(out[: out.rindex("\x1b[?25h")])
    [bar] = [line for line in screen if line.startswith("\u2588")]
    assert bar == "\u2588" * 20 + "\u2592" * 10 + "\u2591" * 10 + "  2 of 4  0:00:40"
    assert "queued 1  in progress 1  succeeded 1  failed 1" in screen


def test_the_bar_of_a_rollout() -> None:
    """While the job has not reached everybody, the bar is of those who are in the group."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, _environ={})
    screen = Screen(console, FleetClock(Fleet()))
    with screen.watching(10):
        screen.progress(Counts(succeeded=5), rolling_out=True)
        seen = shown(file.getvalue())
    assert seen[0] == "\u2588" * 20 + "\u2591" * 20 + "  5 of 10  0:00:00"


def test_trouble_in_a_terminal(site: Site) -> None:
    """Trouble stands below the bar, and goes when it is over."""
    site.api.outages = [(4, 30, ApiError("ThrottlingException"))]
    run = site.run("0.1.0", "presses", "--create", terminal=True)
    assert "! DescribeJob: throttled by AWS: asking again in" in run.out
    assert not any("throttled" in line for line in shown(run.out))


@pytest.mark.parametrize("terminal", [True, False])
def test_text_from_elsewhere(terminal: bool) -> None:
    """What AWS, a device or a person wrote is shown as text, never as markup."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=200, _environ={})
    screen = Screen(console, FleetClock(Fleet()))
    screen.say("[red]say[/red] :smile:")
    screen.step("[red]step[/red] :smile:")
    screen.note("[red]note[/red]")
    screen.changes(["+ [red]changes[/red]"], "[b]x[/b]")
    screen.failure(Failure("[red]thing[/red]", "FAILED", "[red]why[/red]"))
    screen.trouble("[red]trouble[/red]", 5)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    for word in ("say", "step", "note", "changes", "thing", "why", "trouble"):
        assert f"[red]{word}[/red]" in plain
    assert plain.count(":smile:") == 2


def test_a_terminal_without_the_signs() -> None:
    """A terminal that knows ASCII only gets ASCII."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    console = Console(file=file, force_terminal=True, width=100, _environ={})
    screen = Screen(console, FleetClock(Fleet()))
    screen.step("fine")
    with screen.watching(4):
        screen.progress(Counts(queued=1, in_progress=1, succeeded=2), rolling_out=True)
    screen.failure(Failure("press-1", "FAILED", "broken"))
    text = raw.getvalue().decode("ascii")
    assert "ok" in text
    assert "####################" in text
    assert "==========" in text
    assert "!! press-1" in text


def test_no_colour(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours away, and leaves the bar."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    screen = Screen(console, FleetClock(site.fleet))
    with screen.watching(2):
        screen.progress(Counts(succeeded=2), rolling_out=False)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", file.getvalue())
    assert "\u2588" * 40 in file.getvalue()
