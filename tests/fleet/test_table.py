"""``python -m lab fleet`` and its table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lab.fleet import table
from lab.fleet.outcome import Outcome
from lab.fleet.scenarios import SCENARIOS

GOOD = Outcome(
    devices=10_000,
    rotated=10_000,
    ends=Counter(succeeded=10_000),
    took=5400.0,
    median=1800.0,
    made=120_000,
    throttled=7,
    jobs_throttled=0,
    invoked=90_000,
    retried=0,
    waits=0,
    dead_letters=0,
    told=0,
    handed_over=0,
    dollars=34.0,
    problems=[],
)


def test_row() -> None:
    """Figures as a person reads them."""
    assert table.row("due", GOOD) == (
        "| due | 10,000 | 10,000 | 0 | 1 h 30 min | 12.0 | 7 | 0 | 0 | $34.00 | all is well |"
    )


def test_row_of_a_run_that_went_wrong() -> None:
    """What failed, what was given up, and how much does not hold."""
    bad = replace(
        GOOD,
        rotated=0,
        ends=Counter(failed=3, timed_out=1),
        took=59.0,
        dead_letters=2,
        handed_over=1,
        problems=["a", "b"],
    )
    assert table.row("due", bad) == (
        "| due | 10,000 | 0 | 4 | 1 min | 0.0 | 7 | 2 | 1 | $34.00 | 2 problems |"
    )


def test_header_fits_the_rows() -> None:
    """Each line of the table has as many cells."""
    lines = table.table([("due", GOOD)]).splitlines()
    assert len({line.count("|") for line in lines}) == 1


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """0 if all is well, 1 with what is not, 2 for a name that there is not."""
    outcomes = {"good": GOOD, "bad": replace(GOOD, problems=["press-1: it is lost"])}
    scenarios = {name: (lambda _, found=found: found) for name, found in outcomes.items()}
    monkeypatch.setattr("lab.fleet.table.SCENARIOS", scenarios)
    assert table.run("good", 5, listing=False) == 0
    assert table.run("bad", 5, listing=False) == 1
    assert "press-1: it is lost" in capsys.readouterr().out
    assert table.run("goood", 5, listing=False) == 2
    assert "do you mean good?" in capsys.readouterr().out
    assert table.run(None, 5, listing=True) == 0


def test_bench_plays_what_there_is() -> None:
    """Each name is a scenario, and both sizes of a fleet are among them."""
    assert {name for name, _ in table.BENCH} <= set(SCENARIOS)
    assert {1_000, 10_000} <= {devices for _, devices in table.BENCH}
