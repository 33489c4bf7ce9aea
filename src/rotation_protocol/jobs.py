"""What a device and the AWS IoT Jobs service say to each other, to bytes and back.

https://docs.aws.amazon.com/iot/latest/developerguide/jobs-mqtt-api.html
A job of another operation than ours is a job all the same: ``operation`` says which.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from rotation_protocol.codec import canonical
from rotation_protocol.fields import Fields, WireError
from rotation_protocol.values import dataclass

ROTATE = "ROTATE_CERTIFICATE"
#: The peer's rule looks for this name, so every update carries it.
MARK = "CertificateRotator"

#: https://docs.aws.amazon.com/general/latest/gr/iot_device_management.html
MAX_DETAILS = 10
#: The API takes 1024, an older page of the quotas 128.
MAX_DETAIL_CHARACTERS = 128
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: Of the two kinds of time stamp in the field, seconds are below this, milliseconds above.
_MILLISECONDS_FROM = 10**11


@dataclass(frozen=True)
class JobExecution:
    """One thing's execution of a job. ``operation`` is None where the document names none."""

    job_id: str
    status: str
    version_number: int
    execution_number: int | None
    operation: str | None

    @property
    def is_rotation(self) -> bool:
        """Whether the job is for us."""
        return self.operation == ROTATE


@dataclass(frozen=True)
class NextJob:
    """The execution that is next in line (None: none is); answers carry their ``client_token``.

    ``sent_at`` is the cloud's own time.
    """

    execution: JobExecution | None
    sent_at: datetime | None
    client_token: str | None = None


@dataclass(frozen=True)
class UpdateAccepted:
    """The Jobs service took an update."""

    client_token: str | None
    sent_at: datetime | None


@dataclass(frozen=True)
class JobRejected:
    """The Jobs service refused a request; ``code`` is one of the API's, such as
    ``VersionMismatch``."""

    code: str
    message: str
    client_token: str | None


def encode_get(client_token: str) -> bytes:
    """The request for a job execution, as it is published."""
    return canonical({"clientToken": client_token})


def encode_update(
    status: str,
    details: Mapping[str, str],
    client_token: str,
    expected_version: int | None = None,
) -> bytes:
    """An update of the execution, as it is published.

    Values of ``details`` are shortened and freed of what statusDetails may not hold; an empty
    one is left out. Raises WireError for more of them than fit.
    """
    cleaned = {name: _detail(value) for name, value in details.items()}
    kept = {MARK: "true", **{name: value for name, value in cleaned.items() if value}}
    if len(kept) > MAX_DETAILS:
        raise WireError(f"{len(kept)} statusDetails are more than {MAX_DETAILS}")
    fields: dict[str, object] = {
        "status": status,
        "statusDetails": kept,
        "clientToken": client_token,
    }
    if expected_version is not None:
        fields["expectedVersion"] = expected_version
    return canonical(fields)


def decode_next_job(payload: bytes) -> NextJob:
    """What ``notify-next`` and ``$next/get/accepted`` carry. Raises WireError."""
    fields = Fields.of(payload)
    found = fields.nested("execution")
    execution = None
    if found is not None:
        document = found.optional("jobDocument", dict) or {}
        operation = document.get("operation")
        execution = JobExecution(
            job_id=found.job_id(),
            status=found.required("status", str),
            version_number=found.required("versionNumber", int),
            execution_number=found.optional("executionNumber", int),
            operation=operation if isinstance(operation, str) else None,
        )
    return NextJob(execution, _time(fields), fields.optional("clientToken", str))


def decode_update_accepted(payload: bytes) -> UpdateAccepted:
    """What ``<jobId>/update/accepted`` carries. Raises WireError."""
    fields = Fields.of(payload)
    return UpdateAccepted(fields.optional("clientToken", str), _time(fields))


def decode_job_rejected(payload: bytes) -> JobRejected:
    """What ``.../rejected`` of the Jobs service carries. Raises WireError."""
    fields = Fields.of(payload)
    return JobRejected(
        fields.required("code", str),
        (fields.optional("message", str) or "")[:MAX_DETAIL_CHARACTERS],
        fields.optional("clientToken", str),
    )


def _detail(value: str) -> str:
    return _NOT_PRINTABLE.sub(" ", value).strip()[:MAX_DETAIL_CHARACTERS]


def _time(fields: Fields) -> datetime | None:
    """The cloud's time in a message: seconds by the API, milliseconds in some of its pages."""
    stamp = fields.optional("timestamp", int)
    if stamp is None:
        return None
    seconds = stamp / 1000 if stamp >= _MILLISECONDS_FROM else stamp
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise WireError("timestamp is no time") from None
