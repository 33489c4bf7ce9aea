"""Writes docs/deploy.svg, the picture in the README: ``make picture``.

It is a recording: the command runs against the fleet of these tests, what it writes goes through a
terminal emulator (pyte), and each look at the fleet is a frame, drawn by rich. Nothing is drawn by
hand, and the same code makes the same bytes.
"""

from __future__ import annotations

import io
import os
import re
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

import deploy_component_version
from tests.deployment.account_site import UNSET, FleetClock, environment, policy
from tests.deployment.aws_wire import AwsWire
from tests.deployment.fleet import Device, Fleet, ThingGroup
from tests.deployment.fleet_api import FleetApi
from tests.packaging.source import PROJECT

PATH = PROJECT / "docs" / "deploy.svg"
COMMAND = "python3 deploy_component_version.py 0.2.0 presses --config presses.yaml"
_WIDTH, _ROWS = 100, 40
#: Seconds that a frame is seen, and the last one.
_FRAME, _LAST = 1.2, 8.0
#: pyte's names of the colours that the command uses, as rich has them.
_COLOURS = {"default": None, "red": "red", "green": "green", "brown": "yellow"}

# One frame, as rich draws it; in its own words, since the outer picture has the rest.
_ONE_FRAME = """\
<g class="frame" style="animation-delay: @DELAY@">
<style>{styles}</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="matrix">
{matrix}
</g></g></g>
"""
_SIZE = "{width} {height}"
_PICTURE = """\
<svg viewBox="0 0 {size}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A deployment to twelve devices, as a terminal shows it</title>
<style>
.matrix {{ font: 20px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre; }}
.title {{ font: bold 18px sans-serif; }}
.frame {{ visibility: hidden; animation: frame {whole:.1f}s step-end infinite; }}
.frame:last-child {{ visibility: visible; animation: last {whole:.1f}s step-end infinite; }}
@keyframes frame {{ 0% {{ visibility: visible; }} {share:.3f}%, 100% {{ visibility: hidden; }} }}
@keyframes last {{ 0% {{ visibility: hidden; }} {begin:.3f}%, 100% {{ visibility: visible; }} }}
@media (prefers-reduced-motion: reduce) {{
  .frame, .frame:last-child {{ animation: none; }}
}}
</style>
{frames}</svg>
"""


class _FrameClock(FleetClock):
    """Time of the fleet; whenever it is to pass, what stands on the screen is a frame."""

    def __init__(self, fleet: Fleet, written: io.StringIO) -> None:
        super().__init__(fleet)
        self._written = written
        self.frames: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.frames.append(self._written.getvalue())
        super().sleep(seconds)


def fleet() -> Fleet:
    """Twelve presses, a few seconds apart; one goes back to what it ran, one takes its time."""
    site = Fleet()
    site.versions["0.2.0"] = {"componentState": "DEPLOYABLE"}
    site.groups["presses"] = ThingGroup([f"press-{number}" for number in range(1, 13)])
    site.rollout = 3
    site.devices.default_factory = lambda: Device(starts=3, ends=14)
    site.devices["press-3"] = Device(
        starts=3,
        ends=21,
        status="FAILED",
        details={
            "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
            "deployment-failure-cause": "No space left on device",
            "deployment-error-stack": "[DEPLOYMENT_FAILURE, ARTIFACT_DOWNLOAD_ERROR, IO_ERROR]",
        },
    )
    site.devices["press-12"] = Device(starts=3, ends=24)
    site.deploy(
        "presses",
        deploymentName="Presses",
        components={
            "com.example.PressControl": {"componentVersion": "3.2.0"},
            "community.greengrass.CertificateKeeper": {
                "componentVersion": "0.1.0",
                "configurationUpdate": {"merge": '{"maxAgeDays": 365}'},
            },
        },
        deploymentPolicies={"failureHandlingPolicy": "ROLLBACK"},
        tags={"team": "press"},
    )
    return site


def recorded(folder: Path) -> list[str]:
    """What the command wrote up to each frame; the last is all of it."""
    (folder / "presses.yaml").write_text("maxAgeDays: 180\nthresholds: [45, 30, 15, 7, 3, 1]\n")
    site, written = fleet(), io.StringIO()
    clock = _FrameClock(site, written)
    console = Console(
        file=written,
        force_terminal=True,
        width=_WIDTH,
        color_system="standard",
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    written.write(f"$ {COMMAND}\n")
    _, *arguments = COMMAND.replace("presses.yaml", str(folder / "presses.yaml")).split()[1:]
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    with AwsWire(FleetApi(site, policy())) as wire:
        with patch.dict(os.environ, {**kept, **environment(wire.url)}, clear=True):
            assert deploy_component_version.main(arguments, console, clock) == 1
        assert wire.problems == []
    return [*clock.frames, written.getvalue()]


def picture(written: list[str]) -> str:
    """The animation: each frame for a while, and the last one for longer."""
    screens = [_screen(text) for text in written]
    height = max(len(lines) for lines in screens)
    drawn, size = [], ""
    for number, lines in enumerate(screens):
        console = Console(record=True, width=_WIDTH, file=io.StringIO(), _environ={})
        for line in [*lines, *[Text()] * (height - len(lines))]:
            console.print(line, soft_wrap=True)
        size = console.export_svg(code_format=_SIZE, clear=False)
        svg = console.export_svg(title="deploying", code_format=_ONE_FRAME, unique_id=f"f{number}")
        # Every line is as long as its text: there is nothing to cut off.
        svg = re.sub(r' clip-path="[^"]*"', "", svg).replace(f"f{number}-title", "title")
        drawn.append(svg.replace("@DELAY@", f"{number * _FRAME:.1f}s"))
    # What comes last has no delay: where nothing moves, it is what is seen.
    drawn[-1] = re.sub(r' style="animation-delay: [^"]*"', "", drawn[-1])
    whole = _FRAME * (len(drawn) - 1) + _LAST
    return _PICTURE.format(
        size=size,
        whole=whole,
        share=100 * _FRAME / whole,
        begin=100 - 100 * _LAST / whole,
        frames="".join(drawn),
    )


def _screen(written: str) -> list[Text]:
    """What a terminal shows after this was written to it, without the empty rest."""
    screen = pyte.Screen(_WIDTH, _ROWS)
    pyte.Stream(screen).feed(written.replace("\n", "\r\n"))
    lines = [_line(screen, row) for row in range(_ROWS)]
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _line(screen: pyte.Screen, row: int) -> Text:
    line = Text()
    cells: list[Char] = [screen.buffer[row][column] for column in range(_WIDTH)]
    for colour, run in groupby(cells, key=lambda cell: cell.fg):
        line.append("".join(cell.data for cell in run), Style(color=_COLOURS[colour]))
    line.rstrip()
    return line


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        PATH.write_text(picture(recorded(Path(folder))), "utf-8")
    print(f"{PATH} is written")
