"""A rotation that should be further than it is: finished, undone, or told of.

Its job has ended and the event never came; its creation stopped half way; the certificate that
it is about was switched off under its hands.
"""

from __future__ import annotations

from dataclasses import replace

from rotation_cloud.case import ACTIVE, Case, text
from rotation_cloud.findings import Kind
from rotation_cloud.finish import Ended, finish, which_goes
from rotation_cloud.fleet import PATIENCE, is_settled
from rotation_cloud.issuing import take_back
from rotation_cloud.ports import Cloud, Outcome
from rotation_cloud.records import Record, State, Which

#: A rotation that takes longer than this, in seconds, is worth a look.
_STALLED = 48 * 3600


def review(case: Case, record: Record) -> None:
    """Raises AwsError."""
    is_young = case.now - record.started <= PATIENCE
    if record.state is State.DONE:
        _told(case, record)
        return
    if record.is_leased(case.now):
        return
    if record.state is not State.RETIRING and (is_young or _is_running(case, record)):
        if record.state in (State.ISSUED, State.COMMITTED):
            _running(case, record)
        elif not is_young and (record.new or record.unsure):
            _half_made(case, record)
    elif not is_young:
        _ended(case, record)


def _is_running(case: Case, record: Record) -> bool:
    execution = case.cloud.jobs.execution(case.thing, record.job_id)
    if execution is None or execution.ended:
        return False
    return record.execution in ("", execution.identity)


def _running(case: Case, record: Record) -> None:
    is_active = case.fleet.is_active(record.new) or case.status(record.new) == ACTIVE
    if not is_active:
        case.repairs.leave(
            Kind.NOT_ACTIVE,
            case.thing,
            f"the rotation under way counts on it ({record.state.value})",
            job_id=record.job_id,
            certificate_id=record.new or "",
        )
    elif case.now - record.started > _STALLED:
        case.repairs.leave(
            Kind.STALLED,
            case.thing,
            f"under way since {text(record.started)} ({record.state.value})",
            job_id=record.job_id,
        )


def _half_made(case: Case, record: Record) -> None:
    case.repair_unless(
        case.why_not(record, record.new, record.old, record.started),
        Kind.HALF_MADE,
        f"the creation that began at {text(record.started)} was neither done nor undone",
        lambda: take_back(case.cloud, record),
        record,
        record.new,
    )


def _ended(case: Case, record: Record) -> None:
    earlier_left, why_not_finish = case.left_one, case.why_not_finish
    case.left_one = True
    outcome = _outcome(case, record)
    if outcome is not None and case.now - outcome.changed <= PATIENCE:
        return
    ended = _as_heard(record, outcome)
    if ended is None:
        return
    which = record.retire or which_goes(record, ended)
    pair = (record.old, record.new)
    goes, stays = pair if which is Which.OLD else pair[::-1]
    since = record.started if outcome is None else outcome.changed
    is_finished = case.repair_unless(
        case.why_not(record, goes, stays, since) or why_not_finish,
        Kind.UNFINISHED,
        f"the job ended ({ended.status}), the {which.value} certificate goes",
        lambda: finish(case.cloud, ended),
        record,
        goes,
    )
    case.left_one = earlier_left or not is_finished


def _told(case: Case, record: Record) -> None:
    """It is done: has whoever is to hear of its end heard?"""
    if record.told or not is_settled(record, case.now):
        return
    ended = _as_heard(record, _outcome(case, record))
    if ended is not None:
        case.repair_unless(
            case.why_not_finish,
            Kind.UNFINISHED,
            f"the job ended ({ended.status}), and nobody was told",
            lambda: _tell(case.cloud, ended),
            record,
            None,
        )


def _tell(cloud: Cloud, ended: Ended) -> None:
    finish(cloud, ended)
    record = cloud.records.get(ended.thing, ended.job_id)
    if record is not None and not record.told:  # of a success nobody need hear
        cloud.records.write(replace(record, told=True))


def _outcome(case: Case, record: Record) -> Outcome | None:
    number = int(record.execution.partition("@")[0] or 1)
    return case.cloud.census.outcome(case.thing, record.job_id, number)


def _as_heard(record: Record, outcome: Outcome | None) -> Ended | None:
    """The event that was lost; None if the execution has not ended."""
    if outcome is None:
        status = "SUCCEEDED" if record.ever_committed else "EVENT_LOST"
        return Ended(record.thing, record.job_id, status)
    return Ended.of(
        {
            "jobId": record.job_id,
            "thingArn": f"{record.account_arn}:thing/{record.thing}",
            "status": outcome.status,
            "statusDetails": outcome.details,
        }
    )
