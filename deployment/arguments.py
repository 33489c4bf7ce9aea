"""The command line of ``deploy_component_version.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployment.plan import version_problem

PROGRAM = "deploy_component_version.py"
_DESCRIPTION = """\
Deploys a version of CertKeeper to an AWS IoT thing group, and stays until it is done.
The group's latest deployment is kept as it is, but for this component.
"""
_EPILOG = """\
exit codes:
  0    every device has it (or: nothing to do; or: --dry-run)
  1    it is over, and some devices do not have it
  2    nothing was deployed; the reason is on the standard error
  3    it is deployed, or may be, and the end was not seen; --watch looks again
  130  Ctrl-C; what had been deployed by then goes on
"""
_DEFAULT_PATIENCE = 30


@dataclass(frozen=True)
class Options:
    """What is asked for. ``version`` is None if it is only watched, or rolled back."""

    group: str
    version: str | None
    config: Path | None
    create: bool
    dry_run: bool
    again: bool
    rollback: bool
    watch: bool
    base: str | None
    patience_minutes: float
    profile: str | None
    region: str | None


def options(arguments: Sequence[str] | None = None) -> Options:
    """Parses the command line; ends the process, with 2 and the usage, if it cannot be used."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.rollback and given.watch:
        parser.error("--rollback watches anyway: leave --watch out")
    if given.rollback or given.watch:
        asked = "--rollback" if given.rollback else "--watch"
        if given.version is not None:
            parser.error(f"{asked} takes no VERSION: {PROGRAM} {asked} THING_GROUP")
        others = ["config", "create", *(["dry_run", "again"] if given.watch else [])]
        for name in others:
            if getattr(given, name):
                parser.error(f"{asked} does not go with --{name.replace('_', '-')}")
    elif given.version is None:
        parser.error("VERSION and THING_GROUP are needed, or --rollback or --watch")
    elif problem := version_problem(given.version):
        parser.error(problem)
    if not given.patience > 0:
        parser.error("--patience must be more than 0 minutes")
    return Options(
        group=given.group,
        version=given.version,
        config=given.config,
        create=given.create,
        dry_run=given.dry_run,
        again=given.again,
        rollback=given.rollback,
        watch=given.watch,
        base=given.base,
        patience_minutes=given.patience,
        profile=given.profile,
        region=given.region,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [options] VERSION THING_GROUP\n"
        f"       {PROGRAM} [options] --rollback THING_GROUP\n"
        f"       {PROGRAM} [options] --watch THING_GROUP",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("version", metavar="VERSION", nargs="?", help="the component's version, such as 0.1.0")
    add("group", metavar="THING_GROUP", help="the name of a thing group, static or dynamic")
    add(
        *("--config", "-c"),
        metavar="FILE",
        type=Path,
        help="JSON or YAML to merge into the component's configuration",
    )
    add("--create", action="store_true", help="make a deployment if the group has none")
    add("--dry-run", "-n", action="store_true", help="show what would change, and change nothing")
    add(
        "--again",
        action="store_true",
        help="deploy even if nothing changes: devices that failed try once more",
    )
    add("--rollback", action="store_true", help="deploy what the revision before the latest held")
    add("--watch", action="store_true", help="deploy nothing, look at the latest deployment")
    add(
        "--base",
        metavar="ID",
        help="the deployment that is meant, in place of the usual one: to build on, to roll back "
        "to, or to watch",
    )
    add(
        "--patience",
        metavar="MINUTES",
        type=float,
        default=_DEFAULT_PATIENCE,
        help="stop watching when no device has changed for so long (default: %(default)s)",
    )
    add("--profile", help="a profile of the AWS CLI's configuration")
    add("--region", help="the AWS Region; else AWS_REGION, or that of the profile")
    return parser
