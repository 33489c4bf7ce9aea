"""When a device asks for a rotation by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from certkeeper.core import effects, events, policy
from certkeeper.core.certificate import Inventory, PairState
from certkeeper.core.effects import Effect
from certkeeper.core.moment import Moment
from certkeeper.core.policy import Policy, Terms
from certkeeper.core.settings import Settings
from certkeeper.core.value_reader import RotateWindow
from tests.core.world import (
    CERTIFICATE_ID,
    DAY,
    HOUR,
    NOW,
    THING,
    ending_in,
    facts,
    inventory,
    next_check,
    reading,
)

TERMS = Terms(THING, Settings(), next_check, None, False)
NIGHTLY = Settings(rotate_window=RotateWindow("cron(0 2 * * ? *)", 120))
AT_ONCE = Moment(NOW, 1000.0)


def checked(
    found: Inventory, terms: Terms = TERMS, now: Moment = AT_ONCE
) -> tuple[Policy, list[Effect]]:
    """After a check that found this."""
    after, asked = policy.step(Policy(), events.Inspected(found), now, terms)
    return after, list(asked)


def sent(asked: tuple[Effect, ...]) -> list[effects.Send]:
    return [effect for effect in asked if isinstance(effect, effects.Send)]


@pytest.mark.parametrize(
    ("days", "before", "due"),
    [
        (46, 45, False),
        (45, 45, True),
        (44, 45, True),
        (-3, 45, True),
        (5, 0, False),
        (20, 7, False),
    ],
)
def test_due_near_the_deadline(days: int, before: int, due: bool) -> None:
    """So many days before the deadline, or after it; never where it is 0."""
    terms = replace(TERMS, settings=Settings(rotate_before_days=before))
    after, _ = checked(ending_in(days * DAY), terms)
    assert (after.ask_at == NOW) == due
    assert due or after == Policy()


def test_age_is_a_deadline_too() -> None:
    """A certificate that ends in 2049 is due by maxAgeDays."""
    old = inventory(reading(facts(not_before=NOW - 330 * DAY)))
    assert checked(old)[0].ask_at is None
    terms = replace(TERMS, settings=Settings(max_age_days=365))
    assert checked(old, terms)[0].ask_at == NOW


@pytest.mark.parametrize(
    ("lives", "left", "due"),
    [(30, 30, False), (30, 11, False), (30, 10, True), (90, 31, False), (90, 30, True)],
)
def test_not_before_the_last_third(lives: int, left: int, due: bool) -> None:
    """What lives shorter than rotateBeforeDays says is not due on the day it was issued."""
    issued = NOW - (lives - left) * DAY
    by_end = inventory(reading(facts(not_before=issued, not_after=NOW + left * DAY)))
    assert (checked(by_end)[0].ask_at == NOW) == due
    by_age = inventory(reading(facts(not_before=issued)))
    terms = replace(TERMS, settings=Settings(max_age_days=lives))
    assert (checked(by_age, terms)[0].ask_at == NOW) == due


def test_asks_once_for_each_check() -> None:
    """The cloud is asked for a job, by the certificate's id; and again only at the next check."""
    due, asked = checked(ending_in(10 * DAY))
    assert [log.event for log in asked if isinstance(log, effects.Log)] == ["rotation-due"]
    assert due.wake_at(AT_ONCE) == AT_ONCE.monotonic
    asking, then = policy.step(due, events.Tick(), AT_ONCE, TERMS)
    (request,) = sent(then)
    assert request.topic == f"certkeeper/things/{THING}/certificate/request"
    assert json.loads(request.payload) == {"certificateId": CERTIFICATE_ID}
    assert asking.wake_at(AT_ONCE) is None
    assert policy.step(asking, events.Tick(), AT_ONCE, TERMS) == (asking, ())
    assert checked(ending_in(10 * DAY))[0] == due


def test_not_while_one_is_under_way() -> None:
    """A rotation that runs is not asked for, neither at the check nor when the time has come."""
    busy = replace(TERMS, under_way=True)
    assert checked(ending_in(10 * DAY), busy)[0] == Policy()
    due, _ = checked(ending_in(10 * DAY))
    after, then = policy.step(due, events.Tick(), AT_ONCE, busy)
    assert (after.ask_at, then) == (None, ())


@pytest.mark.parametrize(
    ("wall", "newest_seen"),
    [
        (datetime(1970, 1, 1, tzinfo=NOW.tzinfo), None),
        (NOW, NOW + 10 * DAY),
    ],
    ids=["before the certificate", "before the newest time seen"],
)
def test_a_clock_that_cannot_be_right_starts_nothing(
    wall: datetime, newest_seen: datetime | None
) -> None:
    """Without a trusted clock nothing is due."""
    terms = replace(TERMS, newest_seen=newest_seen)
    assert checked(ending_in(10 * DAY), terms, Moment(wall, 1.0))[0] == Policy()


def test_nothing_to_go_by() -> None:
    """No certificate, or one beside another key, is for people to look at."""
    assert checked(inventory())[0] == Policy()
    core = replace(reading(facts(NOW + DAY)), pair=PairState.MISMATCH)
    assert checked(inventory(core))[0] == Policy()


def test_waits_for_the_window() -> None:
    """With a window, a device asks at its own moment of the next one's first half."""
    terms = replace(TERMS, settings=NIGHTLY)
    due, _ = checked(ending_in(10 * DAY), terms)
    assert due.ask_at is not None
    opens = NOW + HOUR
    assert opens <= due.ask_at < opens + HOUR
    assert policy.step(due, events.Tick(), AT_ONCE, terms) == (due, ())
    wake_at = due.wake_at(AT_ONCE)
    assert wake_at is not None
    then = Moment(due.ask_at, wake_at)
    assert sent(policy.step(due, events.Tick(), then, terms)[1])


def test_an_open_window_is_used_at_once() -> None:
    """A check within the window asks at once."""
    terms = replace(TERMS, settings=NIGHTLY)
    within = Moment(NOW + HOUR + timedelta(minutes=90), 1.0)
    assert checked(ending_in(10 * DAY), terms, within)[0].ask_at == within.wall
    closed = Moment(NOW + 4 * HOUR, 1.0)
    ask_at = checked(ending_in(10 * DAY), terms, closed)[0].ask_at
    assert ask_at is not None
    assert ask_at > NOW + 24 * HOUR


def test_a_fleet_is_spread_over_the_window() -> None:
    """Devices with other certificates ask at other moments, each always at the same."""
    window = RotateWindow("cron(0 2 * * ? *)", 120)
    moments = [policy.opens_at(window, NOW, next_check, f"{n:064x}") for n in range(1000)]
    assert len(set(moments)) > 990
    assert moments[7] == policy.opens_at(window, NOW, next_check, f"{7:064x}")


def test_a_window_that_never_opens() -> None:
    """A schedule without a next time asks never, and says so."""
    settings = Settings(rotate_window=RotateWindow("cron(0 2 1 1 ? 1999)", 60))
    due, asked = checked(ending_in(10 * DAY), replace(TERMS, settings=settings))
    assert due.ask_at is None
    (log,) = asked
    assert isinstance(log, effects.Log)
    assert log.details["askAt"] == "never"


def test_the_answer_is_a_line() -> None:
    """What the cloud says of the request is said in the log."""
    for problem, event, level in (
        ("", "request-accepted", "INFO"),
        ("no", "request-rejected", "WARN"),
    ):
        answer = events.RequestAnswered(problem)
        after, (log,) = policy.step(Policy(), answer, AT_ONCE, TERMS)
        assert after == Policy()
        assert isinstance(log, effects.Log)
        assert (log.event, log.level) == (event, level)
