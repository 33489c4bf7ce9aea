"""Cron schedules against a plain matcher that tries every minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from certkeeper.edge.schedule import parse, problem

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Part:
    """A piece of an expression, and what it stands for."""

    text: str
    stands_for: Callable[[int], bool]


def spans(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[Part]:
    def name(value: int) -> st.SearchStrategy[str]:
        return st.sampled_from([str(value), names[value - low]] if names else [str(value)])

    @st.composite
    def one(draw: st.DrawFn) -> Part:
        kind = draw(st.sampled_from(["*", "n", "a-b", "a/n", "*/n", "a-b/n"]))
        start, end = draw(st.integers(low, high)), draw(st.integers(low, high))
        step = draw(st.integers(1, high))
        if kind in ("*", "*/n"):
            start, end = low, high
        elif kind == "n":
            end = start
        elif kind == "a/n":
            end = high
        walked, value = [start], start
        while value != end:
            value = value + 1 if value < high else low
            walked.append(value)
        if kind.endswith("/n"):
            walked = [value for place, value in enumerate(walked) if place % step == 0]
        text = kind.replace("n", str(step)) if "/" in kind else kind.replace("n", draw(name(start)))
        text = text.replace("a", "\0").replace("b", draw(name(end)))
        chosen = frozenset(walked)
        return Part(text.replace("\0", draw(name(start))), chosen.__contains__)

    return st.lists(one(), min_size=1, max_size=3).map(
        lambda parts: Part(
            ",".join(part.text for part in parts),
            lambda value: any(part.stands_for(value) for part in parts),
        )
    )


def weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def month_of(day: date) -> list[date]:
    first = day.replace(day=1)
    return [d for d in (first + timedelta(days=n) for n in range(31)) if d.month == day.month]


def nearest_working_day(day: date, number: int) -> bool:
    month = month_of(day)
    if number > len(month):
        return False
    working = [d for d in month if 2 <= weekday(d) <= 6]
    return day == min(working, key=lambda d: abs(d.day - number))


def last_working_day(day: date) -> bool:
    return day == [d for d in month_of(day) if 2 <= weekday(d) <= 6][-1]


WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@st.composite
def days(draw: st.DrawFn) -> tuple[str, str, Callable[[date], bool]]:
    """Day-of-month, day-of-week, and whether a date is one of these days."""
    kind = draw(st.sampled_from(["days", "weekdays", "L", "LW", "nW", "nL", "n#k", "saturdays"]))
    number = draw(st.integers(1, 31))
    dow, k = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    name = draw(st.sampled_from([str(dow), WEEKDAYS[dow - 1]]))
    if kind == "days":
        part = draw(spans(1, 31))
        return part.text, "?", lambda d: part.stands_for(d.day)
    if kind == "weekdays":
        part = draw(spans(1, 7, WEEKDAYS))
        return "?", part.text, lambda d: part.stands_for(weekday(d))
    choices: dict[str, tuple[str, str, Callable[[date], bool]]] = {
        "L": ("L", "?", lambda d: d == month_of(d)[-1]),
        "LW": ("LW", "?", last_working_day),
        "nW": (f"{number}W", "?", lambda d: nearest_working_day(d, number)),
        "nL": ("?", f"{name}L", lambda d: weekday(d) == dow and d.day + 7 > len(month_of(d))),
        "n#k": ("?", f"{name}#{k}", lambda d: weekday(d) == dow and (d.day - 1) // 7 + 1 == k),
        "saturdays": ("?", "L", lambda d: weekday(d) == 7),
    }
    return choices[kind]


FIRST, LAST = datetime.fromisoformat("2023-01-01"), datetime.fromisoformat("2029-01-01")


@settings(max_examples=250, deadline=None)
@given(
    minutes=spans(0, 59),
    hours=spans(0, 23),
    which=days(),
    months=spans(1, 12, MONTHS),
    years=st.sampled_from(["*", "2024", "2025-2027", "2024/2", "2023,2026-2030", "2027,2025"]),
    moment=st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
)
def test_cron_agrees_with_a_matcher_that_tries_every_minute(
    minutes: Part,
    hours: Part,
    which: tuple[str, str, Callable[[date], bool]],
    months: Part,
    years: str,
    moment: datetime,
) -> None:
    """The next time is the first minute after the moment that matches every field."""
    of_years: dict[str, Callable[[int], bool]] = {
        "*": lambda year: 1970 <= year <= 2199,
        "2024": lambda year: year == 2024,
        "2025-2027": lambda year: year in (2025, 2026, 2027),
        "2024/2": lambda year: year >= 2024 and year % 2 == 0,
        "2023,2026-2030": lambda year: year == 2023 or 2026 <= year <= 2030,
        "2027,2025": lambda year: year in (2025, 2027),
    }

    def matches(day: date) -> bool:
        return of_years[years](day.year) and months.stands_for(day.month) and which[2](day)

    expression = f"cron({minutes.text} {hours.text} {which[0]} {months.text} {which[1]} {years})"
    refusal = problem(expression)
    if refusal is not None:
        assert "there is no such day" in refusal, expression
        every_day = (date(1970, 1, 1) + timedelta(days=n) for n in range(230 * 366))
        assert not any(day.year < 2200 and matches(day) for day in every_day), expression
        return
    horizon = moment + timedelta(days=1200)
    expected, day = None, moment.date()
    while expected is None and day <= horizon.date():
        if matches(day):
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            for minute in (midnight + MINUTE * n for n in range(24 * 60)):
                if (
                    minute > moment
                    and hours.stands_for(minute.hour)
                    and minutes.stands_for(minute.minute)
                ):
                    expected = minute
                    break
        day += timedelta(days=1)
    found = parse(expression).next_after(moment)
    if expected is None:
        assert found is None or found.date() > horizon.date(), expression
    else:
        assert found == expected, expression
