"""The fields of a message that arrived, each asked for by name and type.

What is missing or of the wrong type is a WireError that names the field; unknown fields
are ignored. Past this there is no dict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TypeVar

VERSION = 1
MAX_MESSAGE_BYTES = 128 * 1024
#: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateJob.html
_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

E = TypeVar("E", bound=Enum)


class WireError(ValueError):
    """A message that cannot be understood; says which field, and why."""


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, such as 2026-11-22T10:00:00Z."""
    in_utc = moment.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
    return in_utc.isoformat() + "Z"


def parse_time(text: str) -> datetime:
    """The aware UTC datetime of ``time_text``'s form, and of no other. Raises ValueError."""
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    if time_text(moment) != text:  # strptime also takes 2026-1-2T3:4:5z
        raise ValueError("not in the form 2026-11-22T10:00:00Z")
    return moment


class Fields:
    """The fields of one JSON object, each asked for by name and type."""

    def __init__(self, fields: Mapping[str, Any], where: str = "") -> None:
        self._fields = fields
        self._where = where

    @classmethod
    def of(cls, payload: bytes) -> Fields:
        if len(payload) > MAX_MESSAGE_BYTES:
            raise WireError(f"the message is larger than {MAX_MESSAGE_BYTES} bytes")
        try:
            value = json.loads(payload.decode("utf-8"))
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise WireError("the message is not JSON") from None
        if not isinstance(value, dict):
            raise WireError("the message is not a JSON object")
        return cls(value)

    def required(self, name: str, kind: type[Any]) -> Any:
        value = self.optional(name, kind)
        if value is None:
            raise WireError(f"{self._where}{name} is missing")
        return value

    def optional(self, name: str, kind: type[Any]) -> Any:
        value = self._fields.get(name)
        if value is not None and type(value) is not kind:
            raise WireError(f"{self._where}{name} is not a {kind.__name__}")
        return value

    def version(self) -> None:
        if self.required("version", int) != VERSION:
            raise WireError(f"version is not {VERSION}")

    def job_id(self) -> str:
        """The field ``jobId``, which is also a level of topics: of the Jobs API's form only."""
        value: str = self.required("jobId", str)
        if not _JOB_ID.fullmatch(value):
            raise WireError(f"{self._where}jobId is not a job's id")
        return value

    def nested(self, name: str) -> Fields | None:
        value = self.optional(name, dict)
        return None if value is None else Fields(value, f"{name}.")

    def threshold(self, name: str) -> int | str:
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise WireError(f"{self._where}{name} is missing, or neither a number nor text")
        return value

    def time(self, name: str) -> datetime:
        try:
            return parse_time(self.required(name, str))
        except ValueError as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"{self._where}{name} is not a time") from None

    def optional_time(self, name: str) -> datetime | None:
        return None if self._fields.get(name) is None else self.time(name)

    def enum(self, name: str, kind: type[E]) -> E:
        value = self.required(name, str)
        try:
            return kind(value)
        except ValueError:
            raise WireError(f"{self._where}{name} has the unknown value {value[:60]!r}") from None

    def optional_enum(self, name: str, kind: type[E]) -> E | None:
        return None if self._fields.get(name) is None else self.enum(name, kind)

    def items(self, name: str) -> list[Fields]:
        value = self.required(name, list)
        if not all(isinstance(item, dict) for item in value):
            raise WireError(f"{self._where}{name} holds something that is not an object")
        return [Fields(item, f"{name}[{index}].") for index, item in enumerate(value)]
