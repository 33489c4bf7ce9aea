"""A device asks for a rotation job, since its certificate is due by its own policy.

One job for each thing and day: repeats do not pile up, and a job that waits already is
enough.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime

from rotation_cloud.asking import Asking, Refusal, attachment_of, check_client_id
from rotation_cloud.ports import AlreadyThere, Cloud
from rotation_protocol.fields import Fields
from rotation_protocol.jobs import ROTATE
from rotation_protocol.reasons import RejectionCode


def request(cloud: Cloud, asking: Asking) -> str | None:
    """The id of the job; None if one is pending. Raises WireError, Refusal or AwsError."""
    due = Fields.of(asking.payload).optional("certificateId", str)
    check_client_id(asking)
    arn, _ = attachment_of(cloud, asking)
    if due is not None and due != asking.principal:
        raise Refusal(RejectionCode.OTHER_PRINCIPAL, "the certificate due is not the one in use")
    for pending in cloud.jobs.pending(asking.thing):
        execution = cloud.jobs.execution(asking.thing, pending)
        if execution is not None and not execution.ended and execution.operation == ROTATE:
            return None
    job_id = job_id_of(asking.thing, cloud.clock.now())
    with suppress(AlreadyThere):
        cloud.jobs.create(job_id, f"{arn.partition(':cert/')[0]}:thing/{asking.thing}")
    return job_id


def job_id_of(thing: str, now: float) -> str:
    """The job of this thing on this day (UTC): at most 64 of the characters that ids may have."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    return f"certkeeper-{day}-{hashlib.sha256(thing.encode()).hexdigest()[:32]}"
