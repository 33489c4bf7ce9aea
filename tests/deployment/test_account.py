"""The account, where moto knows the same operations: groups, their members, and jobs.

The fake endpoint of these tests answers as we read the API; moto is somebody else's reading of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from deployment.account import Account
from deployment.ports import NotFound

REGION = "eu-central-1"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account of moto's, with a group ``presses`` of five things, and a job."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        iot = boto3.client("iot", region_name=REGION)
        iot.create_thing_group(thingGroupName="presses")
        for number in range(1, 6):
            iot.create_thing(thingName=f"press-{number}")
            iot.add_thing_to_thing_group(thingGroupName="presses", thingName=f"press-{number}")
        iot.create_job(
            jobId="job-1",
            targets=[f"arn:aws:iot:{REGION}:123456789012:thing/press-1"],
            document="{}",
        )
        yield Account(None, REGION)
        iot.close()


def test_caller(account: Account) -> None:
    """Account, Region and partition are those of the credentials."""
    caller = account.caller()
    assert (caller.account, caller.region, caller.partition) == ("123456789012", REGION, "aws")


def test_group(account: Account) -> None:
    """A group is found with its ARN; a static one has no query."""
    group = account.group("presses")
    assert group.arn == f"arn:aws:iot:{REGION}:123456789012:thinggroup/presses"
    assert (group.query, group.building) == (None, False)
    with pytest.raises(NotFound, match="DescribeThingGroup: ResourceNotFoundException"):
        account.group("nobody")


def test_members(account: Account) -> None:
    """Members are counted, up to a bound. (moto does not look into the groups below.)"""
    assert account.members("presses", 3) == 3
    assert account.members("presses", 100) == 5


def test_job(account: Account) -> None:
    """The numbers of a job are read, and who is behind them."""
    job = account.job("job-1")
    assert (job.counts.queued, job.counts.devices) == (1, 1)
    [attempt] = account.attempts("job-1", "QUEUED", 10)
    assert (attempt.thing, attempt.status) == ("press-1", "QUEUED")
    assert account.attempts("job-1", "FAILED", 10) == []
    assert account.details("job-1", attempt) == {}
    with pytest.raises(NotFound):
        account.job("job-9")
