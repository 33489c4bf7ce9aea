"""The inventory of the fleet: for each thing, what was last heard of its core certificate.

Written by health messages, by alerts that verify, and by the ends of rotation jobs, as one
document of the table. A message that comes late changes nothing that a newer one has said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.ports import Cloud
from rotation_cloud.records import Record
from rotation_cloud.reports import Report, is_certificate_id
from rotation_cloud.revising import revise
from rotation_cloud.words import plain
from rotation_protocol.messages import Alert, Health
from rotation_protocol.reasons import CheckStatus

if TYPE_CHECKING:
    from rotation_cloud.finish import Ended

CORE_DEVICE = "core-device"
#: Of a job that the device has not finished; who cancels one himself knows of it.
_FAILURES = frozenset({"FAILED", "TIMED_OUT", "REJECTED"})
#: Ends of jobs that are known again if their event comes again.
_ENDS_KEPT = 10
_SHORT = 40
_DAY = 24 * 3600
#: For how long the registry's word is taken that a certificate is attached to a thing.
ATTACHED_SECONDS = 7 * _DAY
#: For how long a device is taken to use what it was last heard with. One that is on is heard once
#: a day; one day may be missed.
_HEARD_SECONDS = 2 * _DAY


@dataclass(frozen=True)
class Entry:
    """What is known of one thing. Times are in seconds since the epoch, 0 for not known.

    ``observed``: when the device looked. ``principal`` is the certificate of the connection over
    which it was last heard, at ``heard_at``; the registry said at ``attached_seen`` that it is
    one of the thing's. ``failures`` in a row, since the last rotation that succeeded; ``ends``
    are the job executions that are counted.
    """

    certificate_id: str = ""
    deadline: int = 0
    deadline_reason: str = ""
    not_after: int = 0
    key_algorithm: str = ""
    state: str = ""
    status: str = ""
    failing_checks: tuple[str, ...] = ()
    waiting_alerts: int = 0
    runtime: str = ""
    component_version: str = ""
    next_check: int = 0
    observed: int = 0
    principal: str = ""
    heard_at: int = 0
    attached_seen: int = 0
    last_rotation: int = 0
    last_rotation_job: str = ""
    failures: int = 0
    last_failure: int = 0
    last_failure_reason: str = ""
    ends: tuple[str, ...] = ()

    def is_attached(self, certificate_id: str, now: float) -> bool:
        """Whether the certificate was found attached to the thing lately enough not to ask."""
        return certificate_id == self.principal and now - self.attached_seen <= ATTACHED_SECONDS

    def is_in_use(self, certificate_id: str, now: float) -> bool:
        """Whether the device was heard with it lately, so that it was ACTIVE: the connections of
        one that is not are ended within minutes.

        https://docs.aws.amazon.com/iot/latest/apireference/API_UpdateCertificate.html
        """
        return certificate_id == self.principal and now - self.heard_at <= _HEARD_SECONDS

    @classmethod
    def of(cls, document: Document | None) -> Entry:
        """The entry in a document of this name."""
        return cls._from(document.body if document else {})

    @classmethod
    def _from(cls, body: Mapping[str, Any]) -> Entry:
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = body.get(_camel(field.name))
            if value is not None:
                known[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**known)

    def _body(self) -> dict[str, Any]:
        return {
            _camel(name): list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value
        }


def read(cloud: Cloud, thing: str) -> Entry:
    """What is known of a thing; an empty entry for one that was never heard of."""
    return Entry.of(cloud.documents.get(thing, INVENTORY))


def note_alert(cloud: Cloud, report: Report, alert: Alert, attached_seen: int) -> None:
    """What an alert that verifies says; for the rest see ``note_health``."""
    moment = report.moment(alert.checked_at)

    def noted(entry: Entry) -> Entry:
        entry = _heard(entry, report, attached_seen)
        if moment < entry.observed:
            return entry
        entry = replace(
            entry,
            component_version=plain(alert.component_version, _SHORT),
            next_check=_later(moment, alert.checked_at, alert.next_check_at),
            observed=moment,
        )
        if alert.role != CORE_DEVICE:
            return entry
        return _certificate(
            entry,
            alert.certificate_id,
            alert.key_algorithm,
            alert.not_after,
            alert.deadline,
            alert.deadline_reason,
        )

    _revise(cloud, report.thing, noted)


def note_health(cloud: Cloud, report: Report, health: Health, attached_seen: int) -> None:
    """What a health message says; the registry said at ``attached_seen`` that the sender's
    certificate is the thing's. Raises AwsError, RecordChanged."""
    moment = report.moment(health.checked_at)

    def noted(entry: Entry) -> Entry:
        entry = _heard(entry, report, attached_seen)
        if moment < entry.observed:
            return entry
        failing = [check.name.value for check in health.checks if check.status is CheckStatus.FAIL]
        entry = replace(
            entry,
            status=plain(health.status, _SHORT),
            failing_checks=tuple(failing),
            waiting_alerts=health.waiting_alerts,
            runtime=plain(health.runtime, _SHORT),
            component_version=plain(health.component_version, _SHORT),
            next_check=_later(moment, health.checked_at, health.next_check_at),
            observed=moment,
        )
        for core in health.certificates:
            if core.role == CORE_DEVICE:
                entry = replace(entry, state=plain(core.state, _SHORT))
                entry = _certificate(
                    entry,
                    core.certificate_id,
                    core.key_algorithm,
                    core.not_after,
                    core.deadline,
                    core.deadline_reason,
                )
        return entry

    _revise(cloud, report.thing, noted)


def with_end(cloud: Cloud, ended: Ended, record: Record | None) -> Record | None:
    """The record again, once the end of its job is noted. None belongs to an earlier run.

    Raises AwsError, RecordChanged.
    """
    if record is None or (ended.status != "SUCCEEDED" and ended.status not in _FAILURES):
        return record
    run = f"{ended.job_id} {record.execution}".rstrip()
    now = int(cloud.clock.now())

    def noted(entry: Entry) -> Entry:
        if run in entry.ends:
            return entry
        entry = replace(entry, ends=(*entry.ends, run)[-_ENDS_KEPT:])
        if ended.status == "SUCCEEDED":
            return replace(entry, last_rotation=now, last_rotation_job=ended.job_id, failures=0)
        return replace(
            entry,
            failures=entry.failures + 1,
            last_failure=now,
            last_failure_reason=plain(ended.reason or ended.status, _SHORT),
        )

    _revise(cloud, ended.thing, noted)
    return record


def _heard(entry: Entry, report: Report, attached_seen: int) -> Entry:
    at = int(report.received_at)
    if at < entry.heard_at:
        return entry
    return replace(entry, principal=report.principal, heard_at=at, attached_seen=attached_seen)


def _certificate(
    entry: Entry,
    certificate_id: str | None,
    key_algorithm: str | None,
    not_after: datetime | None,
    deadline: datetime | None,
    reason: Any,
) -> Entry:
    """What was said of the core certificate. Where the clock allowed no deadline, or the key was
    not named, what was known of the same certificate stays."""
    if certificate_id is None or not is_certificate_id(certificate_id):
        return entry
    if certificate_id != entry.certificate_id:
        entry = replace(
            entry, certificate_id=certificate_id, deadline=0, deadline_reason="", key_algorithm=""
        )
    entry = replace(entry, not_after=_epoch(not_after))
    if key_algorithm:
        entry = replace(entry, key_algorithm=plain(key_algorithm, _SHORT))
    if deadline is not None:
        said = "" if reason is None else reason.value
        entry = replace(entry, deadline=_epoch(deadline), deadline_reason=said)
    return entry


def _revise(cloud: Cloud, thing: str, change: Callable[[Entry], Entry]) -> None:
    revise(cloud, thing, INVENTORY, lambda body: change(Entry._from(body))._body())


def _epoch(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def _later(moment: int, checked_at: datetime, next_check_at: datetime | None) -> int:
    """When the next check is due, by a clock that is right."""
    if next_check_at is None:
        return 0
    return moment + int((next_check_at - checked_at).total_seconds())


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
