"""A device, its nucleus and a cloud as a rotation meets them, in simulated time.

The machine is driven as the daemon drives it: the journal is saved before the first effect,
and what could not be saved comes back. What must hold at every instant is asserted here,
once: the pair in use is whole, nothing is written into its slot, and some whole pair on the
device is one that the cloud accepts.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from certkeeper.core import effects, events, inbound, journal, recovery, rotation
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Moment, Tick
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.questions import Context, Rotation, Step
from certkeeper.core.settings import Settings
from certkeeper.core.signals import Signal
from certkeeper.core.signals import of as signal_of
from certkeeper.core.store import SLOTS, Slot, Store
from rotation_protocol.reasons import FailureReason

START = datetime(2026, 11, 22, tzinfo=UTC)
THING = "press-7"
JOB = "job-1"
OLD = "old"
PREFIX = f"$aws/things/{THING}/jobs"
#: Longer than every wait of a rotation together.
PATIENCE = 4 * 3600.0


class Crash(Exception):
    """The power is cut, now."""


@dataclass
class Cloud:
    """The Jobs service and the backend, for one job."""

    status: str = "QUEUED"
    active: set[str] = field(default_factory=lambda: {OLD})
    issued: dict[str, str] = field(default_factory=dict)  # by CSR
    new: str | None = None
    committed: bool = False
    ends: list[str] = field(default_factory=list)
    version: int = 1

    def end(self, status: str, in_use: str | None = None) -> None:
        """The job ends: one of the two certificates goes (docs/decisions/0006)."""
        self.status = status
        self.ends.append(status)
        if self.new is None:
            return
        goes = OLD if self.committed else self.new
        if in_use in (OLD, self.new):
            goes = self.new if in_use == OLD else OLD
        self.active.discard(goes)

    def answer(self, topic: str, payload: bytes, principal: str) -> list[tuple[str, bytes]]:
        """What the device hears when it has published this, connected as ``principal``."""
        asked = json.loads(payload)
        if topic.endswith("/get"):
            return [self._get(topic, asked)]
        if topic.endswith("/update"):
            return [self._update(topic, asked)]
        if topic.endswith("/create"):
            return [self._create(topic, asked)]
        return [self._commit(topic, principal)]

    @property
    def is_live(self) -> bool:
        return self.status in ("QUEUED", "IN_PROGRESS")

    def execution(self) -> dict[str, object]:
        return {
            "jobId": JOB,
            "status": self.status,
            "versionNumber": self.version,
            "jobDocument": {"operation": "ROTATE_CERTIFICATE"},
        }

    def notification(self) -> tuple[str, bytes]:
        body = {"execution": self.execution()} if self.is_live else {}
        return f"{PREFIX}/notify-next", json.dumps(body).encode()

    def _get(self, topic: str, asked: dict[str, object]) -> tuple[str, bytes]:
        token = {"clientToken": asked["clientToken"]}
        if self.is_live:
            return _said(f"{topic}/accepted", {**token, "execution": self.execution()})
        if "/$next/" in topic:
            return _said(f"{topic}/accepted", token)
        return _said(f"{topic}/rejected", {**token, "code": "TerminalStateReached"})

    def _update(self, topic: str, asked: dict[str, object]) -> tuple[str, bytes]:
        token = {"clientToken": asked["clientToken"]}
        if not self.is_live:
            return _said(f"{topic}/rejected", {**token, "code": "TerminalStateReached"})
        if asked.get("expectedVersion", self.version) != self.version:
            return _said(f"{topic}/rejected", {**token, "code": "VersionMismatch"})
        self.version += 1
        details = asked["statusDetails"]
        assert isinstance(details, dict)
        if asked["status"] == "IN_PROGRESS":
            self.status = "IN_PROGRESS"
        else:
            self.end(str(asked["status"]), details.get("certificateId"))
        return _said(f"{topic}/accepted", token)

    def _create(self, topic: str, asked: dict[str, str]) -> tuple[str, bytes]:
        if self.status != "IN_PROGRESS" or self.committed:
            return _rejected(topic, "job-ended")
        csr = asked["csr"]
        if csr not in self.issued:
            if self.new is not None:
                self.active.discard(self.new)
            self.new = self.issued[csr] = f"new-{len(self.issued) + 1}"
            self.active.add(self.new)
        return _said(f"{topic}/accepted", {"certificatePem": self.issued[csr], "jobId": JOB})

    def _commit(self, topic: str, principal: str) -> tuple[str, bytes]:
        if self.new is None:
            return _rejected(topic, "not-issued")
        if principal != self.new:
            return _rejected(topic, "other-principal")
        if not self.is_live and not self.committed:
            return _rejected(topic, "job-ended")
        self.committed = True
        return _said(f"{topic}/accepted", {"jobId": JOB})


def _said(topic: str, body: object) -> tuple[str, bytes]:
    return topic, json.dumps(body).encode()


def _rejected(topic: str, code: str) -> tuple[str, bytes]:
    return _said(f"{topic}/rejected", {"errorMsg": code, "errorCode": code, "jobId": JOB})


class World:
    """One device. ``crash_at`` cuts the power before that effect (the first is 1)."""

    def __init__(
        self,
        *,
        classic: bool = False,
        crash_at: int | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.classic = classic
        self.crash_at = crash_at
        self.settings = settings or Settings(commit_timeout_seconds=300, dead_man_seconds=900)
        self.cloud = Cloud()
        self.now = 1000.0
        self.session = 1
        self.slots: dict[str, tuple[bool, str | None]] = {"a": (True, OLD), "b": (False, None)}
        self.current = "a"
        self.principal = OLD
        self.dead_man: tuple[float, str, str] | None = None
        self.mark = False
        self.disk: bytes | None = None
        self.keys = 0
        self.done = 0
        self.steps: list[str] = []
        self.phases: list[Phase] = []
        self.log: list[str] = []
        # Faults: each may be set, and is asked for each message, step or save.
        self.lose: Callable[[str, bytes], bool] = lambda topic, payload: False
        self.fail_step: Callable[[effects.RotatorStep], FailureReason | None] = lambda step: None
        self.fail_save: Callable[[Journal], bool] = lambda wanted: False
        self.on_phase: Callable[[Phase], None] = lambda phase: None
        self.rotation = Rotation()
        self.queue: deque[Event] = deque()

    # -- driving ---------------------------------------------------------------------

    def boot(self) -> None:
        """A new process."""
        self.queue.clear()
        self.rotation = Rotation()
        self._write_down(*recovery.begun(self._context()))
        self.queue.append(events.Connected(1))
        self.queue.append(events.Online(1))

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Let things happen until nothing is under way any more, or ``until`` says so."""
        end = self.now + PATIENCE
        finished = until or (lambda: bool(self.cloud.ends) and not self.rotation.under_way)
        try:
            if not self.done:
                self.boot()
                self.queue.append(self._heard(*self.cloud.notification()))
            while not (finished() and not self.queue):
                assert self.now < end, f"stuck in {self.rotation.journal.phase}: {self.log[-12:]}"
                self._once()
        except Crash:
            self.crash_at = None
            self.power_cut()
            self.run(until)

    def _once(self) -> None:
        if self.queue:
            self._take(self.queue.popleft())
            return
        wanted = [at for at in (self.rotation.wake_at(),) if at is not None]
        if self.dead_man is not None:
            wanted.append(self.dead_man[0])
        self.now = max(self.now, min(wanted, default=self.now + 60.0))
        if self.dead_man is not None and self.now >= self.dead_man[0]:
            self.strike()
            return
        self._take(Tick())

    def power_cut(self) -> None:
        """Everything but the disk is lost; then the device boots."""
        self.dead_man = None
        self._restart()

    def strike(self) -> None:
        """The dead-man's switch."""
        assert self.dead_man is not None
        (_, old, new), self.dead_man = self.dead_man, None
        if not self.mark and self.current == new:
            self.current = old
            self._restart()

    def _restart(self) -> None:
        self.session += 1
        self.principal = self.slots[self.current][1] or ""
        self.now += 1.0
        self.boot()

    # -- as the daemon does it --------------------------------------------------------

    def _context(self) -> Context:
        wall = START + timedelta(seconds=self.now)
        return Context(Moment(wall, self.now), self.settings, THING, str(self.session))

    def _take(self, event: Event) -> None:
        context = self._context()
        if isinstance(event, (events.Surveyed, events.SurveyFailed)):
            if isinstance(event, events.Surveyed):
                self.rotation = recovery.as_found(self.rotation, event.store)
            self._write_down(*recovery.on_survey(self.rotation, event, context))
            return
        before = self.rotation
        step = rotation.step(before, event, context)
        self._check_row(before, event, context, step)
        self._write_down(*step)

    def _check_row(self, before: Rotation, event: Event, context: Context, step: Step) -> None:
        """A transition is one that the table names."""
        signal = signal_of(event, before.journal.job_id, before.token(context))
        rule = None if signal is None else rotation.TABLE[signal].rules.get(before.journal.phase)
        after = step[0].journal.phase
        if rule is not None and signal is not Signal.JOB_OFFERED:
            assert after in (*rule.to, before.journal.phase), (before.journal.phase, signal, after)

    def _write_down(self, wanted: Rotation, todo: tuple[Effect, ...]) -> None:
        journalled = self.rotation.journal
        saved = self._save(wanted)
        if not saved and rotation.must_be_saved(journalled, wanted.journal):
            unsaved = events.JournalNotSaved(wanted.journal, "full")
            wanted, todo = rotation.step(self.rotation, unsaved, self._context())
            self._save(wanted)
        before, self.rotation = self.rotation.journal.phase, wanted
        if wanted.journal.phase is not before:
            self.phases.append(wanted.journal.phase)
            self.on_phase(wanted.journal.phase)
        session = self.session
        for effect in todo:
            if self.session != session:
                return  # the process that wanted it is gone
            self._do(effect)

    def _save(self, wanted: Rotation) -> bool:
        if wanted.journal == self.rotation.journal:
            return True
        if self.fail_save(wanted.journal):
            return False
        self._may_crash()
        self.disk = journal.encode(wanted.journal)
        return True

    def _may_crash(self) -> None:
        self.done += 1
        if self.done == self.crash_at:
            raise Crash

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, effects.Log):
            self.log.append(f"{effect.event} {dict(effect.details)}")
            return
        self._may_crash()
        if isinstance(effect, effects.Send):
            self._publish(effect.topic, effect.payload)
        elif isinstance(effect, effects.EndRotator):
            pass
        else:
            self.steps.append(type(effect).__name__)
            event = self._stepped(effect)  # type: ignore[arg-type]
            if event is not None:
                self.queue.append(event)
        self._check()

    def _publish(self, topic: str, payload: bytes) -> None:
        if self.principal not in self.cloud.active:
            return  # the broker lets nobody in, and nothing through
        if self.lose(topic, payload):
            return
        for answer in self.cloud.answer(topic, payload, self.principal):
            if not self.lose(*answer):
                self.queue.append(self._heard(*answer))

    @staticmethod
    def _heard(topic: str, payload: bytes) -> Event:
        event = inbound.event_of(topic, payload)
        assert event is not None
        return event

    # -- the device -------------------------------------------------------------------

    def _stepped(self, step: effects.RotatorStep) -> Event | None:
        reason = None if isinstance(step, effects.Survey) else self.fail_step(step)
        if reason is not None:
            return events.StepFailed(type(step).__name__, reason, "a fault")
        if isinstance(step, effects.Survey):
            return events.Surveyed(self._store())
        if isinstance(step, effects.Prepare):
            new = SLOTS[1] if self.current == SLOTS[0] else SLOTS[0]
            self.keys += 1
            self.slots[new] = (True, None)
            csr = f"csr-{self.keys}"
            in_use = self.slots[self.current][1] or ""
            return events.Prepared(self.current, new, csr, in_use, "ECDSA-P256")
        if isinstance(step, effects.Stage):
            assert step.slot != self.current, "written into the slot in use"
            self.slots[step.slot] = (True, step.certificate_pem)
            return events.Staged(step.certificate_pem)
        if isinstance(step, effects.Probe):
            return events.Probed(tuple(self._probed(slot) for slot in step.slots))
        if isinstance(step, effects.Arm):
            self.dead_man = (self.now + step.seconds, step.old_slot, step.new_slot)
            self.mark = False
            return events.Armed()
        if isinstance(step, effects.Activate):
            if self.slots[step.slot][1] is None:
                return events.StepFailed("Activate", FailureReason.STORE_FAILED, "not whole")
            self.current = step.slot
            return events.Activated(step.slot)
        if isinstance(step, effects.Reconnect):
            return self._reconnected(step)
        if isinstance(step, effects.Disarm):
            self.mark, self.dead_man = True, None
            return events.Disarmed()
        assert isinstance(step, effects.Wipe)
        assert step.slot != self.current, "the pair in use is wiped"
        self.slots[step.slot] = (False, None)
        return events.Wiped(step.slot)

    def _reconnected(self, step: effects.Reconnect) -> Event | None:
        if self.classic or step.strength > 0:
            self._restart()
            return None
        self.principal = self.slots[self.current][1] or ""
        return events.Reconnected("ss", restarts_us=False)

    def _probed(self, slot: str) -> events.ProbeResult:
        accepted = self.slots[slot][1] in self.cloud.active
        return events.ProbeResult(slot, "accepted" if accepted else "refused")

    def _store(self) -> Store:
        slots = {
            name: Slot(has_key, certificate, has_key and certificate is not None)
            for name, (has_key, certificate) in self.slots.items()
        }
        in_use = self.slots[self.current][1]
        runtime = "classic" if self.classic else "lite"
        return Store("/store", runtime, True, self.current, slots, in_use, self.disk)

    # -- what must hold -----------------------------------------------------------------

    def _check(self) -> None:
        has_key, certificate = self.slots[self.current]
        assert has_key, "the pair in use has no key"
        assert certificate is not None, "the pair in use has no certificate"
        whole = {certificate for has_key, certificate in self.slots.values() if has_key}
        assert whole & self.cloud.active, "no pair on the device is one that the cloud accepts"

    def judge(self) -> None:
        """At the end: one certificate, in use, and one end of the job."""
        assert self.cloud.active == {self.slots[self.current][1]}, (self.cloud, self.log[-12:])
        assert self.principal in self.cloud.active
        assert len(self.cloud.ends) == 1
        spare = SLOTS[1] if self.current == SLOTS[0] else SLOTS[0]
        assert self.slots[spare] == (False, None), "a pair is left behind"
        assert self.dead_man is None or self.mark or self.dead_man[2] != self.current
