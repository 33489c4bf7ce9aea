"""The reconciler while AWS fails, and while somebody else works on the same rotation.

Whatever happens, the certificate that the device uses stays ACTIVE and attached; and once the
faults are over a further run, or the event itself, leaves one certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing, quiet
from lab.fleet.registry import THING
from rotation_cloud.answering import answer_commit, answer_create
from rotation_cloud.finish import Ended, StillIssuing, finish
from rotation_cloud.ports import AwsError, RecordChanged, Throttled
from rotation_cloud.records import State
from tests.cloud.device import Device, code, create_event, ended_event, event, issued_id
from tests.cloud.reconciling import DAY, HOUR, arn, end_unheard, heard, look, rotating, said

Made = Callable[[], tuple[Account, str]]


def unheard_success() -> tuple[Account, str]:
    account, _, _, new = rotating(committed=True)
    end_unheard(account, "SUCCEEDED", certificateId=new)
    account.clock.sleep(2 * HOUR)
    return account, new


def unheard_failure() -> tuple[Account, str]:
    account, _, old, _ = rotating()
    end_unheard(account, "FAILED", certificateId=old, reason="probe-refused")
    account.clock.sleep(2 * HOUR)
    return account, old


def half_made() -> tuple[Account, str]:
    account = Account()

    def fault(name: str, number: int) -> None:
        failing("registry.attach_thing")(name, number)
        failing("registry.deactivate")(name, number)

    account.disturb(fault)
    Device(account).create(account.old)
    account.disturb()
    account.clock.sleep(2 * HOUR)
    return account, account.old


def leftover() -> tuple[Account, str]:
    account, device, old, new = rotating()
    before = account.registry.certificates[arn(new)]
    device.end("TIMED_OUT")
    account.registry.certificates[arn(new)] = replace(before, is_active=True, things={})
    account.clock.sleep(2 * HOUR)
    return account, old


def due() -> tuple[Account, str]:
    account = Account()
    account.jobs.executions.clear()
    heard(account, account.old, deadline=int(account.clock.now()) + DAY)
    return account, account.old


STATES: tuple[Made, ...] = (unheard_success, unheard_failure, half_made, leftover, due)


def run(account: Account) -> list[str]:
    """The results of a run; of one that did not come to its end, that."""
    try:
        report = look(account, auto_rotate_days=30)
    except AwsError:
        return ["raised"]
    if report.stopped_after is not None:
        return [*(result for _, _, result in said(report)), "stopped"]
    return [result for _, _, result in said(report)]


def is_in_order(account: Account, used: str) -> bool:
    """One certificate, the device's, or (of what is due) a workflow."""
    certificate = account.registry.certificates[arn(used)]
    return set(account.registry.certificates) == {arn(used)} and (
        certificate.is_active and THING in certificate.things
    )


def calls_of(made: Made) -> list[str]:
    account, _ = made()
    account.disturb()
    run(account)
    return list(account.calls)


EACH_CALL = [(made, call) for made in STATES for call in sorted(set(calls_of(made)))]


@pytest.mark.parametrize("how", ["failed", "throttled", "lost"])
@pytest.mark.parametrize(
    ("made", "call"), EACH_CALL, ids=[f"{made.__name__}-{call}" for made, call in EACH_CALL]
)
def test_call_that_fails_once(made: Made, call: str, how: str) -> None:
    """The call fails, done or not: it is told or a later run makes up for it, and nothing leaks."""
    account, used = made()
    fault = failing(call, range(1, 2), Throttled if how == "throttled" else AwsError)
    account.disturb(quiet, fault) if how == "lost" else account.disturb(fault)
    first = run(account)
    assert account.registry.certificates[arn(used)].is_active
    account.disturb()
    account.clock.sleep(2 * HOUR)
    second = run(account)
    assert is_in_order(account, used)
    assert first + second
    assert set(second) <= {"repaired"}
    assert first or "repaired" in second


@pytest.mark.parametrize("how", ["failed", "throttled"])
@pytest.mark.parametrize(
    ("made", "call"), EACH_CALL, ids=[f"{made.__name__}-{call}" for made, call in EACH_CALL]
)
def test_call_that_fails_for_good(made: Made, call: str, how: str) -> None:
    """A run says so or raises, the device keeps its certificate, and mended it is repaired."""
    account, used = made()
    account.disturb(failing(call, None, Throttled if how == "throttled" else AwsError))
    for attempt in range(3):
        # What fails last of all may leave nothing for a second run.
        assert run(account) or attempt
        assert account.registry.certificates[arn(used)].is_active
        account.clock.sleep(2 * HOUR)
    account.disturb()
    account.clock.sleep(2 * HOUR)
    run(account)
    assert is_in_order(account, used)


@pytest.mark.parametrize("made", STATES)
@pytest.mark.parametrize("is_done", [False, True])
def test_process_dies(made: Made, is_done: bool) -> None:
    """A run that is killed before or after any call is made up for by the next one."""
    for at in range(len(calls_of(made))):
        account, used = made()

        def die(_name: str, _number: int, account: Account = account, at: int = at) -> None:
            if len(account.calls) == at + 1:
                raise KeyboardInterrupt

        account.disturb(quiet, die) if is_done else account.disturb(die)
        with suppress(KeyboardInterrupt):  # a call that raises by itself has no afterwards
            run(account)
        account.disturb()
        account.clock.sleep(2 * HOUR)
        run(account)
        assert is_in_order(account, used), at


def hear(account: Account, status: str, used: str) -> None:
    """The event comes after all."""
    ended = Ended.of(ended_event(status, certificateId=used))
    assert ended is not None
    with suppress(StillIssuing):
        finish(account.cloud, ended)


def run_with(account: Account, at: int, meanwhile: Callable[[], object]) -> None:
    """A run in which that happens before its call number ``at``, once."""
    is_nested = False

    def nested(_name: str, _number: int) -> None:
        nonlocal is_nested
        if len(account.calls) == at + 1 and not is_nested:
            is_nested = True
            meanwhile()

    account.disturb(nested)
    run(account)
    assert is_nested
    account.disturb()


def at_each_call(made: Made, meanwhile: Callable[[Account, str], None]) -> None:
    """Does that before each call of a run, in an account of its own each time."""
    for at in range(len(calls_of(made))):
        account, used = made()
        run_with(account, at, partial(meanwhile, account, used))
        assert account.registry.certificates[arn(used)].is_active, at
        account.clock.sleep(2 * HOUR)
        run(account)
        assert is_in_order(account, used), at


@pytest.mark.parametrize("made", STATES)
def test_two_runs_at_once(made: Made) -> None:
    """A run by hand in the midst of the day's."""

    def again(account: Account, _used: str) -> None:
        run(account)

    at_each_call(made, again)


@pytest.mark.parametrize(
    ("made", "status"), [(unheard_success, "SUCCEEDED"), (unheard_failure, "FAILED")]
)
def test_event_in_the_midst(made: Made, status: str) -> None:
    """The lost event comes in the midst of the run that makes up for it."""
    at_each_call(made, lambda account, used: hear(account, status, used))


def test_device_asks_again_in_the_midst() -> None:
    """A device asks for its certificate while what is left of its first try is taken back."""
    for at in range(len(calls_of(half_made))):
        account, old = half_made()
        run_with(account, at, partial(answer_create, account.cloud, create_event(account.old)))
        account.clock.sleep(10)
        device = Device(account)
        assert code(device.create(old)) == "accepted", at
        new = issued_id(account)
        assert account.registry.active() == {old, new}, at
        account.clock.sleep(2 * HOUR)
        assert run(account) == []
        assert code(device.commit(new)) == "accepted"
        device.end("SUCCEEDED", certificateId=new)
        assert is_in_order(account, new), at


def test_run_in_the_midst_of_a_rotation() -> None:
    """A run at each call of a rotation, however long the rotation takes, changes nothing of it."""

    def rotation(account: Account) -> None:
        answer_create(account.cloud, create_event(account.old))
        answer_commit(account.cloud, {**event("commit", issued_id(account)), "jobId": "job-1"})
        end_unheard(account, "SUCCEEDED", certificateId=issued_id(account))
        hear(account, "SUCCEEDED", issued_id(account))

    undisturbed = Account()
    rotation(undisturbed)
    for at in range(len(undisturbed.calls)):
        for pause in (0, 55, 2 * HOUR):
            account = Account()
            is_nested = False

            def nested(
                _name: str,
                _number: int,
                account: Account = account,
                at: int = at,
                pause: int = pause,
            ) -> None:
                nonlocal is_nested
                if len(account.calls) == at + 1 and not is_nested:
                    is_nested = True
                    account.clock.sleep(pause)
                    run(account)

            account.disturb(nested)
            with suppress(RecordChanged, StillIssuing, KeyError, AssertionError, TypeError):
                rotation(account)
            assert is_nested
            account.disturb()
            _come_to_an_end(account, f"{at} {pause}")


def _come_to_an_end(account: Account, where: str) -> None:
    """The device asks again as it does, and its rotation ends well or not at all."""
    device = Device(account)
    record = account.records.items.get((THING, "job-1"))
    if record is None or record.state is not State.DONE:
        if (THING, "job-1") not in account.jobs.endings:
            for _ in range(5):
                if code(device.create(account.old)) == "accepted":
                    break
                account.clock.sleep(70)
            device.commit(issued_id(account))
        device.end("SUCCEEDED", certificateId=issued_id(account))
        assert device.dead_letters == [], where
    assert is_in_order(account, issued_id(account)), where
    account.clock.sleep(2 * HOUR)
    assert run(account) == [], where


def test_rotation_that_begins_in_the_midst_of_a_clean_up() -> None:
    """A new job comes while the last one's leftover is removed: it gets its certificate."""
    for at in range(len(calls_of(leftover))):
        account, old = leftover()
        account.jobs.executions[THING, "job-2"] = RUNNING
        asked = create_event(old, "job-2", "b")
        run_with(account, at, partial(answer_create, account.cloud, asked))
        device = Device(account)
        assert code(device.create(old, "job-2", "b")) == "accepted", at
        new = issued_id(account, "job-2")
        device.commit(new, "job-2")
        device.end("SUCCEEDED", "job-2", certificateId=new)
        account.clock.sleep(2 * HOUR)
        run(account)
        assert is_in_order(account, new), at
