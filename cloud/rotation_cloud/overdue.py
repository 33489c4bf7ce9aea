"""A rotation that should be further than it is: finished, undone, or told of.

Its job has ended and the event never came; its creation stopped half way; its grace period is
over and nobody came; the certificate that it is about was switched off under its hands.
"""

from __future__ import annotations

from collections.abc import Callable

from rotation_cloud import grace
from rotation_cloud.case import ACTIVE, Case, text
from rotation_cloud.findings import Kind
from rotation_cloud.finish import Ended, finish, which_goes
from rotation_cloud.fleet import PATIENCE, is_settled
from rotation_cloud.issuing import take_back
from rotation_cloud.ports import AwsError, Cloud, NotFound
from rotation_cloud.records import Record, State, Which

#: A rotation that takes longer than this, in seconds, is worth a look.
_STALLED = 48 * 3600
#: The two planes of the Jobs service may cut a time differently.
_SAME_TIME = 60


def review(case: Case, record: Record) -> None:
    """Raises AwsError."""
    if record.is_leased(case.now):
        return
    if record.state is State.DONE:
        if is_settled(record, case.now):
            _see_told(case, record)
    elif record.state is State.GRACE:
        _in_grace(case, record)
    elif record.state is State.RETIRING or not _is_running(case, record):
        if case.now - record.started > PATIENCE:
            _ended(case, record)
    elif record.state in (State.ISSUED, State.COMMITTED):
        _running(case, record)
    elif case.now - record.started > PATIENCE and (record.new or record.unsure):
        _half_made(case, record)


def _is_running(case: Case, record: Record) -> bool:
    """Nobody is asked about a young one: it is taken for running."""
    if case.now - record.started <= PATIENCE:
        return True
    execution = case.cloud.jobs.execution(case.thing, record.job_id)
    if execution is None or execution.ended:
        return False
    return record.execution in ("", execution.identity)


def _running(case: Case, record: Record) -> None:
    if _opens_nothing(case, record, record.new):
        return
    if case.now - record.started > _STALLED:
        case.repairs.leave(
            Kind.STALLED,
            case.thing,
            f"under way since {text(record.started)} ({record.state.value})",
            job_id=record.job_id,
        )


def _opens_nothing(case: Case, record: Record, certificate_id: str | None) -> bool:
    """Whether the certificate that a rotation counts on is not ACTIVE; told, if so."""
    if case.fleet.is_active(certificate_id) or case.status(certificate_id) == ACTIVE:
        return False
    case.repairs.leave(
        Kind.NOT_ACTIVE,
        case.thing,
        f"the rotation under way counts on it ({record.state.value})",
        job_id=record.job_id,
        certificate_id=certificate_id or "",
    )
    return True


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
    """Its job has ended, or is gone."""
    ended = _lost_event(case, record)
    if ended is None or (ended.at and case.now - ended.at <= PATIENCE):
        case.left_one = True
        return
    which = record.retire or which_goes(record, ended)
    _finish(
        case,
        record,
        which,
        ended.at or record.started,
        f"the job ended ({ended.status}), the {which.value} certificate goes",
        lambda: finish(case.cloud, ended),
    )


def _in_grace(case: Case, record: Record) -> None:
    which = record.retire or Which.OLD
    if _opens_nothing(case, record, record.new if which is Which.OLD else record.old):
        case.left_one = True
    elif case.now > record.grace_ends + PATIENCE:
        _finish(
            case,
            record,
            which,
            record.ended,
            f"its grace period was over at {text(record.grace_ends)}",
            lambda: _close(case.cloud, record),
        )
    elif case.now > record.ended + PATIENCE:
        _see_told(case, record)


def _close(cloud: Cloud, record: Record) -> None:
    closing = grace.close(cloud, record.thing, record.job_id)
    if closing.objection is not None:
        raise AwsError(f"kept: {closing.objection.value}")


def _finish(
    case: Case, record: Record, which: Which, since: float, detail: str, do: Callable[[], object]
) -> None:
    """One certificate goes, if nothing speaks against it; ``since``: see Case.why_not."""
    pair = (record.old, record.new)
    goes, stays = pair if which is Which.OLD else pair[::-1]
    why_not = case.why_not(record, goes, stays, since) or case.why_not_finish(record)
    if record.state is State.GRACE:  # grace.py is asked, and would not end it either
        why_not = why_not or case.why_needed(goes, since)
    is_finished = case.repair_unless(why_not, Kind.UNFINISHED, detail, do, record, goes)
    case.left_one = case.left_one or not is_finished


def _see_told(case: Case, record: Record) -> None:
    """Has whoever is to hear of its end heard?"""
    if record.told:
        return
    ended = _lost_event(case, record)
    if ended is not None:
        case.repair_unless(
            case.why_not_finish(record),
            Kind.UNFINISHED,
            f"the job ended ({ended.status}), and nobody was told",
            lambda: finish(case.cloud, ended),
            record,
            None,
        )


def _lost_event(case: Case, record: Record) -> Ended | None:
    """What the event of the job's end said, or would have said; None if the job goes on.

    Of an execution that is gone it says what the record knows, and not when.
    """
    number, _, queued = record.execution.partition("@")
    try:
        ending = case.cloud.jobs.ending(case.thing, record.job_id, int(number or 1))
    except NotFound:
        return _of_what_is_gone(record)
    if ending is None:
        return None
    if queued and ending.queued and abs(ending.queued - float(queued)) > _SAME_TIME:
        return _of_what_is_gone(record)  # another job of the same name has come since
    return Ended.of(
        {
            "jobId": record.job_id,
            "thingArn": f"{record.account_arn}:thing/{record.thing}",
            "status": ending.status,
            "statusDetails": ending.details,
            "timestamp": int(ending.at),
        }
    )


def _of_what_is_gone(record: Record) -> Ended:
    status = "SUCCEEDED" if record.keeps_new else "EVENT_LOST"
    return Ended(record.thing, record.job_id, status)
