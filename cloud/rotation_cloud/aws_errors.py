"""What botocore raises, told as the errors of ``ports.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from rotation_cloud.ports import AlreadyThere, AwsError, InUse, NotFound, Refused, Throttled

_KINDS: dict[str, type[AwsError]] = {
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "RequestThrottled": Throttled,
    "EC2ThrottledException": Throttled,
    "RequestLimitExceeded": Throttled,
    "ProvisionedThroughputExceededException": Throttled,
    "ResourceNotFoundException": NotFound,
    "TaskDoesNotExist": NotFound,
    "TaskTimedOut": NotFound,
    "ResourceAlreadyExistsException": AlreadyThere,
    "ExecutionAlreadyExists": AlreadyThere,
    "InvalidRequestException": Refused,
    "MalformedCSRException": Refused,
    "DeleteConflictException": InUse,
    "CertificateStateException": InUse,
}


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raises AwsError, or the sub-class that says more, for what botocore raises within."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        message = error.response.get("Error", {}).get("Message", "")
        raise _KINDS.get(code, AwsError)(f"{operation}: {code} {message}") from error
    except BotoCoreError as error:
        raise AwsError(f"{operation}: {type(error).__name__}") from error


def error_code(error: BaseException | None) -> str:
    """The code that AWS gave: of a ClientError, or of the AwsError that it became; else empty."""
    cause = error.__cause__ if isinstance(error, AwsError) else error
    return cause.response.get("Error", {}).get("Code", "") if isinstance(cause, ClientError) else ""
