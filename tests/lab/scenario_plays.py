"""Which scenarios are played on which nucleus, and one of them played.

``make scenarios`` plays each on both kinds; ``make test`` on one, and on which one goes round.
"""

from __future__ import annotations

import os

import pytest

from lab.nucleus.recipe import Runtime
from lab.scenarios import every  # noqa: F401  # registers them
from lab.scenarios.scenario import SCENARIOS
from lab.scenarios.staging import play

EVERYWHERE = "CERTKEEPER_EVERY_SCENARIO"


def plays(section: str) -> list[tuple[str, Runtime]]:
    """Name and runtime of each play of that section."""
    chosen: list[tuple[str, Runtime]] = []
    for number, scenario in enumerate(SCENARIOS.values()):
        runtimes = scenario.runtimes
        if EVERYWHERE not in os.environ:
            runtimes = (runtimes[number % len(runtimes)],)
        if scenario.section == section:
            chosen.extend((scenario.name, runtime) for runtime in runtimes)
    return chosen


def play_one(name: str, runtime: Runtime) -> None:
    """Play it; skipped for whoever may not mount things or change owners, if it needs that."""
    if SCENARIOS[name].root and os.geteuid() != 0:
        pytest.skip("mounts things or changes owners: only root can")
    play(SCENARIOS[name], runtime)
