"""A workflow that cannot go on by itself hands over to a person: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotation_cloud import notices
from rotation_cloud.attempt import Settled
from rotation_cloud.ports import Cloud
from rotation_cloud.security_events import Activity, SecurityEvent

ATTEMPTS_FAILED = "attempts-failed"


@dataclass(frozen=True)
class Case:
    """``reason`` is ATTEMPTS_FAILED, a grace.Objection, or the name of an error."""

    thing: str
    certificate_id: str
    reason: str
    detail: str = ""
    job_id: str = ""
    history: Sequence[Settled] = ()


def hand_over(cloud: Cloud, case: Case) -> None:
    """Tells people, and whoever watches. May be repeated: then they hear of it again.

    Raises AwsError.
    """
    last = case.history[-1] if case.history else None
    job_id = case.job_id or (last.job_id if last is not None else "")
    detail = case.detail or (f"{last.reason} {last.detail}".strip() if last is not None else "")
    notices.review_needed(
        cloud, case.thing, job_id, case.reason, detail, "; ".join(map(_in_words, case.history))
    )
    cloud.audit.record(
        SecurityEvent(
            Activity.REVIEW_NEEDED,
            case.thing,
            succeeded=False,
            job_id=job_id,
            certificate_id=case.certificate_id,
            reason=case.reason,
            detail=detail,
        )
    )


def _in_words(settled: Settled) -> str:
    why = " ".join(part for part in (settled.reason, settled.detail) if part)
    return f"{settled.job_id} {settled.status}" + (f" ({why})" if why else "")
