"""The Jobs topics: ``$aws/things/<thing>/jobs/#``, requests in, answers out.

An answer goes straight to the connection that asked, as with AWS: it passes no broker, so
no rule and no other client sees it. The namespace in which Greengrass deployments travel
exists and is empty.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from lab.iot_core.broker import Reply
from lab.iot_core.iot_core import IotCore
from lab.iot_core.message import Message
from lab.jobs.data_plane import DataPlane
from lab.jobs.errors import JobsError, invalid
from lab.jobs.ledger import Ledger
from lab.jobs.model import with_document_as_object

if TYPE_CHECKING:
    from lab.jobs.service import Jobs

TOPICS = "$aws/things/+/jobs/#"

#: Asked with the thing, the operation (such as UpdateJobExecution) and the request's fields:
#: a JobsError is the answer, "drop" loses the request; either way nothing is done.
Fault = Callable[[str, str, Mapping[str, Any]], JobsError | Literal["drop"] | None]
#: Asked with the thing, the rest of the answer's topic and its body: "drop" loses the answer
#: to what was done, "duplicate" sends it twice.
ReplyFault = Callable[[str, str, Mapping[str, Any]], Literal["drop", "duplicate"] | None]

_CLIENT_TOKEN_MAX = 64  # bytes
_NAMESPACE = "namespace-"


def attach(iot_core: IotCore, jobs: Jobs) -> None:
    """Serve the Jobs topics of ``iot_core``. Notifications are ``jobs.publish``'s business."""

    def handler(message: Message, reply: Reply) -> None:
        _, _, thing_name, _, *levels = message.topic.split("/")
        prefix = f"$aws/things/{thing_name}/jobs/"
        jobs.serve(
            thing_name,
            "/".join(levels),
            message.payload,
            lambda topic, body: reply(prefix + topic, json.dumps(body).encode()),
        )
        # The answer is sent in a later turn of the loop: the notifications after it.
        asyncio.get_running_loop().call_soon(jobs.flush)

    iot_core.reserve(TOPICS, handler)


class MqttPlane:
    """Turns a message into an operation, and what became of it into a message."""

    def __init__(self, ledger: Ledger, data_plane: DataPlane) -> None:
        self._ledger = ledger
        self._data_plane = data_plane
        self.fault: Fault | None = None
        self.reply_fault: ReplyFault | None = None

    def serve(
        self,
        thing_name: str,
        topic_rest: str,
        payload: bytes,
        reply: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """Answer with ``reply(rest of the topic, body)``. What is to be published is left in
        the ledger's outbox.
        """
        request: dict[str, Any] = {}
        try:
            # Before anything is refused: a refusal bears the token too.
            request = _parse(payload)
            token = _client_token(request)
            verdict, body = self._answer(thing_name, topic_rest, request)
            if verdict == "drop":
                return
        except JobsError as refusal:
            token = request.get("clientToken")
            token = token if isinstance(token, str) else None
            verdict, body = "rejected", {"code": refusal.code, "message": refusal.message}
            if refusal.execution_state is not None:
                body["executionState"] = refusal.execution_state
        body["timestamp"] = int(self._ledger.clock())
        if token is not None:
            body["clientToken"] = token
        topic = f"{topic_rest}/{verdict}"
        fault = self.reply_fault and self.reply_fault(thing_name, topic, body)
        for _ in range({"drop": 0, "duplicate": 2}.get(fault or "", 1)):
            reply(topic, dict(body))

    def _answer(
        self, thing_name: str, topic_rest: str, request: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        operation, job_id = _operation(topic_rest)
        fault = self.fault and self.fault(thing_name, operation, request)
        if isinstance(fault, JobsError):
            raise fault
        if fault == "drop":
            return "drop", {}
        plane = self._data_plane
        with self._ledger.at_work(tell=False) as now:
            if operation == "GetPendingJobExecutions":
                body = plane.get_pending(thing_name)
            elif operation == "StartNextPendingJobExecution":
                body = plane.start_next(thing_name, request, now)
            elif operation == "DescribeJobExecution":
                body = plane.describe(thing_name, job_id, request, now)
            elif operation == "UpdateJobExecution":
                body = plane.update(thing_name, job_id, request, now)
            elif operation == "DescribeDeployment" and job_id == "$next":
                body = {}
            else:
                raise JobsError("ResourceNotFound", f"there is no deployment {job_id}")
        return "accepted", with_document_as_object(body)


def _operation(topic_rest: str) -> tuple[str, str]:
    """The operation that a topic stands for, and its job; raises JobsError."""
    levels = topic_rest.split("/")
    if levels == ["get"]:
        return "GetPendingJobExecutions", ""
    if levels == ["start-next"]:
        return "StartNextPendingJobExecution", ""
    if len(levels) == 2 and levels[1] == "get":
        return "DescribeJobExecution", levels[0]
    if len(levels) == 2 and levels[1] == "update" and levels[0] != "$next":
        return "UpdateJobExecution", levels[0]
    if len(levels) == 3 and levels[1].startswith(_NAMESPACE) and levels[2] in ("get", "update"):
        return ("DescribeDeployment" if levels[2] == "get" else "UpdateDeployment"), levels[0]
    raise JobsError("InvalidTopic", f"no operation is reached at jobs/{topic_rest}")


def _parse(payload: bytes) -> dict[str, Any]:
    """An empty payload is an empty request."""
    if not payload:
        return {}
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise JobsError("InvalidJson", f"the payload is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise invalid("the payload is not a JSON object")
    return request


def _client_token(request: Mapping[str, Any]) -> str | None:
    token = request.get("clientToken")
    if token is None:
        return None
    if not isinstance(token, str) or len(token.encode()) > _CLIENT_TOKEN_MAX:
        raise invalid(f"clientToken is not a string of at most {_CLIENT_TOKEN_MAX} bytes")
    return token
