"""What the Jobs service answers when it refuses, as MQTT and as HTTP say it."""

from __future__ import annotations

from typing import Any

# MQTT code -> HTTP error and status. Not among the codes of MQTT: ResourceAlreadyExists.
# https://docs.aws.amazon.com/iot/latest/developerguide/jobs-mqtt-api.html (ErrorCode)
_HTTP = {
    "InvalidTopic": ("InvalidRequestException", 400),
    "InvalidJson": ("InvalidRequestException", 400),
    "InvalidRequest": ("InvalidRequestException", 400),
    "InvalidStateTransition": ("InvalidStateTransitionException", 409),
    "ResourceNotFound": ("ResourceNotFoundException", 404),
    "ResourceAlreadyExists": ("ResourceAlreadyExistsException", 409),
    "VersionMismatch": ("VersionConflictException", 409),
    "InternalError": ("ServiceUnavailableException", 503),
    "RequestThrottled": ("ThrottlingException", 429),
    "TerminalStateReached": ("TerminalStateException", 410),
}


class JobsError(Exception):
    """A refusal. ``code`` is MQTT's (such as ``VersionMismatch``), ``execution_state`` what
    an InvalidStateTransition and a VersionMismatch carry, in the API's own form.

    Raises KeyError for a code that the service does not have.
    """

    def __init__(
        self, code: str, message: str, execution_state: dict[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.http_error, self.http_status = _HTTP[code]
        self.code = code
        self.message = message
        self.execution_state = execution_state


def invalid(message: str) -> JobsError:
    """A request whose contents are wrong."""
    return JobsError("InvalidRequest", message)
