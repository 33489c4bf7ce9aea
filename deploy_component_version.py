#!/usr/bin/env python3
"""Deploys a version of the component to a thing group, and stays until it is done.

    python3 deploy_component_version.py VERSION THING_GROUP

It checks first, shows what will change, makes the deployment, and watches it device by device.
``--help`` names the options and the exit codes; docs/operations.md says more.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from deployment.watching import Clock

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE / "src")]


def main(
    arguments: Sequence[str] | None = None,
    console: Console | None = None,
    clock: Clock | None = None,
) -> int:
    """Deploys as the arguments say; the exit code of the process."""
    from rich.console import Console

    from deployment.account import Account
    from deployment.arguments import options
    from deployment.deploying import Deploying
    from deployment.ports import AwsError, CannotDeploy
    from deployment.screen import Screen
    from deployment.watching import SystemClock

    asked = options(arguments)
    clock = clock or SystemClock()
    screen = Screen(console or Console(markup=False, emoji=False, highlight=False), clock)
    deploying = Deploying(asked, screen, clock)
    try:
        change = deploying.read_configuration()
        cloud = deploying.sign_in(Account)
        group = deploying.check(cloud)
        made = deploying.find(cloud, group) if asked.watch else deploying.make(cloud, group, change)
        return deploying.watch(cloud, group, made) if made else deploying.nothing_made()
    except KeyboardInterrupt:
        return deploying.interrupted()
    except (CannotDeploy, AwsError) as error:
        return deploying.failed(error)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may not know every sign
        sys.stdout.reconfigure(errors="replace")
    try:
        if sys.version_info < (3, 11):  # noqa: UP036  (whoever calls it by hand may have an old one)
            raise ImportError(f"this is Python {sys.version.split()[0]}")
        sys.exit(main())
    except ImportError as error:
        print(
            f"deploy_component_version.py: {error}. It needs Python 3.11 or newer, and the "
            f"packages of requirements/deploy.txt: python3.11 -m pip install --require-hashes "
            f"-r requirements/deploy.txt",
            file=sys.stderr,
        )
        sys.exit(2)
