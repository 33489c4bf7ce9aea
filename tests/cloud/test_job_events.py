"""Job-execution events on a stack's request, and the answer that CloudFormation always gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing
from rotation_cloud.custom_resource import (
    CREATE,
    DELETE,
    UPDATE,
    Answer,
    NotDelivered,
    Request,
    encode,
    replying,
)
from rotation_cloud.job_events import FOUND_ON, NOT_SWITCHED, SWITCHED_ON, on_stack_request
from rotation_protocol.fields import WireError


def stack_event(kind: str, physical_id: str = "", url: str = "https://bucket/x") -> dict[str, Any]:
    """What CloudFormation sends."""
    event = {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-west-1:1:stack/certkeeper/x",
        "RequestId": "request-1",
        "ResourceType": "Custom::JobExecutionEvents",
        "LogicalResourceId": "JobExecutionEvents",
        "ResourceProperties": {"ServiceToken": "arn"},
    }
    return event | ({"PhysicalResourceId": physical_id} if physical_id else {})


def ask(account: Account, kind: str, physical_id: str = "") -> Answer:
    return on_stack_request(account.cloud.job_events, Request.of(stack_event(kind, physical_id)))


@pytest.mark.parametrize("was_on", [True, False])
def test_life_of_the_resource(was_on: bool) -> None:
    """Switched on with the stack; with its end as the stack found them. One name all along."""
    account = Account()
    account.job_events.on = was_on
    made = ask(account, CREATE)
    assert made == Answer(FOUND_ON if was_on else SWITCHED_ON)
    assert account.job_events.on
    account.job_events.on = False  # by somebody else; an update of the stack repairs it
    assert ask(account, UPDATE, made.physical_id) == made
    assert account.job_events.on
    assert ask(account, DELETE, made.physical_id) == made
    assert account.job_events.on is was_on


def test_request_that_comes_twice() -> None:
    """A second creation finds them on, and leaves them on for ever: never off by mistake."""
    account = Account()
    account.job_events.on = False
    ask(account, CREATE)
    again = ask(account, CREATE)
    ask(account, DELETE, again.physical_id)
    assert account.job_events.on


@pytest.mark.parametrize("call", ["job_events.are_on", "job_events.switch"])
def test_creation_that_fails(call: str) -> None:
    """It is answered with the reason; the removal that follows leaves the account alone."""
    account = Account()
    account.job_events.on = False
    account.disturb(failing(call))
    answer = ask(account, CREATE)
    assert (answer.physical_id, answer.is_success) == (NOT_SWITCHED, False)
    assert call in answer.reason
    account.disturb()
    account.job_events.on = True
    assert ask(account, DELETE, answer.physical_id).is_success
    assert account.job_events.on


def test_removal_never_fails() -> None:
    """What AWS refuses at the end does not hold the stack; the answer says so."""
    account = Account()
    account.disturb(failing("job_events.switch"))
    answer = ask(account, DELETE, SWITCHED_ON)
    assert answer.is_success
    assert "left switched on" in answer.reason


@pytest.mark.parametrize("physical_id", ["", "2026/11/26/[$LATEST]abc"])
def test_removal_of_what_was_never_answered(physical_id: str) -> None:
    """A name that is not ours is answered as it came, and nothing is switched off."""
    account = Account()
    assert ask(account, DELETE, physical_id) == Answer(physical_id)
    assert account.job_events.on


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"RequestType": "Read"}, "RequestType"),
        ({"RequestType": None}, "RequestType"),
        ({"ResponseURL": None}, "ResponseURL"),
        ({"StackId": 7}, "StackId"),
    ],
)
def test_request_that_is_none(changed: dict[str, Any], named: str) -> None:
    """An event that is not CloudFormation's is an error that names the field."""
    with pytest.raises(WireError, match=named):
        Request.of({**stack_event(CREATE), **changed})


@pytest.mark.parametrize("character", ["x", "\N{PILE OF POO}", '"'])
def test_answer_is_never_too_large(character: str) -> None:
    """CloudFormation takes 4096 bytes; the reason is cut, however it is written."""
    request = Request.of(stack_event(CREATE))
    said = encode(request, Answer(FOUND_ON, False, character * 100_000))
    assert len(said) <= 4096
    fields = json.loads(said)
    assert fields["Status"] == "FAILED"
    assert fields["Reason"].startswith(character)
    assert (fields["StackId"], fields["RequestId"]) == (request.stack_id, "request-1")
    assert fields["LogicalResourceId"] == "JobExecutionEvents"


class Bucket:
    """CloudFormation's bucket on loopback: refuses the first ``failures`` answers."""

    def __init__(self, failures: int = 0) -> None:
        self.puts: list[tuple[str, str | None, dict[str, Any]]] = []
        self.failures = failures
        self.url = ""

    @contextmanager
    def open(self) -> Iterator[Bucket]:
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = (self.path, self.headers["Content-Type"], json.loads(body))
                bucket.puts.append(answer)
                bucket.failures -= 1
                self.send_response(503 if bucket.failures >= 0 else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to standard error."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                self.url = f"http://127.0.0.1:{server.server_port}/answer?signature=s%2Fx"
                yield self
            finally:
                server.shutdown()
                thread.join()


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_answer_is_delivered(failures: int) -> None:
    """It is put where it belongs, as the signature wants it, and tried again if need be."""
    slept: list[float] = []
    with Bucket(failures).open() as bucket:
        request = Request.of(stack_event(CREATE, url=bucket.url))
        with replying(request, slept.append) as reply:
            reply.answer = Answer(FOUND_ON)
    assert len(bucket.puts) == failures + 1
    assert len(slept) == failures
    path, content_type, answer = bucket.puts[-1]
    assert path == "/answer?signature=s%2Fx"
    assert content_type == ""
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == FOUND_ON


def test_answer_that_is_not_taken() -> None:
    """It is raised in the end, so that the request comes again; the URL is in no message."""
    with Bucket(99).open() as bucket, pytest.raises(NotDelivered) as raised:  # noqa: SIM117
        with replying(Request.of(stack_event(CREATE, url=bucket.url)), lambda _: None) as reply:
            reply.answer = Answer(FOUND_ON)
    assert len(bucket.puts) == 3
    assert "127.0.0.1" not in str(raised.value)


def test_bucket_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """The same where nobody listens; the log names the request and no URL."""
    with Bucket().open() as bucket:
        url = bucket.url
    with (
        pytest.raises(NotDelivered),
        replying(Request.of(stack_event(CREATE, url=url)), lambda _: None),
    ):
        pass
    assert "JobExecutionEvents" in caplog.text
    assert "signature" not in caplog.text


@pytest.mark.parametrize(("kind", "status"), [(CREATE, "FAILED"), (DELETE, "SUCCESS")])
def test_fault_of_our_own_is_answered_too(kind: str, status: str) -> None:
    """Whatever happens in between, the stack does not wait; and a removal goes through."""
    with Bucket().open() as bucket:
        request = Request.of(stack_event(kind, "p" if kind == DELETE else "", bucket.url))
        with pytest.raises(ZeroDivisionError), replying(request):
            raise ZeroDivisionError
    ((_, _, answer),) = bucket.puts
    assert answer["Status"] == status
    assert answer["PhysicalResourceId"] == ("p" if kind == DELETE else "request-1")
