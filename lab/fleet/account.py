"""The cloud's ports in memory, with AWS IoT's rules enforced; calls go through ``Watched``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.fleet.disturbance import Hook, Watched, quiet
from lab.fleet.registry import SHARED, THING, Census, Issuer, Registrar, Registry
from rotation_cloud.documents import Document
from rotation_cloud.ports import (
    AlreadyThere,
    Cloud,
    Ending,
    Execution,
    NotFound,
    RecordChanged,
)
from rotation_cloud.records import Record
from rotation_cloud.security_events import SecurityEvent
from rotation_protocol import topics
from rotation_protocol.jobs import ROTATE

RUNNING = Execution("IN_PROGRESS", ended=False, operation=ROTATE, identity="1@100")


class Jobs:
    """ports.JobExecutions; a job that is made waits for its thing."""

    def __init__(self, clock: Clock) -> None:
        self.executions: dict[tuple[str, str], Execution] = {}
        self.endings: dict[tuple[str, str], Ending] = {}
        #: Of executions that others of the same job came after, by their number.
        self.earlier: dict[tuple[str, str, int], Ending] = {}
        self.created: dict[str, str] = {}
        self._clock = clock

    def execution(self, thing: str, job_id: str) -> Execution | None:
        return self.executions.get((thing, job_id))

    def pending(self, thing: str) -> Sequence[str]:
        return [job for (name, job), e in self.executions.items() if name == thing and not e.ended]

    def create(self, job_id: str, thing: str) -> None:
        if job_id in self.created:
            raise AlreadyThere(job_id)
        self.created[job_id] = thing
        identity = f"1@{self._clock.now():g}"
        self.executions[thing, job_id] = replace(RUNNING, status="QUEUED", identity=identity)

    def cancel(self, thing: str, job_id: str) -> None:
        execution = self.executions.get((thing, job_id))
        if execution is None:
            raise NotFound(job_id)
        if not execution.ended:
            self.end(thing, job_id, "CANCELED")

    def ending(self, thing: str, job_id: str, number: int | None = None) -> Ending | None:
        if number is not None and (thing, job_id, number) in self.earlier:
            return self.earlier[thing, job_id, number]
        if (thing, job_id) not in self.executions:
            raise NotFound(job_id)
        return self.endings.get((thing, job_id))

    def end(self, thing: str, job_id: str, status: str, **details: str) -> None:
        """The execution is over."""
        self.executions[thing, job_id] = Execution("ENDED", ended=True)
        self.endings[thing, job_id] = Ending(status, details, self._clock.now())


class Records:
    """ports.Records."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Record] = {}

    def get(self, thing: str, job_id: str) -> Record | None:
        return self.items.get((thing, job_id))

    def of_thing(self, thing: str) -> Sequence[Record]:
        return [record for record in self.items.values() if record.thing == thing]

    def all(self) -> Iterator[Record]:
        yield from list(self.items.values())

    def write(self, record: Record) -> Record:
        known = self.items.get((record.thing, record.job_id))
        if (known.version if known else 0) != record.version:
            raise RecordChanged(record.job_id)
        written = replace(record, version=record.version + 1)
        self.items[record.thing, record.job_id] = written
        return written


class Documents:
    """ports.Documents."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Document] = {}

    def get(self, thing: str, name: str) -> Document | None:
        return self.items.get((thing, name))

    def write(self, document: Document) -> Document:
        known = self.items.get((document.thing, document.name))
        if (known.version if known else 0) != document.version:
            raise RecordChanged(document.name)
        # As it comes back from a table: nothing is shared with whoever wrote it.
        body = json.loads(json.dumps(dict(document.body)))
        written = replace(document, body=body, version=document.version + 1)
        self.items[document.thing, document.name] = written
        return written

    def all(self, prefix: str) -> Iterator[Document]:
        yield from [one for one in self.items.values() if one.name.startswith(prefix)]


class Audit:
    """ports.Audit."""

    def __init__(self) -> None:
        self.events: list[SecurityEvent] = []

    def record(self, event: SecurityEvent) -> None:
        self.events.append(event)


class Workflows:
    """ports.Workflows: what was started, by its name, and the tasks that wait, by token."""

    def __init__(self) -> None:
        self.started: dict[str, dict[str, Any]] = {}
        self.waiting: set[str] = set()
        self.ended: list[tuple[str, dict[str, Any]]] = []

    def start(self, name: str, given: Mapping[str, Any]) -> None:
        assert 0 < len(name) <= 80
        if self.started.setdefault(name, dict(given)) != dict(given):
            raise AlreadyThere(name)

    def end_task(self, token: str, result: Mapping[str, Any]) -> None:
        if token not in self.waiting:
            raise NotFound(token)
        self.waiting.remove(token)
        self.ended.append((token, dict(result)))


class JobEvents:
    """ports.JobEvents."""

    def __init__(self) -> None:
        self.on = True

    def are_on(self) -> bool:
        return self.on

    def switch(self, on: bool) -> None:
        self.on = on


class Answers:
    """ports.Answers: what the device got, as (accepted or rejected, fields)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic.rpartition("/")[2], json.loads(payload)))


class Notices:
    """ports.Notices."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []

    def tell(self, subject: str, message: dict[str, str]) -> None:
        assert 0 < len(subject) <= 100
        assert message["whatToDo"]
        self.told.append(message)


class Alerts:
    """ports.Alerts: subject, text and attributes of each message."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, str]]] = []

    def tell(self, subject: str, text: str, attributes: Mapping[str, str]) -> None:
        assert 0 < len(subject) < 100
        assert subject.isascii()
        assert subject.isprintable()
        assert "What to do" in text
        assert all(attributes.values())
        self.told.append((subject, text, dict(attributes)))


class Clock:
    """ports.Clock; sleeping takes no time but here."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Account:
    """Everything at once, with one thing, its old certificate, and a job in progress."""

    grace_days = 0

    def __init__(self, attachment: str = SHARED, policies: Sequence[str] = ("core",)) -> None:
        self.calls: list[str] = []
        self.before: Hook = quiet
        self.after: Hook = quiet
        self.clock = Clock()
        self.registry = Registry(self.clock)
        self.registrar = Registrar(self.registry)
        self.issuer = Issuer(self.registry)
        self.jobs = Jobs(self.clock)
        self.records = Records()
        self.answers = Answers()
        self.notices = Notices()
        self.alerts = Alerts()
        self.documents = Documents()
        self.audit = Audit()
        self.workflows = Workflows()
        self.census = Census(self.registry)
        self.job_events = JobEvents()
        self.old = self.registry.add("old", attachment, policies)
        self.jobs.executions[THING, "job-1"] = RUNNING

        self.cloud = Cloud(
            prefix=topics.PREFIX,
            registry=self._watched("registry"),
            registrar=self._watched("registrar"),
            issuer=self._watched("issuer"),
            jobs=self._watched("jobs"),
            records=self._watched("records"),
            answers=self._watched("answers"),
            notices=self._watched("notices"),
            alerts=self._watched("alerts"),
            documents=self._watched("documents"),
            audit=self.audit,
            workflows=self._watched("workflows"),
            census=self._watched("census"),
            job_events=self._watched("job_events"),
            clock=self.clock,
            grace_seconds=self.grace_days * 24 * 3600,
        )

    def _watched(self, name: str) -> Any:
        return Watched(self, name, getattr(self, name))

    def end(self, job_id: str = "job-1", status: str = "TIMED_OUT", **details: str) -> None:
        """The job's execution is over."""
        self.jobs.end(THING, job_id, status, **details)

    def disturb(self, before: Hook = quiet, after: Hook = quiet) -> None:
        """From now on; without arguments, no more."""
        self.calls.clear()
        self.before, self.after = before, after
