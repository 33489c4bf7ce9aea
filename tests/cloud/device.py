"""A device as the backend sees it: its messages, and the ends of its jobs, as events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    CertificateSigningRequestBuilder,
    Name,
    NameAttribute,
)
from cryptography.x509.oid import NameOID

from lab.fleet.account import Account
from lab.fleet.registry import BASE, THING
from rotation_cloud import grace
from rotation_cloud.answering import answer_commit, answer_create, answer_request
from rotation_cloud.finish import Ended, StillIssuing, finish
from rotation_cloud.ports import AwsError, RecordChanged
from rotation_protocol import topics

Answer = tuple[str, dict[str, Any]]


@cache
def csr(name: str = "a") -> str:
    """A CSR with a key of its own for each name."""
    subject = Name([NameAttribute(NameOID.COMMON_NAME, f"{THING}-{name}"[:64])])
    request = CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def event(action: str, principal: str, **fields: Any) -> dict[str, Any]:
    """What the rule hands over."""
    return {
        "thingName": THING,
        "topic": topics.rotation(topics.PREFIX, THING, action),
        "clientId": THING,
        "principal": principal,
        **fields,
    }


def create_event(
    principal: str, job: str = "job-1", key: str = "a", **fields: Any
) -> dict[str, Any]:
    """A device asks for a certificate."""
    return {**event("create", principal), "jobId": job, "csr": csr(key), **fields}


def ended_event(
    status: str,
    job: str = "job-1",
    operation: str | None = None,
    at: float = 1,
    **details: str,
) -> dict[str, Any]:
    """An execution of the job ended."""
    return {
        "eventType": "JOB_EXECUTION",
        "eventId": "e",
        "timestamp": int(at),
        "operation": operation or status.lower(),
        "jobId": job,
        "thingArn": f"{BASE}:thing/{THING}",
        "status": status,
        "statusDetails": {"CertificateRotator": "true", **details},
    }


class Device:
    """Sends messages and hears the answers; ``dead_letters`` are events that Lambda gave up.

    The grace period that follows the end of a job passes at once, unless it ``is_patient``.
    """

    def __init__(self, account: Account, is_patient: bool = False) -> None:
        self.account = account
        self.dead_letters: list[str] = []
        self.closings: list[grace.Closing] = []
        self._is_patient = is_patient

    def create(self, principal: str, job: str = "job-1", key: str = "a") -> Answer | None:
        """The last answer to the request; None if none came."""
        return self.send(answer_create, create_event(principal, job, key))

    def commit(self, principal: str, job: str = "job-1") -> Answer | None:
        return self.send(answer_commit, {**event("commit", principal), "jobId": job})

    def request(self, principal: str, **fields: Any) -> Answer | None:
        return self.send(answer_request, {**event("request", principal), **fields})

    def send(self, serve: Callable[..., None], message: Mapping[str, Any]) -> Answer | None:
        before = len(self.account.answers.sent)
        self._invoked(lambda: serve(self.account.cloud, message))
        sent = self.account.answers.sent
        return sent[-1] if len(sent) > before else None

    def end(self, status: str, job: str = "job-1", **details: str) -> None:
        """The job's execution ends, and the event is delivered."""
        self.account.end(job, status, **details)
        self.deliver(ended_event(status, job, at=self.account.clock.now(), **details))
        if not self._is_patient and self.account.cloud.grace_seconds:
            self.pass_grace()

    def pass_grace(self) -> None:
        """The grace periods pass, and what waits for their ends goes on; ``closings`` has what
        came of them."""
        self.account.clock.sleep(self.account.cloud.grace_seconds)
        for given in self.account.workflows.started.values():
            if given.get("stage") == "grace":
                self._invoked(partial(self._close, given["jobId"]))

    def _close(self, job: str) -> None:
        self.closings.append(grace.close(self.account.cloud, THING, job))

    def deliver(self, message: Mapping[str, Any]) -> None:
        """The event of an execution that ended arrives, once or once more."""
        ended = Ended.of(message)
        if ended is not None:
            self._invoked(lambda: finish(self.account.cloud, ended))

    def _invoked(self, function: Callable[[], None]) -> None:
        """As Lambda invokes: three times, with one minute and two in between."""
        for wait in (60, 120, None):
            try:
                return function()
            except (AwsError, RecordChanged, StillIssuing) as error:
                if wait is None:
                    self.dead_letters.append(str(error))
                else:
                    self.account.clock.sleep(wait)
        return None


def issued_id(account: Account, job: str = "job-1") -> str:
    """The id of the certificate that was issued for the job."""
    new = account.records.items[THING, job].new
    assert new is not None
    return new


def code(answer: Answer | None) -> str:
    """The errorCode of a rejection; the kind of any other answer."""
    if answer is None:
        return "none"
    kind, fields = answer
    return str(fields.get("errorCode", "?")) if kind == "rejected" else kind
