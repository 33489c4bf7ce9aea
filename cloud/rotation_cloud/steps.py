"""The steps of the workflow as the state machine calls them: JSON in, decide, JSON out.

What is raised is tried again by the state machine, but for a WireError: then its input is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rotation_cloud import grace
from rotation_cloud.attempt import Attempt, Outcome, Settled
from rotation_cloud.attempt import begin as begin_attempt
from rotation_cloud.attempt import settle as settle_attempt
from rotation_cloud.due import why_not
from rotation_cloud.ports import Cloud
from rotation_cloud.review import Case
from rotation_cloud.review import hand_over as hand_case_over
from rotation_cloud.workflow import Cause
from rotation_protocol.fields import Fields

Step = Callable[[Cloud, Mapping[str, Any]], dict[str, Any]]


def validate(cloud: Cloud, event: Mapping[str, Any]) -> dict[str, Any]:
    """``rotation`` is the execution's input: thing, certificateId, cause."""
    rotation = _rotation(event)
    rotation.enum("cause", Cause)
    reason = why_not(
        cloud, rotation.required("thing", str), rotation.required("certificateId", str)
    )
    return {"due": True} if reason is None else {"due": False, "reason": reason.value}


def begin(cloud: Cloud, event: Mapping[str, Any]) -> dict[str, Any]:
    """``token`` is woken when the job has ended, or at once if there is none to be made."""
    begin_attempt(cloud, _attempt(event), Fields(event).required("token", str))
    return {}


def settle(cloud: Cloud, event: Mapping[str, Any]) -> dict[str, Any]:
    """What came of the attempt."""
    settled = settle_attempt(cloud, _attempt(event))
    return {
        "outcome": settled.outcome.value,
        "jobId": settled.job_id,
        "status": settled.status,
        "reason": settled.reason,
        "detail": settled.detail,
    }


def retire(cloud: Cloud, event: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of the certificate whose grace period may be over."""
    fields = Fields(event)
    closing = grace.close(cloud, fields.required("thing", str), fields.job_id())
    ends = datetime.fromtimestamp(closing.ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "outcome": closing.outcome.value,
        "certificateId": closing.certificate_id,
        "graceEnds": ends,
        "reason": "" if closing.objection is None else closing.objection.value,
    }


def hand_over(cloud: Cloud, event: Mapping[str, Any]) -> dict[str, Any]:
    """A person has to look."""
    fields, rotation = Fields(event), _rotation(event)
    case = Case(
        thing=rotation.required("thing", str),
        certificate_id=rotation.optional("certificateId", str) or "",
        reason=fields.required("reason", str),
        detail=fields.optional("detail", str) or "",
        job_id=fields.optional("jobId", str) or "",
        history=[_settled(one) for one in fields.items("history")],
    )
    hand_case_over(cloud, case)
    return {}


def _rotation(event: Mapping[str, Any]) -> Fields:
    rotation: dict[str, Any] = Fields(event).required("rotation", dict)
    return Fields(rotation)


def _attempt(event: Mapping[str, Any]) -> Attempt:
    fields = Fields(event)
    return Attempt(
        _rotation(event).required("thing", str),
        fields.required("execution", str),
        fields.required("attempt", int),
    )


def _settled(fields: Fields) -> Settled:
    return Settled(
        fields.enum("outcome", Outcome),
        fields.required("jobId", str),
        fields.required("status", str),
        fields.optional("reason", str) or "",
        fields.optional("detail", str) or "",
    )
