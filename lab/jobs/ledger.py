"""Every job and execution, and how they change: states, time-outs, retries, completion.

Whoever reads or changes goes through ``at_work``, which first lets time have its say and
afterwards tells each thing whose pending executions changed. Maintenance windows and later
members of a thing group play no part.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lab.jobs.abortion import is_to_be_aborted
from lab.jobs.errors import JobsError
from lab.jobs.events import Events
from lab.jobs.model import TERMINAL, Execution, Job, with_document_as_object
from lab.jobs.outbox import Outbox
from lab.timeline import Timeline

Publish = Callable[[str, bytes], None]

_NOTIFIED_MAX = 10  # entries of a notify message

_Pending = tuple[frozenset[tuple[str, int]], tuple[str, int] | None]


class Ledger:
    """Thread-safe. ``clock`` gives seconds since the epoch; ``publish`` may be set later, and
    until then messages are lost, as they are for a device that is away.
    """

    def __init__(
        self, clock: Callable[[], float], publish: Publish | None, timeline: Timeline | None
    ) -> None:
        self.clock = clock
        self.publish = publish
        self.outbox = Outbox()
        self.events = Events(self._say)
        self.jobs: dict[str, Job] = {}
        self._timeline = timeline
        self._lock = threading.RLock()
        self._of_thing: dict[str, list[Execution]] = {}
        self._timers: list[tuple[float, int, Execution]] = []
        self._rolling_out: list[Job] = []
        self._numbers = itertools.count()
        self._before: dict[str, _Pending] = {}

    # --- access -----------------------------------------------------------------------

    @contextmanager
    def at_work(self, *, tell: bool = True) -> Iterator[float]:
        """Alone with the ledger, at the time that it yields. What is to be said afterwards is
        said on the way out, or, without ``tell``, when the caller drains the outbox.
        """
        try:
            with self._lock:
                now = self.clock()
                try:
                    self._expire(now)
                    yield now
                finally:
                    self._note_changes(now)
        finally:
            if tell:
                self.outbox.drain()

    def clear(self) -> None:
        """Forget everything, and tell nobody."""
        with self._lock:
            self.jobs.clear()
            self._of_thing.clear()
            self._timers.clear()
            self._rolling_out.clear()
            self.events = Events(self._say)

    def expire(self, now: float) -> None:
        """What times out until then has timed out."""
        with self._lock:
            try:
                self._expire(now)
            finally:
                self._note_changes(now)
        self.outbox.drain()

    def next_expiry(self) -> float | None:
        """When the next execution times out or is rolled out, in seconds since the epoch."""
        with self._lock:
            due = [job.rollout.next_at for job in self._rolling_out if job.rollout is not None]
            return min((at for at in (self._next_timeout(), *due) if at is not None), default=None)

    def _next_timeout(self) -> float | None:
        while self._timers and self._timers[0][2].times_out_at != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    # --- what there is (at work) --------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """Raises JobsError."""
        job = self.jobs.get(job_id)
        if job is None:
            raise JobsError("ResourceNotFound", f"there is no job {job_id}")
        return job

    def of_thing(self, thing_name: str) -> list[Execution]:
        """All its executions, the oldest first."""
        return list(self._of_thing.get(thing_name, ()))

    def pending(self, thing_name: str) -> list[Execution]:
        """Those that are not over, in the order in which they are next in line."""
        pending = [e for e in self._of_thing.get(thing_name, ()) if e.is_pending]
        return sorted(pending, key=lambda execution: execution.status == "QUEUED")

    def next(self, thing_name: str) -> Execution | None:
        """What ``$next`` stands for."""
        return next(iter(self.pending(thing_name)), None)

    def execution(self, thing_name: str, job_id: str, number: int | None) -> Execution:
        """The latest one unless a number is given. Raises JobsError."""
        for execution in reversed(self._of_thing.get(thing_name, ())):
            if execution.job.job_id == job_id and number in (None, execution.number):
                return execution
        raise JobsError(
            "ResourceNotFound", f"there is no such execution of job {job_id} for {thing_name}"
        )

    # --- what changes (at work) ---------------------------------------------------------

    def roll_out(self, job: Job, now: float) -> None:
        """Tell the things that wait for the job: at once, or at the rate of its rollout."""
        if job.rollout is not None:
            self._rolling_out.append(job)
            self._go_on_rolling_out(now)
            return
        while job.waiting:
            self.queue(job, *job.waiting.popleft(), now)

    def _go_on_rolling_out(self, now: float) -> None:
        for job in list(self._rolling_out):
            while job.waiting and job.rollout is not None and job.rollout.next_at <= now:
                at = job.rollout.next_at
                job.rollout.told()
                self.queue(job, *job.waiting.popleft(), at)
            if not job.waiting:
                self._rolling_out.remove(job)

    def queue(self, job: Job, thing_name: str, thing_arn: str, now: float) -> Execution:
        """A new execution of the job, next in number after the thing's last one."""
        self._remember(thing_name)
        previous = job.latest.get(thing_name)
        if previous is not None:
            job.over[previous.status] -= 1
        execution = Execution(
            job, thing_name, thing_arn, previous.number + 1 if previous else 1, now, updated_at=now
        )
        self._of_thing.setdefault(thing_name, []).append(execution)
        job.latest[thing_name] = execution
        job.pending += 1
        self._record(execution)
        return execution

    def change(
        self,
        execution: Execution,
        status: str,
        now: float,
        *,
        details: dict[str, str] | None = None,
        step_timeout: int | None = None,
    ) -> None:
        """Move a pending execution on; minutes of ``step_timeout``, -1 for no more of it."""
        self._remember(execution.thing_name)
        execution.status = status
        execution.version += 1
        execution.updated_at = now
        if details is not None:
            execution.details = details
        if execution.started_at is None and status == "IN_PROGRESS":
            execution.started_at = now
            minutes = execution.job.timeout_minutes
            execution.deadline = None if minutes is None else now + 60 * minutes
        if step_timeout is not None:
            execution.step_deadline = None if step_timeout == -1 else now + 60 * step_timeout
        ends = execution.times_out_at
        if ends is not None:
            heapq.heappush(self._timers, (ends, next(self._numbers), execution))
        self._record(execution)
        if status in TERMINAL:
            self._over(execution, now)

    def delete(self, execution: Execution, now: float) -> None:
        """As if it had never been; its event says ``deleted``."""
        self._remember(execution.thing_name)
        job, own = execution.job, self._of_thing[execution.thing_name]
        own.remove(execution)
        if job.latest[execution.thing_name] is execution:
            job.over[execution.status] -= not execution.is_pending
            del job.latest[execution.thing_name]
            for before in [other for other in own if other.job is job][-1:]:
                job.latest[execution.thing_name] = before
                job.over[before.status] += 1
        self.events.execution(execution, "deleted", now)
        if execution.is_pending:
            job.pending -= 1
            execution.status = "REMOVED"  # so that its timer is no more
            self.complete(job, now)

    def cancel_job(self, job: Job, now: float, *, force: bool = False) -> None:
        """Cancel what is QUEUED, with ``force`` what is IN_PROGRESS too."""
        self.events.job(job, "cancellation_in_progress", now)
        job.status, job.updated_at, job.completed_at = "CANCELED", now, now
        job.waiting.clear()
        job.force_canceled = job.force_canceled or force
        for execution in list(job.latest.values()):
            if execution.status == "QUEUED" or (force and execution.is_pending):
                execution.force_canceled = force
                self.change(execution, "CANCELED", now)
        self.events.job(job, "canceled", now)

    def complete(self, job: Job, now: float) -> None:
        """A snapshot job is over when all its executions are; a continuous one never is."""
        snapshot = job.target_selection == "SNAPSHOT"
        if job.status == "IN_PROGRESS" and snapshot and not job.pending and not job.waiting:
            job.status, job.updated_at, job.completed_at = "COMPLETED", now, now
            self.events.job(job, "completed", now)

    def _over(self, execution: Execution, now: float) -> None:
        job = execution.job
        job.pending -= 1
        job.over[execution.status] += 1
        if job.rollout is not None and execution.status == "SUCCEEDED":
            job.rollout.succeeded()
        self.events.execution(execution, execution.status.lower(), now)
        if job.status != "IN_PROGRESS":
            return
        if execution.may_be_retried():
            again = self.queue(job, execution.thing_name, execution.thing_arn, now)
            again.retried = execution.retried.copy()
            again.retried[execution.status] += 1
        elif is_to_be_aborted(job.abort_criteria, job.over):
            job.reason_code = "ABORT_CRITERIA_MET"
            self.cancel_job(job, now)
        else:
            self.complete(job, now)

    def _expire(self, now: float) -> None:
        self._go_on_rolling_out(now)
        while (at := self._next_timeout()) is not None and at <= now:
            self.change(heapq.heappop(self._timers)[2], "TIMED_OUT", now)

    # --- what is said -------------------------------------------------------------------

    def _remember(self, thing_name: str) -> None:
        self._before.setdefault(thing_name, self._view(thing_name))

    def _view(self, thing_name: str) -> _Pending:
        keys = [(e.job.job_id, e.number) for e in self.pending(thing_name)]
        return frozenset(keys), keys[0] if keys else None

    def _note_changes(self, now: float) -> None:
        """notify for another set of pending executions, notify-next for another next one."""
        for thing_name, (members, first) in self._before.items():
            members_now, first_now = self._view(thing_name)
            topic, stamp = f"$aws/things/{thing_name}/jobs/", {"timestamp": int(now)}
            if members_now != members:
                listed: dict[str, list[dict[str, Any]]] = {}
                for execution in self.pending(thing_name)[:_NOTIFIED_MAX]:
                    listed.setdefault(execution.status, []).append(execution.summary())
                self._say(topic + "notify", {**stamp, "jobs": listed})
            if first_now != first:
                following = self.next(thing_name)
                told: dict[str, Any] = dict(stamp)
                if following is not None:
                    told["execution"] = following.description(now, with_document=True)
                self._say(topic + "notify-next", with_document_as_object(told))
        self._before.clear()

    def _say(self, topic: str, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()

        def say() -> None:
            if self.publish is not None:
                self.publish(topic, payload)

        self.outbox.put(say)

    def _record(self, execution: Execution) -> None:
        timeline = self._timeline
        if timeline is None:
            return
        event = execution.status.lower().replace("_", "-")
        details: dict[str, object] = {
            "job": execution.job.job_id,
            "thing": execution.thing_name,
            "number": execution.number,
            "version": execution.version,
            "status_details": dict(execution.details),
        }

        def record() -> None:
            timeline.record("jobs", event, **details)

        self.outbox.put(record)
