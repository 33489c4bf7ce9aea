"""The fields of a request, checked one by one; InvalidRequest names the first wrong one.

https://docs.aws.amazon.com/iot/latest/developerguide/job-limits.html
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from lab.jobs.errors import invalid

JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DOCUMENT_MAX_BYTES = 32768
MINUTES_MAX = 10080
_DETAILS_MAX = 10
_DETAIL_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_DETAIL_MAX_CHARACTERS = 1024
_RETRIES_MAX = 10
_RETRIED = ("FAILED", "TIMED_OUT", "ALL")


def printable(text: str) -> bool:
    r"""Whether the text is what the API writes ``[^\p{C}]+``: one line, and not empty."""
    return bool(text) and not any(unicodedata.category(c).startswith("C") for c in text)


def text(request: Mapping[str, Any], name: str) -> str | None:
    value = request.get(name)
    if value is None or isinstance(value, str):
        return value
    raise invalid(f"{name} is not a string")


def number(request: Mapping[str, Any], name: str) -> int | None:
    value = request.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise invalid(f"{name} is not a whole number")


def flag(request: Mapping[str, Any], name: str, default: bool) -> bool:
    value = request.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise invalid(f"{name} is neither true nor false")


def step_timeout(request: Mapping[str, Any], *, may_end: bool = False) -> int | None:
    """Minutes of the step timer; -1, where it ``may_end``, stops it."""
    minutes = number(request, "stepTimeoutInMinutes")
    if minutes is None or 1 <= minutes <= MINUTES_MAX or (may_end and minutes == -1):
        return minutes
    raise invalid(f"stepTimeoutInMinutes is not between 1 and {MINUTES_MAX}")


def status_details(request: Mapping[str, Any]) -> dict[str, str] | None:
    """The new map, or None if the request leaves the old one as it is. As the real service
    does, it takes true and 1 for the texts that they are written with.
    """
    given = request.get("statusDetails")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise invalid("statusDetails is not an object")
    if len(given) > _DETAILS_MAX:
        raise invalid(f"statusDetails has {len(given)} pairs, at most {_DETAILS_MAX} are taken")
    details: dict[str, str] = {}
    for name, value in given.items():
        if not _DETAIL_NAME.fullmatch(name):
            raise invalid(f"statusDetails: {name!r} does not match {_DETAIL_NAME.pattern}")
        written = value if isinstance(value, str) else json.dumps(value)
        if value is None or isinstance(value, (dict, list)):
            raise invalid(f"statusDetails: the value of {name!r} is not a string")
        if not printable(written) or len(written) > _DETAIL_MAX_CHARACTERS:
            raise invalid(
                f"statusDetails: the value of {name!r} is not 1 to {_DETAIL_MAX_CHARACTERS} "
                "characters without control characters"
            )
        details[name] = written
    return details


def document(text: str | None) -> str:
    """A job document: JSON, not too long."""
    if not text:
        raise invalid("a job needs a document")
    if len(text.encode()) > DOCUMENT_MAX_BYTES:
        raise invalid(f"the job document has more than {DOCUMENT_MAX_BYTES} bytes")
    try:
        json.loads(text)
    except ValueError as error:
        raise invalid(f"the job document is not JSON: {error}") from error
    return text


def job_id(given: str) -> str:
    if not JOB_ID.fullmatch(given):
        raise invalid(f"jobId {given!r} does not match {JOB_ID.pattern}")
    return given


def in_progress_timeout(config: Mapping[str, Any] | None) -> int | None:
    """Minutes from IN_PROGRESS to TIMED_OUT, of a timeoutConfig."""
    minutes = number(config or {}, "inProgressTimeoutInMinutes")
    if minutes is None or 1 <= minutes <= MINUTES_MAX:
        return minutes
    raise invalid(f"inProgressTimeoutInMinutes is not between 1 and {MINUTES_MAX}")


def retries(config: Mapping[str, Any] | None) -> dict[str, int]:
    """How often each failureType is retried, of a jobExecutionsRetryConfig."""
    criteria = (config or {}).get("criteriaList") or []
    allowed: dict[str, int] = {}
    for criterion in criteria:
        kind, times = criterion.get("failureType"), number(criterion, "numberOfRetries")
        if kind not in _RETRIED or kind in allowed:
            raise invalid(f"failureType {kind!r} is not one of {', '.join(_RETRIED)}, each once")
        if times is None or times < 0:
            raise invalid("numberOfRetries is not between 0 and 10")
        allowed[kind] = times
    if sum(allowed.values()) > _RETRIES_MAX or len(allowed) > 2:
        raise invalid("at most two criteria, and 10 retries together, are taken")
    return allowed
