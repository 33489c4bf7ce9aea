"""The Jobs service over boto3, against an account: jobs are made, cancelled, and told of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.account.account import Account
from lab.timeline import Timeline
from rotation_cloud.iot_jobs import IotJobs
from rotation_cloud.ports import AlreadyThere, AwsError, NotFound

pytestmark = pytest.mark.xdist_group("cloud-iot-jobs")

RETRIES: Any = {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]}


@pytest.fixture
def account() -> Iterator[Account]:
    with Account(Timeline()) as account:
        account.client("iot").create_thing(thingName="press-7")
        yield account


@pytest.fixture
def jobs(account: Account) -> IotJobs:
    """With a template by which the Jobs service would try again by itself."""
    made = account.client("iot").create_job_template(
        jobTemplateId="rotate",
        description="d",
        document='{"operation":"ROTATE_CERTIFICATE"}',
        jobExecutionsRetryConfig=RETRIES,
    )
    return IotJobs(account.client("iot"), None, made["jobTemplateArn"])


def test_a_job_and_its_end(account: Account, jobs: IotJobs) -> None:
    """It goes on, then it has ended, with what the device said of it."""
    jobs.create("job-1", "press-7")
    with pytest.raises(AlreadyThere):
        jobs.create("job-1", "press-7")
    assert jobs.ending("press-7", "job-1") is None
    update = {"status": "FAILED", "statusDetails": {"reason": "store-full"}}
    account.jobs.update_job_execution("press-7", "job-1", update)
    ending = jobs.ending("press-7", "job-1")
    assert ending is not None
    assert (ending.status, ending.details) == ("FAILED", {"reason": "store-full"})
    assert ending.at > 1_000_000_000


def test_nobody_else_tries_again(account: Account, jobs: IotJobs) -> None:
    """The template's retries do not hold: who makes the job tries again by himself."""
    jobs.create("job-1", "press-7")
    account.jobs.update_job_execution("press-7", "job-1", {"status": "FAILED"})
    assert account.jobs.get_pending_job_executions("press-7")["queuedJobs"] == []


@pytest.mark.parametrize("status", ["QUEUED", "IN_PROGRESS"])
def test_cancelling(account: Account, jobs: IotJobs, status: str) -> None:
    """Also what is in progress; twice is no error, and what has ended stays as it is."""
    jobs.create("job-1", "press-7")
    if status == "IN_PROGRESS":
        account.jobs.update_job_execution("press-7", "job-1", {"status": status})
    for _ in range(2):
        jobs.cancel("press-7", "job-1")
        ending = jobs.ending("press-7", "job-1")
        assert ending is not None
        assert ending.status == "CANCELED"


def test_what_is_not_there(account: Account, jobs: IotJobs) -> None:
    """An execution that nobody knows, and a thing that is none."""
    with pytest.raises(NotFound):
        jobs.cancel("press-7", "job-1")
    with pytest.raises(NotFound):
        jobs.ending("press-7", "job-1")
    with pytest.raises(AwsError):
        jobs.create("job-1", "press-70")
