"""What a device and the cloud say to each other in a rotation, to bytes and back.

A device asks on ``topics.rotation(prefix, thing, "create")`` for a certificate, on
``.../commit`` for the confirmation that it is in use, and on ``.../request`` for a job.
The messages are those of AWS Labs' Certificate Rotator, and ``jobId`` in the answers is
ours: absent from its backend's, ignored by its devices. What is longer than nucleus lite
receives is refused here, so that both nuclei behave alike (docs/protocol.md).
"""

from __future__ import annotations

from rotation_protocol.codec import canonical
from rotation_protocol.fields import Fields, WireError
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.values import dataclass

#: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateCertificateFromCsr.html
MAX_CSR = 4096
#: Nucleus lite announces an MQTT 5 maximum packet size of 5000 bytes (measured).
MAX_ANSWER_BYTES = 5000
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class CreateRequest:
    """A certificate is wanted for this CSR (PKCS#10 in PEM), for the rotation of this job."""

    job_id: str
    csr: str


@dataclass(frozen=True)
class CommitRequest:
    """The device is connected with the certificate that was issued for this job."""

    job_id: str


@dataclass(frozen=True)
class Issued:
    """The certificate, in PEM; ``job_id`` is None from a backend that does not say it."""

    certificate_pem: str
    job_id: str | None = None


@dataclass(frozen=True)
class Committed:
    """The cloud takes the new certificate for the device's own from now on."""

    job_id: str | None = None


@dataclass(frozen=True)
class Rejected:
    """The cloud did not do it. ``code`` is None from a backend that knows none of ours."""

    message: str
    code: RejectionCode | None = None
    job_id: str | None = None


def encode_create(request: CreateRequest) -> bytes:
    """The message as it is published. Raises WireError for a CSR that AWS IoT does not take."""
    if not 1 <= len(request.csr) <= MAX_CSR:
        raise WireError(f"csr has {len(request.csr)} characters, not 1 to {MAX_CSR}")
    return canonical({"jobId": request.job_id, "csr": request.csr})


def decode_create(payload: bytes) -> CreateRequest:
    """The request in a message. Raises WireError."""
    fields = Fields.of(payload)
    csr = fields.required("csr", str)
    if not 1 <= len(csr) <= MAX_CSR:
        raise WireError(f"csr has {len(csr)} characters, not 1 to {MAX_CSR}")
    return CreateRequest(fields.job_id(), csr)


def encode_commit(request: CommitRequest) -> bytes:
    """The message as it is published."""
    return canonical({"jobId": request.job_id})


def decode_commit(payload: bytes) -> CommitRequest:
    """The request in a message. Raises WireError."""
    return CommitRequest(Fields.of(payload).job_id())


def encode_request(certificate_id: str) -> bytes:
    """The request for a job, as it is published: this certificate's deadline is near."""
    return canonical({"certificateId": certificate_id})


def encode_issued(answer: Issued) -> bytes:
    """The answer as it is published. Raises WireError for one that a device on lite never gets."""
    named = {} if answer.job_id is None else {"jobId": answer.job_id}
    payload = canonical({"certificatePem": answer.certificate_pem, **named})
    if len(payload) > MAX_ANSWER_BYTES - 300:  # the rest of the packet: topic and header
        raise WireError(f"the answer has {len(payload)} bytes, more than nucleus lite receives")
    return payload


def decode_issued(payload: bytes) -> Issued:
    """The answer in a message; the certificate is yet to be looked at. Raises WireError."""
    fields = _answer(payload)
    return Issued(fields.required("certificatePem", str), fields.optional("jobId", str))


def encode_committed(answer: Committed) -> bytes:
    """The answer as it is published."""
    return canonical({} if answer.job_id is None else {"jobId": answer.job_id})


def decode_committed(payload: bytes) -> Committed:
    """The answer in a message. Raises WireError."""
    return Committed(_answer(payload).optional("jobId", str))


def encode_rejected(answer: Rejected) -> bytes:
    """The answer as it is published."""
    fields: dict[str, object] = {"errorMsg": answer.message[:MAX_ERROR_CHARACTERS]}
    if answer.code is not None:
        fields["errorCode"] = answer.code.value
    if answer.job_id is not None:
        fields["jobId"] = answer.job_id
    return canonical(fields)


def decode_rejected(payload: bytes) -> Rejected:
    """The answer in a message; a code of a later version counts as none. Raises WireError."""
    fields = _answer(payload)
    said = fields.optional("errorCode", str)
    code = RejectionCode(said) if said in {known.value for known in RejectionCode} else None
    message = fields.required("errorMsg", str)[:MAX_ERROR_CHARACTERS]
    return Rejected(message, code, fields.optional("jobId", str))


def _answer(payload: bytes) -> Fields:
    if len(payload) > MAX_ANSWER_BYTES:
        raise WireError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return Fields.of(payload)
