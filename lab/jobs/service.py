"""The Jobs service as a whole: its data plane, and the way to its control plane.

A device reaches it over MQTT (``handle``, see mqtt.py) or HTTPS (the methods named for
the API's operations). Its owner reaches it with boto3, through lab/account/moto_jobs.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lab.jobs.control import ControlPlane
from lab.jobs.data_plane import DataPlane
from lab.jobs.errors import JobsError
from lab.jobs.ledger import Ledger, Publish
from lab.jobs.mqtt import Fault, MqttPlane, ReplyFault
from lab.timeline import Timeline

__all__ = ["Jobs", "JobsError"]


class Jobs:
    """The jobs of one account and region, in memory. Thread-safe, and never blocks on
    anything but a few microseconds of another thread's work.

    ``clock`` gives seconds since the epoch. ``publish(topic, payload)`` sends notifications
    and events; it may be set, or set anew, at any time. With a ``timeline``, every state of an
    execution is recorded there (source "jobs", event such as "in-progress").
    """

    def __init__(
        self,
        account_id: str,
        region: str,
        *,
        clock: Callable[[], float] = time.time,
        publish: Publish | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self._ledger = Ledger(clock, publish, timeline)
        self._data_plane = DataPlane(self._ledger)
        self._mqtt = MqttPlane(self._ledger, self._data_plane)
        self.control = ControlPlane(self._ledger, f"arn:aws:iot:{region}:{account_id}:")

    @property
    def publish(self) -> Publish | None:
        """Where notifications and events go; None: nowhere."""
        return self._ledger.publish

    @publish.setter
    def publish(self, publish: Publish | None) -> None:
        self._ledger.publish = publish

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch; a scenario may set its own."""
        return self._ledger.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self._ledger.clock = clock

    @property
    def fault(self) -> Fault | None:
        """Asked about each MQTT request before it is served: see mqtt.Fault."""
        return self._mqtt.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._mqtt.fault = fault

    @property
    def reply_fault(self) -> ReplyFault | None:
        """Asked about each MQTT answer before it is sent: see mqtt.ReplyFault."""
        return self._mqtt.reply_fault

    @reply_fault.setter
    def reply_fault(self, fault: ReplyFault | None) -> None:
        self._mqtt.reply_fault = fault

    def clear(self) -> None:
        """Forget every job and event configuration, without a word to anybody."""
        self._ledger.clear()

    # --- time ---------------------------------------------------------------------------

    def expire(self, now: float | None = None) -> None:
        """Time out what is due at ``now``, by default the clock's. Each request does so first;
        call this when a time-out must be noticed without one.
        """
        self._ledger.expire(self.clock() if now is None else now)

    def next_expiry(self) -> float | None:
        """When the next execution times out, in seconds since the epoch; None: never."""
        return self._ledger.next_expiry()

    # --- data plane, as HTTPS has it ------------------------------------------------------

    def get_pending_job_executions(self, thing_name: str) -> dict[str, Any]:
        """``inProgressJobs`` and ``queuedJobs``."""
        with self._ledger.at_work():
            return self._data_plane.get_pending(thing_name)

    def start_next_pending_job_execution(
        self, thing_name: str, request: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """``execution``, if there is one. ``request`` is the body: statusDetails,
        stepTimeoutInMinutes. Raises JobsError.
        """
        with self._ledger.at_work() as now:
            return self._data_plane.start_next(thing_name, request or {}, now)

    def describe_job_execution(
        self,
        thing_name: str,
        job_id: str,
        execution_number: int | None = None,
        include_job_document: bool = True,
    ) -> dict[str, Any]:
        """``execution``; for ``$next`` only if there is one. Raises JobsError, with
        TerminalStateReached for an execution that is over.
        """
        request = {
            "executionNumber": execution_number,
            "includeJobDocument": include_job_document,
        }
        with self._ledger.at_work() as now:
            return self._data_plane.describe(thing_name, job_id, request, now)

    def update_job_execution(
        self, thing_name: str, job_id: str, request: Mapping[str, Any]
    ) -> dict[str, Any]:
        """``executionState`` and ``jobDocument``, if the request (the body) asks for them.
        Raises JobsError.
        """
        with self._ledger.at_work() as now:
            return self._data_plane.update(thing_name, job_id, request, now)

    # --- data plane, as MQTT has it -------------------------------------------------------

    def handle(
        self, thing_name: str, topic_rest: str, payload: bytes
    ) -> list[tuple[str, dict[str, Any]]]:
        """The answers to what a thing published to ``$aws/things/<thing>/jobs/<topic_rest>``:
        for each the rest of its topic, and its body. None if a fault swallows it, two if one
        doubles it. Then notifications are published: see ``flush``.
        """
        answers: list[tuple[str, dict[str, Any]]] = []
        self._mqtt.serve(
            thing_name, topic_rest, payload, lambda topic, body: answers.append((topic, body))
        )
        self.flush()
        return answers

    def serve(
        self,
        thing_name: str,
        topic_rest: str,
        payload: bytes,
        reply: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """As ``handle``, with the answers given to ``reply``, and ``flush`` left to the caller."""
        self._mqtt.serve(thing_name, topic_rest, payload, reply)

    def flush(self) -> None:
        """Publish what is to be said, unless another thread is at it, who will do it then."""
        self._ledger.outbox.drain()
