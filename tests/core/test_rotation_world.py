"""A rotation, with everything going wrong in turn, at each instant at which it can.

What must hold at every instant, and at the end, is asserted in rotation_world.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.journal import Phase
from certkeeper.core.settings import Settings
from rotation_protocol.reasons import RejectionCode
from tests.core.rotation_world import Plan, World, rotate
from tests.core.strategies import examples

GOES_WELL = [Plan(runtime="classic"), Plan(runtime="lite")]
GOES_BACK = [replace(plan, refuses_new=True) for plan in GOES_WELL]
BOTH = [*GOES_WELL, *GOES_BACK]
STEPS = ("Survey", "Prepare", "Stage", "Probe", "Arm", "Activate", "Reconnect", "Disarm", "Wipe")
FORWARD = tuple(Phase)[1:10]

plans = pytest.mark.parametrize(
    "plan", BOTH, ids=lambda p: f"{p.runtime}-{'back' if p.refuses_new else 'well'}"
)
plans_that_go_well = pytest.mark.parametrize("plan", GOES_WELL, ids=lambda plan: plan.runtime)


def points(plan: Plan) -> Iterator[int]:
    """Each instant of a run at which something could happen."""
    return iter(range(1, rotate(plan).points + 1))


def when(number: int, act: Callable[[World], None]) -> Callable[[World, int], None]:
    """Something that happens at that point."""

    def at_point(world: World, point: int) -> None:
        if point == number:
            act(world)

    return at_point


def ending(status: str) -> Callable[[World], None]:
    """The job ends from outside, which retires one of the certificates."""

    def end(world: World) -> None:
        world.interfered = True
        world.cloud.end("job-1", status)

    return end


def status_of(world: World) -> str:
    return world.cloud.jobs["job-1"].status


# -- nothing goes wrong --------------------------------------------------------------------


@plans_that_go_well
def test_goes_through_every_phase_once(plan: Plan) -> None:
    """A rotation takes its phases in order, and ends with the new pair, the old one removed."""
    world = rotate(plan)
    assert world.phases == [*FORWARD, Phase.IDLE]
    assert (status_of(world), world.device.in_use) == ("SUCCEEDED", "cert-1")
    assert world.device.slots["a"].key is None


@pytest.mark.parametrize("plan", GOES_BACK, ids=lambda plan: plan.runtime)
def test_goes_back_where_the_new_pair_does_not_connect(plan: Plan) -> None:
    """Without an answer over the new connection the old pair is used again, and says so."""
    world = rotate(plan)
    assert world.phases == [*FORWARD[:7], Phase.ROLLING_BACK, Phase.FAILED, Phase.IDLE]
    job = world.cloud.jobs["job-1"]
    assert (job.status, job.details["reason"]) == ("FAILED", "prove-unanswered")
    assert job.details["certificateId"] == world.device.in_use == "cert-0"
    assert world.device.slots["b"].key is None


@plans_that_go_well
def test_two_in_a_row(plan: Plan) -> None:
    """Two jobs are two rotations, the second of them out of the slot of the first."""
    world = rotate(plan, jobs=2)
    assert [job.status for job in world.cloud.jobs.values()] == ["SUCCEEDED", "SUCCEEDED"]
    assert (world.device.current, world.device.in_use) == ("a", "cert-2")


@plans_that_go_well
def test_another_operation_is_left_alone(plan: Plan) -> None:
    """A job of somebody else's is not touched; ours is begun as soon as it is next."""
    world = World(plan)
    world.cloud.add("other", "REBOOT")
    world.cloud.add("job-1")
    world.after(100.0, lambda: world.cloud.end("other", "SUCCEEDED"))
    world.run()
    world.check_end()
    assert world.cloud.jobs["other"].version == 1
    assert status_of(world) == "SUCCEEDED"
    assert any(log.event == "job-left-alone" for log in world.said)


@pytest.mark.parametrize("code", [c for c in RejectionCode if c.may_be_asked_again])
@pytest.mark.parametrize("action", ["create", "commit"])
@plans_that_go_well
def test_a_busy_cloud_is_asked_again(plan: Plan, action: str, code: RejectionCode) -> None:
    """What may succeed later is asked again, and succeeds."""
    world = World(plan)
    world.cloud.refusals[action] = [code] * 3
    world.cloud.add("job-1")
    world.run()
    world.check_end()
    assert status_of(world) == "SUCCEEDED"


@pytest.mark.parametrize("action", ["create", "commit"])
@plans_that_go_well
def test_a_refusal_for_good_is_the_end(plan: Plan, action: str) -> None:
    """What never succeeds fails the job; after a refused commit the old pair is in use again."""
    world = World(plan)
    world.cloud.refusals[action] = [RejectionCode.NOT_ALLOWED]
    world.cloud.add("job-1")
    world.run()
    world.check_end()
    assert (status_of(world), world.device.in_use) == ("FAILED", "cert-0")


@plans_that_go_well
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_nucleus_that_keeps_its_connection_is_told_harder(plan: Plan, times: int) -> None:
    """Where the cloud sees the old certificate the switch is made again, three times at most."""
    world = World(plan)
    world.cloud.refusals["commit"] = [RejectionCode.OTHER_PRINCIPAL] * times
    world.cloud.add("job-1")
    world.run()
    world.check_end()
    assert world.phases.count(Phase.SWITCHING) == min(times + 1, 3)
    assert status_of(world) == ("SUCCEEDED" if times < 3 else "FAILED")


# -- at every instant ----------------------------------------------------------------------


@plans
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power-cut"])
def test_dies_at_every_instant(plan: Plan, power: bool) -> None:
    """Killed or powered off anywhere, the rotation goes on to the same end as without it."""
    end = status_of(rotate(plan))
    for number in points(plan):
        world = rotate(replace(plan, die_at=frozenset({number}), power=power))
        assert end in (status_of(world), "SUCCEEDED"), number


@plans_that_go_well
@pytest.mark.parametrize("status", ["CANCELED", "TIMED_OUT", "DELETED"])
def test_job_ends_at_every_instant(plan: Plan, status: str) -> None:
    """The job may end anywhere: the certificate that is left is the one in use."""
    for number in points(plan):
        rotate(replace(plan, at_point=when(number, ending(status))))


@plans
def test_job_times_out_while_the_device_is_off(plan: Plan) -> None:
    """The job ends as the power goes: after the boot the certificates say which one is left."""
    for number in points(plan):
        ends = when(number, ending("TIMED_OUT"))
        rotate(replace(plan, at_point=ends, die_at=frozenset({number}), power=True))


@plans
def test_dead_man_strikes_at_every_instant(plan: Plan) -> None:
    """The dead-man's switch may strike anywhere, even as it is being disarmed."""
    for number in points(plan):
        rotate(replace(plan, at_point=when(number, lambda world: world.device.strike())))


@plans_that_go_well
@pytest.mark.parametrize("content", [None, b"", b"garbage"], ids=["gone", "empty", "garbage"])
def test_journal_is_lost_at_every_instant(plan: Plan, content: bytes | None) -> None:
    """Without its journal the device keeps the pair that AWS IoT lets in, and the job is told."""

    def lose(world: World) -> None:
        world.device.journal = content

    for number in points(plan):
        rotate(replace(plan, die_at=frozenset({number}), power=True, at_death=lose))


# -- one message, one step, one write -----------------------------------------------------


@plans
@pytest.mark.parametrize(
    "fate",
    [(), (0.1, 20.0), (20.0,), (400.0,), (0.1, 700.0)],
    ids=["lost", "twice", "late", "too-late", "again-too-late"],
)
def test_every_message(plan: Plan, fate: tuple[float, ...]) -> None:
    """Any one message may be lost, late, or come twice."""
    end = status_of(rotate(plan))
    for number in range(1, rotate(plan).messages + 1):
        world = rotate(replace(plan, fates={number: fate}))
        assert status_of(world) == end or fate == (400.0,), number


def _is_number(number: int, _: object, count: int) -> bool:
    return count == number


@plans
@pytest.mark.parametrize("late", [False, True], ids=["not-done", "done"])
def test_every_step_fails_once(plan: Plan, late: bool) -> None:
    """Any one step may fail, done or not."""
    for number in range(1, rotate(plan).steps + 1):
        fails = replace(plan, fails=partial(_is_number, number))
        rotate(replace(fails, fails_late=late))


@plans
@pytest.mark.parametrize("late", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_fails_for_long(plan: Plan, step: str, late: bool) -> None:
    """A step may fail again and again."""
    rotate(replace(plan, fails=lambda name, n: name == step and 1 < n < 40, fails_late=late))


@plans
@pytest.mark.parametrize("phase", Phase)
def test_a_phase_cannot_be_written_down(plan: Plan, phase: Phase) -> None:
    """For two hours one phase cannot be saved: nothing goes round, and all ends well."""
    world = rotate(replace(plan, unsavable=lambda wanted: wanted is phase))
    assert len(world.phases) < 40


@plans
@pytest.mark.parametrize("phase", Phase)
def test_nothing_more_can_be_written_down(plan: Plan, phase: Phase) -> None:
    """From one phase on the disk is full, for two hours."""
    order = list(Phase)
    world = rotate(replace(plan, unsavable=lambda w: order.index(w) >= order.index(phase)))
    restarts = sum(log.event == "rotation-resumed" for log in world.said)
    assert restarts < 25, "the nucleus is restarted again and again"


@plans_that_go_well
@pytest.mark.parametrize("phase", FORWARD)
def test_offline_from_a_phase_on(plan: Plan, phase: Phase) -> None:
    """The network goes at each phase, and comes back after an hour."""

    def cut(world: World, entered: Phase) -> None:
        if entered is phase and world.device.network:
            world.device.network = False
            world.after(3600.0, lambda: setattr(world.device, "network", True))

    rotate(replace(plan, at_phase=cut))


@plans_that_go_well
def test_old_kernel_that_breaks_no_connections(plan: Plan) -> None:
    """Where iotcored's connection cannot be broken, the nucleus is restarted."""
    world = World(plan)
    world.device.cuts_connections = False
    world.cloud.add("job-1")
    world.run()
    world.check_end()
    assert status_of(world) == "SUCCEEDED"


# -- everything at once ------------------------------------------------------------------------

fates = st.sampled_from([(), (), (0.1, 3.0), (5.0,), (40.0,), (400.0,), (0.1, 700.0), (2.0, 0.1)])


@examples(500)
@given(
    plan=st.builds(
        Plan,
        runtime=st.sampled_from(["classic", "lite"]),
        settings=st.builds(Settings, probe=st.sampled_from(["required", "preferred"])),
        die_at=st.frozensets(st.integers(1, 200), max_size=4),
        power=st.booleans(),
        fates=st.dictionaries(st.integers(1, 40), fates, max_size=12),
        refuses_new=st.booleans(),
        online_while_offline=st.booleans(),
        fails_late=st.booleans(),
    ),
    failing=st.frozensets(st.integers(2, 30), max_size=3),
    unsavable=st.sampled_from([None, *Phase]),
    ends=st.none()
    | st.tuples(st.integers(1, 120), st.sampled_from(["CANCELED", "TIMED_OUT", "DELETED"])),
    strikes=st.frozensets(st.integers(20, 150), max_size=2),
    cuts=st.dictionaries(st.integers(1, 150), st.sampled_from([10.0, 100.0, 5000.0]), max_size=1),
    jobs=st.integers(1, 2),
)
def test_everything_at_once(
    plan: Plan,
    failing: frozenset[int],
    unsavable: Phase | None,
    ends: tuple[int, str] | None,
    strikes: frozenset[int],
    cuts: dict[int, float],
    jobs: int,
) -> None:
    """Deaths, lost messages, failing steps, a full disk, an ended job, the dead-man's switch and
    an outage, in any combination."""

    def at_point(world: World, point: int) -> None:
        if point in strikes:
            world.device.strike()
        if point in cuts and world.device.network:
            world.device.network = False
            world.after(cuts[point], lambda: setattr(world.device, "network", True))
        if ends is not None and point == ends[0]:
            ending(ends[1])(world)

    plan = replace(
        plan,
        fails=lambda _, number: number in failing,
        unsavable=lambda phase: phase is unsavable,
        interfered=ends is not None,
        at_point=at_point,
    )
    rotate(plan, jobs)
