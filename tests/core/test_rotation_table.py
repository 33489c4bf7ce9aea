"""The table of a rotation: total, documented, and deaf to what is not about it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from certkeeper.core import effects, events, rotation
from certkeeper.core.asking import at_entry
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.moment import Moment
from certkeeper.core.rotation_state import Context, Rotation
from certkeeper.core.settings import Settings
from certkeeper.core.signals import Signal
from certkeeper.core.store import Slot, Store
from rotation_protocol.jobs import JobExecution, JobRejected, NextJob, UpdateAccepted
from rotation_protocol.reasons import FailureReason, RejectionCode
from rotation_protocol.rotation import Committed, Issued, Rejected
from tests.core import state_diagram

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORE = Store("/store", "lite", True, "a", {"a": Slot(True, "old", True), "b": Slot()}, "old")


def context(monotonic: float = 1000.0, **settings: object) -> Context:
    wall = NOW + timedelta(seconds=monotonic)
    given = replace(Settings(), **settings)  # type: ignore[arg-type]
    return Context(Moment(wall, monotonic), given, "press-7", "session")


def in_phase(phase: Phase, **changes: object) -> Rotation:
    """A rotation of job-1 that has got so far, at 1000 seconds."""
    journal = Journal(
        phase=phase,
        job_id=None if phase is Phase.IDLE else "job-1",
        old_slot="a",
        new_slot="b",
        csr="CSR",
        old_certificate_id="old",
        certificate_id="new",
        session="session",
    )
    found = Rotation(journal=journal, store=STORE, online=True, tries=1)
    return replace(at_entry(found, context()), **changes)  # type: ignore[arg-type]


def job(
    job_id: str = "job-1", status: str = "IN_PROGRESS", operation: str | None = None
) -> NextJob:
    return NextJob(
        JobExecution(job_id, status, 3, 1, operation or "ROTATE_CERTIFICATE"), None, None
    )


def happening(signal: Signal, found: Rotation) -> Event | None:
    """An event that is this signal to the rotation; None for what only time can be."""
    token = found.token(context())
    slot = "a" if found.journal.phase is Phase.ROLLING_BACK else "b"
    ended = JobRejected("TerminalStateReached", "", token)
    made: dict[Signal, Event] = {
        Signal.JOB_OFFERED: events.JobNotified(job("job-2", "QUEUED")),
        Signal.JOB_LIVES: events.JobAnswered("job-1", replace(job(), client_token=token)),
        Signal.JOB_DOUBTED: events.JobNotified(NextJob(None, None)),
        Signal.JOB_ENDED: events.JobAskRejected("job-1", ended),
        Signal.UPDATE_TAKEN: events.UpdateTaken("job-1", UpdateAccepted(token, None)),
        Signal.UPDATE_OUTDATED: events.UpdateRejected(
            "job-1", JobRejected("VersionMismatch", "", token)
        ),
        Signal.UPDATE_REFUSED: events.UpdateRejected("job-1", ended),
        Signal.PREPARED: events.Prepared("a", "b", "CSR", "old", "ECDSA-P256"),
        Signal.ISSUED: events.CreateAnswered(Issued("PEM", "job-1")),
        Signal.CREATE_REFUSED: events.CreateRejected(
            Rejected("no", RejectionCode.CSR_REFUSED, "job-1")
        ),
        Signal.STAGED: events.Staged("new"),
        Signal.PROBED: events.Probed(
            (events.ProbeResult("b", "refused"), events.ProbeResult("a", "accepted"))
        ),
        Signal.ARMED: events.Armed(),
        Signal.ACTIVATED: events.Activated(slot),
        Signal.RECONNECTED: events.Reconnected("ss", False),
        Signal.DISARMED: events.Disarmed(),
        Signal.COMMITTED: events.CommitAnswered(Committed("job-1")),
        Signal.OTHER_PRINCIPAL: events.CommitRejected(
            Rejected("no", RejectionCode.OTHER_PRINCIPAL, "job-1")
        ),
        Signal.COMMIT_REFUSED: events.CommitRejected(
            Rejected("no", RejectionCode.NOT_ISSUED, "job-1")
        ),
        Signal.WIPED: events.Wiped("b"),
        Signal.STEP_FAILED: events.StepFailed("Arm", FailureReason.STORE_FAILED, "why"),
        Signal.NOT_SAVED: events.JournalNotSaved(
            replace(found.journal, phase=Phase.CLAIMING, job_id="job-1"), "full"
        ),
    }
    return made.get(signal)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("signal", list(Signal))
def test_every_pair_has_an_outcome(phase: Phase, signal: Signal) -> None:
    """Each signal in each phase leads where the table says, or changes no phase at all."""
    if (signal, phase) == (Signal.JOB_LIVES, Phase.IDLE):
        signal = Signal.JOB_OFFERED  # without a job of ours, whatever lives is an offer
    found = in_phase(phase)
    now = context()
    event: Event | None
    if signal is Signal.TRY_AGAIN:
        event, found = Tick(), replace(found, retry_at=1000.0, until=None)
    elif signal is Signal.OUT_OF_TIME:
        event, found = Tick(), replace(found, until=1000.0)
    else:
        event = happening(signal, found)
    assert event is not None
    then, todo = rotation.step(found, event, now)
    rule = rotation.TABLE[signal].rules.get(phase)
    if rule is None:
        assert then.journal == found.journal
    else:
        assert then.journal.phase in (*rule.to, phase)
    assert all(not isinstance(effect, effects.Wipe) or effect.slot != "a" for effect in todo) or (
        phase is Phase.COMMITTED
    )


def test_the_table_has_every_signal() -> None:
    """No signal is without a row, and each row that leaves phases out says why."""
    assert set(rotation.TABLE) == set(Signal)
    for row in rotation.TABLE.values():
        assert row.rules
        assert row.otherwise


def test_the_page_is_the_tables() -> None:
    """docs/rotation-states.md is what the table makes (python -m tests.core.state_diagram)."""
    assert state_diagram.PATH.read_text("utf-8") == state_diagram.text()


def sent(todo: tuple[Effect, ...]) -> list[tuple[str, dict[str, object]]]:
    """Topic and fields of each message."""
    return [(e.topic, json.loads(e.payload)) for e in todo if isinstance(e, effects.Send)]


def test_other_operations_are_left_alone() -> None:
    """A job of another operation changes nothing, and is worth a line."""
    found = in_phase(Phase.IDLE)
    event = events.JobNotified(job("job-9", "QUEUED", "REBOOT"))
    then, todo = rotation.step(found, event, context())
    assert then.journal == found.journal
    assert [e.event for e in todo if isinstance(e, effects.Log)] == ["job-left-alone"]


def test_a_late_answer_of_an_earlier_phase_is_nothing() -> None:
    """The claim's answer, come once more, does not end a rotation that reports its failure."""
    found = in_phase(Phase.FAILED)
    late = events.UpdateTaken("job-1", UpdateAccepted("claiming-session-1", None))
    assert rotation.step(found, late, context())[0] == found


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError"])
def test_a_throttled_update_is_sent_again(code: str) -> None:
    """A refusal that may pass changes nothing: the question is asked again in its time."""
    found = in_phase(Phase.FAILED, retry_at=1010.0)
    rejected = JobRejected(code, "", found.token(context()))
    then, _ = rotation.step(found, events.UpdateRejected("job-1", rejected), context())
    assert then == found
    then, todo = rotation.step(then, Tick(), context(1010.0))
    ((topic, fields),) = sent(todo)
    assert topic.endswith("/job-1/update")
    assert fields["status"] == "FAILED"


def test_waits_grow() -> None:
    """A question without an answer is asked less and less often."""
    found, waits = in_phase(Phase.COMMITTED, retry_at=1000.0, deaf=3), []
    now = 1000.0
    for _ in range(8):
        found, todo = rotation.step(found, Tick(), context(now))
        assert len(sent(todo)) == 1
        assert found.retry_at is not None
        waits.append(found.retry_at - now)
        now = found.retry_at
    assert waits[0] <= 20.0
    assert 300.0 <= max(waits) <= 900.0


def test_subscribes_anew_when_nothing_is_heard() -> None:
    """Who is deaf connects anew, and asks again; less and less often while that does not help."""
    found, asked, since = in_phase(Phase.IDLE, retry_at=1000.0), [], 0
    now, moments = 1000.0, []
    for _ in range(60):
        found, todo = rotation.step(found, Tick(), context(now))
        if effects.Resubscribe() in todo:
            assert not sent(todo)
            assert found.retry_at is None
            asked.append(since)
            moments.append(now)
            found, _ = rotation.step(found, events.Disconnected(1, "asked for"), context(now))
            found, todo = rotation.step(found, events.Online(2), context(now))
            since = 0
        since += len(sent(todo))
        assert found.retry_at is not None
        now = found.retry_at
    assert asked[:5] == [3, 6, 9, 12, 12]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps[:3] == sorted(gaps[:3])
    assert gaps[0] > 120.0


@pytest.mark.parametrize("unheard", [0, 2, 12])
def test_an_answer_shows_that_it_hears(unheard: int) -> None:
    """With any answer the count begins anew; a question that the nucleus did not take is none."""
    found = in_phase(Phase.IDLE, unheard=unheard, deaf=2)
    answer = events.JobAnswered("$next", NextJob(None, None))
    heard, _ = rotation.step(found, answer, context(1000.0))
    assert (heard.unheard, heard.deaf) == (0, 0)
    failed, _ = rotation.step(found, events.SendFailed("t", "offline", False), context(1000.0))
    assert (failed.unheard, failed.deaf) == (0, 2)


@pytest.mark.parametrize(
    ("probe", "verdict", "after", "then"),
    [
        ("required", "accepted", 0, Phase.SWITCHING),
        ("required", "refused", 59, Phase.PROBING),
        ("required", "refused", 60, Phase.FAILED),
        ("required", "unreachable", 299, Phase.PROBING),
        ("required", "unreachable", 300, Phase.FAILED),
        ("preferred", "unreachable", 300, Phase.SWITCHING),
        ("preferred", "refused", 60, Phase.FAILED),
    ],
)
def test_what_a_probe_decides(probe: str, verdict: str, after: float, then: Phase) -> None:
    """A refusal is believed after a fifth of commitTimeoutSeconds, silence after all of it."""
    found = in_phase(Phase.PROBING)
    event = events.Probed((events.ProbeResult("b", verdict),))
    stepped, _ = rotation.step(found, event, context(1000.0 + after, probe=probe))
    assert stepped.journal.phase is then


def test_without_a_probe() -> None:
    """``probe: off`` goes from the certificate to the switch."""
    then, _ = rotation.step(in_phase(Phase.STAGED), events.Staged("new"), context(probe="off"))
    assert then.journal.phase is Phase.SWITCHING


def test_the_nucleus_is_told_harder_and_then_no_more() -> None:
    """Three times the cloud sees the old certificate: then it is gone back to."""
    found, strengths = in_phase(Phase.COMMITTING), []
    other = events.CommitRejected(Rejected("no", RejectionCode.OTHER_PRINCIPAL, "job-1"))
    while found.journal.phase is Phase.COMMITTING:
        found, _ = rotation.step(found, other, context())
        if found.journal.phase is not Phase.SWITCHING:
            break
        _, todo = rotation.step(found, events.Activated("b"), context())
        strengths += [e.strength for e in todo if isinstance(e, effects.Reconnect)]
        found = replace(found, journal=replace(found.journal, phase=Phase.COMMITTING))
    assert strengths == [1, 2]
    assert found.journal.phase is Phase.ROLLING_BACK
    assert found.journal.reason is FailureReason.RECONNECT_FAILED


def test_deployments_wait_for_a_rotation() -> None:
    """Under way, a deployment is held back; otherwise it is not."""
    asked = events.UpdateAnnounced("deployment-1")
    _, todo = rotation.step(in_phase(Phase.PROVING), asked, context())
    assert any(isinstance(effect, effects.DeferUpdate) for effect in todo)
    assert rotation.step(in_phase(Phase.IDLE), asked, context())[1] == ()


@pytest.mark.parametrize(
    ("spare", "wiped"), [(Slot(True), True), (Slot(True, "x", True), False), (Slot(), False)]
)
def test_a_half_made_pair_is_removed_without_a_journal(spare: Slot, wiped: bool) -> None:
    """A key whose certificate never came is of no use to anybody; a whole pair may be."""
    store = replace(STORE, slots={"a": STORE.slots["a"], "b": spare})
    found = in_phase(Phase.FAILED, store=store)
    found = replace(found, journal=replace(found.journal, old_slot=None, new_slot=None))
    taken = events.UpdateTaken("job-1", UpdateAccepted(found.token(context()), None))
    _, todo = rotation.step(found, taken, context())
    assert (effects.Wipe("b") in todo) == wiped
