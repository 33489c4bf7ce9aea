"""Every scenario of the section Registration ends as it promises."""

from __future__ import annotations

import pytest

from lab.nucleus.recipe import Runtime
from tests.lab.scenario_plays import play_one, plays


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "runtime"), plays("Registration"))
def test_scenario(name: str, runtime: Runtime) -> None:
    """Who is to be let in is connected, with one thing and its policy; nobody else is."""
    play_one(name, runtime)
