"""A rotation in a simulated world: crashed, cut off, refused, and always ending well."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certkeeper.core import effects
from certkeeper.core.journal import Phase
from rotation_protocol.reasons import FailureReason
from tests.core.rotation_model import JOB, OLD, World

#: More effects than any rotation of these tests has.
MOST_EFFECTS = 60
NUCLEI = pytest.mark.parametrize("classic", [False, True], ids=["lite", "classic"])
FORWARD = (
    *(Phase.CLAIMING, Phase.PREPARING, Phase.REQUESTING, Phase.STAGED, Phase.PROBING),
    *(Phase.SWITCHING, Phase.PROVING, Phase.COMMITTING, Phase.COMMITTED),
)


def rejecting_the_commit(world: World) -> None:
    """The cloud says that it never issued the certificate."""
    answer = world.cloud.answer

    def refuse(topic: str, payload: bytes, principal: str) -> list[tuple[str, bytes]]:
        if topic.endswith("/commit"):
            body = {"errorMsg": "no", "errorCode": "not-issued", "jobId": JOB}
            return [(f"{topic}/rejected", json.dumps(body).encode())]
        return answer(topic, payload, principal)

    world.cloud.answer = refuse  # type: ignore[method-assign]


@NUCLEI
def test_a_rotation(classic: bool) -> None:
    """Through every phase, in order, to a new certificate."""
    world = World(classic=classic)
    world.run()
    world.judge()
    assert world.cloud.ends == ["SUCCEEDED"]
    assert [p for p in dict.fromkeys(world.phases) if p is not Phase.IDLE] == list(FORWARD)


@NUCLEI
@pytest.mark.parametrize("crash_at", range(1, MOST_EFFECTS))
def test_power_cut_anywhere(classic: bool, crash_at: int) -> None:
    """The power is cut before each effect of a rotation: it goes on after the boot."""
    world = World(classic=classic, crash_at=crash_at)
    world.run()
    world.judge()
    assert world.cloud.ends == ["SUCCEEDED"]


@NUCLEI
@pytest.mark.parametrize("crash_at", range(1, MOST_EFFECTS))
def test_power_cut_anywhere_of_a_rollback(classic: bool, crash_at: int) -> None:
    """The power is cut before each effect of a rotation whose commit is refused."""
    world = World(classic=classic, crash_at=crash_at)
    rejecting_the_commit(world)
    world.run()
    world.judge()
    assert world.cloud.ends == ["FAILED"]
    assert world.slots[world.current][1] == OLD


@NUCLEI
@pytest.mark.parametrize("number", range(1, 16))
def test_each_message_lost_once(classic: bool, number: int) -> None:
    """Whichever message is lost, in either direction, it is asked for again."""
    world = World(classic=classic)
    seen: list[str] = []

    def lose(topic: str, payload: bytes) -> bool:
        seen.append(topic)
        return len(seen) == number

    world.lose = lose
    world.run()
    world.judge()
    assert world.cloud.ends == ["SUCCEEDED"]
    assert len(seen) >= number or number > 12


@NUCLEI
@pytest.mark.parametrize("status", ["CANCELED", "TIMED_OUT"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("phase", FORWARD)
def test_job_ends_under_way(classic: bool, status: str, told: bool, phase: Phase) -> None:
    """The job ends in each phase, with a notification or without: one certificate is left."""
    world = World(classic=classic)

    def end(now: Phase) -> None:
        if now is phase and world.cloud.is_live:
            world.cloud.end(status)
            if told:
                world.queue.append(world._heard(*world.cloud.notification()))

    world.on_phase = end
    world.run()
    world.judge()
    assert world.cloud.ends == [status]
    assert world.cloud.committed == (phase is Phase.COMMITTED)


@NUCLEI
@pytest.mark.parametrize(
    "step", ["Prepare", "Stage", "Probe", "Arm", "Activate", "Reconnect", "Disarm", "Wipe"]
)
@pytest.mark.parametrize("times", [1, 100])
def test_each_step_fails(classic: bool, step: str, times: int) -> None:
    """A step of the device fails once, or every time while the new pair is not in use."""
    world = World(classic=classic)
    failures: list[str] = []

    def fail(asked: effects.RotatorStep) -> FailureReason | None:
        # What leads back, and what ends a rotation, works in the end.
        leads_back = isinstance(asked, effects.Activate) and asked.slot == "a"
        if type(asked).__name__ != step or len(failures) >= times or leads_back:
            return None
        if step in ("Disarm", "Wipe") and len(failures) >= 3:
            return None
        failures.append(step)
        return FailureReason.STORE_FAILED

    world.fail_step = fail
    world.run()
    if step == "Wipe":
        assert world.cloud.ends == ["SUCCEEDED"]
        return
    world.judge()
    assert failures


@NUCLEI
@pytest.mark.parametrize("phase", FORWARD)
def test_journal_cannot_be_saved(classic: bool, phase: Phase) -> None:
    """What a phase announces is not begun unless it was written down."""
    world = World(classic=classic)
    refused: list[Phase] = []

    def full(wanted: object) -> bool:
        if getattr(wanted, "phase", None) is phase and len(refused) < 3:
            refused.append(phase)
            return True
        return False

    world.fail_save = full
    world.run()
    world.judge()
    assert refused
    assert world.cloud.ends == (["SUCCEEDED"] if phase is Phase.COMMITTED else ["FAILED"])


@NUCLEI
@pytest.mark.parametrize("phase", FORWARD)
@pytest.mark.parametrize("content", [b"{", None], ids=["unreadable", "gone"])
def test_journal_lost(classic: bool, phase: Phase, content: bytes | None) -> None:
    """A boot without the journal of its rotation ends with one certificate all the same."""
    world = World(classic=classic)
    lost: list[Phase] = []

    def lose(now: Phase) -> None:
        if now is phase and not lost:
            lost.append(now)

    world.on_phase = lose
    world.run(until=lambda: bool(lost))
    world.disk = content
    world.power_cut()
    world.run()
    assert world.cloud.active == {world.slots[world.current][1]}
    assert len(world.cloud.ends) == 1


@NUCLEI
def test_dead_man_strikes_while_proving(classic: bool) -> None:
    """The switch goes back to the old pair: the rotation notices, and reports it."""
    world = World(classic=classic)
    world.lose = lambda topic, payload: topic.endswith(f"{JOB}/get")
    world.run(until=lambda: Phase.PROVING in world.phases)
    world.strike()
    world.lose = lambda topic, payload: False
    world.run()
    world.judge()
    assert world.cloud.ends == ["FAILED"]
    assert world.slots[world.current][1] == OLD


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    classic=st.booleans(),
    losses=st.sets(st.integers(1, 40), max_size=12),
    cuts=st.lists(st.integers(1, 25), max_size=4),
    ends_in=st.sampled_from([None, *FORWARD]),
)
def test_many_things_at_once(
    classic: bool, losses: set[int], cuts: list[int], ends_in: Phase | None
) -> None:
    """Losses, power cuts and a job that ends, in any mixture: the device is never lost."""
    world = World(classic=classic)
    seen: list[str] = []

    def lose(topic: str, payload: bytes) -> bool:
        seen.append(topic)
        return len(seen) in losses

    def end(now: Phase) -> None:
        if now is ends_in and world.cloud.is_live:
            world.cloud.end("TIMED_OUT")

    world.lose, world.on_phase = lose, end
    for cut in cuts:
        effects_done = world.done
        world.run(
            until=lambda done=effects_done, cut=cut: (  # type: ignore[misc]
                world.done >= done + cut
                or (bool(world.cloud.ends) and not world.rotation.under_way)
            )
        )
        world.power_cut()
    world.run()
    world.judge()
