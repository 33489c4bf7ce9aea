"""A Jobs service with a clock of the test's own, and a record of all that it publishes."""

from __future__ import annotations

import json
from typing import Any

from lab.jobs.service import Jobs
from lab.timeline import Timeline

THING = "press-7"
DOCUMENT = '{"operation":"ROTATE_CERTIFICATE"}'
START = 1_800_000_000.0


class Desk:
    """``jobs`` at ``now``; what it published is in ``published`` until it is taken."""

    def __init__(self) -> None:
        self.now = START
        self.timeline = Timeline()
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.jobs = Jobs(
            "123456789012",
            "eu-west-1",
            clock=lambda: self.now,
            publish=lambda topic, payload: self.published.append((topic, json.loads(payload))),
            timeline=self.timeline,
        )

    def create(self, job_id: str, *things: str, **request: Any) -> None:
        """A job for these things, or for THING."""
        names = things or (THING,)
        targets = [f"arn:aws:iot:eu-west-1:123456789012:thing/{name}" for name in names]
        self.jobs.control.create_job(
            {"jobId": job_id, "document": DOCUMENT, "targets": targets, **request}, names
        )

    def ask(self, topic_rest: str, thing: str = THING, /, **request: Any) -> dict[str, Any]:
        """The body of the one answer, which must be an acceptance."""
        ((topic, body),) = self.jobs.handle(thing, topic_rest, json.dumps(request).encode())
        assert topic == f"{topic_rest}/accepted", body
        return body

    def refused(self, topic_rest: str, **request: Any) -> dict[str, Any]:
        """The body of the one answer, which must be a refusal."""
        ((topic, body),) = self.jobs.handle(THING, topic_rest, json.dumps(request).encode())
        assert topic == f"{topic_rest}/rejected", body
        return body

    def taken(self, ending: str = "") -> list[tuple[str, dict[str, Any]]]:
        """What was published since the last time, to topics with this ending only."""
        published, self.published = self.published, []
        return [(topic, body) for topic, body in published if topic.endswith(ending)]

    def status(self, job_id: str, number: int | None = None) -> str:
        execution = self.jobs.control.describe_job_execution(THING, job_id, number)
        return str(execution["status"])
