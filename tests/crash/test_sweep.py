"""A sweep tries each point in worker processes, and tells what was lost, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.crash.points import Point
from lab.crash.sweep import Outcome, Part, Report, Tried, Verdict, sample, sweep, workers
from lab.crash.tracer import KILLED
from tests.crash.traced import Stage

# Writes in place: between the open and the write, the file is empty.
CARELESS = """
import os, sys
state = sys.argv[1] + "/state"
file = os.open(state, os.O_WRONLY | os.O_TRUNC)
os.write(file, b"new")
os.close(file)
"""


@dataclass(frozen=True)
class Careless:
    """The program above, killed before a point in a folder of its own."""

    folder: Path

    def __call__(self, kill_before: int) -> Verdict:
        """Bricked if the file is empty."""
        path = self.folder / str(kill_before)
        path.mkdir()
        stage = Stage.under(path)
        (stage.folder / "state").write_text("old")
        code = stage.run(CARELESS, kill_before=kill_before, begin="openat:/state")
        if code != KILLED:
            return Verdict(Outcome.NOT_REACHED)
        outcomes = {"old": Outcome.KEPT_OLD, "new": Outcome.TOOK_NEW, "": Outcome.BRICKED}
        return Verdict(outcomes[stage.files()["state"]], point=stage.points()[-1])


def faulty(kill_before: int) -> Verdict:
    """A trial that does not always work."""
    if kill_before == 2:
        raise RuntimeError("the lab is on fire")
    return Verdict(Outcome.STUCK, f"process {os.getpid()}")


def point(index: int, call: str = "write", target: str = "/a") -> Point:
    return Point(index, "daemon", "program", call, target)


def test_a_careless_program_is_found_out(tmp_path: Path) -> None:
    """The one point at which its file is empty is named."""
    progress: list[str] = []
    points = [point(number) for number in range(1, 5)]
    with workers(2) as pool:
        report = sweep(Careless(tmp_path), points, pool, say=progress.append)
    assert len(progress) == 4
    heads, _, figures = report.table().splitlines()
    assert [cell.strip() for cell in heads.split("|")[1:-1]] == [
        *("points tried", "kept old", "took new", "recovered", "stuck", "bricked"),
        *("not reached", "no verdict"),
    ]
    assert [cell.strip() for cell in figures.split("|")[1:-1]] == list("41100110")
    (bad,) = report.bad
    assert str(bad).startswith("point 2: daemon write ")
    assert str(bad).endswith("/state: bricked")


def test_trials_run_in_other_processes_and_may_fail() -> None:
    """A trial that raises gives no verdict, which is bad, and the others go on."""
    said: list[str] = []
    with workers(2) as pool:
        report = sweep(faulty, [point(1), point(2), point(3)], pool, say=said.append)
    assert len(said) == 3
    verdicts = [one.verdict for one in report.bad]
    assert [verdict.outcome for verdict in verdicts] == [
        Outcome.STUCK,
        Outcome.NO_VERDICT,
        Outcome.STUCK,
    ]
    assert verdicts[1].detail == "RuntimeError: the lab is on fire"
    assert f"process {os.getpid()}" not in {verdict.detail for verdict in verdicts}


def test_good_outcomes_are_not_bad() -> None:
    """Old, new and recovered are all well."""
    good = (Outcome.KEPT_OLD, Outcome.TOOK_NEW, Outcome.RECOVERED, Outcome.NOT_REACHED)
    report = Report([Tried(point(1), Verdict(outcome)) for outcome in good])
    assert report.bad == []


def test_a_sample_takes_one_of_each_kind_first() -> None:
    """Ten reads and one rename: a sample of three has the rename, and spreads the reads."""
    points = [*(point(index, "read") for index in range(1, 11)), point(11, "rename")]
    assert [chosen.index for chosen in sample(points, 3)] == [1, 6, 11]


def test_a_sample_smaller_than_the_kinds_is_spread_over_them() -> None:
    """Not the first kinds only, but some from all along the run."""
    points = [point(index, target=f"/{letter}") for index, letter in enumerate("abcdef", 1)]
    assert [chosen.index for chosen in sample(points, 3)] == [1, 3, 5]


@pytest.mark.parametrize("size", [0, 1, 5, 7, 20, 30])
def test_a_sample_has_its_size(size: int) -> None:
    """Never more than was asked for, none twice, and all there are if that is fewer."""
    points = [point(index, target=f"/{'x' * (index % 3)}") for index in range(1, 21)]
    chosen = sample(points, size)
    assert len(set(chosen)) == len(chosen) == min(size, 20)


def test_numbers_in_names_do_not_make_kinds() -> None:
    """Ports and process numbers are of one run only."""
    points = [point(index, "connect", f"socket 127.0.0.1:{index}") for index in range(1, 9)]
    assert [chosen.index for chosen in sample([*points, point(9)], 2)] == [1, 9]


def test_parts_are_the_whole() -> None:
    """Each point is in one part, and in no other."""
    points = [point(number) for number in range(1, 12)]
    parts = [Part.parse(f"{number}/4").choose(points) for number in range(1, 5)]
    assert sorted(one.index for part in parts for one in part) == list(range(1, 12))
    assert {len(part) for part in parts} == {2, 3}
    assert Part().choose(points) == points


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/4"])
def test_what_is_no_part(text: str) -> None:
    """The error says what one looks like."""
    with pytest.raises(ValueError, match="2/8 is the second of eight"):
        Part.parse(text)
