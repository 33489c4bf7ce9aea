"""Certificates that a finished rotation left behind although it decided against them.

Either their name is known and they are ACTIVE all the same, or the answer to their creation was
lost and nobody ever knew it: those are found by their key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from rotation_cloud.case import ACTIVE, Case, text
from rotation_cloud.findings import Kind
from rotation_cloud.finish import Ended, finish
from rotation_cloud.fleet import finished_at, is_settled
from rotation_cloud.ports import Cloud, Listed
from rotation_cloud.records import Record, State
from rotation_cloud.retirement import retire

#: So many certificates are compared with a key that was asked for, one call each.
_MOST_COMPARED = 200


def review(case: Case, record: Record) -> None:
    """Of a record that is done. Raises AwsError, RecordChanged."""
    if record.state is not State.DONE or not is_settled(record, case.now):
        return
    if record.unsure and not case.is_under_way:
        record = _without_strays(case, record)
    goes = record.gone
    if goes is not None and _should_be_gone(case, record, goes):
        _leftover(case, record, goes)


def review_orphans(case: Case, attached: Collection[str]) -> None:
    """Certificates that were kept, and are attached to nothing. Raises AwsError.

    ``attached`` are the ids of the thing's own.
    """
    for record in case.records:
        used = record.kept if record.state is State.DONE else None
        if used is None or used in attached or not _is_ours_still(case, record, used):
            continue
        if not case.cloud.registry.things(f"{record.account_arn}:cert/{used}"):
            case.repairs.leave(
                Kind.ORPHAN,
                case.thing,
                "the device's own since its rotation, and attached to nothing now",
                job_id=record.job_id,
                certificate_id=used,
            )


def _is_ours_still(case: Case, record: Record, certificate_id: str) -> bool:
    if certificate_id not in case.fleet.issued or not case.fleet.is_active(certificate_id):
        return False
    is_last_word = case.fleet.is_last_named_by(record, certificate_id)
    return is_last_word and case.status(certificate_id) == ACTIVE


def _should_be_gone(case: Case, record: Record, goes: str) -> bool:
    if not case.fleet.is_active(goes) or goes in case.fleet.used:
        return False
    return case.fleet.is_last_named_by(record, goes) and case.status(goes) == ACTIVE


def _leftover(case: Case, record: Record, goes: str) -> None:
    things = case.cloud.registry.things(f"{record.account_arn}:cert/{goes}")
    if any(thing != case.thing for thing in things):
        return  # it is shared, and people were told (finish.py)
    ended_at = finished_at(record)
    why_not = "CertKeeper did not issue it"
    if goes in case.fleet.issued:
        stays = record.kept if things else None
        why_not = case.why_not(record, goes, stays, ended_at) or case.why_not_finish(record)
    case.repair_unless(
        why_not,
        Kind.LEFTOVER,
        f"the rotation was finished at {text(ended_at)} without it",
        lambda: _finish_again(case.cloud, record),
        record,
        goes,
    )


def _finish_again(cloud: Cloud, record: Record) -> None:
    """Written down first, so that a request that comes meanwhile knows which one goes."""
    cloud.records.write(replace(record, state=State.RETIRING))
    finish(cloud, Ended(record.thing, record.job_id, "LEFTOVER"))


def _without_strays(case: Case, record: Record) -> Record:
    """The record, which is sure of itself if nothing was left."""
    found = sorted(case.fleet.unknown_of(record, case.now), key=lambda one: one.created)
    keys = {record.public_key, *record.superseded} - {""}
    is_sure = True
    for one in found[:_MOST_COMPARED]:
        if case.cloud.census.public_key(one.id) in keys:
            is_sure &= _stray(case, record, one)
    if len(found) > _MOST_COMPARED:
        case.repairs.leave(
            Kind.STRAY,
            case.thing,
            f"a certificate may have been issued whose name was lost; it is one of {len(found)} "
            f"that nobody knows, made since {text(record.started)}",
            job_id=record.job_id,
        )
    elif is_sure and not case.repairs.dry_run:
        return case.cloud.records.write(replace(record, unsure=False))
    return record


def _stray(case: Case, record: Record, one: Listed) -> bool:
    """Whether nothing is left of it."""
    cloud = case.cloud
    if cloud.registry.things(one.arn):
        return True  # somebody has put it to use
    return case.repair_unless(
        "",
        Kind.STRAY,
        f"made at {text(one.created)} for this job, attached to nothing",
        lambda: retire(cloud, one.arn, cloud.registry.policies(one.arn), case.thing),
        record,
        one.id,
    )
