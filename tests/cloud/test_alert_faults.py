"""Alerts while AWS fails: nobody stays untold, and nobody is told twice.

The one exception: SNS took the message, and its answer or the note of it was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing, quiet
from rotation_cloud.alerts import Policy
from rotation_cloud.ports import AwsError, RecordChanged, Throttled
from rotation_cloud.telling import StillTelling
from tests.cloud.monitor import TEMPLATE, Monitor, pair

POLICY = Policy(auto_rotate_below_days=30, job_template_arn=TEMPLATE)


def hearing() -> tuple[Account, Monitor]:
    account = Account()
    monitor = Monitor(account)
    monitor.policy = POLICY
    return account, monitor


def calls_of(send: Send) -> list[str]:
    account, monitor = hearing()
    send(monitor)
    return list(account.calls)


Send = Callable[[Monitor], None]


def believed(monitor: Monitor) -> None:
    monitor.sends(monitor.signed())


def forged(monitor: Monitor) -> None:
    monitor.sends(monitor.signed(by=pair("other")))


CALLS = calls_of(believed)
#: Every call by its name and its number, of an alert that is believed and of one that is not.
EACH = [
    pytest.param(send, call, calls[: at + 1].count(call), id=f"{send.__name__}-{call}-{at}")
    for send, calls in ((believed, CALLS), (forged, calls_of(forged)))
    for at, call in enumerate(calls)
]


#: Which write it is that notes that people were told.
NOTE: dict[Send, int] = {
    send: calls[: calls.index("alerts.tell")].count("documents.write") + 1
    for send, calls in ((believed, CALLS), (forged, calls_of(forged)))
}


def test_the_calls_are_those_expected() -> None:
    """The table four times and the registry twice before anything is believed."""
    assert CALLS[:6] == [
        *("documents.get", "documents.get", "records.of_thing", "documents.get"),
        *("registry.principals", "registry.registered"),
    ]
    assert CALLS.count("alerts.tell") == CALLS.count("workflows.start") == 1


@pytest.mark.parametrize(("send", "call", "number"), EACH)
@pytest.mark.parametrize("how", [AwsError, Throttled, "lost"])
def test_one_failed_call(send: Send, call: str, number: int, how: type[AwsError] | str) -> None:
    """A call that fails once, done or not: people are told once, and nothing is left over."""
    account, monitor = hearing()
    fault = failing(call, range(number, number + 1), how if isinstance(how, type) else AwsError)
    account.disturb(quiet, fault) if how == "lost" else account.disturb(fault)
    send(monitor)
    assert call in account.calls
    twice = how == "lost" and call == "alerts.tell"
    assert len(monitor.subjects) == (2 if twice else 1)
    assert monitor.dead_letters == []
    assert len(account.workflows.started) == (send is believed)
    account.disturb()
    send(monitor)  # a repetition of the same second is no news
    assert len(monitor.subjects) == (2 if twice else 1)


@pytest.mark.parametrize(("send", "call", "number"), EACH)
def test_call_that_fails_for_good(send: Send, call: str, number: int) -> None:
    """From then on: the event is a dead letter, whose alarm tells; sent again, it is told once."""
    account, monitor = hearing()
    event = monitor.event(monitor.signed(by=pair("other") if send is forged else None))
    account.disturb(failing(call, range(number, 10_000)))
    monitor.deliver(event)
    assert len(monitor.dead_letters) == 1
    told_already = len(monitor.subjects)
    account.disturb()
    account.clock.sleep(3600)
    monitor.deliver(event)
    assert len(monitor.dead_letters) == 1
    is_noted = not told_already or NOTE[send] != number or call != "documents.write"
    assert len(monitor.subjects) == (1 if is_noted else 2)
    assert len(account.workflows.started) == (send is believed)


@pytest.mark.parametrize("by", ["own", "other"])
def test_next_try_need_not_wait(by: str) -> None:
    """What could not be told is told by whoever comes next, at once."""
    account, monitor = hearing()
    event = monitor.event(monitor.signed(by=pair(by) if by == "other" else None))
    account.disturb(failing("alerts.tell", range(1, 2)))
    before = account.clock.now()
    with pytest.raises(AwsError):
        monitor.serve(event)
    monitor.serve(event)
    assert len(monitor.subjects) == 1
    assert account.clock.now() == before


def test_rotation_that_cannot_be_started() -> None:
    """People are told at once, with what to do by hand; the start alone is tried again."""
    account, monitor = hearing()
    account.disturb(failing("workflows.start"))
    event = monitor.event(monitor.signed())
    monitor.deliver(event)
    ((_, text, _),) = account.alerts.told
    assert "could not be started by itself yet" in text
    assert "aws iot create-job" in text
    assert len(monitor.dead_letters) == 1
    account.disturb()
    monitor.deliver(event)
    assert len(account.workflows.started) == 1
    assert len(account.alerts.told) == 1
    account.calls.clear()
    monitor.deliver(event)
    assert len(account.calls) <= 2


@pytest.mark.parametrize("at", range(len(CALLS)))
@pytest.mark.parametrize("is_done", [False, True])
def test_process_dies(at: int, is_done: bool) -> None:
    """Killed before or after any call: the event comes again, and the rest is done."""
    account, monitor = hearing()

    def die(_name: str, _number: int) -> None:
        if len(account.calls) == at + 1:
            raise KeyboardInterrupt

    event = monitor.event(monitor.signed())
    account.disturb(quiet, die) if is_done else account.disturb(die)
    with pytest.raises(KeyboardInterrupt):
        monitor.serve(event)
    died_telling = "alerts.tell" in account.calls and bool(monitor.subjects)
    is_noted = CALLS[at:].count("documents.write") == 0 or (
        is_done and CALLS[at:].count("documents.write") == 1 and CALLS[at] == "documents.write"
    )
    account.disturb()
    account.clock.sleep(60)
    monitor.deliver(event)
    assert len(monitor.subjects) == (2 if died_telling and not is_noted else 1)
    assert len(account.workflows.started) == 1
    assert monitor.dead_letters == []


@pytest.mark.parametrize("at", range(len(CALLS)))
def test_two_at_once(at: int) -> None:
    """The same alert a second time, in the midst of the first: it is told once."""
    account, monitor = hearing()
    event = monitor.event(monitor.signed())
    is_nested = False

    def second(_name: str, _number: int) -> None:
        nonlocal is_nested
        if len(account.calls) == at + 1 and not is_nested:
            is_nested = True
            with suppress(StillTelling, RecordChanged):
                monitor.serve(event)

    account.disturb(second)
    monitor.deliver(event)
    assert is_nested
    account.disturb()
    account.clock.sleep(60)
    monitor.deliver(event)  # Lambda's retry of whoever had to stand back
    assert len(monitor.subjects) == 1
    assert len(account.workflows.started) == 1
    assert monitor.dead_letters == []
