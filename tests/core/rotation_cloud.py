"""The cloud as a rotation meets it: the Jobs service, and our backend's decisions.

It decides as cloud/rotation_cloud does (docs/decisions/0006), with every call succeeding: what
AWS itself does to these functions is tests/cloud's business.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rotation_protocol import rotation
from rotation_protocol.jobs import ROTATE
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import Committed, Issued, Rejected

THING = "press-7"
ENDS = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "DELETED"})


@dataclass
class Certificate:
    """A registered certificate, by the key that it is for."""

    key: str
    active: bool = True


@dataclass
class Job:
    """This thing's execution of a job. ``ends`` are the terminal statuses that it has had."""

    job_id: str
    operation: str = ROTATE
    status: str = "QUEUED"
    version: int = 1
    details: dict[str, str] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    there: bool = True

    @property
    def ended(self) -> bool:
        return self.status in ENDS


@dataclass
class Record:
    """What the backend knows of one rotation."""

    old: str
    new: str
    csr: str
    state: str = "ISSUED"
    committed: bool = False
    superseded: set[str] = field(default_factory=set)


class FakeCloud:
    """``publish`` takes what goes to the device; ``later`` runs what the cloud does by itself."""

    def __init__(
        self,
        publish: Callable[[str, bytes], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self.publish = publish
        self.later = later
        self.certificates = {"cert-0": Certificate("key-0")}
        self.jobs: dict[str, Job] = {}
        self.records: dict[str, Record] = {}
        self.refusals: dict[str, list[RejectionCode]] = {}
        self.finished: set[str] = set()
        self._told: str | None = None
        self._keys = 0

    def add(self, job_id: str, operation: str = ROTATE) -> None:
        """An operator makes a job."""
        self.jobs[job_id] = Job(job_id, operation)
        self._notify()

    def end(self, job_id: str, status: str) -> None:
        """The job ends without the device: CANCELED, TIMED_OUT, or DELETED with all traces."""
        job = self.jobs[job_id]
        if job.ended:
            return
        job.there = status != "DELETED"
        self._end(job, status, {})

    def is_active(self, certificate: str | None) -> bool:
        """Whether AWS IoT lets the certificate in."""
        return certificate is not None and self.certificates[certificate].active

    # -- what a device's certificates are worth (lab/fleet/store.py) -------------------------

    def new_key(self) -> tuple[str, str]:
        self._keys += 1
        return f"key-{self._keys}", f"CSR key-{self._keys}"

    def certificate_in(self, pem: str) -> str | None:
        return pem.removeprefix("PEM ") if pem.startswith("PEM ") else None

    def is_for(self, certificate: str, key: str) -> bool:
        return self.certificates[certificate].key == key

    def is_answer_to(self, certificate: str, csr: str) -> bool:
        return self.is_for(certificate, csr.removeprefix("CSR "))

    def tried(self, certificate: str) -> str:
        return "accepted" if self.is_active(certificate) else "refused"

    # -- what it has come to --------------------------------------------------------------

    def committed(self) -> set[str]:
        """The certificates that a device has been seen to use."""
        return {record.new for record in self.records.values() if record.committed}

    # -- what a device sends ---------------------------------------------------------------

    def handle(self, topic: str, payload: bytes, principal: str) -> None:
        """A message that was sent over a connection of ``principal``."""
        levels, asked = topic.split("/"), json.loads(payload)
        if levels[:2] == ["$aws", "things"]:
            self._serve_job(topic, levels[4], levels[5], asked)
            return
        action, job_id = levels[-1], asked["jobId"]
        try:
            if self.refusals.get(action):
                raise _Refused(self.refusals[action].pop(0))
            if action == "create":
                issued = self._create(job_id, asked["csr"], principal)
                if issued is None:
                    return
                answer = rotation.encode_issued(issued)
            else:
                answer = rotation.encode_committed(self._commit(job_id, principal))
        except _Refused as refusal:
            rejected = Rejected(refusal.code.value, refusal.code, job_id)
            self.publish(f"{topic}/rejected", rotation.encode_rejected(rejected))
        else:
            self.publish(f"{topic}/accepted", answer)

    def _create(self, job_id: str, csr: str, principal: str) -> Issued | None:
        job, record = self.jobs.get(job_id), self.records.get(job_id)
        if job is None or not job.there:
            raise _Refused(RejectionCode.NO_SUCH_JOB)
        if job.ended:
            raise _Refused(RejectionCode.JOB_ENDED)
        if job.status != "IN_PROGRESS":
            raise _Refused(RejectionCode.NO_SUCH_JOB)
        if any(r.state == "COMMITTED" and r.old == principal for r in self.records.values()):
            raise _Refused(RejectionCode.BUSY)
        superseded: set[str] = set()
        if record is not None:
            if csr in record.superseded:
                return None
            if record.state == "ISSUED" and record.csr == csr:
                return Issued(f"PEM {record.new}", job_id)
            if record.state != "ISSUED" or principal == record.new:
                raise _Refused(RejectionCode.JOB_ENDED)
            self._retire(record.new)
            superseded = {*record.superseded, record.csr}
        new = f"cert-{len(self.certificates)}"
        self.certificates[new] = Certificate(csr.removeprefix("CSR "))
        self.records[job_id] = Record(principal, new, csr, superseded=superseded)
        return Issued(f"PEM {new}", job_id)

    def _commit(self, job_id: str, principal: str) -> Committed:
        record = self.records.get(job_id)
        if record is None:
            raise _Refused(RejectionCode.NOT_ISSUED)
        if record.state == "DONE" and not record.committed:
            raise _Refused(RejectionCode.JOB_ENDED)
        if principal != record.new:
            raise _Refused(RejectionCode.OTHER_PRINCIPAL)
        if record.state == "ISSUED":
            record.state, record.committed = "COMMITTED", True
        return Committed(job_id)

    def _serve_job(self, topic: str, job_id: str, action: str, asked: dict[str, Any]) -> None:
        token = {"clientToken": asked["clientToken"], "timestamp": 1}
        job = self._next() if job_id == "$next" else self.jobs.get(job_id)
        refusal = ""
        if job_id != "$next" and (job is None or not job.there):
            refusal = "ResourceNotFound"
        elif action == "get":
            if job is None or not job.ended:
                said = {} if job is None else {"execution": _execution(job)}
                self._answer(f"{topic}/accepted", {**said, **token})
                return
            refusal = "TerminalStateReached"
        elif job is not None and job.version != asked.get("expectedVersion", job.version):
            refusal = "VersionMismatch"
        elif job is None or job.ended:
            refusal = "InvalidStateTransition"
        if refusal or job is None:
            self._answer(f"{topic}/rejected", {"code": refusal, "message": "no", **token})
            return
        job.version += 1
        self._answer(f"{topic}/accepted", token)
        if asked["status"] in ENDS:
            self._end(job, asked["status"], asked["statusDetails"])
        else:
            job.status = asked["status"]
            self._notify()

    # -- what follows from it ------------------------------------------------------------------

    def _end(self, job: Job, status: str, details: dict[str, str]) -> None:
        job.status, job.details = status, details
        job.ends.append(status)
        self._notify()
        self.later(lambda: self._finish(job))

    def _finish(self, job: Job) -> None:
        """One of the two certificates goes."""
        self.finished.add(job.job_id)
        record = self.records.get(job.job_id)
        if record is None or record.state == "DONE":
            return
        said = job.details.get("certificateId")
        goes = record.old if record.state == "COMMITTED" else record.new
        if said in (record.old, record.new):
            goes = record.old if said == record.new else record.new
        record.state = "DONE"
        self._retire(goes)

    def _retire(self, certificate: str) -> None:
        self.certificates[certificate].active = False

    def _next(self) -> Job | None:
        live = [job for job in self.jobs.values() if job.there and not job.ended]
        return min(live, key=lambda job: job.status != "IN_PROGRESS", default=None)

    def _notify(self) -> None:
        job = self._next()
        next_id = None if job is None else job.job_id
        if self._told == next_id:
            return
        self._told = next_id
        said = {} if job is None else {"execution": _execution(job)}
        self._answer(f"$aws/things/{THING}/jobs/notify-next", {**said, "timestamp": 1})

    def _answer(self, topic: str, fields: dict[str, Any]) -> None:
        self.publish(topic, json.dumps(fields).encode())


class _Refused(Exception):
    def __init__(self, code: RejectionCode) -> None:
        super().__init__(code.value)
        self.code = code


def _execution(job: Job) -> dict[str, Any]:
    return {
        "jobId": job.job_id,
        "status": job.status,
        "versionNumber": job.version,
        "jobDocument": {"operation": job.operation},
    }
