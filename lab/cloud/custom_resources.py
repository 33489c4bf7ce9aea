"""CloudFormation's side of a custom resource: a function is asked, and the answer waited for.

The answer comes over HTTP, as from AWS; here to a server on loopback that is there as long as
the question is open.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from lab.cloud.template import STACK, CustomResource
from lab.timeline import Timeline

Invoke = Callable[[str, Any], None]

#: What CloudFormation takes.
_MAX_ANSWER = 4096
_STACK_ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{STACK}/{uuid.uuid4()}"


class ResourceFailed(RuntimeError):
    """The function answered that it could not, or not as CloudFormation wants it."""


def make_custom_resources(
    resources: Iterable[CustomResource], invoke: Invoke, timeline: Timeline
) -> dict[str, str]:
    """Has each made, in order; their physical ids by logical id. Raises ResourceFailed."""
    return {one.name: ask(one, "Create", invoke, timeline) for one in resources}


def ask(
    resource: CustomResource,
    kind: str,
    invoke: Invoke,
    timeline: Timeline,
    physical_id: str = "",
) -> str:
    """One request (``Create``, ``Update`` or ``Delete``), answered; the physical id.

    Raises ResourceFailed, also if no answer comes within the resource's time.
    """
    with _answers() as (url, answers):
        event = {
            "RequestType": kind,
            "ResponseURL": url,
            "StackId": _STACK_ID,
            "RequestId": str(uuid.uuid4()),
            "ResourceType": resource.kind,
            "LogicalResourceId": resource.name,
            "ResourceProperties": {name: str(one) for name, one in resource.properties.items()},
        }
        if physical_id:
            event["PhysicalResourceId"] = physical_id
        invoke(resource.function, event)
        try:
            body = answers.get(timeout=float(resource.properties.get("ServiceTimeout", 3600)))
        except queue.Empty:
            raise ResourceFailed(f"{kind} {resource.name}: no answer") from None
    answer = _checked(body, event)
    timeline.record(
        "cloudformation",
        f"{kind.lower()}-{answer['Status'].lower()}",
        resource=resource.name,
        physical_id=answer["PhysicalResourceId"],
        reason=answer.get("Reason"),
    )
    if answer["Status"] != "SUCCESS":
        raise ResourceFailed(f"{kind} {resource.name}: {answer.get('Reason')}")
    return str(answer["PhysicalResourceId"])


def _checked(body: bytes, event: dict[str, Any]) -> dict[str, Any]:
    if len(body) > _MAX_ANSWER:
        raise ResourceFailed(f"the answer has {len(body)} bytes")
    answer: dict[str, Any] = json.loads(body)
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        if answer.get(name) != event[name]:
            raise ResourceFailed(f"the answer has another {name}")
    if answer.get("Status") not in ("SUCCESS", "FAILED") or not answer.get("PhysicalResourceId"):
        raise ResourceFailed(f"not an answer: {answer}")
    if answer["PhysicalResourceId"] != event.get(
        "PhysicalResourceId", answer["PhysicalResourceId"]
    ):
        raise ResourceFailed("the resource has another name now: it would be replaced")
    return answer


@contextmanager
def _answers() -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """A URL, and what is put there."""
    answers: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/?request={uuid.uuid4()}", answers
        finally:
            server.shutdown()
            thread.join()
