"""A process that begins: what the journal and the disk say together, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from certkeeper.core import effects, events, journal, recovery
from certkeeper.core.asking import MAX_STARTS, PAUSE
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import ProbeResult
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.moment import Moment
from certkeeper.core.rotation import must_be_saved, step
from certkeeper.core.rotation_state import Context, Rotation
from certkeeper.core.settings import Settings
from certkeeper.core.store import Slot, Store
from rotation_protocol.reasons import FailureReason

CONTEXT = Context(
    Moment(datetime(2026, 11, 22, tzinfo=UTC), 1000.0), Settings(), "press-7", "session-2"
)
OLD, NEW = Slot(True, "cert-0", True), Slot(True, "cert-1", True)
JOURNAL = Journal(
    phase=Phase.PROVING,
    job_id="job-1",
    old_slot="a",
    new_slot="b",
    csr="CSR",
    old_certificate_id="cert-0",
    certificate_id="cert-1",
    session="session-1",
)
BEFORE = [Phase.CLAIMING, Phase.PREPARING, Phase.REQUESTING, Phase.STAGED, Phase.PROBING]


def store(content: bytes | None, current: str | None = "b", new: Slot = NEW) -> Store:
    return Store("/ck", "classic", current is not None, current, {"a": OLD, "b": new}, "x", content)


def begun(found: Store, context: Context = CONTEXT) -> tuple[Rotation, list[Effect]]:
    """The rotation of a new process, online, once it has looked at the device."""
    fresh, todo = recovery.begun(context)
    assert todo == (effects.Survey(context.settings),)
    fresh = replace(fresh, online=True)
    fresh = recovery.as_found(fresh, found)
    rotation, asked = recovery.on_survey(fresh, events.Surveyed(found), context)
    return rotation, [effect for effect in asked if not isinstance(effect, Log)]


def resumed(
    phase: Phase, current: str = "b", new: Slot = NEW, **changes: object
) -> tuple[Rotation, list[Effect]]:
    written = replace(JOURNAL, phase=phase, **changes)  # type: ignore[arg-type]
    return begun(store(journal.encode(written), current, new))


def kinds(asked: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in asked]


@pytest.mark.parametrize(
    ("phase", "current", "then", "asks"),
    [
        (Phase.CLAIMING, "a", Phase.CLAIMING, ["Send"]),
        (Phase.PREPARING, "a", Phase.PREPARING, ["Prepare"]),
        (Phase.REQUESTING, "a", Phase.REQUESTING, ["Send"]),
        (Phase.STAGED, "a", Phase.REQUESTING, ["Send"]),
        (Phase.PROBING, "a", Phase.PROBING, ["Probe"]),
        (Phase.SWITCHING, "a", Phase.SWITCHING, ["Arm"]),
        (Phase.SWITCHING, "b", Phase.PROVING, ["Arm", "Send"]),
        (Phase.PROVING, "b", Phase.PROVING, ["Arm", "Send"]),
        (Phase.PROVING, "a", Phase.ROLLING_BACK, ["Activate"]),
        (Phase.COMMITTING, "b", Phase.COMMITTING, ["Disarm"]),
        (Phase.COMMITTING, "a", Phase.COMMITTING, ["Probe"]),
        (Phase.COMMITTED, "b", Phase.COMMITTED, ["Send"]),
        (Phase.COMMITTED, "a", Phase.COMMITTED, ["Activate"]),
        (Phase.ROLLING_BACK, "b", Phase.ROLLING_BACK, ["Activate"]),
        (Phase.ROLLING_BACK, "a", Phase.FAILED, ["Disarm", "Send"]),
        (Phase.FAILED, "a", Phase.FAILED, ["Disarm", "Send"]),
    ],
)
def test_goes_on(phase: Phase, current: str, then: Phase, asks: list[str]) -> None:
    """Every phase goes on with its question, as far as the disk allows."""
    rotation, asked = resumed(phase, current)
    assert (rotation.journal.phase, kinds(asked)) == (then, asks)


def test_every_phase_has_a_way_on() -> None:
    """There is no phase that a restart cannot take up."""
    assert set(recovery._RESUMPTIONS) == set(Phase) - {Phase.IDLE}


def test_same_start_of_the_nucleus_is_switched_again() -> None:
    """Without a restart since, the nucleus has not read the new pair yet."""
    rotation, asked = resumed(Phase.SWITCHING, session="session-2")
    assert (rotation.journal.phase, kinds(asked)) == (Phase.SWITCHING, ["Arm"])


@pytest.mark.parametrize("phase", [Phase.REQUESTING, Phase.STAGED, Phase.PROBING])
def test_without_its_key_a_rotation_fails(phase: Phase) -> None:
    """A key that did not survive cannot be asked for again."""
    rotation, _ = resumed(phase, "a", Slot())
    assert rotation.journal.phase is Phase.FAILED
    assert rotation.journal.reason is FailureReason.INTERRUPTED


def test_certificate_that_did_not_survive_is_asked_for_again() -> None:
    """The key is there: the cloud gives the same certificate to the same CSR."""
    rotation, _ = resumed(Phase.PROBING, "a", Slot(has_key=True))
    assert rotation.journal.phase is Phase.REQUESTING


def test_no_switch_to_half_a_pair() -> None:
    """A new pair that is not whole is not switched to."""
    rotation, _ = resumed(Phase.SWITCHING, "a", Slot(has_key=True))
    assert rotation.journal.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.IDLE])
def test_begun_too_often(phase: Phase) -> None:
    """A phase that ends our process again and again is given up, if nothing can be committed."""
    current = "a" if phase in (*BEFORE, Phase.FAILED) else "b"
    rotation, _ = resumed(phase, current, starts=MAX_STARTS)
    gives_up = phase in (*BEFORE, Phase.SWITCHING, Phase.PROVING)
    assert (rotation.journal.reason is FailureReason.INTERRUPTED) == gives_up
    expected = Phase.FAILED if phase in BEFORE else Phase.ROLLING_BACK
    assert rotation.journal.phase is (expected if gives_up else phase)


def test_idle_is_tidied() -> None:
    """What the last rotation left in the spare slot is removed; then the next job is asked for."""
    rotation, asked = begun(store(journal.encode(Journal()), "a"))
    assert kinds(asked) == ["Wipe", "Send"]
    assert not rotation.under_way
    rotation, asked = begun(store(None, None, Slot()))
    assert kinds(asked) == ["EndRotator", "Send"]


@pytest.mark.parametrize("content", [b"", b"{", None])
def test_journal_is_gone(content: bytes | None) -> None:
    """Without its journal nothing is removed, and AWS IoT is asked which pair is right."""
    rotation, asked = begun(store(content))
    assert kinds(asked) == ["Probe", "Send"]
    assert rotation.lost
    answer = events.Probed((ProbeResult("b", "refused"), ProbeResult("a", "accepted")))
    _, then = step(rotation, answer, CONTEXT)
    assert effects.Activate("a") in then


@pytest.mark.parametrize(
    ("in_use", "spare"),
    [("unreachable", "unreachable"), ("refused", "refused")],
)
def test_journal_is_gone_and_nothing_is_decided(in_use: str, spare: str) -> None:
    """Unless it is dead and the other is not, the pair in use stays, and is looked at again."""
    rotation, _ = begun(store(b"{"))
    answer = events.Probed((ProbeResult("b", in_use), ProbeResult("a", spare)))
    rotation, then = step(rotation, answer, CONTEXT)
    assert not any(isinstance(effect, effects.Activate) for effect in then)
    assert rotation.survey_at == CONTEXT.now.monotonic + PAUSE


def test_survey_fails_and_is_repeated() -> None:
    """A device that cannot be looked at is looked at again; its journal still counts then."""
    fresh, _ = recovery.begun(CONTEXT)
    rotation, _ = recovery.on_survey(fresh, events.SurveyFailed("no such file"), CONTEXT)
    assert rotation.wake_at() == CONTEXT.now.monotonic + PAUSE
    later = replace(CONTEXT, now=replace(CONTEXT.now, monotonic=CONTEXT.now.monotonic + PAUSE))
    rotation, asked = step(rotation, events.Tick(), later)
    assert asked == (effects.Survey(CONTEXT.settings),)
    found = store(journal.encode(JOURNAL))
    rotation, _ = recovery.on_survey(rotation, events.Surveyed(found), later)
    assert rotation.journal.phase is Phase.PROVING


def test_second_survey_changes_no_phase() -> None:
    """Once the journal has been taken up, a look at the store is no more than that."""
    rotation, _ = resumed(Phase.PROVING)
    again, asked = recovery.on_survey(rotation, events.Surveyed(store(None, "a")), CONTEXT)
    assert (again.journal, asked) == (rotation.journal, (effects.EndRotator(),))
    assert again.store == store(None, "a")


@pytest.mark.parametrize(
    ("starts", "current", "then", "asks"),
    [
        (0, "b", Phase.COMMITTING, "Send"),
        (0, "a", Phase.ROLLING_BACK, "Activate"),
        (1, "a", Phase.COMMITTING, "Probe"),
    ],
)
def test_look_before_the_commit(starts: int, current: str, then: Phase, asks: str) -> None:
    """A dead-man's switch that struck at the last moment is noticed before the commit is sent."""
    rotation, _ = resumed(Phase.COMMITTING)
    rotation = replace(rotation, journal=replace(rotation.journal, starts=starts))
    rotation, asked = recovery.on_survey(rotation, events.Surveyed(store(None, current)), CONTEXT)
    assert rotation.journal.phase is then
    assert asks in kinds(list(asked))


def test_a_failure_with_the_new_pair_active_goes_back_first() -> None:
    """What FAILED reports as in use is the old pair: it is made so before it is said."""
    rotation, asked = resumed(Phase.FAILED, "b", reason=FailureReason.JOB_GONE)
    assert rotation.journal.phase is Phase.ROLLING_BACK
    assert rotation.journal.reason is FailureReason.JOB_GONE
    assert kinds(asked) == ["Activate"]


def test_a_rollback_that_finds_the_new_pair_active_tells_the_nucleus() -> None:
    """The nucleus may have read the new pair at its last start, whoever told it to."""
    rotation, _ = resumed(Phase.ROLLING_BACK, "b", session="session-1")
    assert rotation.journal.session == CONTEXT.session


def test_what_must_be_saved() -> None:
    """A start more need not be written down, save where it restarts the nucleus."""
    again = replace(JOURNAL, starts=1)
    assert not must_be_saved(JOURNAL, again)
    switching = replace(JOURNAL, phase=Phase.SWITCHING)
    assert must_be_saved(switching, replace(switching, starts=1))
    assert must_be_saved(JOURNAL, replace(JOURNAL, phase=Phase.COMMITTING))
    assert must_be_saved(JOURNAL, replace(JOURNAL, phase=Phase.ROLLING_BACK))
    assert not must_be_saved(JOURNAL, replace(JOURNAL, phase=Phase.COMMITTED))


def test_rollback_that_cannot_be_saved_at_a_start_waits() -> None:
    """The next process would come here too: the nucleus is not restarted at once, for ever."""
    fresh, _ = recovery.begun(CONTEXT)
    found = recovery.as_found(fresh, store(journal.encode(JOURNAL), "a"))
    wanted, _ = recovery.on_survey(found, events.Surveyed(store(found_bytes(), "a")), CONTEXT)
    unsaved = events.JournalNotSaved(wanted.journal, "No space left on device")
    rotation, asked = step(found, unsaved, CONTEXT)
    assert rotation.journal.phase is Phase.ROLLING_BACK
    assert not any(isinstance(effect, effects.Activate) for effect in asked)
    assert rotation.retry_at == CONTEXT.now.monotonic + PAUSE


def found_bytes() -> bytes:
    return journal.encode(JOURNAL)


@pytest.mark.parametrize(
    "results",
    [
        (ProbeResult("b", "accepted"),),
        (ProbeResult("b", "refused"), ProbeResult("a", "accepted")),
    ],
    ids=["of-the-trial", "of-both"],
)
def test_trial_that_ends_after_its_rotation_is_nothing(results: tuple[ProbeResult, ...]) -> None:
    """A job may be cancelled while the child still tries a pair: what comes of that is late."""
    idle, _ = begun(store(journal.encode(Journal()), current="a"))
    after, asked = step(idle, events.Probed(results), CONTEXT)
    assert (after, [each for each in asked if not isinstance(each, Log)]) == (idle, [])
