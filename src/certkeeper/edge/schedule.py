"""Schedules in the syntax of Amazon EventBridge: ``rate(...)`` and ``cron(...)``, in UTC.

Follows https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html;
where that page is silent, the Quartz rules that it descends from (W stays in its month). The
search itself is done by cronsim, whose dialect is another one: this translates, and filters.
It keeps no time and no state: the next time is a function of the moment asked about.
"""

from __future__ import annotations

import binascii
import re
from abc import ABC, abstractmethod
from calendar import monthrange
from datetime import datetime, timedelta, timezone

from cronsim import CronSim, CronSimError

from rotation_protocol.values import dataclass

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

#: EventBridge takes no longer expression (PutRule, ScheduleExpression).
MAX_LENGTH = 256
#: A certificate that is looked at less than once a year is not watched.
MAX_RATE = timedelta(days=366)

_SYNTAX = (
    "write cron(minutes hours day-of-month month day-of-week year), such as cron(0 2 * * ? *),"
    " or rate(value unit), such as rate(12 hours)"
)


class ScheduleError(ValueError):
    """The expression is not a schedule; the message says what is wrong with it, and where."""


@dataclass(frozen=True)
class Schedule(ABC):
    """When to act, from an expression that has been checked."""

    expression: str

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """The first time later than ``moment`` (any aware datetime), in UTC; None if none is left.

        Raises ValueError for a moment without a time zone.
        """


def parse(expression: str) -> Schedule:
    """The schedule that an EventBridge expression describes. Raises ScheduleError."""
    if len(expression) > MAX_LENGTH:
        raise ScheduleError(f"a schedule has at most {MAX_LENGTH} characters")
    text = expression.strip()
    whole = re.fullmatch(r"(rate|cron)\(([^()]*)\)", text)
    if whole is None:
        raise ScheduleError(f"{text!r} is not a schedule: {_SYNTAX}")
    fields = whole.group(2).split()
    try:
        if whole.group(1) == "rate":
            return _Rate(text, _period(fields))
        return _cron(text, fields)
    except ScheduleError as error:
        raise ScheduleError(f"{text}: {error}") from None


def problem(expression: str) -> str | None:
    """Why the expression is not a schedule, in words; None if it is one."""
    try:
        parse(expression)
    except ScheduleError as error:
        return str(error)
    return None


def jitter(thing_name: str, spread: timedelta) -> timedelta:
    """The delay of this thing, from 0 up to but not including ``spread``: ever the same.

    It spreads a fleet evenly, without chance: a hash of the name takes its place. Raises
    ValueError for a negative spread.
    """
    if spread < timedelta(0):
        raise ValueError(f"a spread of {spread} is negative")
    # Not hashlib: it would keep OpenSSL in the daemon's memory, for a spread.
    share = binascii.crc32(b"certkeeper jitter " + thing_name.encode("utf-8"))
    microseconds = spread // timedelta(microseconds=1)
    return timedelta(microseconds=microseconds * share >> 32)


def next_check(
    expression: str, after: datetime, thing_name: str, spread: timedelta
) -> datetime | None:
    """The next time of the expression for this thing, its jitter added, later than ``after``.

    Raises ScheduleError.
    """
    delay = jitter(thing_name, spread)
    time = parse(expression).next_after(after - delay)
    return None if time is None else time + delay


# -- rate ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rate(Schedule):
    """Every so often, counted from the epoch: a restart does not shift it."""

    period: timedelta

    def next_after(self, moment: datetime) -> datetime | None:
        try:
            return EPOCH + ((_utc(moment) - EPOCH) // self.period + 1) * self.period
        except OverflowError:  # the last day of the year 9999
            return None


def _period(fields: list[str]) -> timedelta:
    if len(fields) != 2:
        raise ScheduleError("a rate has two fields, a value and a unit, such as rate(12 hours)")
    value, unit = fields
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) == 0:
        raise ScheduleError(f"{value!r} is not a whole number above 0")
    count = int(value)
    units = {"minute": MINUTE, "hour": timedelta(hours=1), "day": DAY}
    one = unit[:-1] if unit.endswith("s") else unit
    if one not in units:
        raise ScheduleError(f"{unit!r} is not a unit: minute(s), hour(s) or day(s)")
    right = one if count == 1 else one + "s"
    if unit != right:
        raise ScheduleError(f"EventBridge wants {count} {right}, not {unit}")
    if count > MAX_RATE // units[one]:
        raise ScheduleError(f"once in {value} {unit} is too seldom: at most {MAX_RATE.days} days")
    return count * units[one]


# -- cron ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        if re.fullmatch("[0-9]{1,4}", text) and self.low <= int(text) <= self.high:
            return int(text)
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        raise ScheduleError(
            f"{self.name}: {text!r} is not a number from {self.low} to {self.high}{named}"
        )

    def values(self, text: str) -> list[int]:
        """What a list of values, ranges and steps stands for, in ascending order."""
        return sorted({value for term in text.split(",") for value in self._term(term)})

    def _term(self, term: str) -> list[int]:
        span, slash, step = term.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = self.low, self.high
        else:
            start = self.number(first)
            end = self.number(last) if dash else self.high if slash else start
        if start <= end:
            values = list(range(start, end + 1))
        elif self is _YEAR:
            raise ScheduleError(f"year: {term!r} ends before it begins")
        else:  # 20-2 of the hours is 20 to 23 and 0 to 2
            values = [*range(start, self.high + 1), *range(self.low, end + 1)]
        if not slash:
            return values
        if not re.fullmatch("[0-9]{1,4}", step) or not 0 < int(step) <= self.high:
            raise ScheduleError(f"{self.name}: {step!r} is not a step from 1 to {self.high}")
        return values[:: int(step)]


_MINUTE = _Field("minutes", 0, 59)
_HOUR = _Field("hours", 0, 23)
_DAY_OF_MONTH = _Field("day-of-month", 1, 31)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY_OF_WEEK = _Field("day-of-week", 1, 7, _WEEKDAYS)
_YEAR = _Field("year", 1970, 2199)


@dataclass(frozen=True)
class _Cron(Schedule):
    """``search`` is for cronsim, which knows neither years nor the weekday nearest to a day."""

    search: str
    years: tuple[int, ...]
    nearest_to: int | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """Each turn moves on by a day at least, and by years where the year is not one of ours."""
        after = _utc(moment)
        while True:
            year = next((year for year in self.years if year >= after.year), None)
            if year is None:
                return None
            if year > after.year:
                after = datetime(year, 1, 1, tzinfo=UTC) - MINUTE
            try:
                found: datetime = next(CronSim(self.search, after))
            except StopIteration:  # not once in 50 years, so never: the calendar repeats itself
                return None
            day = self.nearest_to
            if found.year not in self.years:
                after = found
            elif day is not None and found.day != _nearest_weekday(found.year, found.month, day):
                after = found.replace(hour=23, minute=59)
            else:
                return found


def _cron(text: str, fields: list[str]) -> _Cron:
    if len(fields) != 6:
        raise ScheduleError(f"cron has six fields, not {len(fields)}: {_SYNTAX}")
    minutes, hours, day_of_month, months, day_of_week, years = (f.upper() for f in fields)
    if day_of_month != "?" and day_of_week != "?":
        raise ScheduleError("day-of-month and day-of-week cannot both be given: put ? in one")
    if day_of_month == day_of_week:
        raise ScheduleError("day-of-month and day-of-week are both ?: put * or a day in one")
    days, nearest_to = _days_of_month(day_of_month)
    search = " ".join(
        (
            _list(_MINUTE.values(minutes)),
            _list(_HOUR.values(hours)),
            days,
            _list(_MONTH.values(months)),
            _days_of_week(day_of_week),
        )
    )
    schedule = _Cron(text, search, tuple(_YEAR.values(years)), nearest_to)
    try:
        never = schedule.next_after(EPOCH - MINUTE) is None
    except CronSimError:  # it knows that no month has that many days
        never = True
    if never:
        raise ScheduleError("there is no such day, in any of these years")
    return schedule


def _list(values: list[int]) -> str:
    return ",".join(map(str, values))


def _days_of_month(text: str) -> tuple[str, int | None]:
    """For cronsim, and the day n of ``nW``, for which cronsim gets all days that may be it."""
    if text in ("?", "*"):
        return "*", None
    if text in ("L", "LW"):
        return text, None
    near = re.fullmatch("([0-9]{1,4})W", text)
    if near is not None:
        day = _DAY_OF_MONTH.number(near.group(1))
        return f"{max(1, day - 2)}-{min(31, day + 2)}", day
    if "L" in text or "W" in text:
        raise ScheduleError(f"day-of-month: {text!r} is not L, LW or a day and W, alone")
    return _list(_DAY_OF_MONTH.values(text)), None


def _days_of_week(text: str) -> str:
    """For cronsim, which counts from 0 for Sunday."""
    if text in ("?", "*"):
        return "*"
    if text == "L":
        return "6"  # the last day of the week is Saturday
    last = re.fullmatch("([0-9A-Z]{1,4})L", text)
    if last is not None:
        return f"{_DAY_OF_WEEK.number(last.group(1)) - 1}L"
    nth = re.fullmatch("([0-9A-Z]{1,4})#([1-5])", text)
    if nth is not None:
        return f"{_DAY_OF_WEEK.number(nth.group(1)) - 1}#{nth.group(2)}"
    if "L" in text or "#" in text:
        raise ScheduleError(
            f"day-of-week: {text!r} is not a day and L, or a day, # and 1 to 5, alone"
        )
    return _list([day - 1 for day in _DAY_OF_WEEK.values(text)])


def _nearest_weekday(year: int, month: int, day: int) -> int | None:
    """The day of Monday to Friday nearest to ``day`` in its month; None if it has no such day."""
    first, length = monthrange(year, month)
    if day > length:
        return None
    weekday = (first + day - 1) % 7
    if weekday == 5:
        return day - 1 if day > 1 else day + 2
    if weekday == 6:
        return day + 1 if day < length else day - 2
    return day


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC)
