"""Our process, as src/certkeeper/daemon.py has it: the journal is saved before what follows.

Every step of the rotation is held against the table: a phase is followed only by one that its
row names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certkeeper.core import asking, effects, journal, recovery, rotation, signals
from certkeeper.core.effects import Effect
from certkeeper.core.events import (
    Event,
    JournalNotSaved,
    Surveyed,
    SurveyFailed,
    UpdateAnnounced,
)
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.moment import Moment
from certkeeper.core.rotation import TABLE
from certkeeper.core.rotation_state import Context, Rotation
from certkeeper.core.settings import Settings
from certkeeper.core.signals import Signal
from tests.core.rotation_cloud import THING


@dataclass
class Surroundings:
    """What a process has around it, as functions of the world's."""

    now: Callable[[], Moment]
    point: Callable[[str], None]
    save: Callable[[Journal], str | None]
    carry_out: Callable[[Effect], None]
    entered: Callable[[Phase], None]


class Process:
    """One process, from its begin to its end. ``seen`` collects what the table was used for."""

    def __init__(
        self,
        around: Surroundings,
        settings: Settings,
        session: str,
        seen: set[tuple[Signal, Phase, Phase]],
    ) -> None:
        self.around = around
        self.settings = settings
        self.session = session
        self.seen = seen
        self.rotation = Rotation()
        self.saved = self.rotation.journal
        self.folder_known = False
        self.logs: list[effects.Log] = []

    def begin(self) -> None:
        """See Daemon.begin."""
        self.rotation, todo = recovery.begun(self.context)
        for effect in todo:
            self._run(effect)

    @property
    def context(self) -> Context:
        """See Daemon._context."""
        return Context(self.around.now(), self.settings, THING, self.session)

    def take(self, event: Event) -> None:
        """See Daemon._rotate."""
        context = self.context
        before = self.rotation
        if isinstance(event, (Surveyed, SurveyFailed)):
            if isinstance(event, Surveyed):
                self.folder_known = True
                before = recovery.as_found(before, event.store)
                if before is not self.rotation:
                    self.rotation, self.saved = before, before.journal
            step = recovery.on_survey(before, event, context)
        else:
            step = rotation.step(before, event, context)
            self._is_in_the_table(before, event, context, step[0])
        self._write_down(*step, context)

    def _write_down(self, wanted: Rotation, todo: tuple[Effect, ...], context: Context) -> None:
        """See Daemon._write_down."""
        before = self.rotation
        problem = self._save(wanted)
        if problem is not None and rotation.must_be_saved(before.journal, wanted.journal):
            unsaved = JournalNotSaved(wanted.journal, problem)
            wanted, todo = rotation.step(before, unsaved, context)
            self._is_in_the_table(before, unsaved, context, wanted)
            self._save(wanted)
        entered = wanted.journal.phase is not before.journal.phase
        self.rotation = wanted
        if entered:
            self.around.entered(wanted.journal.phase)
        for effect in todo:
            self._run(effect)

    def _save(self, wanted: Rotation) -> str | None:
        if wanted.journal == self.saved:
            return None
        self.around.point("before the journal is saved")
        assert journal.decode(journal.encode(wanted.journal)) == wanted.journal
        problem = "not known where" if not self.folder_known else self.around.save(wanted.journal)
        self.around.point("after the journal is saved")
        if problem is None:
            self.saved = wanted.journal
        return problem

    def _run(self, effect: Effect) -> None:
        if isinstance(effect, effects.Log):
            self.logs.append(effect)
            return
        self.around.point(f"before {type(effect).__name__}")
        self.around.carry_out(effect)

    def _is_in_the_table(
        self, before: Rotation, event: Event, context: Context, after: Rotation
    ) -> None:
        phase = before.journal.phase
        signal = signal_of(before, event, context)
        rule = None if signal is None else TABLE[signal].rules.get(phase)
        if rule is None or signal is None:
            assert after.journal == before.journal, (event, signal)
            return
        assert after.journal.phase in rule.to, (event, signal, after.journal)
        self.seen.add((signal, phase, after.journal.phase))


def signal_of(before: Rotation, event: Event, context: Context) -> Signal | None:
    """What rotation.step makes of an event."""
    if isinstance(event, UpdateAnnounced) or asking.survey_is_due(before, event, context):
        return None
    heard, signal = asking.heard(before, event, context)
    return signal or signals.of(event, before.journal.job_id, heard.token(context))
