"""The Jobs control plane through boto3: an owner cancels, deletes, and sees what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from lab.account.account import Account
from lab.timeline import Timeline
from tests.lab.jobs_owner import DOCUMENT, new_job, new_thing, refusal, update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

pytestmark = pytest.mark.xdist_group("jobs-cancel")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for all tests of this module; each makes names of its own."""
    with Account(Timeline()) as account:
        yield account


@pytest.fixture(scope="module")
def iot(account: Account) -> IoTClient:
    """The owner's client."""
    return account.client("iot")


@pytest.mark.parametrize(("force", "running"), [(False, "IN_PROGRESS"), (True, "CANCELED")])
def test_cancellation_spares_what_is_in_progress_unless_forced(
    account: Account, iot: IoTClient, force: bool, running: str
) -> None:
    """cancel_job cancels queued executions, with force running ones too, and tells why."""
    (started, started_arn), (_, queued_arn) = new_thing(iot), new_thing(iot)
    job_id = new_job(iot, started_arn, queued_arn)
    update(account, started, job_id, status="IN_PROGRESS")
    iot.cancel_job(jobId=job_id, reasonCode="RECALLED", comment="not now", force=force)
    listed = iot.list_job_executions_for_job(jobId=job_id)["executionSummaries"]
    statuses = {e["thingArn"]: e["jobExecutionSummary"]["status"] for e in listed}
    assert statuses == {started_arn: running, queued_arn: "CANCELED"}
    job = iot.describe_job(jobId=job_id)["job"]
    assert (job["status"], job["reasonCode"], job["comment"]) == ("CANCELED", "RECALLED", "not now")
    assert job["forceCanceled"] is force


def test_completed_job_cannot_be_canceled(account: Account, iot: IoTClient) -> None:
    """A job that is over is not canceled."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    update(account, thing, job_id, status="SUCCEEDED")
    with pytest.raises(ClientError) as refused:
        iot.cancel_job(jobId=job_id)
    assert refusal(refused) == ("InvalidRequestException", 400)


def test_running_execution_is_canceled_by_force_only(account: Account, iot: IoTClient) -> None:
    """After a forced cancellation the device's update is refused, with the state."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    update(account, thing, job_id, status="IN_PROGRESS")
    with pytest.raises(ClientError) as refused:
        iot.cancel_job_execution(jobId=job_id, thingName=thing)
    assert refusal(refused) == ("InvalidStateTransitionException", 409)
    with pytest.raises(ClientError) as mismatch:
        iot.cancel_job_execution(jobId=job_id, thingName=thing, force=True, expectedVersion=1)
    assert refusal(mismatch) == ("VersionConflictException", 409)
    iot.cancel_job_execution(
        jobId=job_id,
        thingName=thing,
        force=True,
        expectedVersion=2,
        statusDetails={"by": "owner"},
    )
    payload = b'{"status":"SUCCEEDED"}'
    ((_, body),) = account.jobs.handle(thing, f"{job_id}/update", payload)
    assert (body["code"], body["executionState"]) == (
        "InvalidStateTransition",
        {"status": "CANCELED", "statusDetails": {"by": "owner"}, "versionNumber": 3},
    )
    execution = iot.describe_job_execution(jobId=job_id, thingName=thing)["execution"]
    assert execution["forceCanceled"] is True


def test_deleted_execution_is_not_found(account: Account, iot: IoTClient) -> None:
    """A pending execution is deleted by force only, and then nobody finds it."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    with pytest.raises(ClientError) as refused:
        iot.delete_job_execution(jobId=job_id, thingName=thing, executionNumber=1)
    assert refusal(refused) == ("InvalidStateTransitionException", 409)
    with pytest.raises(ClientError) as unknown:
        iot.delete_job_execution(jobId=job_id, thingName=thing, executionNumber=2, force=True)
    assert refusal(unknown) == ("ResourceNotFoundException", 404)
    iot.delete_job_execution(jobId=job_id, thingName=thing, executionNumber=1, force=True)
    ((_, body),) = account.jobs.handle(thing, f"{job_id}/get", b"{}")
    assert body["code"] == "ResourceNotFound"
    assert iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"] == []
    assert iot.describe_job(jobId=job_id)["job"]["status"] == "COMPLETED"


def test_deleted_job_is_gone_with_its_executions(account: Account, iot: IoTClient) -> None:
    """A job in progress is deleted by force only; its id is free again."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    with pytest.raises(ClientError) as refused:
        iot.delete_job(jobId=job_id)
    assert refusal(refused) == ("InvalidStateTransitionException", 409)
    iot.delete_job(jobId=job_id, force=True)
    ((_, body),) = account.jobs.handle(thing, "get", b"{}")
    assert body["queuedJobs"] == []
    iot.create_job(jobId=job_id, targets=[arn], document=DOCUMENT)


def test_deleted_thing_s_executions_are_removed(iot: IoTClient) -> None:
    """When a thing is deleted, its pending executions are REMOVED."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    iot.delete_thing(thingName=thing)
    assert iot.describe_job(jobId=job_id)["job"]["jobProcessDetails"]["numberOfRemovedThings"] == 1


def test_executions_of_a_thing_are_filtered(account: Account, iot: IoTClient) -> None:
    """list_job_executions_for_thing filters by status and by job."""
    thing, arn = new_thing(iot)
    first, second = new_job(iot, arn), new_job(iot, arn)
    update(account, thing, first, status="FAILED")

    def listed(**only: Any) -> list[str]:
        found = iot.list_job_executions_for_thing(thingName=thing, **only)
        return [entry["jobId"] for entry in found["executionSummaries"]]

    assert listed() == [second, first]
    assert listed(status="QUEUED") == [second]
    assert listed(jobId=first) == [first]
