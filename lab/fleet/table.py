"""``python -m lab fleet``, and the fleet's part of ``make bench``: scenarios as rows of a table."""

from __future__ import annotations

import time
from collections.abc import Iterable

from lab.fleet.outcome import Outcome
from lab.fleet.scenarios import SCENARIOS, Scenario
from lab.wrong_name import wrong_name

#: What make bench plays, and with how many devices.
BENCH: tuple[tuple[str, int], ...] = (
    ("due-in-one-night", 1_000),
    ("due-in-one-night", 10_000),
    ("due-in-one-window", 1_000),
    ("one-job-for-all", 1_000),
    ("one-job-for-all", 10_000),
    ("all-at-once", 1_000),
    ("wave-that-fails", 1_000),
    ("cloud-away", 1_000),
)
HEADER = (
    "| what | devices | rotated | failed | time | AWS IoT calls each | throttled | dead letters "
    "| handed over | cost | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def run(name: str | None, devices: int, *, listing: bool) -> int:
    """The exit code: 0 if all is well in the end, 1 if not, 2 for a wrong name."""
    if listing or name is None:
        for known, scenario in SCENARIOS.items():
            print(f"  {known:<20} {sentence(scenario)}")
        return 0
    if name not in SCENARIOS:
        print(wrong_name("fleet scenario", name, SCENARIOS, "python -m lab fleet --list"))
        return 2
    print(f"== {name}, {devices} devices: {sentence(SCENARIOS[name])}\n", flush=True)
    outcome = play(name, devices)
    print(f"{HEADER}\n{row(name, outcome)}")
    for problem in outcome.problems[:20]:
        print(f"  {problem}")
    return 1 if outcome.problems else 0


def bench() -> None:
    """Play them, and print the table."""
    print(table([(name, play(name, devices)) for name, devices in BENCH]))


def play(name: str, devices: int) -> Outcome:
    """One run; says how long it took, which simulated time does not."""
    print(f"simulating {name} with {devices} devices ...", end=" ", flush=True)
    begun = time.process_time()
    outcome = SCENARIOS[name](devices)
    print(f"{time.process_time() - begun:.0f} s of processor time", flush=True)
    return outcome


def table(outcomes: Iterable[tuple[str, Outcome]]) -> str:
    """The figures in Markdown."""
    return "\n".join([HEADER, *(row(name, outcome) for name, outcome in outcomes)])


def row(name: str, outcome: Outcome) -> str:
    """One line of the table."""
    verdict = "all is well" if not outcome.problems else f"{len(outcome.problems)} problems"
    failed = sum(n for status, n in outcome.ends.items() if status != "succeeded")
    cells = (
        *(name, f"{outcome.devices:,}", f"{outcome.rotated:,}", f"{failed:,}"),
        *(_span(outcome.took), f"{outcome.calls_each:.1f}", f"{outcome.throttled:,}"),
        *(f"{outcome.dead_letters:,}", f"{outcome.handed_over:,}", f"${outcome.dollars:,.2f}"),
        verdict,
    )
    return f"| {' | '.join(cells)} |"


def sentence(scenario: Scenario) -> str:
    """What is survived, in one line."""
    return " ".join((scenario.__doc__ or "").split())


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
