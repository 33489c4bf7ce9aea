"""The Jobs control plane through boto3: an owner makes jobs, and follows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from lab.account.account import Account
from lab.timeline import Timeline
from tests.lab.jobs_owner import DOCUMENT, new_job, new_thing, refusal, unused, update

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

pytestmark = pytest.mark.xdist_group("jobs-control")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for all tests of this module; each makes names of its own."""
    with Account(Timeline()) as account:
        yield account


@pytest.fixture(scope="module")
def iot(account: Account) -> IoTClient:
    """The owner's client."""
    return account.client("iot")


def test_job_reaches_its_thing_and_its_owner(account: Account, iot: IoTClient) -> None:
    """A job made with boto3 is next for its thing; what the thing reports, its owner reads."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn, description="first", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    ((_, body),) = account.jobs.handle(thing, "$next/get", b"{}")
    assert body["execution"]["jobId"] == job_id
    assert body["execution"]["jobDocument"] == json.loads(DOCUMENT)
    update(account, thing, job_id, status="IN_PROGRESS", statusDetails={"step": "staged"})
    execution = iot.describe_job_execution(jobId=job_id, thingName=thing)["execution"]
    assert (execution["status"], execution["versionNumber"]) == ("IN_PROGRESS", 2)
    assert execution["statusDetails"] == {"detailsMap": {"step": "staged"}}
    assert execution["thingArn"] == arn
    assert 290 <= execution["approximateSecondsBeforeTimedOut"] <= 300
    assert execution["startedAt"] >= execution["queuedAt"]
    update(account, thing, job_id, status="SUCCEEDED")
    job = iot.describe_job(jobId=job_id)["job"]
    assert (job["status"], job["description"]) == ("COMPLETED", "first")
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 5}
    assert job["jobProcessDetails"]["numberOfSucceededThings"] == 1
    assert job["completedAt"] >= job["createdAt"]
    assert iot.get_job_document(jobId=job_id)["document"] == DOCUMENT


def test_groups_stand_for_their_members_and_those_below(account: Account, iot: IoTClient) -> None:
    """A thing group as a target reaches each thing in it and in its child groups, once."""
    hall, line, other = (unused(word) for word in ("hall", "line", "other"))
    group = iot.create_thing_group(thingGroupName=hall)["thingGroupArn"]
    iot.create_thing_group(thingGroupName=line, parentGroupName=hall)
    iot.create_thing_group(thingGroupName=other)
    things = {name: new_thing(iot)[0] for name in (hall, line, other)}
    for name, thing in things.items():
        iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing)
    both, _ = new_thing(iot)
    for name in (hall, line):
        iot.add_thing_to_thing_group(thingGroupName=name, thingName=both)
    job_id = new_job(iot, group)
    listed = iot.list_job_executions_for_job(jobId=job_id)["executionSummaries"]
    reached = sorted(entry["thingArn"].rpartition("/")[2] for entry in listed)
    assert reached == sorted([things[hall], things[line], both])


def test_continuous_job_stays_in_progress(account: Account, iot: IoTClient) -> None:
    """A continuous job is not completed when its executions are over; a snapshot one is."""
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn, targetSelection="CONTINUOUS")
    update(account, thing, job_id, status="SUCCEEDED")
    assert iot.describe_job(jobId=job_id)["job"]["status"] == "IN_PROGRESS"


def test_template_gives_document_and_configurations(iot: IoTClient) -> None:
    """A job of a template has its document, time-out and retries; what it says itself counts."""
    _, arn = new_thing(iot)
    retries: Any = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]}
    template = iot.create_job_template(
        jobTemplateId=unused("template"),
        description="rotation",
        document=DOCUMENT,
        timeoutConfig={"inProgressTimeoutInMinutes": 7},
        jobExecutionsRetryConfig=retries,
        jobExecutionsRolloutConfig={"maximumPerMinute": 50},
    )["jobTemplateArn"]
    job_id = unused("rotate")
    iot.create_job(
        jobId=job_id,
        targets=[arn],
        jobTemplateArn=template,
        timeoutConfig={"inProgressTimeoutInMinutes": 9},
    )
    job = iot.describe_job(jobId=job_id)["job"]
    assert job["jobTemplateArn"] == template
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 9}
    assert job["jobExecutionsRetryConfig"] == retries
    assert job["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 50}
    assert iot.get_job_document(jobId=job_id)["document"] == DOCUMENT


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"document": "no JSON"}, ("InvalidRequestException", 400)),
        ({"documentSource": "https://s3.example/x"}, ("InvalidRequestException", 400)),
        ({"targets": ["press-7"]}, ("InvalidRequestException", 400)),
        (
            {"targets": ["arn:aws:iot:eu-west-1:123456789012:thing/nobody"]},
            ("ResourceNotFoundException", 404),
        ),
        (
            {"jobTemplateArn": "arn:aws:iot:eu-west-1:123456789012:jobtemplate/x"},
            ("InvalidRequestException", 400),
        ),
    ],
)
def test_wrong_job_is_refused(
    iot: IoTClient, change: dict[str, Any], expected: tuple[str, int]
) -> None:
    """What AWS would refuse is refused with its error, and no job is made."""
    _, arn = new_thing(iot)
    job_id = unused("rotate")
    request: Any = {"jobId": job_id, "targets": [arn], "document": DOCUMENT, **change}
    with pytest.raises(ClientError) as refused:
        iot.create_job(**request)
    assert refusal(refused) == expected
    with pytest.raises(ClientError) as unknown:
        iot.describe_job(jobId=job_id)
    assert refusal(unknown) == ("ResourceNotFoundException", 404)


def test_template_without_json_is_refused(iot: IoTClient) -> None:
    """A job template whose document is not JSON is refused."""
    with pytest.raises(ClientError) as refused:
        iot.create_job_template(jobTemplateId=unused("t"), description="d", document="no JSON")
    assert refusal(refused) == ("InvalidRequestException", 400)


def test_job_id_is_used_once(iot: IoTClient) -> None:
    """A second job of the same id is refused."""
    _, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    with pytest.raises(ClientError) as refused:
        iot.create_job(jobId=job_id, targets=[arn], document=DOCUMENT)
    assert refusal(refused) == ("ResourceAlreadyExistsException", 409)


def test_jobs_are_listed_page_by_page(iot: IoTClient) -> None:
    """list_jobs filters by status and gives the newest first, in pages."""
    _, arn = new_thing(iot)
    made = [new_job(iot, arn) for _ in range(3)]
    for job_id in made:
        iot.cancel_job(jobId=job_id)
    pages = iot.get_paginator("list_jobs").paginate(
        status="CANCELED", PaginationConfig={"PageSize": 2}
    )
    listed = [job["jobId"] for page in pages for job in page["jobs"]]
    assert [job_id for job_id in listed if job_id in made] == made[::-1]


def test_events_are_switched_on_through_the_api(account: Account, iot: IoTClient) -> None:
    """Every kind of event is off until it is enabled; then the end of an execution is told."""
    before = iot.describe_event_configurations()["eventConfigurations"]
    assert before["JOB_EXECUTION"] == {"Enabled": False}
    assert len(before) == 11
    iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": True}})
    described = iot.describe_event_configurations()
    assert described["eventConfigurations"] == {**before, "JOB_EXECUTION": {"Enabled": True}}
    assert described["lastModifiedDate"] >= described["creationDate"]
    thing, arn = new_thing(iot)
    job_id = new_job(iot, arn)
    topics: list[str] = []
    account.jobs.publish = lambda topic, _: topics.append(topic)
    try:
        update(account, thing, job_id, status="SUCCEEDED")
    finally:
        account.jobs.publish = None
    assert topics[0] == f"$aws/events/jobExecution/{job_id}/succeeded"
