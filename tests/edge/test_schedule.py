"""Schedules in EventBridge syntax: what they mean, what is refused, and the jitter."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.edge import schedule
from certkeeper.edge.schedule import ScheduleError, jitter, next_check, parse

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moments(low: str, high: str) -> st.SearchStrategy[datetime]:
    first, last = datetime.fromisoformat(low), datetime.fromisoformat(high)
    return st.datetimes(first, last, timezones=st.just(UTC))


def times(expression: str, after: str, count: int) -> list[str]:
    moment, found = at(after), []
    planned = parse(expression)
    for _ in range(count):
        following = planned.next_after(moment)
        assert following is not None
        moment = following
        found.append(moment.strftime("%a %Y-%m-%d %H:%M"))
    return found


# The examples of https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
AWS_EXAMPLES = {
    "cron(0 10 * * ? *)": ["Fri 2026-05-01 10:00", "Sat 2026-05-02 10:00"],
    "cron(15 12 * * ? *)": ["Fri 2026-05-01 12:15", "Sat 2026-05-02 12:15"],
    "cron(0 18 ? * MON-FRI *)": ["Fri 2026-05-01 18:00", "Mon 2026-05-04 18:00"],
    "cron(0 8 1 * ? *)": ["Fri 2026-05-01 08:00", "Mon 2026-06-01 08:00"],
    "cron(0/15 * * * ? *)": ["Fri 2026-05-01 00:15", "Fri 2026-05-01 00:30"],
    "cron(0/10 * ? * MON-FRI *)": ["Fri 2026-05-01 00:10", "Fri 2026-05-01 00:20"],
    "cron(0/5 8-17 ? * MON-FRI *)": ["Fri 2026-05-01 08:00", "Fri 2026-05-01 08:05"],
    "cron(0/30 20-2 ? * MON-FRI *)": [
        *("Fri 2026-05-01 00:30", "Fri 2026-05-01 01:00", "Fri 2026-05-01 01:30"),
        *("Fri 2026-05-01 02:00", "Fri 2026-05-01 02:30", "Fri 2026-05-01 20:00"),
    ],
    "cron(0 12 * * ? *)": ["Fri 2026-05-01 12:00"],
    "cron(5,35 14 * * ? *)": ["Fri 2026-05-01 14:05", "Fri 2026-05-01 14:35"],
    "cron(15 10 ? * 6L 2026-2029)": ["Fri 2026-05-29 10:15", "Fri 2026-06-26 10:15"],
    "cron(0 9 ? * 3#2 *)": ["Tue 2026-05-12 09:00", "Tue 2026-06-09 09:00"],
    "cron(0 9 3W * ? *)": ["Mon 2026-05-04 09:00", "Wed 2026-06-03 09:00"],
    "cron(1/10 0 * * ? *)": ["Fri 2026-05-01 00:01", "Fri 2026-05-01 00:11"],
    "rate(1 minute)": ["Fri 2026-05-01 00:01", "Fri 2026-05-01 00:02"],
    "rate(5 minutes)": ["Fri 2026-05-01 00:05", "Fri 2026-05-01 00:10"],
    "rate(1 hour)": ["Fri 2026-05-01 01:00", "Fri 2026-05-01 02:00"],
    "rate(1 day)": ["Sat 2026-05-02 00:00", "Sun 2026-05-03 00:00"],
}


@pytest.mark.parametrize(("expression", "expected"), AWS_EXAMPLES.items())
def test_an_example_of_the_aws_documentation_means_what_it_says_there(
    expression: str, expected: list[str]
) -> None:
    """Each example of AWS's page gives the times that the page describes."""
    assert times(expression, "2026-05-01 00:00", len(expected)) == expected


CASES = {
    # Sunday is 1, so 2 is Monday and 7 is Saturday.
    ("cron(0 0 ? * 1 *)", "2026-05-01 00:00"): ["Sun 2026-05-03 00:00"],
    ("cron(0 0 ? * 7 *)", "2026-05-01 00:00"): ["Sat 2026-05-02 00:00"],
    ("cron(0 0 ? * 2,4 *)", "2026-05-01 00:00"): ["Mon 2026-05-04 00:00", "Wed 2026-05-06 00:00"],
    ("cron(0 0 ? * fri-mon *)", "2026-05-03 12:00"): [
        *("Mon 2026-05-04 00:00", "Fri 2026-05-08 00:00"),
    ],
    ("cron(0 0 ? * L *)", "2026-05-01 00:00"): ["Sat 2026-05-02 00:00", "Sat 2026-05-09 00:00"],
    ("cron(0 0 ? * 5L *)", "2026-05-01 00:00"): ["Thu 2026-05-28 00:00"],
    ("cron(0 0 ? * FRIL *)", "2026-05-01 00:00"): ["Fri 2026-05-29 00:00"],
    ("cron(0 0 ? * FRI#3 *)", "2026-05-01 00:00"): ["Fri 2026-05-15 00:00"],
    ("cron(0 0 ? * 6#3 *)", "2026-05-01 00:00"): ["Fri 2026-05-15 00:00"],
    ("cron(0 0 ? * 1#5 *)", "2026-06-01 00:00"): ["Sun 2026-08-30 00:00"],
    ("cron(0 0 L * ? *)", "2026-01-31 00:00"): ["Sat 2026-02-28 00:00"],
    ("cron(0 0 L FEB ? *)", "2026-03-01 00:00"): ["Sun 2027-02-28 00:00", "Tue 2028-02-29 00:00"],
    ("cron(0 0 LW * ? *)", "2026-05-01 00:00"): ["Fri 2026-05-29 00:00"],
    # The nearest weekday is never in another month.
    ("cron(0 0 1W * ? *)", "2026-07-31 00:00"): ["Mon 2026-08-03 00:00"],
    ("cron(0 0 31W * ? *)", "2026-05-01 00:00"): ["Fri 2026-05-29 00:00", "Fri 2026-07-31 00:00"],
    ("cron(0 0 15W * ? *)", "2026-08-01 00:00"): ["Fri 2026-08-14 00:00"],
    ("cron(0 0 15W * ? *)", "2026-11-01 00:00"): ["Mon 2026-11-16 00:00"],
    # A year jump, and the leap day that 2100 does not have.
    ("cron(0 0 1 1 ? 2199)", "1970-01-01 00:00"): ["Tue 2199-01-01 00:00"],
    ("cron(0 0 29 2 ? *)", "2096-03-01 00:00"): ["Fri 2104-02-29 00:00"],
    ("cron(59 23 31 12 ? 1970/100)", "1971-01-01 00:00"): ["Wed 2070-12-31 23:59"],
    ("cron(0 0 1 JAN,JUL ? 2030-2031)", "2026-05-01 00:00"): [
        *("Tue 2030-01-01 00:00", "Mon 2030-07-01 00:00", "Wed 2031-01-01 00:00"),
    ],
    # The next match lies between two years that are named.
    ("cron(0 0 1 1 ? 2026,2030)", "2026-05-01 00:00"): ["Tue 2030-01-01 00:00"],
    # The moment itself is over, its seconds are not.
    ("cron(30 2 * * ? *)", "2026-05-01 02:30:00"): ["Sat 2026-05-02 02:30"],
    ("cron(30 2 * * ? *)", "2026-05-01 02:29:59"): ["Fri 2026-05-01 02:30"],
    ("cron(* * * * ? *)", "2026-05-01 02:29:59"): ["Fri 2026-05-01 02:30", "Fri 2026-05-01 02:31"],
    ("  cron( 0  2 * *  ? * ) ", "2026-05-01 00:00"): ["Fri 2026-05-01 02:00"],
}


@pytest.mark.parametrize(("case", "expected"), CASES.items())
def test_a_cron_expression_gives_the_next_times(case: tuple[str, str], expected: list[str]) -> None:
    """Numbers, names, L, W, #, wrapped ranges and years mean what EventBridge means."""
    assert times(*case, len(expected)) == expected


REFUSED = {
    "": "is not a schedule",
    "0 2 * * ? *": "is not a schedule",
    "at(2026-01-01T00:00:00)": "is not a schedule",
    "CRON(0 2 * * ? *)": "is not a schedule",
    "cron(0 2 * * ? *": "is not a schedule",
    "cron(0 2 * * ? *) cron(0 2 * * ? *)": "is not a schedule",
    "cron(0 2 * * ?)": "six fields, not 5",
    "cron(0 0 2 * * ? *)": "six fields, not 7",
    "cron()": "six fields, not 0",
    "cron(0 2 * * * *)": "cannot both be given: put ?",
    "cron(0 2 1 * MON *)": "cannot both be given: put ?",
    "cron(0 2 ? * ? *)": "are both ?",
    "cron(60 2 * * ? *)": "minutes: '60' is not a number from 0 to 59",
    "cron(? 2 * * ? *)": "minutes: '?' is not a number",
    "cron(-1 2 * * ? *)": "minutes: '' is not a number",
    "cron(1,,2 2 * * ? *)": "minutes: '' is not a number",
    "cron(٣ 2 * * ? *)": "minutes: '٣' is not a number",
    "cron(0 24 * * ? *)": "hours: '24' is not a number from 0 to 23",
    "cron(0 2 0 * ? *)": "day-of-month: '0' is not a number from 1 to 31",
    "cron(0 2 32W * ? *)": "day-of-month: '32' is not a number from 1 to 31",
    "cron(0 2 1,L * ? *)": "day-of-month: '1,L' is not L, LW or a day and W, alone",
    "cron(0 2 1W,2W * ? *)": "day-of-month: '1W,2W' is not",
    "cron(0 2 * 13 ? *)": "month: '13' is not a number from 1 to 12 or JAN to DEC",
    "cron(0 2 * JANUARY ? *)": "month: 'JANUARY' is not",
    "cron(0 2 ? * 0 *)": "day-of-week: '0' is not a number from 1 to 7 or SUN to SAT",
    "cron(0 2 ? * 8 *)": "day-of-week: '8' is not",
    "cron(0 2 ? * 6#6 *)": "day-of-week: '6#6' is not",
    "cron(0 2 ? * 3#1,6#3 *)": "day-of-week: '3#1,6#3' is not",
    "cron(0 2 ? * FRIL,SAT *)": "day-of-week: 'FRIL,SAT' is not",
    "cron(0 2 * * ? 1969)": "year: '1969' is not a number from 1970 to 2199",
    "cron(0 2 * * ? 2200)": "year: '2200' is not",
    "cron(0 2 * * ? 2030-2020)": "year: '2030-2020' ends before it begins",
    "cron(0/0 2 * * ? *)": "minutes: '0' is not a step",
    "cron(0/60 2 * * ? *)": "minutes: '60' is not a step from 1 to 59",
    "cron(0/ 2 * * ? *)": "minutes: '' is not a step",
    "cron(/15 2 * * ? *)": "minutes: '' is not a number",
    "cron(0 0 30 2 ? *)": "there is no such day",
    "cron(0 0 31 4,6,9,11 ? *)": "there is no such day",
    "cron(0 0 29 2 ? 2023,2025-2027,2100)": "there is no such day",
    "cron(0 0 30W FEB ? *)": "there is no such day",
    "cron(0 0 ? FEB MON#5 2026-2043)": "there is no such day",
    "rate()": "two fields",
    "rate(5)": "two fields",
    "rate(5 minutes please)": "two fields",
    "rate(0 minutes)": "'0' is not a whole number above 0",
    "rate(-5 minutes)": "'-5' is not a whole number above 0",
    "rate(1.5 hours)": "'1.5' is not a whole number above 0",
    "rate(٣ hours)": "is not a whole number",
    "rate(1 hours)": "EventBridge wants 1 hour, not hours",
    "rate(5 hour)": "EventBridge wants 5 hours, not hour",
    "rate(5 seconds)": "'seconds' is not a unit",
    "rate(2 hourss)": "'hourss' is not a unit",
    "rate(367 days)": "too seldom",
    "rate(999999999 minutes)": "too seldom",
    "rate(9999999999 minutes)": "is not a whole number",
    "cron(" + "1," * 200 + "1 2 * * ? *)": "at most 256 characters",
}


@pytest.mark.parametrize(("expression", "reason"), REFUSED.items())
def test_what_is_not_a_schedule_is_refused_with_a_reason(expression: str, reason: str) -> None:
    """An expression that EventBridge would refuse, or that never comes, is refused in words."""
    with pytest.raises(ScheduleError) as refusal:
        parse(expression)
    assert reason in str(refusal.value)
    assert schedule.problem(expression) == str(refusal.value)


def test_a_schedule_has_no_problem() -> None:
    """What parses has nothing to complain of."""
    assert schedule.problem("cron(0 2 * * ? *)") is None


def test_a_schedule_whose_years_are_over_has_no_next_time() -> None:
    """After the last year there is None, not an error and not an endless search."""
    planned = parse("cron(0 0 1 1 ? 2020)")
    assert planned.next_after(at("2019-12-31 23:59")) == at("2020-01-01 00:00")
    assert planned.next_after(at("2020-01-01 00:00")) is None
    assert parse("cron(* * * * ? *)").next_after(at("2199-12-31 23:59")) is None
    assert parse("cron(* * * * ? *)").next_after(at("9999-12-31 23:59")) is None
    assert parse("rate(1 minute)").next_after(at("9999-12-31 23:59")) is None


def test_a_jump_over_years_is_not_a_walk_through_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year 200 years ahead, and a W that is rare, take few searches."""
    searches: list[datetime] = []

    def counted(expression: str, moment: datetime) -> CronSim:
        searches.append(moment)
        return CronSim(expression, moment)

    for expression, most in (
        ("cron(* * * * ? 2199)", 1),
        ("cron(0 0 29 2 ? 2196)", 1),
        ("cron(* * 15W 1 ? 2199)", 5),
    ):
        planned = parse(expression)
        monkeypatch.setattr(schedule, "CronSim", counted)
        searches.clear()
        assert planned.next_after(at("1970-01-01 00:00")) is not None
        assert len(searches) <= most
        monkeypatch.undo()


def test_a_moment_needs_a_time_zone_and_may_have_any() -> None:
    """A naive moment is refused; another zone's moment is understood, the answer is in UTC."""
    planned = parse("cron(0 2 * * ? *)")
    with pytest.raises(ValueError, match="time zone"):
        planned.next_after(datetime(2026, 5, 1))  # noqa: DTZ001  # the point of the test
    east = timezone(timedelta(hours=5))
    following = planned.next_after(datetime(2026, 5, 1, 6, 59, tzinfo=east))
    assert following is not None
    assert following.isoformat() == "2026-05-01T02:00:00+00:00"


@given(
    count=st.integers(2, 500),
    unit=st.sampled_from([("minutes", 60), ("hours", 3600)]),
    moment=moments("1970-01-01", "2190-01-01"),
)
def test_a_rate_is_a_grid_that_does_not_depend_on_when_one_asks(
    count: int, unit: tuple[str, int], moment: datetime
) -> None:
    """The next time is later by at most one period, and the one after it by exactly one."""
    planned, period = parse(f"rate({count} {unit[0]})"), timedelta(seconds=count * unit[1])
    following = planned.next_after(moment)
    assert following is not None
    assert moment < following <= moment + period
    assert planned.next_after(following) == following + period
    assert planned.next_after(following - timedelta(microseconds=1)) == following


# -- jitter ---------------------------------------------------------------------------


def test_jitter_is_the_same_everywhere_and_for_ever() -> None:
    """Other processes, hash seeds and Python versions give the number that is written here."""
    expected = [2404.966362, 839.907796, 2976.080232]  # by the CRC-32 that gzip writes
    names = ["press-7", "press-8", "gateway:17"]
    assert [jitter(name, timedelta(hours=1)).total_seconds() for name in names] == expected
    program = (
        "from datetime import timedelta; from certkeeper.edge.schedule import jitter;"
        f"print([jitter(n, timedelta(hours=1)).total_seconds() for n in {names!r}])"
    )
    source = str(Path(schedule.__file__).parents[2])
    for seed in ("0", "1"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": source, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        )
        assert answer.stdout.strip() == repr(expected)


@given(name=st.text(max_size=20), seconds=st.integers(0, 10**6))
def test_jitter_stays_within_its_spread(name: str, seconds: int) -> None:
    """It is from 0 up to but not including the spread, and 0 for a spread of 0."""
    spread = timedelta(seconds=seconds)
    delay = jitter(name, spread)
    assert timedelta(0) <= delay < spread or delay == spread == timedelta(0)


def test_jitter_spreads_a_fleet_evenly() -> None:
    """Of 10,000 things, each minute of the hour gets its share."""
    minutes = [0] * 60
    for number in range(10_000):
        minutes[jitter(f"thing-{number}", timedelta(hours=1)) // MINUTE] += 1
    assert min(minutes) > 100
    assert max(minutes) < 250


def test_a_negative_spread_is_refused() -> None:
    """There is no delay into the past."""
    with pytest.raises(ValueError, match="negative"):
        jitter("press-7", timedelta(seconds=-1))


def test_the_next_check_is_a_time_of_the_schedule_and_the_jitter_of_the_thing() -> None:
    """Asked before, at and after its delayed time, a thing checks once a period, never twice."""
    spread, delay = timedelta(hours=1), jitter("press-7", timedelta(hours=1))
    first = at("2026-05-01 02:00") + delay
    second = at("2026-05-02 02:00") + delay
    daily = "cron(0 2 * * ? *)"
    assert next_check(daily, at("2026-05-01 00:00"), "press-7", spread) == first
    assert next_check(daily, at("2026-05-01 02:00"), "press-7", spread) == first
    assert next_check(daily, first - timedelta(seconds=1), "press-7", spread) == first
    assert next_check(daily, first, "press-7", spread) == second
    assert next_check("cron(0 2 * * ? 2020)", first, "press-7", spread) is None
