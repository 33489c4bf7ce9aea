"""Every AWS call that the functions make: counted, and not made where it may not be.

It may be forbidden, as by IAM, or made to fail by a test.

botocore has events for this. They are hooked into boto3's default session, which is
replaced while an AwsCalls is open: ``boto3.client(...)`` and ``boto3.resource(...)`` use
it, and so handlers need no special case. Whoever makes a boto3.Session of his own (the
account's clients, an operator in a test) is neither counted nor hindered.
(botocore documentation, "Events"; its client.py, ``_make_api_call``.)
"""

from __future__ import annotations

import http
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError

from lab.account.models import new_session

Fault = Callable[[str, str, Mapping[str, Any]], str | None]
Lost = Callable[[str, str, Mapping[str, Any]], bool]
Done = Callable[[str, str, Mapping[str, Any]], None]
Denied = Callable[[str, str, Mapping[str, Any]], str | None]

_PARAMETERS = "lab_parameters"  # in the context that botocore passes from event to event


def _no_fault(_service: str, _operation: str, _parameters: Mapping[str, Any]) -> str | None:
    return None


def _not_lost(_service: str, _operation: str, _parameters: Mapping[str, Any]) -> bool:
    return False


class AwsCalls:
    """``with AwsCalls(done, denied) as calls:``, services named as in ``boto3.client(service)``.

    ``fault`` may name an error code, such as ``ThrottlingException``: the call is then not
    made, and the handler gets that ClientError, as after botocore's own retries. ``lost``
    may say that the answer to a call does not arrive: it is made, and the handler gets a
    ReadTimeoutError. Both are asked on the handler's thread.
    """

    def __init__(self, done: Done, denied: Denied) -> None:
        """``done`` is told of each call that succeeded, lost answers too. ``denied`` says why a
        call is not allowed, None if it is; asked on the caller's thread."""
        self.fault: Fault = _no_fault
        self.lost: Lost = _not_lost
        self._done = done
        self._denied = denied
        self._count: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._before: boto3.Session | None = None

    def __enter__(self) -> AwsCalls:
        session = new_session()
        session.register("before-parameter-build", self._parameters)
        # The stubs do not know that a handler may give the answer.
        session.register("before-call", self._call)  # type: ignore[arg-type]
        session.register("after-call", self._answer)
        self._before = boto3.DEFAULT_SESSION
        boto3.setup_default_session(botocore_session=session)
        return self

    def __exit__(self, *_: object) -> None:
        boto3.DEFAULT_SESSION = self._before

    @property
    def count(self) -> Counter[tuple[str, str]]:
        """How often each (service, operation) was called so far, those that failed too.

        A copy: the difference of two is what was called in between.
        """
        with self._lock:
            return Counter(self._count)

    def _parameters(self, **event: Any) -> None:
        event["context"][_PARAMETERS] = dict(event["params"])

    def _call(self, **event: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        service, operation = _names(event["model"])
        with self._lock:
            self._count[service, operation] += 1
        parameters = event["context"][_PARAMETERS]
        denied = self._denied(service, operation, parameters)
        if denied is not None:
            return _error(http.HTTPStatus.FORBIDDEN, "AccessDeniedException", denied)
        code = self.fault(service, operation, parameters)
        if code is not None:
            return _error(http.HTTPStatus.BAD_REQUEST, code, "a fault of the lab")
        return None

    def _answer(self, **event: Any) -> None:
        if event["http_response"].status_code >= http.HTTPStatus.MULTIPLE_CHOICES:
            return
        service, operation = _names(event["model"])
        parameters = event["context"][_PARAMETERS]
        self._done(service, operation, parameters)
        if self.lost(service, operation, parameters):
            raise ReadTimeoutError(endpoint_url=f"{service}.{operation}")


def _error(status: http.HTTPStatus, code: str, message: str) -> tuple[AWSResponse, dict[str, Any]]:
    """What botocore takes for the answer, instead of asking for one."""
    return AWSResponse("", int(status), HTTPHeaders(), None), {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": int(status), "RetryAttempts": 0},
    }


def _names(model: Any) -> tuple[str, str]:
    return model.service_model.service_name, model.name
