"""Makes a deployment, and looks at it again and again until it is done.

It only looks: whatever becomes of it, the deployment goes on in AWS.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from certkeeper.core.backoff import Backoff
from deployment import progress
from deployment.ports import (
    Attempt,
    AwsError,
    Cloud,
    Content,
    Counts,
    Group,
    Job,
    NotFound,
    Passing,
    SignedOut,
)
from deployment.progress import Ending, Failure

#: Seconds from one look to the next. A look is one call, more only where something has changed;
#: the control plane of Jobs takes 10 a second, from all who ask in the account.
INTERVAL = 5.0
#: After a look that did not succeed, in place of the interval.
_BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=1))
_CREATE_TRIES = 5
#: How many devices are asked for their reason, and named at all; the rest are only counted.
MOST_REASONS, MOST_NAMES = 50, 1000
#: Devices that are named because the watch ended before them.
_MOST_WAITING = 20
#: Looks that are granted to a list that lags behind the counts.
_LATE_LOOKS = 3


class Clock(Protocol):
    """Time, as far as it passes here."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """See Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Display(Protocol):
    """What the watcher tells."""

    def progress(self, counts: Counts, *, rolling_out: bool) -> None: ...

    def failure(self, failure: Failure) -> None: ...

    def trouble(self, text: str, seconds: float) -> None: ...


@dataclass(frozen=True)
class Ended:
    """How the watch ended. ``waiting`` names devices that had not finished, if it ended early."""

    ending: Ending
    counts: Counts
    failures: tuple[Failure, ...] = ()
    waiting: tuple[Attempt, ...] = ()
    detail: str = ""

    @property
    def exit_code(self) -> int:
        return progress.exit_code(self.ending, self.counts)


def create(
    cloud: Cloud, clock: Clock, display: Display, target: str, content: Content, token: str
) -> tuple[str, str]:
    """Makes the deployment; its id and its job's.

    Asks again while it may help: the token makes the deployment once, however often it is asked
    for (CreateDeployment: ``clientToken``). Raises AwsError; after Passing it is not known
    whether the deployment was made.
    """
    number = 1
    while True:
        try:
            return cloud.create(target, content, token)
        except Passing as error:
            if number == _CREATE_TRIES:
                raise
            wait = _BACKOFF.delay(number, token).total_seconds()
            display.trouble(str(error), wait)
            clock.sleep(wait)
            number += 1
        except SignedOut as error:
            if number > 1:  # what was sent before may have been done
                raise Passing(str(error)) from error
            raise


class Watch:
    """Looks at one deployment until it is done, or nothing has changed for ``patience`` seconds."""

    def __init__(
        self,
        cloud: Cloud,
        clock: Clock,
        display: Display,
        group: Group,
        deployment_id: str,
        job_id: str,
        patience: float,
    ) -> None:
        self._cloud = cloud
        self._clock = clock
        self._display = display
        self._group = group
        self._deployment_id = deployment_id
        self._job_id = job_id
        self._patience = patience
        self._counts = Counts()
        self._known: dict[str, set[Attempt]] = {}
        self._failures: list[Failure] = []
        self._late_looks = 0
        self._detail = ""

    def run(self) -> Ended:
        """Returns when there is no more to see. What is raised here is KeyboardInterrupt."""
        news, troubles = self._clock.monotonic(), 0
        while True:
            before = self._counts
            try:
                ending = self._look()
            except Passing as error:
                troubles += 1
                wait = _BACKOFF.delay(troubles, self._deployment_id).total_seconds()
                self._display.trouble(str(error), wait)
                ending, self._detail = None, str(error)
            except SignedOut as error:
                ending, self._detail = Ending.SIGNED_OUT, str(error)
            except NotFound as error:
                ending, self._detail = Ending.DELETED, str(error)
            except AwsError as error:
                ending, self._detail = Ending.REFUSED, str(error)
            else:
                troubles, wait = 0, INTERVAL
                if ending is None:
                    self._detail = ""
            if self._counts != before:
                news = self._clock.monotonic()
            elif ending is None and self._clock.monotonic() - news >= self._patience:
                ending = Ending.QUIET
                limit = f"{self._patience / 60:g} minutes"
                self._detail = "; ".join(filter(None, (limit, self._detail)))
            if ending is not None:
                return self._ended(ending)
            self._clock.sleep(wait)

    def _look(self) -> Ending | None:
        """One look: what has changed is told; the ending, if this is one."""
        job = self._cloud.job(self._job_id)
        stopped = progress.is_stopped(job)
        complete = self._name_failures(job, stopped)
        self._counts = job.counts
        self._display.progress(job.counts, rolling_out=job.rolling_out)
        if stopped:
            return self._why_stopped(job)
        if not progress.is_settled(job):
            return None
        if not complete and self._late_looks < _LATE_LOOKS:
            self._late_looks += 1
            return None
        return self._settled(job.counts)

    def _settled(self, counts: Counts) -> Ending | None:
        """Nobody is at it. Is there anybody who has still to hear of it?"""
        group = self._cloud.group(self._group.name)
        members = self._cloud.members(self._group.name, counts.devices + 1)
        if group.building or members > counts.devices:
            return None
        return Ending.DONE if counts.devices else Ending.EMPTY

    def _why_stopped(self, job: Job) -> Ending:
        deployment = self._cloud.deployment(self._deployment_id)
        if not deployment.latest:
            return Ending.REPLACED
        self._detail = progress.printable(job.why)
        if deployment.status == "FAILED":
            self._detail = f"its abort criteria were met {self._detail}".rstrip()
        return Ending.CANCELED

    def _name_failures(self, job: Job, stopped: bool) -> bool:
        """Tells of devices that have failed since the last look; whether all are named now."""
        counted = {
            "FAILED": job.counts.failed,
            "REJECTED": job.counts.rejected,
            "TIMED_OUT": job.counts.timed_out,
            # Of a job that was stopped, that is everybody who had not begun.
            "CANCELED": 0 if stopped else job.counts.canceled,
        }
        complete = True
        for status, count in counted.items():
            known = self._known.setdefault(status, set())
            if len(known) >= min(count, MOST_NAMES):
                continue
            for attempt in self._cloud.attempts(self._job_id, status, MOST_NAMES):
                if attempt not in known:
                    self._name_failure(attempt)
                    known.add(attempt)
            complete = complete and len(known) >= min(count, MOST_NAMES)
        return complete

    def _name_failure(self, attempt: Attempt) -> None:
        details = {}
        if attempt.status in ("FAILED", "REJECTED") and len(self._failures) < MOST_REASONS:
            details = dict(self._cloud.details(self._job_id, attempt))
        failure = progress.failure_of(attempt, details)
        self._failures.append(failure)
        if len(self._failures) <= MOST_REASONS:
            self._display.failure(failure)

    def _ended(self, ending: Ending) -> Ended:
        waiting: Sequence[Attempt] = ()
        if ending is Ending.QUIET:
            waiting = self._waiting()
        return Ended(ending, self._counts, tuple(self._failures), tuple(waiting), self._detail)

    def _waiting(self) -> Sequence[Attempt]:
        """Who has not finished, as far as it can be had."""
        found: list[Attempt] = []
        try:
            for status in ("IN_PROGRESS", "QUEUED"):
                found += self._cloud.attempts(self._job_id, status, _MOST_WAITING - len(found))
        except AwsError:
            pass  # it is only a help
        return found
