"""The messages of the Jobs service: the API's shapes, its limits, and what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_protocol import jobs, topics
from rotation_protocol.fields import WireError
from rotation_protocol.jobs import JobExecution, JobRejected, NextJob, UpdateAccepted

#: As the developer guide shows it ("Jobs device MQTT API", DescribeJobExecution).
EXECUTION: dict[str, Any] = {
    "jobId": "job-1",
    "thingName": "press-7",
    "jobDocument": {"operation": "ROTATE_CERTIFICATE"},
    "status": "QUEUED",
    "queuedAt": 1795600000,
    "lastUpdatedAt": 1795600000,
    "versionNumber": 1,
    "executionNumber": 2,
}


def next_job(**changes: Any) -> NextJob:
    message = {"timestamp": 1795600001, "execution": {**EXECUTION, **changes}, "clientToken": "t"}
    return jobs.decode_next_job(json.dumps(message).encode())


def test_topics_are_the_apis() -> None:
    """The Jobs topics of a thing, "$next" included."""
    assert topics.jobs("press-7", "$next/get") == "$aws/things/press-7/jobs/$next/get"


def test_next_job_is_read() -> None:
    """An execution, with the cloud's own time and the token that was sent."""
    sent_at = datetime.fromtimestamp(1795600001, UTC)
    execution = JobExecution("job-1", "QUEUED", 1, 2, jobs.ROTATE)
    assert next_job() == NextJob(execution, sent_at, "t")
    assert execution.is_rotation


def test_empty_queue_has_no_execution() -> None:
    """Of an empty queue there is only the time."""
    assert jobs.decode_next_job(b'{"timestamp":0}').execution is None


@pytest.mark.parametrize("document", [{}, {"operation": "REBOOT"}, {"operation": 7}, None])
def test_other_operations_are_no_rotations(document: object) -> None:
    """Another's job is a job all the same, and not ours."""
    execution = next_job(jobDocument=document).execution
    assert execution is not None
    assert not execution.is_rotation


def test_times_in_milliseconds_are_understood() -> None:
    """Some pages of the guide show milliseconds."""
    by_seconds = jobs.decode_update_accepted(b'{"timestamp":1795600001,"clientToken":"t"}')
    by_milliseconds = jobs.decode_update_accepted(b'{"timestamp":1795600001000,"clientToken":"t"}')
    assert by_seconds == by_milliseconds
    assert by_seconds == UpdateAccepted("t", datetime.fromtimestamp(1795600001, UTC))


@pytest.mark.parametrize("stamp", [10**17, -(10**17), 10**300])
def test_time_beyond_the_calendar_is_refused(stamp: int) -> None:
    """A time stamp that is no time is an error of the message."""
    with pytest.raises(WireError, match="timestamp is no time"):
        jobs.decode_next_job(json.dumps({"timestamp": stamp}).encode())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jobId": None}, r"execution\.jobId is missing"),
        ({"jobId": "a/b"}, r"execution\.jobId is not a job's id"),
        ({"status": 7}, r"execution\.status is not a str"),
        ({"versionNumber": None}, r"execution\.versionNumber is missing"),
        ({"versionNumber": True}, r"execution\.versionNumber is not a int"),
        ({"jobDocument": "{}"}, r"execution\.jobDocument is not a dict"),
    ],
)
def test_missing_and_ill_typed_fields_are_named(changes: dict[str, Any], named: str) -> None:
    """The error says which field, and what is wrong with it."""
    with pytest.raises(WireError, match=named):
        next_job(**changes)


def test_update_carries_the_mark_that_the_peers_rule_wants() -> None:
    """Version, token and details, in the API's form."""
    payload = jobs.encode_update("FAILED", {"reason": "probe-refused"}, "t", 3)
    assert json.loads(payload) == {
        "status": "FAILED",
        "statusDetails": {"CertificateRotator": "true", "reason": "probe-refused"},
        "clientToken": "t",
        "expectedVersion": 3,
    }
    assert "expectedVersion" not in json.loads(jobs.encode_update("IN_PROGRESS", {}, "t"))


def test_details_hold_what_the_api_takes() -> None:
    """No control character, no empty value, 128 characters at most."""
    details = {"a": "two\nlines\tand\x00more", "b": "\n", "c": "x" * 500}
    sent = json.loads(jobs.encode_update("FAILED", details, "t"))["statusDetails"]
    assert sent == {"CertificateRotator": "true", "a": "two lines and more", "c": "x" * 128}


def test_more_details_than_fit_are_a_fault() -> None:
    """Ten pairs, the mark among them."""
    assert jobs.encode_update("FAILED", {str(n): "x" for n in range(9)}, "t")
    with pytest.raises(WireError, match="11 statusDetails are more than 10"):
        jobs.encode_update("FAILED", {str(n): "x" for n in range(10)}, "t")


def test_rejection_is_read() -> None:
    """Its code, its token, and its message in a length that fits anywhere."""
    payload = json.dumps({"code": "VersionMismatch", "message": "x" * 500, "clientToken": "t"})
    assert jobs.decode_job_rejected(payload.encode()) == JobRejected(
        "VersionMismatch", "x" * jobs.MAX_DETAIL_CHARACTERS, "t"
    )
    with pytest.raises(WireError, match="code is missing"):
        jobs.decode_job_rejected(b"{}")


@given(st.binary(max_size=200))
@pytest.mark.parametrize(
    "decode", [jobs.decode_next_job, jobs.decode_update_accepted, jobs.decode_job_rejected]
)
def test_garbage_is_a_wire_error(decode: Callable[[bytes], object], payload: bytes) -> None:
    """Whatever arrives is understood or refused; nothing else is raised."""
    with contextlib.suppress(WireError):
        decode(payload)
