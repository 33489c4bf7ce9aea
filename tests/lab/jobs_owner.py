"""An owner of jobs, who makes them with boto3, and a thing of his that reports."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from lab.account.account import Account

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

DOCUMENT = json.dumps({"operation": "ROTATE_CERTIFICATE"})
_numbers = itertools.count()


def unused(word: str) -> str:
    """A name that no other test has."""
    return f"{word}-{next(_numbers)}"


def new_thing(iot: IoTClient) -> tuple[str, str]:
    """Name and ARN."""
    made = iot.create_thing(thingName=unused("press"))
    return made["thingName"], made["thingArn"]


def new_job(iot: IoTClient, *targets: str, **more: Any) -> str:
    job_id = unused("rotate")
    iot.create_job(jobId=job_id, targets=list(targets), **{"document": DOCUMENT, **more})
    return job_id


def update(account: Account, thing: str, job_id: str, **request: Any) -> None:
    """An update that the device makes, accepted."""
    payload = json.dumps(request).encode()
    ((topic, body),) = account.jobs.handle(thing, f"{job_id}/update", payload)
    assert topic.endswith("/accepted"), body


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
