#!/usr/bin/env python3
"""Builds the component: its artifacts and its recipe, as ``gdk component publish`` wants them.

``gdk component build`` runs it (gdk-config.json), and it runs alone. It reads the project's
folder only, needs no AWS account, and writes into ``greengrass-build``. The work is done in
``component_build``; this file is what a person sees of it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  # whoever runs it has their system's python3
    sys.exit(
        f"gdk_build.py: this is Python {sys.version.split()[0]}; Python 3.11 or newer is needed: "
        "use 'make build', or python3.11 gdk_build.py"
    )
try:
    from component_build.build import Build, build, write
    from component_build.errors import BuildError
    from component_build.project import load
    from component_build.recipe import BUCKET
    from component_build.recipe_check import LITE_RECIPE_BYTES
    from component_build.version import NEXT_PATCH
    from component_build.wheels import ARCHITECTURES, PYTHONS, USUAL_PYTHONS, fetch
except ModuleNotFoundError as missing:
    sys.exit(
        f"gdk_build.py: this Python has no module {missing.name}: use 'make build', or install "
        "requirements/build.txt (python3 -m pip install -r requirements/build.txt)"
    )

FOLDER = Path(__file__).resolve().parent
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and say what came of it; the exit code: 0, or 1 if nothing was built."""
    options = _parser().parse_args(arguments)
    try:
        project = load(FOLDER)
        wheels = {}
        if options.wheels:
            architectures = _in_order(options.architecture or ARCHITECTURES, ARCHITECTURES)
            pythons = _in_order(options.python or USUAL_PYTHONS, PYTHONS)
            wheels = fetch(FOLDER, architectures, pythons, _say)
        bucket = options.bucket or BUCKET
        built = build(project, version=options.version, wheels=wheels, bucket=bucket)
        recipe, artifacts = write(built, options.output)
    except BuildError as failure:
        print(f"gdk_build.py: nothing was built: {failure}", file=sys.stderr)
        return 1
    except OSError as failure:
        print(f"gdk_build.py: {options.output} cannot be written: {failure}", file=sys.stderr)
        return 1
    _report(built, recipe, artifacts)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gdk_build.py",
        description="Build the component's recipe and artifacts into greengrass-build.",
        epilog="docs/build.md has more: publishing with gdk and without, and what goes in.",
    )
    parser.add_argument(
        "--version",
        help=f"a semantic version or {NEXT_PATCH}; default: that of gdk-config.json, the only "
        "one under which 'gdk component publish' finds the artifacts",
    )
    parser.add_argument(
        "--wheels",
        action="store_true",
        help="also make an artifact for each architecture with the packages that the device "
        "needs, so that it installs without a network",
    )
    parser.add_argument(
        "--architecture",
        action="append",
        choices=ARCHITECTURES,
        help="of the devices, with --wheels; may be repeated; default: all of these",
    )
    parser.add_argument(
        "--python",
        action="append",
        choices=PYTHONS,
        help="version on the devices, with --wheels; may be repeated; default: "
        f"{USUAL_PYTHONS[0]} to {USUAL_PYTHONS[-1]}",
    )
    parser.add_argument(
        "--bucket",
        type=_bucket,
        help="put this bucket into the artifacts' URIs, to publish without gdk",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER / "greengrass-build",
        metavar="FOLDER",
        help="default: greengrass-build in the project's folder",
    )
    return parser


def _in_order(named: Iterable[str], known: Iterable[str]) -> list[str]:
    """Each once, in one order however they were named: the artifact is the same then."""
    chosen = set(named)
    return [each for each in known if each in chosen]


def _bucket(name: str) -> str:
    if not _BUCKET_NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{name!r} cannot be the name of an S3 bucket")
    return name


def _say(line: str) -> None:
    print(line, flush=True)


def _report(built: Build, recipe: Path, artifacts: Sequence[Path]) -> None:
    _say(f"component  {built.component} {built.version}")
    _say(f"recipe     {_short(recipe)}")
    _say(
        f"           {len(built.recipe)} bytes, {built.recipe_json} as JSON with digests; nucleus "
        f"lite reads {LITE_RECIPE_BYTES}"
    )
    for artifact, path in zip(built.artifacts, artifacts, strict=True):
        wheels = sum(name.endswith(".whl") for name in artifact.paths)
        packed = f", {wheels} of them wheels" if wheels else ""
        _say(f"artifact   {_short(path)}")
        _say(
            f"           {len(artifact.content) / 1e6:.1f} MB, {len(artifact.paths)} files{packed}"
        )
        _say(f"           sha256 {artifact.sha256}")
    if built.left_out:
        _say(f"left out   {', '.join(built.left_out)}")
    if built.version == NEXT_PATCH:
        _say("version    gdk component publish puts the number in")


def _short(path: Path) -> str:
    """The path from here, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())
