"""Every scenario of the lab ends as it promises (``make scenarios``: on both kinds of nucleus)."""

from __future__ import annotations

import os

import pytest

from lab.nucleus.recipe import Runtime
from lab.scenarios import every  # noqa: F401  # registers them
from lab.scenarios.scenario import BOTH, SCENARIOS, Scenario
from lab.scenarios.stage import play

#: Set by ``make scenarios``; else each scenario is played on one of its kinds of nucleus, and
#: on which one goes round.
EVERYWHERE = "CERTKEEPER_EVERY_SCENARIO"


def _played() -> list[tuple[str, Runtime]]:
    chosen: list[tuple[str, Runtime]] = []
    for number, scenario in enumerate(SCENARIOS.values()):
        runtimes = scenario.runtimes
        if EVERYWHERE not in os.environ:
            runtimes = (runtimes[number % len(runtimes)],)
        chosen.extend((scenario.name, runtime) for runtime in runtimes)
    return chosen


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "runtime"), _played())
def test_scenario(name: str, runtime: Runtime) -> None:
    """The device is connected with one pair, the cloud holds one certificate, people know."""
    scenario = SCENARIOS[name]
    if scenario.root and os.geteuid() != 0:
        pytest.skip("mounts things or changes owners: only root can")
    play(scenario, runtime)


def test_each_scenario_says_what_is_survived() -> None:
    """Each has a sentence, and a name that a person can type."""
    for name, scenario in SCENARIOS.items():
        assert scenario.sentence.endswith("."), name
        assert name == name.lower()
        assert set(scenario.runtimes) <= set(BOTH)
        assert isinstance(scenario, Scenario)
