"""The reconciler's run of the day: begun once, gone on with until it is done, told once.

What must be known for that is kept in a document of its own, under a name that no thing can have.
A run that does not come to its end raises Unfinished: Lambda invokes it again, a minute and two
minutes later, and it goes on where it stopped. What three runs do not manage is left for the next
day, which begins there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rotation_cloud.documents import Document
from rotation_cloud.findings import MOST_SHOWN, Finding, Result, counted, message
from rotation_cloud.ports import Cloud, RecordChanged
from rotation_cloud.reconciler import Orders, reconcile

_log = logging.getLogger(__name__)
#: Not a thing's name, which has no such character.
EVERYTHING = "*"
DIARY = "#reconciler"
#: As often as Lambda makes an asynchronous invocation at the most.
TRIES = 3


class Unfinished(Exception):
    """The fleet was not looked at to the end: to be gone on with."""


@dataclass
class _Day:
    """What is known of the run of one day."""

    day: str
    after: str = ""
    is_complete: bool = False
    is_told: bool = False
    tries: int = 0
    repairs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, body: Any, day: str) -> _Day:
        """The day as it was left; a new one goes on where one stopped that was not complete."""
        if body.get("day") != day:
            return cls(day, after="" if body.get("complete", True) else body["after"])
        return cls(
            day,
            after=body["after"],
            is_complete=body["complete"],
            is_told=body["told"],
            tries=body["tries"],
            repairs=body["repairs"],
            counts=Counter(body["counts"]),
            findings=[Finding.from_json(one) for one in body["findings"]],
        )

    def to_body(self) -> dict[str, Any]:
        return {
            "day": self.day,
            "after": self.after,
            "complete": self.is_complete,
            "told": self.is_told,
            "tries": self.tries,
            "repairs": self.repairs,
            "counts": dict(self.counts),
            "findings": [one.to_json() for one in self.findings],
        }

    def add(self, found: list[Finding]) -> None:
        """Counts all, and keeps those that people have to do something about before others."""
        self.counts.update(counted(found))
        both = sorted([*self.findings, *found], key=lambda one: one.result is Result.REPAIRED)
        self.findings = both[:MOST_SHOWN]


class _Diary:
    """The document, written only by the one run that is under way."""

    def __init__(self, cloud: Cloud, today: str) -> None:
        self._cloud = cloud
        self._document = cloud.documents.get(EVERYTHING, DIARY) or Document(EVERYTHING, DIARY)
        self.day = _Day.of(self._document.body, today)

    def save(self) -> None:
        """Raises AwsError, RecordChanged: another run is under way."""
        written = replace(self._document, body=self.day.to_body())
        self._document = self._cloud.documents.write(written)


def run_of_the_day(
    cloud: Cloud, most_repairs: int, auto_rotate_days: int, remaining: Callable[[], float]
) -> None:
    """Does what is still to be done today. ``remaining``: see reconcile.

    Raises Unfinished and AwsError: to be invoked again.
    """
    diary = _Diary(cloud, datetime.fromtimestamp(cloud.clock.now(), UTC).strftime("%Y-%m-%d"))
    day = diary.day
    if day.is_told:
        return
    if not day.is_complete and day.tries < TRIES:
        day.tries += 1
        try:
            diary.save()
        except RecordChanged:
            _log.info("reconciler-busy another run is under way")
            return
        _run(cloud, diary, Orders(most_repairs - day.repairs, auto_rotate_days), remaining)
        if not day.is_complete and day.tries < TRIES:
            raise Unfinished(f"stopped after {day.after or 'nothing'}")
    if day.counts:
        note = "" if day.is_complete else f"Not complete: it goes on tomorrow after {day.after}."
        subject, body = message(day.day, day.findings, day.counts, note)
        cloud.notices.tell(subject, body)
    day.is_told = True
    diary.save()


def _run(cloud: Cloud, diary: _Diary, orders: Orders, remaining: Callable[[], float]) -> None:
    day = diary.day

    def begin(thing: str) -> None:
        """Should the run be cut off in the repair, the next one begins behind it."""
        day.after, day.repairs = thing or day.after, day.repairs + 1
        diary.save()

    report = reconcile(cloud, replace(orders, after=day.after), remaining, begin)
    day.is_complete = report.stopped_after is None
    day.after = report.stopped_after or ""
    day.add(list(report.findings))
    diary.save()
