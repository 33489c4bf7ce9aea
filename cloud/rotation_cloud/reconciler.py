"""A look over the whole fleet: what is not as it should be is repaired or told.

One run reads everything once (``fleet.py``), then examines the things about which something
looks wrong, and a share of the others (``examination.py``). It ends in time, and says where it
stopped. Nothing is remembered here; the run of the day is ``daily.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rotation_cloud import job_events
from rotation_cloud.case import Case
from rotation_cloud.examination import examine
from rotation_cloud.findings import MOST_SHOWN, Finding, Kind, Result, counted
from rotation_cloud.finish import StillIssuing
from rotation_cloud.fleet import Fleet, is_due_for_a_look
from rotation_cloud.ports import AwsError, Cloud, NotFound, RecordChanged, Throttled
from rotation_cloud.repairs import Repairs
from rotation_protocol.fields import Fields, WireError

_log = logging.getLogger(__name__)
#: No further thing is begun with less than this left, in seconds: a repair takes its time.
_MARGIN = 120.0


@dataclass(frozen=True)
class Orders:
    """What a run is to do: nothing but look (``dry_run``), one thing only, or all those after
    ``after`` in the order of their names. ``most_repairs``: how many at the most."""

    most_repairs: int
    auto_rotate_days: int = 0
    dry_run: bool = False
    thing: str = ""
    after: str = ""

    @classmethod
    def of(cls, event: Mapping[str, Any], most_repairs: int, auto_rotate_days: int) -> Orders:
        """What somebody asks for by hand. Raises WireError, also for what is not known here: a
        misspelt ``dryRun`` must not do what it was to prevent."""
        unknown = sorted(set(event) - {"dryRun", "thing", "after", "maxRepairs"})
        if unknown:
            raise WireError(
                f"{', '.join(unknown)}: not known; there are dryRun, thing, after and maxRepairs"
            )
        fields = Fields(event)
        most: int | None = fields.optional("maxRepairs", int)
        if most is not None and most < 0:
            raise WireError("maxRepairs is below 0")
        return cls(
            most_repairs=most_repairs if most is None else most,
            auto_rotate_days=auto_rotate_days,
            dry_run=bool(fields.optional("dryRun", bool)),
            thing=fields.optional("thing", str) or "",
            after=fields.optional("after", str) or "",
        )


@dataclass
class Report:
    """What a run has seen. ``stopped_after`` is the last thing of a run that did not come to its
    end (empty: it had not begun), None for one that did; ``why`` it stopped."""

    findings: Sequence[Finding] = ()
    repairs: int = 0
    things: int = 0
    examined: int = 0
    certificates: int = 0
    stopped_after: str | None = None
    why: str = ""
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """The answer to whoever invoked it. At most 100 findings are named, all are counted."""
        ordered = sorted(self.findings, key=lambda one: one.result is Result.REPAIRED)
        answer: dict[str, Any] = {
            "dryRun": self.dry_run,
            "complete": self.stopped_after is None,
            "things": self.things,
            "examined": self.examined,
            "certificates": self.certificates,
            "counts": counted(self.findings),
            "findings": [one.to_json() for one in ordered[:MOST_SHOWN]],
        }
        if self.stopped_after is not None:
            answer |= {"after": self.stopped_after, "why": self.why}
        return answer


def reconcile(
    cloud: Cloud,
    orders: Orders,
    remaining: Callable[[], float],
    begin: Callable[[str], None] = lambda _: None,
) -> Report:
    """One run. ``remaining`` says how many seconds it may still take; ``begin`` is told the name
    of a thing before anything is done to it.

    Raises AwsError if not even the fleet could be read.
    """
    repairs = Repairs(cloud, dry_run=orders.dry_run, most=orders.most_repairs, begin=begin)
    try:
        job_events.watch(cloud, repairs)
    except AwsError as error:
        repairs.leave(Kind.NOT_EXAMINED, "", f"job-execution events: {error}")
    fleet = Fleet.seen(cloud)
    report = Report(
        things=len(fleet.things), certificates=len(fleet.certificates), dry_run=orders.dry_run
    )
    done = orders.after
    for thing in _to_examine(fleet, orders, cloud.clock.now()):
        if remaining() < _MARGIN:
            report.stopped_after, report.why = done, "its time was over"
            break
        try:
            if thing not in fleet.heartbeats and thing not in fleet.records:
                cloud.registry.principals(thing)
            examine(Case(cloud, fleet, repairs, thing), orders.auto_rotate_days)
        except Throttled as error:
            report.stopped_after, report.why = done, str(error)
            break
        except (RecordChanged, StillIssuing) as busy:
            _log.info("reconciler-left thing=%s: at work: %s", thing, busy)
        except NotFound:
            repairs.leave(Kind.NOT_EXAMINED, thing, "there is no such thing")
        except AwsError as error:
            repairs.leave(Kind.NOT_EXAMINED, thing, str(error))
        report.examined += 1
        done = thing
    report.findings, report.repairs = repairs.findings, repairs.tried
    return report


def _to_examine(fleet: Fleet, orders: Orders, now: float) -> Iterator[str]:
    if orders.thing:
        yield orders.thing
        return
    count = len(fleet.things)
    for thing in fleet.things:
        if thing > orders.after and (
            fleet.looks_wrong(thing, now, orders.auto_rotate_days)
            or is_due_for_a_look(thing, count, now)
        ):
            yield thing
