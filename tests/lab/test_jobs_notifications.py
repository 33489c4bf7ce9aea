"""What the Jobs service publishes by itself, and in which order."""

from __future__ import annotations

import json

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


def test_new_job_is_notified_twice(desk: Desk) -> None:
    """A first job is announced on notify with its summary, and on notify-next in full."""
    desk.create("rotate-1")
    topic = f"$aws/things/{THING}/jobs/"
    assert desk.taken() == [
        (topic + "notify", {"timestamp": int(START), "jobs": {"QUEUED": [SUMMARY]}}),
        (
            topic + "notify-next",
            {
                "timestamp": int(START),
                "execution": {
                    **SUMMARY,
                    "thingName": THING,
                    "status": "QUEUED",
                    "jobDocument": {"operation": "ROTATE_CERTIFICATE"},
                },
            },
        ),
    ]


def test_further_job_is_not_next(desk: Desk) -> None:
    """A job behind another one is announced on notify only."""
    desk.create("rotate-1")
    desk.taken()
    desk.create("rotate-2")
    ((topic, body),) = desk.taken()
    assert topic.endswith("/notify")
    assert [s["jobId"] for s in body["jobs"]["QUEUED"]] == ["rotate-1", "rotate-2"]


def test_own_start_is_not_notified(desk: Desk) -> None:
    """Nothing is published when the next execution goes to IN_PROGRESS or is updated."""
    desk.create("rotate-1")
    desk.taken()
    desk.ask("rotate-1/update", status="IN_PROGRESS")
    desk.ask("rotate-1/update", status="IN_PROGRESS", statusDetails={"step": "two"})
    assert desk.taken() == []


def test_starting_a_later_one_makes_it_next(desk: Desk) -> None:
    """If a queued execution starts before an older one, notify-next tells of it; notify rests."""
    desk.create("rotate-1")
    desk.create("rotate-2")
    desk.taken()
    desk.ask("rotate-2/update", status="IN_PROGRESS")
    ((topic, body),) = desk.taken()
    assert topic.endswith("/notify-next")
    assert (body["execution"]["jobId"], body["execution"]["versionNumber"]) == ("rotate-2", 2)


def test_end_of_one_announces_the_following(desk: Desk) -> None:
    """When an execution ends, both notifications tell what is left."""
    desk.create("rotate-1")
    desk.create("rotate-2")
    desk.taken()
    desk.ask("rotate-1/update", status="FAILED")
    (_, listed), (_, following) = desk.taken()
    assert [s["jobId"] for s in listed["jobs"]["QUEUED"]] == ["rotate-2"]
    assert following["execution"]["jobId"] == "rotate-2"


def test_empty_queue_is_notified_without_execution(desk: Desk) -> None:
    """When the last execution ends, notify lists nothing and notify-next has no execution."""
    desk.create("rotate-1")
    desk.taken()
    desk.ask("rotate-1/update", status="SUCCEEDED")
    topic = f"$aws/things/{THING}/jobs/"
    assert desk.taken() == [
        (topic + "notify", {"timestamp": int(START), "jobs": {}}),
        (topic + "notify-next", {"timestamp": int(START)}),
    ]


def test_notify_lists_ten_at_most(desk: Desk) -> None:
    """With more pending executions, notify lists the first ten."""
    for number in range(12):
        desk.create(f"job-{number}")
    assert len(desk.taken("/notify")[-1][1]["jobs"]["QUEUED"]) == 10


def test_answer_comes_before_its_notifications(desk: Desk) -> None:
    """The one who asked has the answer before anything is published, which is by flush."""
    desk.create("rotate-1")
    desk.taken()
    seen: list[int] = []
    payload = json.dumps({"status": "SUCCEEDED"}).encode()
    desk.jobs.serve(THING, "rotate-1/update", payload, lambda *_: seen.append(len(desk.published)))
    assert seen == [0]
    assert desk.taken() == []
    desk.jobs.flush()
    assert len(desk.taken()) == 2


def test_nothing_is_lost_while_another_publishes(desk: Desk) -> None:
    """What is to be said while a publication is under way is said after it, in order."""
    order: list[str] = []

    def publish(topic: str, _: bytes) -> None:
        if not order:
            order.append("first")
            desk.create("rotate-2", "press-8")
        order.append(topic)

    desk.jobs.publish = publish
    desk.create("rotate-1")
    assert order == [
        "first",
        *(
            f"$aws/things/press-{n}/jobs/{kind}"
            for n in (7, 8)
            for kind in ("notify", "notify-next")
        ),
    ]
