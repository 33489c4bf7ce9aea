"""Reports are heard, and what is not believed costs little and bothers people once a day.

Each sender, by the certificate of its connection, has a tally for the day (UTC). After a few
messages that were not believed, or very many that came too late, it is not listened to until
tomorrow: nothing is looked up in the registry for it, whose quotas the rotations need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rotation_cloud import documents, words
from rotation_cloud.doubts import NotBelieved, Outdated
from rotation_cloud.ports import AwsError, Cloud, RecordChanged
from rotation_cloud.reports import Report
from rotation_cloud.revising import revise
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_cloud.telling import Matter

_log = logging.getLogger(__name__)
_DAY = 24 * 3600
#: Messages of one sender in a day that may be disbelieved before it is not listened to any more.
MOST_DOUBTS = 5
#: Messages of one sender in a day that may be outdated: somewhat more than wait on a device.
MOST_OUTDATED = 250


def hear(cloud: Cloud, event: Mapping[str, Any], serve: Callable[[Report], None]) -> None:
    """Serves one report. Raises AwsError, RecordChanged or StillTelling if it is to come again."""
    report = Report.of(event, cloud.clock.now())
    if report is None:
        _log.warning("not-from-a-device")
        return
    today = _today(cloud, report.principal)
    if today.get("doubts", 0) >= MOST_DOUBTS or today.get("outdated", 0) >= MOST_OUTDATED:
        _log.warning("not-listened-to thing=%s certificate=%s", report.thing, report.principal)
        return
    try:
        serve(report)
    except Outdated as reason:
        _log.info("outdated thing=%s: %s", report.thing, reason)
        count(cloud, report.principal, "outdated")
    except NotBelieved as reason:
        _disbelieve(cloud, report, reason)


def tally(cloud: Cloud, principal: str, what: str) -> int:
    """How many there were of it today."""
    return int(_today(cloud, principal).get(what, 0))


def count(cloud: Cloud, principal: str, what: str) -> None:
    """One more of it today. Where many count at once, some may be missed. Raises AwsError."""
    day = _day(cloud)

    def one_more(body: Mapping[str, Any]) -> Mapping[str, Any]:
        today = body if body.get("day") == day else {"day": day}
        return {**today, what: int(today.get(what, 0)) + 1}

    with suppress(RecordChanged):
        revise(cloud, principal, documents.TALLY, one_more, int(cloud.clock.now()) + 2 * _DAY)


def _today(cloud: Cloud, principal: str) -> Mapping[str, Any]:
    found = cloud.documents.get(principal, documents.TALLY)
    return found.body if found is not None and found.body.get("day") == _day(cloud) else {}


def _day(cloud: Cloud) -> int:
    return int(cloud.clock.now()) // _DAY


def _disbelieve(cloud: Cloud, report: Report, reason: NotBelieved) -> None:
    _log.warning("not-believed thing=%s %s", report.thing, reason.doubt.value)
    name = documents.alert(report.principal, "not-believed")
    matter: Matter | None = Matter.read(cloud, report.principal, name)
    moment = int(report.received_at)
    if matter is not None and not matter.is_over(moment, cloud.clock.now()):
        matter = matter.claim(cloud, moment)
        if matter is not None:
            subject, text = words.not_believed(report.thing, report.principal, reason)
            try:
                cloud.alerts.tell(subject, text, {"severity": "SECURITY", "thing": report.thing})
            except AwsError:
                matter.release(cloud)
                raise
            matter.told(cloud)
    cloud.audit.record(
        SecurityEvent(
            Activity.MESSAGE_NOT_BELIEVED,
            report.thing,
            succeeded=False,
            certificate_id=report.principal,
            reason=reason.doubt.value,
            detail=words.plain(reason.detail),
        )
    )
    count(cloud, report.principal, "doubts")
