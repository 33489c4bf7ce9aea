"""Workflow: a state machine makes the jobs, waits out the grace period, and calls for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from lab.scenarios.issuance import deactivate_when
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import THING, Stage

WORKFLOW = "Workflow"
HOUR = 3600
#: The time that the template gives to a job.
TIME_OUT = 48 * HOUR

#: What only the functions of the workflow call, or those that wake it.
CALLS = (
    ("iot-jobs-data", "GetPendingJobExecutions"),
    ("iot", "DescribeCertificate"),
    ("iot", "CreateJob"),
    ("stepfunctions", "SendTaskSuccess"),
)


def start(stage: Stage, name: str | None = None) -> str:
    """Start the workflow for the certificate in use; the execution."""
    return stage.workflows.start(THING, stage.certificate_on_disk(), name)


@scenario(WORKFLOW)
def a_workflow(stage: Stage) -> None:
    """An operator starts a workflow: the device rotates, and the old certificate has its time."""
    stage.start()
    workflow = start(stage)
    job = stage.workflows.wait_for_job("succeeded")
    stage.wait_for_idle()
    both = {stage.old.certificate_id, stage.certificate_on_disk()}
    require(stage.active_certificates() == both, "not both are ACTIVE in the grace period")
    stage.verdict(rotated=True, job=job, told=0)
    require(stage.workflows.status(workflow) == "SUCCEEDED", "the workflow has not succeeded")


@scenario(WORKFLOW)
def workflow_started_twice(stage: Stage) -> None:
    """Two operators start a workflow at once, and one the day after: the device rotates once."""
    workflows = [start(stage, name) for name in ("first", "second")]
    stage.backend.idle()
    stage.lab.pass_time(24 * HOUR)
    workflows.append(start(stage, "third"))
    stage.start()
    job = stage.workflows.wait_for_job("succeeded")
    stage.verdict(rotated=True, job=job, told=0)
    require(len(stage.timeline.find("queued", source="jobs")) == 1, "more than one job was made")
    require(
        {stage.workflows.status(one) for one in workflows} == {"SUCCEEDED"}, "one has not ended"
    )


@scenario(WORKFLOW)
def device_offline(stage: Stage) -> None:
    """The device is off for two days: its job is cancelled, and the next one finds it."""
    workflow = start(stage)
    first = stage.workflows.wait_for_job("queued")
    stage.backend.idle()
    stage.lab.pass_time(TIME_OUT + 60)
    stage.wait_for_end(first, "canceled")
    stage.backend.idle()
    stage.lab.pass_time(HOUR)
    stage.start()
    second = stage.workflows.wait_for_job("succeeded")
    require(second != first, "it was not another job")
    stage.verdict(rotated=True, job=second, told=0)
    require(stage.workflows.status(workflow) == "SUCCEEDED", "the workflow has not succeeded")


@scenario(WORKFLOW)
def cancelled_before_the_device_saw_it(stage: Stage) -> None:
    """An operator cancels the workflow's job while the device is off: the workflow ends at once."""
    workflow = start(stage)
    job = stage.workflows.wait_for_job("queued")
    stage.backend.idle()
    stage.cancel_execution(job)
    stage.backend.idle()
    require(stage.workflows.status(workflow) == "SUCCEEDED", "the workflow goes on")
    output = stage.workflows.output(workflow)
    require(output.get("outcome") == "stopped", f"the workflow says {output}")
    stage.start()
    stage.verdict(rotated=False, job=job, status="canceled", told=0)


@scenario(WORKFLOW)
def failure_then_success(stage: Stage) -> None:
    """The first job fails, and an hour later the next one succeeds: nobody needs to hear of it."""
    stage.start()
    deactivate_when(stage, "/create/accepted")
    start(stage)
    first = stage.workflows.wait_for_job("failed")
    stage.device.inbound_fault = None
    # The verdict lets a week pass, and so the hour: another one would be too much for the next job.
    stage.verdict(rotated=False, job=first, reason="probe-refused", told=0)
    stage.verdict(rotated=True, job=stage.workflows.wait_for_job("succeeded"), told=0)


def _have_failed(stage: Stage, jobs: int) -> bool:
    return len(stage.timeline.find("failed", source="jobs")) == jobs


@scenario(WORKFLOW, backend={"RotationAttempts": "2"})
def review_after_the_last_attempt(stage: Stage) -> None:
    """Every job fails: a person is told, with the story of all attempts, and can start again."""
    stage.start()
    workflow = start(stage)
    for number in (1, 2):
        deactivate_when(stage, "/create/accepted")
        stage.timeline.poll(
            partial(_have_failed, stage, number),
            f"failure {number}",
            90,
        )
        stage.wait_for_idle()
        stage.device.inbound_fault = None
        stage.lab.pass_time(HOUR)
    stage.backend.idle()
    stage.verdict(rotated=False, told=1)
    message = json.loads(str(stage.notifications()[-1].details["message"]))
    require(message["status"] == "REVIEW_NEEDED", f"people were told {message['status']}")
    require(message["history"].count("probe-refused") == 2, f"the story is {message['history']}")
    require(stage.workflows.status(workflow) == "FAILED", "the workflow has not failed")
    start(stage, "again")
    stage.verdict(rotated=True, job=stage.workflows.wait_for_job("succeeded"), told=1)


@scenario(WORKFLOW)
def grace_period_of_a_console_made_job(stage: Stage) -> None:
    """A job that nobody's workflow made, its events repeated: the old certificate has its time."""
    stage.start()
    job = stage.rotate()
    for _ in range(2):
        stage.redrive(job)
    stage.wait_for_idle()
    both = {stage.old.certificate_id, stage.certificate_on_disk()}
    stage.lab.pass_time(stage.backend.grace_seconds - HOUR)
    stage.backend.idle()
    require(stage.active_certificates() == both, "not both are ACTIVE in the grace period")
    stage.verdict(rotated=True, job=job)
    stage.redrive(job)
    stage.verdict(rotated=True, job=job)
    require(
        len(stage.workflows.all()) == 1,
        f"there were {len(stage.workflows.all())} workflows, not one",
    )


@scenario(WORKFLOW)
def silent_in_the_grace_period(stage: Stage) -> None:
    """The power is cut after the rotation, for weeks: the device comes back with its new pair."""
    stage.start()
    job = stage.rotate()
    stage.wait_for_idle()
    stage.device.power_off()
    stage.pass_grace()
    new = stage.certificate_on_disk()
    require(stage.active_certificates() == {new}, "the old certificate is still ACTIVE")
    stage.start()
    stage.verdict(rotated=True, job=job)


@scenario(WORKFLOW)
def cannot_be_retired(stage: Stage) -> None:
    """At the end of the grace period AWS refuses for good: a person is told, and starts again."""
    stage.start()
    stage.backend.aws_fault = lambda _, operation, __: (
        "InternalFailureException" if operation == "DetachThingPrincipal" else None
    )
    job = stage.rotate()
    stage.pass_grace()
    require(len(stage.notifications()) == 1, "nobody was told")
    stage.backend.aws_fault = lambda *_: None
    stage.workflows.start_grace(THING, job)
    stage.verdict(rotated=True, job=job, told=1)


def _fails_once(service: str, operation: str) -> None:
    def play(stage: Stage) -> None:
        failed: list[str] = []

        def fault(at: str, called: str, _: Mapping[str, Any]) -> str | None:
            if (at, called) == (service, operation) and not failed:
                failed.append(called)
                return "InternalServerError"
            return None

        stage.start()
        stage.backend.aws_fault = fault
        start(stage)
        stage.verdict(rotated=True, job=stage.workflows.wait_for_job("succeeded"), told=0)
        require(bool(failed), f"{operation} was never called")

    play.__doc__ = f"{operation} of {service} fails once in a workflow, which goes on all the same."
    scenario(WORKFLOW, name=f"workflow-{service}-{operation}-fails-once".lower())(play)


for _call in CALLS:
    _fails_once(*_call)


@scenario(WORKFLOW)
def workflow_of_a_wrong_certificate(stage: Stage) -> None:
    """A workflow for a certificate that is not the thing's does nothing, and says why."""
    other = stage.lab.account.client("iot").create_keys_and_certificate(setAsActive=True)
    stage.start()
    workflow = stage.workflows.start(THING, other["certificateId"])
    stage.backend.idle()
    output = stage.workflows.output(workflow)
    require(output.get("reason") == "not-attached", f"{THING}: the workflow says {output}")
    stage.verdict(rotated=False, told=0, strangers=frozenset({other["certificateId"]}))
