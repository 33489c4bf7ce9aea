"""The cloud's ports in memory, with AWS IoT's rules enforced; calls go through ``Watched``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from lab.fleet.disturbance import Hook, Watched, quiet
from rotation_cloud import ports
from rotation_cloud.create import public_key_of
from rotation_cloud.documents import Document
from rotation_cloud.ports import (
    AlreadyThere,
    Cloud,
    Ending,
    Execution,
    InUse,
    Issuance,
    Listed,
    NotFound,
    Order,
    RecordChanged,
    Refused,
    Registered,
)
from rotation_cloud.records import Record
from rotation_cloud.security_events import SecurityEvent
from rotation_protocol import topics
from rotation_protocol.jobs import ROTATE

THING = "press-7"
REGION, ACCOUNT_ID = "eu-west-1", "123456789012"
BASE = f"arn:aws:iot:{REGION}:{ACCOUNT_ID}"
EXCLUSIVE, SHARED = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"
RUNNING = Execution("IN_PROGRESS", ended=False, operation=ROTATE, identity="1@100")


@dataclass
class Certificate:
    """A registered certificate."""

    arn: str
    key: str = ""
    pem: str = ""
    is_active: bool = True
    policies: set[str] = field(default_factory=set)
    things: dict[str, str] = field(default_factory=dict)
    created: float = 0.0
    is_pending: bool = False
    ca_id: str = ""


class Registry:
    """ports.Registry; a detached thing holds a certificate for ``lag`` more seconds.

    ``deactivated`` hears of each certificate that opens nothing any more.
    """

    def __init__(self, clock: ports.Clock) -> None:
        self.certificates: dict[str, Certificate] = {}
        self.known = {THING}
        self.lag = 0.0
        self.deactivated: Callable[[str], None] = lambda _arn: None
        self.deleted_things: set[str] = set()
        self._clock = clock
        self._made = 0
        self._held_until: dict[str, float] = {}

    def registered(self, arn: str) -> Registered:
        certificate = self.get(arn)
        status = "ACTIVE" if certificate.is_active else "INACTIVE"
        return Registered(arn, certificate.pem, status)

    def add(
        self,
        name: str,
        attachment: str = SHARED,
        policies: Sequence[str] = ("core",),
        thing: str = THING,
        *,
        key: str = "",
    ) -> str:
        """An ACTIVE certificate of the thing, as an operator makes it; its id."""
        certificate_id = hashlib.sha256(name.encode()).hexdigest()
        arn = f"{BASE}:cert/{certificate_id}"
        self.certificates[arn] = Certificate(
            arn, key, policies=set(policies), created=self._clock.now()
        )
        self.known.add(thing)
        self.attach_thing(arn, thing, attachment)
        return certificate_id

    def register(self, key: str) -> str:
        """A new ACTIVE certificate, attached to nothing; its ARN."""
        self._made += 1
        arn = f"{BASE}:cert/{hashlib.sha256(f'{key}{self._made}'.encode()).hexdigest()}"
        self.certificates[arn] = Certificate(arn, key, created=self._clock.now())
        return arn

    def active(self) -> set[str]:
        """The ids of all certificates that open anything."""
        return {c.arn.rpartition("/")[2] for c in self.certificates.values() if c.is_active}

    def principals(self, thing: str) -> dict[str, str]:
        if thing in self.deleted_things:
            raise NotFound(thing)
        found = {c.arn: c.things[thing] for c in self.certificates.values() if thing in c.things}
        if not found and thing not in self.known:
            raise NotFound(thing)
        return found

    def things(self, arn: str) -> Sequence[str]:
        return list(self.get(arn).things)

    def policies(self, arn: str) -> Sequence[str]:
        return sorted(self.get(arn).policies)

    def is_active(self, arn: str) -> bool:
        return arn in self.certificates and self.certificates[arn].is_active

    def stray(self, public_keys: Set[str], since: float) -> Sequence[str]:
        return [
            c.arn
            for c in self.certificates.values()
            if c.key in public_keys and not c.things and c.created >= since
        ]

    def attach_policy(self, arn: str, policy: str) -> None:
        self.get(arn).policies.add(policy)

    def detach_policy(self, arn: str, policy: str) -> None:
        certificate = self.get(arn)
        if policy not in certificate.policies:
            raise NotFound(policy)
        certificate.policies.remove(policy)

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None:
        certificate = self.get(arn)
        others = {name: kind for name, kind in certificate.things.items() if name != thing}
        if others and EXCLUSIVE in (attachment, *others.values()):
            raise Refused(arn)
        if thing not in self.known:
            raise NotFound(thing)
        certificate.things[thing] = attachment

    def detach_thing(self, arn: str, thing: str) -> None:
        certificate = self.get(arn)
        if thing not in certificate.things:
            raise NotFound(thing)
        del certificate.things[thing]
        self._held_until[arn] = self._clock.now() + self.lag

    def deactivate(self, arn: str) -> None:
        self.get(arn).is_active = False
        self.deactivated(arn)

    def delete(self, arn: str) -> None:
        certificate = self.get(arn)
        if self._clock.now() < self._held_until.get(arn, 0.0):
            raise InUse(arn)
        if certificate.is_active or certificate.things or certificate.policies:
            raise InUse(arn)
        del self.certificates[arn]
        self._held_until.pop(arn, None)

    def get(self, arn: str) -> Certificate:
        if arn not in self.certificates:
            raise NotFound(arn)
        return self.certificates[arn]


class Registrar:
    """ports.Registrar, on the same registry; ``cas`` are the registered CAs by their id."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.cas: dict[str, Registered] = {}

    def certificate(self, certificate_id: str) -> Registered:
        found = self._registry.get(f"{BASE}:cert/{certificate_id}")
        status = "PENDING_ACTIVATION" if found.is_pending else "INACTIVE"
        return Registered(
            found.arn, found.pem, "ACTIVE" if found.is_active else status, found.ca_id
        )

    def ca(self, ca_id: str) -> Registered:
        if ca_id not in self.cas:
            raise NotFound(ca_id)
        return self.cas[ca_id]

    def create_thing(self, thing: str) -> None:
        self._registry.known.add(thing)

    def activate(self, arn: str) -> None:
        found = self._registry.get(arn)
        found.is_active, found.is_pending = True, False


class Issuer:
    """ports.Issuer, as little idempotent as AWS IoT; ``refuses`` every CSR if it is set."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.refuses = False
        self.padding = ""

    def issue(self, order: Order) -> Issuance:
        if self.refuses:
            raise Refused("the CSR violates constraints")
        assert len(order.token) == 36
        arn = self._registry.register(public_key_of(order.csr))
        return Issuance(arn, f"PEM of {arn}{self.padding}")


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

    def create(self, job_id: str, thing_arn: str) -> None:
        if job_id in self.created:
            raise AlreadyThere(job_id)
        self.created[job_id] = thing_arn
        thing = thing_arn.partition(":thing/")[2]
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


class Census:
    """ports.Census."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def certificates(self) -> Iterator[Listed]:
        found = list(self._registry.certificates.values())
        yield from [Listed(one.arn, _status(one), one.created) for one in found]

    def status(self, certificate_id: str) -> str:
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate_id}")
        return "" if found is None else _status(found)

    def public_key(self, certificate_id: str) -> str:
        found = self._registry.certificates.get(f"{BASE}:cert/{certificate_id}")
        return "" if found is None else found.key


def _status(certificate: Certificate) -> str:
    return "ACTIVE" if certificate.is_active else "INACTIVE"


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
