"""The account's own data plane, as boto3 finds it through the environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.iot_core.iot_core import Message
from lab.lab import Lab

THING = "press-7"
DOCUMENT = {"operation": "ROTATE_CERTIFICATE"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One lab for all tests of this file, with a thing and its job."""
    with Lab() as running:
        iot = running.account.client("iot")
        arn = iot.create_thing(thingName=THING)["thingArn"]
        iot.create_job(jobId="job-1", targets=[arn], document=json.dumps(DOCUMENT))
        yield running


@pytest.fixture
def client(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes boto3 clients as a function does, that try once."""
    for name, value in lab.data_plane.environment.items():
        monkeypatch.setenv(name, value)
    clients = []

    def make(service: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, proxies={})
        made = boto3.Session().client(service, config=config)  # type: ignore[call-overload]
        clients.append(made)
        return made

    yield make
    for made in clients:
        made.close()


def test_publish_reaches_the_broker(lab: Lab, client: Any) -> None:
    """A publication of the account arrives as the cloud's own: no client, no principal."""
    seen: SimpleQueue[Message] = SimpleQueue()
    stop = lab.iot_core.observe("certkeeper/things/+/certificate/create/accepted", seen.put)
    client("iot-data").publish(
        topic=f"certkeeper/things/{THING}/certificate/create/accepted", qos=1, payload=b"{}"
    )
    message = seen.get(timeout=20)
    stop()
    assert (message.payload, message.qos) == (b"{}", 1)
    assert (message.client_id, message.principal) == (None, None)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"topic": "a/+", "qos": 1}, 400),
        ({"topic": "$aws/events/x", "qos": 1}, 400),
        ({"topic": "a", "retain": True}, 400),
        ({"topic": "a", "qos": 2}, 400),
        ({"topic": "a", "payload": b"x" * (128 * 1024 + 1)}, 413),
    ],
)
def test_publish_refused(client: Any, request_: dict[str, Any], status: int) -> None:
    """Reserved or malformed topics, QoS 2, more than 128 KB, and what is not played here."""
    with pytest.raises(ClientError) as caught:
        client("iot-data").publish(**request_)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_jobs_data_plane(client: Any) -> None:
    """boto3's iot-jobs-data understands the four operations."""
    jobs = client("iot-jobs-data")
    assert jobs.get_pending_job_executions(thingName=THING)["queuedJobs"][0]["jobId"] == "job-1"
    started = jobs.start_next_pending_job_execution(thingName=THING)["execution"]
    assert started["status"] == "IN_PROGRESS"
    found = jobs.describe_job_execution(jobId="job-1", thingName=THING, includeJobDocument=True)
    assert json.loads(found["execution"]["jobDocument"]) == DOCUMENT
    updated = jobs.update_job_execution(
        jobId="job-1",
        thingName=THING,
        status="FAILED",
        statusDetails={"reason": "x"},
        includeJobExecutionState=True,
    )
    assert updated["executionState"]["statusDetails"] == {"reason": "x"}


def test_jobs_errors_are_the_models(client: Any) -> None:
    """A refusal is raised as the exception that the service model has for it."""
    jobs = client("iot-jobs-data")
    with pytest.raises(jobs.exceptions.ResourceNotFoundException):
        jobs.describe_job_execution(jobId="no-such-job", thingName=THING)
