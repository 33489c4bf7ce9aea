"""What becomes of a configuration that the nucleus hands over, or asks about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from certkeeper.core import effects, events
from certkeeper.core.effects import Effect, Log
from certkeeper.core.settings import Settings, SettingsError, parse
from certkeeper.core.value_reader import ScheduleProblem
from rotation_protocol.values import dataclass


@dataclass(frozen=True)
class Judged:
    """The settings in force from now on, and what was wrong with a configuration that is not.

    ``changed``: whether either is another than before.
    """

    settings: Settings
    refused: tuple[str, ...]
    changed: bool
    effects: tuple[Effect, ...]


def judged(
    values: Mapping[str, Any],
    settings: Settings,
    refused: tuple[str, ...],
    schedule_problem: ScheduleProblem,
) -> Judged:
    """A valid configuration is in force at once; any other is reported, and changes nothing."""
    try:
        given = parse(values, schedule_problem)
    except SettingsError as error:
        said = tuple(str(problem) for problem in error.problems)
        logs = tuple(
            Log("configuration-refused", {"key": p.key, "problem": str(p)}, effects.ERROR)
            for p in error.problems
        )
        return Judged(settings, said, said != refused, logs)
    kept = (effects.SetLogLevel(given.log_level), effects.KeepConfiguration(values))
    if given == settings and not refused:
        return Judged(settings, (), False, kept)
    applied = Log("configuration-applied", {"schedule": given.schedule})
    notes = tuple(Log("configuration-note", {"note": n}, effects.WARN) for n in given.notes)
    return Judged(given, (), True, (*kept, applied, *notes))


def validity(event: events.ValidationAsked, schedule_problem: ScheduleProblem) -> Effect:
    """The answer to a deployment that asks about a configuration."""
    try:
        parse(event.values, schedule_problem)
    except SettingsError as error:
        return effects.ReportValidity(event.deployment_id, str(error))
    return effects.ReportValidity(event.deployment_id, "")
