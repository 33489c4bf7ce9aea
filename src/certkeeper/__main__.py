"""``python -m certkeeper``: the commands, their arguments, and their exit codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from certkeeper import COMPONENT_NAME, __version__

if TYPE_CHECKING:
    import argparse

EPILOG = """\
check:   0 every certificate is fine
         1 a threshold is crossed, or key and certificate do not match
         2 cannot tell: a certificate or the key cannot be read, or the clock cannot be right
doctor:  0 ready   1 something is not   2 something could not be looked at
status:  0 no rotation is under way   1 one is   2 cannot tell
release: 0 released   2 refused: what it says has to be done first
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code of the process."""
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    if chosen == ["inspect"]:
        # The daemon's child (edge/inspector.py): not a command for people.
        from certkeeper.edge import inspecting_child

        return inspecting_child.main()
    if chosen == ["rotate"]:
        # The daemon's child as well (edge/rotator.py).
        from certkeeper.edge import rotating_child

        return rotating_child.main()
    options = _parser().parse_args(chosen)
    root = str(Path(options.root or _default_root()).absolute())
    work = Path(options.work) if options.work else Path(root) / "work" / COMPONENT_NAME
    if options.command == "run":
        from certkeeper import wiring

        wiring.run(root, work)
    return _look(options, root, work)


def _look(options: argparse.Namespace, root: str, work: Path) -> int:
    from certkeeper import commands

    if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what the terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    configuration = Path(options.config) if options.config else None
    try:
        if options.command in ("status", "release"):
            return _of_store(options, root, work, configuration)
        is_doctor = options.command == "doctor"
        seen = commands.look(root, work, configuration, try_endpoint=is_doctor)
    except commands.UsageError as error:
        print(f"certkeeper: {error}", file=sys.stderr)
        return commands.CANNOT_TELL
    if is_doctor:
        print(commands.doctor(seen, options.json))
        return commands.doctor_exit_code(seen)
    print(commands.check(seen, options.json))
    return seen.exit_code


def _of_store(
    options: argparse.Namespace, root: str, work: Path, configuration: Path | None
) -> int:
    from certkeeper import store_commands

    if options.command == "release":
        print(store_commands.release(root, work, configuration))
        return 0
    seen = store_commands.look(root, work, configuration)
    print(store_commands.status(seen, options.json))
    return seen.exit_code


def _parser() -> argparse.ArgumentParser:
    import argparse  # the daemon's children go without

    parser = argparse.ArgumentParser(
        prog="certkeeper",
        description="Keeps the certificates of a Greengrass v2 core device alive.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"certkeeper {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="watch, until asked to stop (the recipe starts this)")
    check = commands.add_parser("check", help="print the watched certificates and their deadlines")
    doctor = commands.add_parser("doctor", help="say what is ready, what is not, and what to do")
    status = commands.add_parser("status", help="print the rotation's journal and both slots")
    release = commands.add_parser(
        "release", help="make the credentials plain files again, before the component is removed"
    )
    for command in (run, check, doctor, status, release):
        command.add_argument(
            "--root", help="the Greengrass root (default: /greengrass/v2, else /var/lib/greengrass)"
        )
        command.add_argument(
            "--work", help=f"the component's own folder (default: ROOT/work/{COMPONENT_NAME})"
        )
    for command in (check, doctor, status):
        command.add_argument("--json", action="store_true", help="for scripts")
    for command in (check, doctor, status, release):
        command.add_argument(
            "--config",
            help="a JSON file with the component's configuration "
            "(default: the one that the component last accepted)",
        )
    return parser


def _default_root() -> str:
    for root in ("/greengrass/v2", "/var/lib/greengrass"):
        if Path(root).is_dir():
            return root
    return "/greengrass/v2"


if __name__ == "__main__":
    sys.exit(main())
