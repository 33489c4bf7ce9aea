"""The rotation workflow (cloud/statemachines), as far as it is decided here: who starts it.

One workflow for each thing and day, whoever asks for it: an alert, the device itself, the
reconciler or an operator. Whether a rotation is really due is decided in the workflow. A job
that no workflow made gets one for its grace period.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum

from rotation_cloud.ports import AlreadyThere, Cloud
from rotation_cloud.records import Record


class Cause(StrEnum):
    """Why a certificate is to be replaced."""

    ALERT = "alert"  # it is near its end
    DEVICE = "device"  # due by the device's own policy
    RECONCILER = "reconciler"  # near its end, and nobody did anything
    OPERATOR = "operator"


def start(cloud: Cloud, thing: str, certificate_id: str, cause: Cause) -> str:
    """Starts the workflow that replaces the thing's certificate; the execution's name.

    Started already on this day (UTC) is no error. Raises AwsError.
    """
    name = execution_name(thing, cloud.clock.now())
    with suppress(AlreadyThere):
        given = {"thing": thing, "certificateId": certificate_id, "cause": cause.value}
        cloud.workflows.start(name, given)
    return name


def start_grace(cloud: Cloud, record: Record) -> None:
    """Starts a workflow at its grace stage, once for each run of the job. Raises AwsError."""
    run = "\n".join((record.thing, record.job_id, record.execution))
    given = {"stage": "grace", "thing": record.thing, "jobId": record.job_id}
    with suppress(AlreadyThere):
        cloud.workflows.start(f"grace-{hashlib.sha256(run.encode()).hexdigest()[:32]}", given)


def execution_name(thing: str, now: float) -> str:
    """At most 80 of the characters that names of executions may have; of job ids too."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    return f"rotate-{day}-{hashlib.sha256(thing.encode()).hexdigest()[:32]}"


def job_id_of(execution: str, attempt: int) -> str:
    """The id of the job that an execution makes in its n-th attempt: the same in each repeat.

    ``execution`` is whatever tells it from every other one. At most 64 characters.
    """
    return f"certkeeper-{hashlib.sha256(execution.encode()).hexdigest()[:16]}-{attempt}"
