"""Faults of the Jobs service, its methods for HTTPS, and what it records."""

from __future__ import annotations

from typing import Literal

import pytest

from lab.jobs.service import JobsError
from tests.lab.jobs_desk import THING, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_fault_refuses_a_request(desk: Desk) -> None:
    """A fault's error is the answer, with the token, and nothing is done."""
    desk.create("rotate-1")
    asked: list[tuple[str, str]] = []

    def fault(thing: str, operation: str, _: object) -> JobsError:
        asked.append((thing, operation))
        return JobsError("RequestThrottled", "slow down")

    desk.jobs.fault = fault
    refusal = desk.refused("rotate-1/update", status="SUCCEEDED", clientToken="t")
    assert (refusal["code"], refusal["clientToken"]) == ("RequestThrottled", "t")
    assert asked == [(THING, "UpdateJobExecution")]
    assert desk.status("rotate-1") == "QUEUED"


def test_fault_loses_a_request(desk: Desk) -> None:
    """A dropped request has no answer and no effect."""
    desk.create("rotate-1")
    desk.jobs.fault = lambda *_: "drop"
    assert desk.jobs.handle(THING, "rotate-1/update", b'{"status":"FAILED"}') == []
    assert desk.status("rotate-1") == "QUEUED"


@pytest.mark.parametrize(("verdict", "answers"), [("drop", 0), ("duplicate", 2), (None, 1)])
def test_reply_fault_loses_or_doubles_an_answer(
    desk: Desk, verdict: Literal["drop", "duplicate"] | None, answers: int
) -> None:
    """A request whose answer is lost or doubled is served all the same, once."""
    desk.create("rotate-1")
    desk.jobs.reply_fault = lambda thing, topic, body: verdict
    got = desk.jobs.handle(THING, "rotate-1/update", b'{"status":"IN_PROGRESS"}')
    assert [topic for topic, _ in got] == ["rotate-1/update/accepted"] * answers
    execution = desk.jobs.control.describe_job_execution(THING, "rotate-1", None)
    assert (execution["status"], execution["versionNumber"]) == ("IN_PROGRESS", 2)


# --- as HTTPS has it --------------------------------------------------------------


def test_https_has_the_document_as_its_text(desk: Desk) -> None:
    """The methods for HTTPS answer the document as it was given, and bear no timestamp."""
    desk.create("rotate-1", document='{"operation" :"X"}')
    described = desk.jobs.describe_job_execution(THING, "$next")
    assert described["execution"]["jobDocument"] == '{"operation" :"X"}'
    started = desk.jobs.start_next_pending_job_execution(THING)
    assert started["execution"]["jobDocument"] == '{"operation" :"X"}'
    request = {"status": "SUCCEEDED", "includeJobDocument": True}
    updated = desk.jobs.update_job_execution(THING, "rotate-1", request)
    assert updated == {"jobDocument": '{"operation" :"X"}'}
    assert desk.jobs.get_pending_job_executions(THING) == {"inProgressJobs": [], "queuedJobs": []}
    with pytest.raises(JobsError) as refused:
        desk.jobs.describe_job_execution(THING, "rotate-1")
    assert (refused.value.http_error, refused.value.http_status) == ("TerminalStateException", 410)


def test_every_change_is_in_the_timeline(desk: Desk) -> None:
    """Each state of an execution is recorded with its job, thing, version and details."""
    desk.create("rotate-1")
    desk.ask("rotate-1/update", status="FAILED", statusDetails={"reason": "key-mismatch"})
    entries = [(e.source, e.event, e.details["version"]) for e in desk.timeline.entries]
    assert entries == [("jobs", "queued", 1), ("jobs", "failed", 2)]
    assert desk.timeline.entries[1].details["status_details"] == {"reason": "key-mismatch"}
