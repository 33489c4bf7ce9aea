"""``python -m lab``: what the lab can show."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.crash.sweep import Part
from lab.nucleus.recipe import Runtime


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code of the process."""
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="An AWS IoT account and Greengrass core devices on this machine, on loopback.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="a certificate near its end, seen from every side")
    up = commands.add_parser("up", help="a core device and an account to look around in")
    for command in (demo, up):
        command.add_argument(
            "--runtime", choices=("classic", "lite", "both"), default="both", help="default: both"
        )
        command.add_argument(
            "--build",
            type=Path,
            metavar="FOLDER",
            help="what gdk_build.py wrote; default: built of the project as it stands",
        )
    offline = commands.add_parser(
        "offline", help="the component installed and started without a network"
    )
    offline.add_argument("--runtime", choices=("classic", "lite", "both"), default="both")
    offline.add_argument(
        "--python",
        type=Path,
        metavar="FOLDER",
        help="that of a Python without the packages; default: the one the lab's own is made of",
    )
    offline.add_argument(
        "--build", type=Path, metavar="FOLDER", help="with wheels for it; default: built first"
    )
    offline.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    one = commands.add_parser("scenario", help="what a rotation must survive, played and judged")
    one.add_argument("name", nargs="?", help="which one; see --list")
    one.add_argument("--list", action="store_true", help="print every scenario")
    one.add_argument("--runtime", choices=("classic", "lite", "both"), default="both")
    crash = commands.add_parser("crash", help="kill the component before each call of a rotation")
    crash.add_argument("--sample", type=int, metavar="N", help="only so many, evenly by kind")
    crash.add_argument(
        "--part", type=_part, default="1/1", metavar="K/N", help="the K-th of N parts, such as 2/8"
    )
    crash.add_argument("--workers", type=int, default=4, metavar="N", help="default: 4")
    fleet = commands.add_parser("fleet", help="play a scenario of many devices in simulated time")
    fleet.add_argument("name", nargs="?", help="such as due-in-one-night")
    fleet.add_argument("--devices", type=int, default=1000, metavar="N", help="default: 1000")
    fleet.add_argument("--list", action="store_true", help="list them")
    living = commands.add_parser("years", help="let a small fleet live ten years of mishaps")
    living.add_argument("--devices", type=int, default=10, metavar="N", help="default: 10")
    living.add_argument("--years", type=float, default=10.0, metavar="N", help="default: 10")
    living.add_argument(
        "--seed", type=int, default=1, metavar="N", help="another fate (default: 1)"
    )
    bench = commands.add_parser("bench", help="measure, and print the tables of docs/benchmarks.md")
    bench.add_argument("--only", choices=("component", "fleet"), help="one of the two tables")
    options = parser.parse_args(arguments)
    # A terminated lab still closes what it opened.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.command == "bench":
        from lab import bench as measuring

        return measuring.run(options.only)
    if options.command == "years":
        from lab.fleet import years

        return years.run(options.devices, options.years, options.seed)
    if options.command == "fleet":
        from lab.fleet import table

        return table.run(options.name, options.devices, listing=options.list)
    if options.command == "crash":
        from lab.crash import rotation

        return rotation.main(options.sample, options.part, options.workers)
    runtimes: tuple[Runtime, ...] = ("classic", "lite")
    runtimes = tuple(kind for kind in runtimes if options.runtime in (kind, "both"))
    if options.command == "scenario":
        from lab.scenarios import playing

        return playing.run(options.name, runtimes, listing=options.list)
    if options.command == "offline":
        from lab import offline as without_network

        python = options.python or without_network.BARE_PYTHON
        if options.within:
            return without_network.within(runtimes, python, options.build)
        return without_network.run(runtimes, python, options.build)
    if options.command == "up":
        from lab import up as looking_around

        return looking_around.run(runtimes, options.build)
    from lab import demo as showing

    return showing.run(runtimes, options.build)


def _part(text: str) -> Part:
    try:
        return Part.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
