"""Every scenario of the section Nuclei ends as it promises."""

from __future__ import annotations

import pytest

from lab.nucleus.recipe import Runtime
from tests.lab.scenario_plays import play_one, plays


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "runtime"), plays("Nuclei"))
def test_scenario(name: str, runtime: Runtime) -> None:
    """The device is connected with one pair, the cloud holds one certificate, people know."""
    play_one(name, runtime)
