"""A device asks for a certificate: the decision, and what follows from it.

Keyed on thing, job and public key, so that a repeat gets the same certificate. The record is
claimed before the first thing is made and says at every step what there is, so that whoever
comes next (a repeat, or the end of the job) can finish or undo it. Leaves out the answer's
way back to the device (``answering.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotation_cloud import grace
from rotation_cloud.asking import Asking, Refusal, attachment_of, check_client_id
from rotation_cloud.issuing import issue
from rotation_cloud.ports import Cloud, Execution, RecordChanged
from rotation_cloud.records import LEASE_SECONDS, Record, State
from rotation_protocol.jobs import ROTATE
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import CreateRequest, Issued, decode_create

_ROUNDS = 4
_MAX_SUPERSEDED = 10


def create(cloud: Cloud, asking: Asking) -> Issued | None:
    """The certificate for the request; None for one that a later request has replaced.

    Raises WireError, Refusal, or AwsError with nothing made.
    """
    request = decode_create(asking.payload)
    check_client_id(asking)
    public_key = public_key_of(request.csr)
    for _ in range(_ROUNDS):
        record = cloud.records.get(asking.thing, request.job_id)
        execution = _running(cloud, asking, request)
        if record is not None:
            if public_key in record.superseded and record.execution == execution.identity:
                return None
            if _is_answered_by(cloud, record, execution, public_key, asking.principal):
                return Issued(record.certificate_pem, request.job_id)
        try:
            if record is not None and record.grace_ends and record.state is not State.DONE:
                record = _grace_ended(cloud, asking, record)
            claimed = _claim(cloud, asking, request, record, execution, public_key)
        except RecordChanged:
            continue
        unsure = record is not None and record.unsure and record.state is not State.DONE
        return issue(cloud, claimed, request.csr, unsure)
    raise Refusal(RejectionCode.BUSY, "the job's record changes all the time")


def public_key_of(csr: str) -> str:
    """SHA-256 (hex) of the SubjectPublicKeyInfo in a PKCS#10 request in PEM. Raises Refusal."""
    try:
        parsed = x509.load_pem_x509_csr(csr.encode())
        valid, key = parsed.is_signature_valid, parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Refusal(RejectionCode.CSR_REFUSED, "the CSR is no PKCS#10 request in PEM") from None
    if not valid:
        raise Refusal(RejectionCode.CSR_REFUSED, "the CSR is not signed by its own key")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _running(cloud: Cloud, asking: Asking, request: CreateRequest) -> Execution:
    """The thing's execution of the job, in progress and a rotation. Raises Refusal."""
    execution = cloud.jobs.execution(asking.thing, request.job_id)
    if execution is not None and execution.ended:
        raise Refusal(RejectionCode.JOB_ENDED, "the job has ended")
    if execution is None or execution.status != "IN_PROGRESS" or execution.operation != ROTATE:
        raise Refusal(RejectionCode.NO_SUCH_JOB, "the thing has no such rotation in progress")
    return execution


def _is_answered_by(
    cloud: Cloud, record: Record, execution: Execution, public_key: str, principal: str
) -> bool:
    """Whether the record has the certificate; False if one is to be made. Raises Refusal."""
    same_run = record.execution == execution.identity
    if record.state is State.ISSUED and same_run and record.public_key == public_key:
        if principal not in (record.old, record.new):
            raise Refusal(RejectionCode.NOT_ALLOWED, "another certificate asked for it first")
        return True
    if record.state is State.DONE and not same_run:
        return False
    if record.state is State.ISSUING and record.is_leased(cloud.clock.now()):
        raise Refusal(RejectionCode.BUSY, "a certificate is being made")
    if record.grace_ends and not same_run:
        return False
    # What the device uses is never undone; and of an earlier run, the end is yet to come.
    ended = (State.COMMITTED, State.GRACE, State.RETIRING, State.DONE)
    if record.state in ended or principal == record.new:
        if same_run:
            raise Refusal(RejectionCode.JOB_ENDED, "the job's certificate is in use, or it ended")
        raise Refusal(RejectionCode.BUSY, "an earlier run of the job is being finished")
    return False


def _grace_ended(cloud: Cloud, asking: Asking, record: Record) -> Record:
    """The record of the job's earlier run, whose grace period ends with this request: it shows
    which certificate the device uses. Raises RecordChanged, Refusal."""
    attachment_of(cloud, asking)
    if record.victim == asking.principal:
        raise Refusal(RejectionCode.BUSY, "the certificate is being retired")
    return grace.end(cloud, record.proven_by(asking.principal))


def _claim(
    cloud: Cloud,
    asking: Asking,
    request: CreateRequest,
    known: Record | None,
    execution: Execution,
    public_key: str,
) -> Record:
    """Takes the rotation for this request, for a while. Raises RecordChanged, Refusal."""
    arn, attachment = attachment_of(cloud, asking)
    others = [one for one in cloud.records.of_thing(asking.thing) if one.job_id != request.job_id]
    _heed(cloud, asking, others)
    now = int(cloud.clock.now())
    if known is None or known.state is State.DONE:
        version = 0 if known is None else known.version
        # Never in one second with another one: the later one ends the other's grace period.
        started = max([now, *(one.started + 1 for one in others)])
        known = Record(
            asking.thing, request.job_id, State.ISSUING, started=started, version=version
        )
    superseded = known.superseded
    if known.public_key not in ("", public_key):
        superseded = (*superseded, known.public_key)[-_MAX_SUPERSEDED:]
    return cloud.records.write(
        replace(
            known,
            state=State.ISSUING,
            account_arn=arn.partition(":cert/")[0],
            execution=execution.identity,
            public_key=public_key,
            old=asking.principal,
            certificate_pem="",
            attachment=attachment,
            superseded=superseded,
            unsure=True,  # until it is known what came of it
            lease=max(now + LEASE_SECONDS, known.lease + 1),
        )
    )


def _heed(cloud: Cloud, asking: Asking, others: Sequence[Record]) -> None:
    """Corrects other jobs' records by what this request proves: the certificate in use.

    Raises Refusal if that certificate is being retired, RecordChanged if it cannot be noted.
    """
    for record in others:
        if record.victim == asking.principal:
            raise Refusal(RejectionCode.BUSY, f"job {record.job_id} retires the certificate")
        proven = record.proven_by(asking.principal)
        if proven != record:
            cloud.records.write(proven)
