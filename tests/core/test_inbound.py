"""What arrives from the cloud: an event, a refusal with its reason, or nothing of ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core import events, inbound
from rotation_protocol.jobs import JobExecution
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.topics import MAX_TOPIC_BYTES, MAX_TOPIC_SLASHES
from tests.core.strategies import any_json, examples

JOBS, CERTIFICATE = "$aws/things/press-7/jobs", "certkeeper/things/press-7/certificate"
EXECUTION = {
    "jobId": "job-1",
    "status": "QUEUED",
    "versionNumber": 3,
    "jobDocument": {"operation": "ROTATE_CERTIFICATE"},
}
REJECTED = {"code": "VersionMismatch", "message": "no", "clientToken": "t"}
TOPICS = [
    f"{JOBS}/notify-next",
    *(f"{JOBS}/{job}/{ask}/{answer}" for job in ("$next", "job-1")
      for ask in ("get", "update") for answer in ("accepted", "rejected")),
    *(f"{CERTIFICATE}/{ask}/{answer}" for ask in ("create", "commit", "request")
      for answer in ("accepted", "rejected")),
]  # fmt: skip


def event(topic: str, **fields: object) -> object:
    return inbound.event_of(topic, json.dumps(fields).encode())


def test_the_next_job() -> None:
    """notify-next and the answer to a question are told apart, and name the job."""
    said = event(f"{JOBS}/notify-next", execution=EXECUTION, timestamp=1)
    assert isinstance(said, events.JobNotified)
    job = JobExecution("job-1", "QUEUED", 3, None, "ROTATE_CERTIFICATE")
    assert said.next_job.execution == job
    answered = event(f"{JOBS}/$next/get/accepted", execution=EXECUTION, clientToken="t")
    assert isinstance(answered, events.JobAnswered)
    assert (answered.job_id, answered.next_job.client_token) == ("$next", "t")
    assert isinstance(event(f"{JOBS}/notify-next", timestamp=1), events.JobNotified)


def test_answers_about_a_job() -> None:
    """Accepted and rejected, of a question and of an update."""
    assert isinstance(event(f"{JOBS}/job-1/get/rejected", **REJECTED), events.JobAskRejected)
    taken = event(f"{JOBS}/job-1/update/accepted", clientToken="t", timestamp=1)
    assert isinstance(taken, events.UpdateTaken)
    assert (taken.job_id, taken.accepted.client_token) == ("job-1", "t")
    refused = event(f"{JOBS}/job-1/update/rejected", **REJECTED)
    assert isinstance(refused, events.UpdateRejected)
    assert refused.rejected.code == "VersionMismatch"


def test_answers_of_our_backend() -> None:
    """Certificates, confirmations and refusals, also from a backend that names no job."""
    issued = event(f"{CERTIFICATE}/create/accepted", certificatePem="PEM")
    assert isinstance(issued, events.CreateAnswered)
    assert (issued.issued.certificate_pem, issued.issued.job_id) == ("PEM", None)
    assert isinstance(event(f"{CERTIFICATE}/commit/accepted"), events.CommitAnswered)
    for action, kind in (("create", events.CreateRejected), ("commit", events.CommitRejected)):
        refused = event(f"{CERTIFICATE}/{action}/rejected", errorMsg="no", errorCode="busy")
        assert isinstance(refused, kind)
        assert refused.rejected.code is RejectionCode.BUSY
    assert event(f"{CERTIFICATE}/request/accepted") == events.RequestAnswered()
    assert event(f"{CERTIFICATE}/request/rejected", errorMsg="no") == events.RequestAnswered("no")


@pytest.mark.parametrize(
    "topic",
    [
        f"{JOBS}/job-1/get",
        f"{JOBS}/job-1/update/other",
        f"{JOBS}/start-next/accepted",
        f"{JOBS}/get/accepted",
        f"{CERTIFICATE}/create",
        f"{CERTIFICATE}/revoke/accepted",
        f"{CERTIFICATE}/create/other",
        "greengrass/alerts/certificates",
        "$aws/things/press-7/shadow/update/accepted",
        "certificate",
        "",
    ],
)
def test_none_of_ours(topic: str) -> None:
    """Everything else is nothing, whatever is in it, our own questions too."""
    assert inbound.event_of(topic, b"{") is None


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff", b'{"execution": 7}'])
def test_what_cannot_be_understood_is_refused(payload: bytes) -> None:
    """A message on a topic of ours that makes no sense says why."""
    refused = inbound.event_of(f"{JOBS}/notify-next", payload)
    assert isinstance(refused, events.MessageRefused)
    assert refused.reason


def test_refusal_is_of_a_bounded_length() -> None:
    """A huge topic or payload does not become a huge line."""
    refused = inbound.event_of(f"{JOBS}/{'x' * 5000}/update/rejected", b"[" * 100_000)
    assert isinstance(refused, events.MessageRefused)
    assert len(refused.topic) <= 256
    assert len(refused.reason) <= 300


@examples(300)
@given(st.sampled_from(TOPICS), st.binary(max_size=60) | any_json.map(json.dumps).map(str.encode))
def test_nothing_is_raised(topic: str, payload: bytes) -> None:
    """Whatever is in a message, the outcome is an event."""
    assert inbound.event_of(topic, payload) is not None


def test_filters() -> None:
    """The filters are the four of the contract, and filters that AWS IoT takes."""
    filters = inbound.filters("press-7", "certkeeper")
    assert set(filters.values()) == {
        f"{JOBS}/notify-next",
        f"{JOBS}/+/get/+",
        f"{JOBS}/+/update/+",
        f"{CERTIFICATE}/+/+",
    }
    for topic_filter in inbound.filters("t" * 128, "a/b").values():
        assert topic_filter.count("/") <= MAX_TOPIC_SLASHES
        assert len(topic_filter) <= MAX_TOPIC_BYTES
