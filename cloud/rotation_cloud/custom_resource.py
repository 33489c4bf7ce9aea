"""A custom resource's side of CloudFormation's protocol: a request, and exactly one answer.

CloudFormation waits for the answer at a presigned URL, so there must be one whatever happens.
The usual library for it, crhelper, brings polling for long work and permissions that go with
it; what is needed here is shorter than its use.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import http.client
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rotation_protocol.fields import Fields, WireError

CREATE, UPDATE, DELETE = "Create", "Update", "Delete"

_log = logging.getLogger(__name__)
_MAX_ANSWER = 4096
_MAX_REASON = 1024
_TIMEOUT = 10.0
#: Seconds before each further try to deliver the answer.
_WAITS = (1.0, 3.0)


@dataclass(frozen=True)
class Request:
    """What CloudFormation asks for; ``physical_id`` is empty for a resource that is to be made."""

    kind: str
    url: str
    stack_id: str
    request_id: str
    logical_id: str
    physical_id: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Request:
        """Raises WireError: then there is nobody to answer."""
        fields = Fields(event)
        kind: str = fields.required("RequestType", str)
        if kind not in (CREATE, UPDATE, DELETE):
            raise WireError(f"RequestType has the unknown value {kind[:60]!r}")
        return cls(
            kind=kind,
            url=fields.required("ResponseURL", str),
            stack_id=fields.required("StackId", str),
            request_id=fields.required("RequestId", str),
            logical_id=fields.required("LogicalResourceId", str),
            physical_id=fields.optional("PhysicalResourceId", str) or "",
        )


@dataclass(frozen=True)
class Answer:
    """``physical_id`` stays the same for the life of the resource: another one would replace it."""

    physical_id: str
    is_success: bool = True
    reason: str = ""


class NotDelivered(Exception):
    """CloudFormation has not heard the answer, and waits until its time is over."""


class Reply:
    """The answer that is sent at the end: a failure, until it is given."""

    def __init__(self, request: Request) -> None:
        self.answer = Answer(
            request.physical_id or request.request_id,
            is_success=False,
            reason="The function failed; its log has more",
        )


@contextmanager
def replying(request: Request, sleep: Callable[[float], None] = time.sleep) -> Iterator[Reply]:
    """Sends the answer however the work within ends. Raises NotDelivered.

    A removal that fails for a reason nobody thought of is answered with success: otherwise
    the stack could not be removed.
    """
    reply = Reply(request)
    if request.kind == DELETE:
        reply.answer = Answer(request.physical_id or request.request_id)
    try:
        yield reply
    finally:
        _send(request, encode(request, reply.answer), sleep)


def encode(request: Request, answer: Answer) -> bytes:
    """The answer as CloudFormation wants it, of at most 4096 bytes: the reason is cut."""
    fields = {
        "Status": "SUCCESS" if answer.is_success else "FAILED",
        "PhysicalResourceId": answer.physical_id,
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_id,
    }
    reason = answer.reason[:_MAX_REASON]
    while True:
        said = json.dumps({**fields, "Reason": reason} if reason else fields).encode()
        if len(said) <= _MAX_ANSWER or not reason:
            return said
        reason = reason[: len(reason) // 2]


def _send(request: Request, body: bytes, sleep: Callable[[float], None]) -> None:
    for wait in (*_WAITS, None):
        try:
            status = _put(request.url, body)
        except (OSError, http.client.HTTPException) as error:
            said = type(error).__name__
        else:
            if status < http.client.MULTIPLE_CHOICES:
                return
            said = f"HTTP {status}"
        # Never the URL: whoever has it can answer in our place.
        _log.error("answer-not-delivered %s %s: %s", request.kind, request.logical_id, said)
        if wait is not None:
            sleep(wait)
    raise NotDelivered(f"{request.kind} {request.logical_id}")


def _put(url: str, body: bytes) -> int:
    """A PUT to CloudFormation's bucket; its signature wants no Content-Type."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    with closing(make(parts.netloc, timeout=_TIMEOUT)) as connection:
        connection.request("PUT", path, body, {"Content-Type": ""})
        with connection.getresponse() as response:
            return response.status
