"""``python -m lab scenario``: lists the scenarios, or plays one and prints what happens."""

from __future__ import annotations

from lab.narration import narrate
from lab.nucleus.recipe import Runtime
from lab.scenarios import every  # noqa: F401  # registers them
from lab.scenarios.scenario import SCENARIOS, VerdictFailed
from lab.scenarios.staging import play
from lab.timeline import NotSeen
from lab.wrong_name import wrong_name


def run(name: str | None, runtimes: tuple[Runtime, ...], *, listing: bool) -> int:
    """The exit code: 0 if the scenario ends as it promises, 1 if not, 2 for a wrong name."""
    if listing or name is None:
        _print_list()
        return 0
    if name not in SCENARIOS:
        print(wrong_name("scenario", name, SCENARIOS, "python -m lab scenario --list"))
        return 2
    chosen = SCENARIOS[name]
    for runtime in (one for one in runtimes if one in chosen.runtimes):
        print(f"\n== {name} on nucleus {runtime}: {chosen.sentence}\n", flush=True)
        try:
            play(chosen, runtime, narrate)
        except (VerdictFailed, NotSeen) as failure:
            print(f"\nFAILED on {runtime}: {failure}")
            return 1
        print(f"\nPASSED on {runtime}", flush=True)
    return 0


def _print_list() -> None:
    section = ""
    for name, scenario in sorted(SCENARIOS.items(), key=lambda item: item[1].section):
        if scenario.section != section:
            section = scenario.section
            print(f"\n{section}")
        print(f"  {name:<40} {scenario.sentence}")
