"""Every scenario of the section Alerts ends as it promises."""

from __future__ import annotations

import pytest

from lab.nucleus.recipe import Runtime
from tests.lab.scenario_plays import play_one, plays


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "runtime"), plays("Alerts"))
def test_scenario(name: str, runtime: Runtime) -> None:
    """People hear what they need to hear, once, and nothing that is not so."""
    play_one(name, runtime)
