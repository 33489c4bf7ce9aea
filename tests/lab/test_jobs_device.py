"""The Jobs service answers a device as AWS IoT Jobs does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.jobs_desk import START, THING, Desk

SUMMARY = {
    "jobId": "rotate-1",
    "queuedAt": int(START),
    "lastUpdatedAt": int(START),
    "versionNumber": 1,
    "executionNumber": 1,
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- get, start-next --------------------------------------------------------------


def test_next_execution_is_described_with_its_document(desk: Desk) -> None:
    """$next/get answers the whole execution, its document an object, and echoes the token."""
    desk.create("rotate-1")
    assert desk.ask("$next/get", clientToken="t-1") == {
        "execution": {
            **SUMMARY,
            "thingName": THING,
            "status": "QUEUED",
            "jobDocument": {"operation": "ROTATE_CERTIFICATE"},
        },
        "timestamp": int(START),
        "clientToken": "t-1",
    }


def test_nothing_next_is_an_answer_without_execution(desk: Desk) -> None:
    """With an empty queue, $next/get and start-next accept and name no execution."""
    for topic in ("$next/get", "start-next"):
        assert desk.ask(topic, clientToken="t") == {"timestamp": int(START), "clientToken": "t"}


def test_empty_payload_is_an_empty_request(desk: Desk) -> None:
    """A request without any payload is taken, and answered without a clientToken."""
    assert desk.jobs.handle(THING, "get", b"") == [
        ("get/accepted", {"inProgressJobs": [], "queuedJobs": [], "timestamp": int(START)})
    ]


def test_document_can_be_left_out(desk: Desk) -> None:
    """includeJobDocument false leaves the document out of the execution."""
    desk.create("rotate-1")
    answer = desk.ask("rotate-1/get", includeJobDocument=False)
    assert "jobDocument" not in answer["execution"]


def test_pending_executions_are_listed_by_status(desk: Desk) -> None:
    """get lists what is in progress and what is queued, the oldest first."""
    for job_id in ("rotate-1", "rotate-2", "rotate-3"):
        desk.create(job_id)
    desk.ask("rotate-2/update", status="IN_PROGRESS")
    listed = desk.ask("get")
    assert [s["jobId"] for s in listed["inProgressJobs"]] == ["rotate-2"]
    assert [s["jobId"] for s in listed["queuedJobs"]] == ["rotate-1", "rotate-3"]
    assert listed["queuedJobs"][0] == SUMMARY


def test_execution_in_progress_is_next_before_older_queued_ones(desk: Desk) -> None:
    """$next stands for the one in progress first, then for the oldest queued one."""
    desk.create("rotate-1")
    desk.create("rotate-2")
    desk.ask("rotate-2/update", status="IN_PROGRESS")
    assert desk.ask("$next/get")["execution"]["jobId"] == "rotate-2"
    desk.ask("rotate-2/update", status="SUCCEEDED")
    assert desk.ask("$next/get")["execution"]["jobId"] == "rotate-1"


def test_start_next_starts_the_oldest(desk: Desk) -> None:
    """start-next moves the oldest queued execution to IN_PROGRESS, with the details given."""
    desk.create("rotate-1")
    desk.create("rotate-2")
    desk.now += 5
    started = desk.ask("start-next", statusDetails={"step": "begun"})["execution"]
    assert (started["jobId"], started["status"]) == ("rotate-1", "IN_PROGRESS")
    assert started["startedAt"] == started["lastUpdatedAt"] == int(START) + 5
    assert (started["versionNumber"], started["statusDetails"]) == (2, {"step": "begun"})


def test_start_next_leaves_what_is_in_progress_as_it_is(desk: Desk) -> None:
    """Asked again, start-next answers the same execution, details and version unchanged."""
    desk.create("rotate-1")
    first = desk.ask("start-next", statusDetails={"step": "begun"})
    again = desk.ask("start-next", statusDetails={"step": "again"})
    assert again["execution"] == first["execution"]


def test_finished_execution_is_not_described(desk: Desk) -> None:
    """get of an execution that is over is refused with TerminalStateReached."""
    desk.create("rotate-1")
    desk.ask("rotate-1/update", status="SUCCEEDED")
    assert desk.refused("rotate-1/get")["code"] == "TerminalStateReached"


# --- update -----------------------------------------------------------------------


def test_each_update_counts_a_version(desk: Desk) -> None:
    """Every accepted update raises the version by one; details stay unless replaced."""
    desk.create("rotate-1")
    desk.ask("rotate-1/update", status="IN_PROGRESS", statusDetails={"step": "one"})
    answer = desk.ask("rotate-1/update", status="IN_PROGRESS", includeJobExecutionState=True)
    assert answer["executionState"] == {
        "status": "IN_PROGRESS",
        "statusDetails": {"step": "one"},
        "versionNumber": 3,
    }


def test_update_answers_state_and_document_only_if_asked(desk: Desk) -> None:
    """Without a wish, an accepted update bears nothing but its timestamp."""
    desk.create("rotate-1")
    assert desk.ask("rotate-1/update", status="IN_PROGRESS") == {"timestamp": int(START)}
    answer = desk.ask("rotate-1/update", status="IN_PROGRESS", includeJobDocument=True)
    assert answer["jobDocument"] == {"operation": "ROTATE_CERTIFICATE"}


def test_unexpected_version_is_refused_with_the_state(desk: Desk) -> None:
    """A VersionMismatch bears the execution's state, and changes nothing."""
    desk.create("rotate-1")
    refusal = desk.refused(
        "rotate-1/update", status="IN_PROGRESS", expectedVersion=7, clientToken="t"
    )
    assert (refusal["code"], refusal["clientToken"]) == ("VersionMismatch", "t")
    assert refusal["timestamp"] == int(START)
    assert refusal["executionState"] == {
        "status": "QUEUED",
        "statusDetails": {},
        "versionNumber": 1,
    }
    desk.ask("rotate-1/update", status="IN_PROGRESS", expectedVersion=1)


@pytest.mark.parametrize("status", ["IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"])
def test_what_is_over_cannot_change(desk: Desk, status: str) -> None:
    """An update after the end is an InvalidStateTransition that bears the final state."""
    desk.create("rotate-1")
    desk.ask("rotate-1/update", status="SUCCEEDED", statusDetails={"certificateId": "ab"})
    refusal = desk.refused("rotate-1/update", status=status)
    assert refusal["code"] == "InvalidStateTransition"
    assert refusal["executionState"] == {
        "status": "SUCCEEDED",
        "statusDetails": {"certificateId": "ab"},
        "versionNumber": 2,
    }


@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"status": "CANCELED"},
        {"status": "DONE"},
        {"status": 1},
        {"status": "FAILED", "statusDetails": {str(n): "x" for n in range(11)}},
        {"status": "FAILED", "statusDetails": {"a b": "x"}},
        {"status": "FAILED", "statusDetails": {"": "x"}},
        {"status": "FAILED", "statusDetails": {"k" * 129: "x"}},
        {"status": "FAILED", "statusDetails": {"key": ""}},
        {"status": "FAILED", "statusDetails": {"key": "-----BEGIN\nEND-----"}},
        {"status": "FAILED", "statusDetails": {"key": "v" * 1025}},
        {"status": "FAILED", "statusDetails": {"key": {"a": "b"}}},
        {"status": "FAILED", "statusDetails": {"key": None}},
        {"status": "FAILED", "statusDetails": "text"},
        {"status": "FAILED", "expectedVersion": "one"},
        {"status": "FAILED", "includeJobDocument": "yes"},
        {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 0},
        {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081},
        {"status": "FAILED", "clientToken": 5},
        {"status": "FAILED", "clientToken": "t" * 65},
    ],
)
def test_wrong_update_is_an_invalid_request(desk: Desk, request_fields: dict[str, Any]) -> None:
    """A field outside of the API's rules is refused as InvalidRequest, and changes nothing."""
    desk.create("rotate-1")
    assert desk.refused("rotate-1/update", **request_fields)["code"] == "InvalidRequest"
    assert desk.status("rotate-1") == "QUEUED"


def test_true_is_taken_for_its_text(desk: Desk) -> None:
    """statusDetails with a boolean, as the peer sends it, is taken as text."""
    desk.create("rotate-1")
    answer = desk.ask(
        "rotate-1/update",
        status="IN_PROGRESS",
        statusDetails={"CertificateRotator": True},
        includeJobExecutionState=True,
    )
    assert answer["executionState"]["statusDetails"] == {"CertificateRotator": "true"}


def test_limits_themselves_are_taken(desk: Desk) -> None:
    """Ten details of the longest names and values are taken."""
    desk.create("rotate-1")
    details = {f"{n}" + "k" * 127: "v" * 1024 for n in range(10)}
    desk.ask("rotate-1/update", status="IN_PROGRESS", statusDetails=details)


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("rotate-1/update", b"{", "InvalidJson"),
        ("rotate-1/update", b"\xff", "InvalidJson"),
        ("rotate-1/update", b"[" * 100_000, "InvalidJson"),
        ("rotate-1/update", b"[]", "InvalidRequest"),
        ("unknown/get", b"{}", "ResourceNotFound"),
        ("unknown/update", b'{"status":"FAILED"}', "ResourceNotFound"),
        ("rotate-1/update", b'{"status":"FAILED","executionNumber":2}', "ResourceNotFound"),
        ("rotate-1/get", b'{"executionNumber":2}', "ResourceNotFound"),
        ("a.b/get", b"{}", "InvalidRequest"),
        ("$next/update", b'{"status":"FAILED"}', "InvalidTopic"),
        ("rotate-1/get/accepted", b"{}", "InvalidTopic"),
        ("notify", b"{}", "InvalidTopic"),
        ("", b"{}", "InvalidTopic"),
    ],
)
def test_refusals_have_the_api_s_codes(desk: Desk, topic: str, payload: bytes, code: str) -> None:
    """What cannot be read or found is refused with the code that AWS has for it."""
    desk.create("rotate-1")
    ((answered, body),) = desk.jobs.handle(THING, topic, payload)
    assert (answered, body["code"]) == (f"{topic}/rejected", code)
    assert body["message"]
    assert body["timestamp"] == int(START)


def test_job_of_another_thing_is_not_found(desk: Desk) -> None:
    """A thing reaches its own executions only."""
    desk.create("rotate-1", "press-8")
    assert desk.refused("rotate-1/get")["code"] == "ResourceNotFound"


def test_namespace_of_deployments_is_empty(desk: Desk) -> None:
    """A nucleus that asks for deployments is told that there is none, whatever jobs wait."""
    desk.create("rotate-1")
    answer = desk.ask("$next/namespace-aws-gg-deployment/get", clientToken="t")
    assert answer == {"timestamp": int(START), "clientToken": "t"}
    refusal = desk.refused("rotate-1/namespace-aws-gg-deployment/update", status="FAILED")
    assert refusal["code"] == "ResourceNotFound"
