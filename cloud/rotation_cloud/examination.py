"""One thing from all sides: its rotations, then what is wrong between rotations.

Everything is read again before it is judged, and repaired by the code that would have done it in
time: ``finish.py``, ``issuing.py``, ``retirement.py``, ``workflow.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotation_cloud import leftovers, overdue, workflow
from rotation_cloud.case import ACTIVE, Case, text
from rotation_cloud.documents import INVENTORY
from rotation_cloud.due import is_new, rotation_under_way
from rotation_cloud.findings import Kind
from rotation_cloud.fleet import near
from rotation_cloud.heartbeat import Heartbeat
from rotation_cloud.ports import NotFound, certificate_id_of


def examine(case: Case, auto_rotate_days: int) -> None:
    """``auto_rotate_days`` before its deadline a certificate is replaced; 0: never.

    Raises AwsError and RecordChanged: then it was not looked at to the end.
    """
    for review in (overdue.review, leftovers.review):
        for job_id in [record.job_id for record in case.records]:
            tried = case.repairs.tried
            for record in case.records:
                if record.job_id == job_id:
                    review(case, record)
            if case.repairs.tried > tried:
                case.read()
    heard = case.heartbeat
    is_silent = heard is not None and heard.is_silent(case.now)
    if case.is_under_way and not is_silent:
        return
    try:
        attached = case.cloud.registry.principals(case.thing)
    except NotFound:
        leftovers.review_orphans(case, ())
        _thing_is_gone(case)
        return
    if heard is not None and is_silent:
        _silent(case, heard)
    if not case.is_under_way:
        ids = [certificate_id_of(arn) for arn in attached]
        leftovers.review_orphans(case, ids)
        is_usable = _certificates(case, ids)
        if is_usable and not is_silent:
            _due(case, auto_rotate_days)


def _thing_is_gone(case: Case) -> None:
    document = case.cloud.documents.get(case.thing, INVENTORY)
    if document is None or document.expires_at:
        return
    case.repairs.repair(
        Kind.THING_GONE,
        case.thing,
        "its inventory is forgotten",
        lambda: case.cloud.documents.write(replace(document, expires_at=int(case.now))),
    )


def _silent(case: Case, heard: Heartbeat) -> None:
    deadline = heard.entry.deadline
    until = f"; its deadline is {text(deadline)}" if deadline else ""
    said = f"last heard at {text(heard.entry.heard_at)}{until}"
    case.repairs.leave(Kind.SILENT, case.thing, said)


def _certificates(case: Case, attached: Sequence[str]) -> bool:
    """Whether the device has one that opens anything, as far as it is known."""
    listed = case.fleet.certificates
    active = [one for one in attached if one not in listed or listed[one].is_active]
    if len(active) > 1:
        active = [one for one in active if case.status(one) == ACTIVE]
    used = case.used()
    if len(active) > 1:
        marks = {True: " (the device's)", False: ""}
        said = ", ".join(f"{one}{marks[one == used]}" for one in active[:10])
        case.repairs.leave(Kind.TWO_CERTIFICATES, case.thing, f"attached and ACTIVE are {said}")
    if used is None or used in active or case.status(used) == ACTIVE:
        return True
    if active and not case.was_heard:
        return True  # the device may have been given another one by hand
    case.repairs.leave(
        Kind.NOT_ACTIVE,
        case.thing,
        f"the device uses it; ACTIVE are {', '.join(active) or 'none'}",
        certificate_id=used,
    )
    return False


def _due(case: Case, auto_rotate_days: int) -> None:
    heard = case.heartbeat
    days = None if heard is None else heard.days_left(case.now)
    if heard is None or days is None or days >= near(auto_rotate_days):
        return
    used = heard.entry.certificate_id
    if case.used() != used or is_new(used, heard.entry.deadline, case.records, case.now):
        return
    if rotation_under_way(case.cloud, case.thing):
        return
    detail = f"its deadline is {text(heard.entry.deadline)}, and no rotation is under way"
    if not auto_rotate_days or days >= auto_rotate_days:
        case.repairs.leave(Kind.DUE, case.thing, detail, certificate_id=used)
        return
    case.repairs.repair(
        Kind.DUE,
        case.thing,
        f"{detail}: one is started",
        lambda: workflow.start(case.cloud, case.thing, used, workflow.Cause.RECONCILER),
        certificate_id=used,
        activity=None,  # the workflow's own: it asks for the rotation, or finds it is not due
    )
