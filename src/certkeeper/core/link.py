"""The IPC connection to the nucleus: when to open it, and what must hold once it is open.

One pure machine. Every attempt has a number, and what an earlier attempt still says
is ignored. It tries for ever, with a growing wait, and never twice at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from certkeeper.core import effects, events
from certkeeper.core.backoff import Backoff
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event
from certkeeper.core.moment import Moment
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName
from rotation_protocol.values import dataclass

BACKOFF = Backoff(timedelta(seconds=1), timedelta(minutes=1))
#: The nucleus answers on a local socket; longer than this it does not answer at all.
CONNECT_TIMEOUT = 15.0
#: A connection that ends sooner counts as one more failure: a nucleus that accepts and then
#: hangs up must not be asked every second.
STEADY_SECONDS = 60.0
REMEDY_UNAUTHORIZED = (
    "the accessControl in effect is not the recipe's: look for accessControl in the "
    "deployment's configuration update, and reset it"
)

Step = tuple["Link", tuple[Effect, ...]]

#: What a rotation has to hear: the next job, answers about jobs, and those of our backend.
JOB_SUBSCRIPTIONS = frozenset({"next-job", "job-answers", "update-answers", "certificate-answers"})


@dataclass(frozen=True)
class Link:
    """``seed`` spreads the retries. ``since``, ``retry_at`` and ``jobs_at`` are monotonic seconds.

    ``topic_prefix`` is what the jobs' subscriptions were asked for with, None before they
    were; ``jobs_at`` is when those that were not to be had are asked for again.
    """

    seed: str
    attempt: int = 0
    failures: int = 0
    connected: bool = False
    since: float | None = None
    retry_at: float | None = 0.0
    reason: str = "not yet connected"
    subscribed: frozenset[str] = frozenset()
    refused: tuple[events.SubscriptionRefused, ...] = ()
    denied_topics: frozenset[str] = frozenset()
    topic_prefix: str | None = None
    jobs_at: float | None = None
    jobs_failures: int = 0

    def wake_at(self) -> float | None:
        """When a Tick is wanted, in monotonic seconds."""
        if self.retry_at is not None:
            return self.retry_at
        if not self.connected and self.since is not None:
            return self.since + CONNECT_TIMEOUT
        return self.jobs_at

    def check(self) -> ReadinessCheck:
        """What doctor and the health message say of the connection."""
        name = ReadinessCheckName.IPC
        if not self.connected:
            return ReadinessCheck(name, CheckStatus.FAIL, self.reason, "retried by itself")
        unauthorized = [r.subscription for r in self.refused if r.unauthorized]
        unauthorized.extend(sorted(self.denied_topics))
        if unauthorized:
            detail = "not allowed: " + ", ".join(unauthorized)
            return ReadinessCheck(name, CheckStatus.FAIL, detail, REMEDY_UNAUTHORIZED)
        return ReadinessCheck(name, CheckStatus.OK, "connected")


def step(link: Link, event: Event, now: Moment, topic_prefix: str) -> Step:
    """What follows from ``event``: the link as it is then, and what to do.

    ``topic_prefix`` is the one of the settings in force.
    """
    if isinstance(event, events.Tick):
        return _on_tick(link, now)
    if getattr(event, "attempt", link.attempt) != link.attempt:
        return link, ()
    if isinstance(event, events.Connected):
        up = replace(link, connected=True, retry_at=None, reason="")
        return up, (Log("ipc-connected"), effects.Subscribe(link.attempt))
    if isinstance(event, events.Disconnected):
        if link.retry_at is not None:
            return link, ()
        return _on_disconnected(link, event.reason, now)
    if isinstance(event, events.Subscribed):
        up = replace(link, subscribed=link.subscribed | {event.subscription})
        return up, (Log("subscribed", {"to": event.subscription}),)
    if isinstance(event, events.SubscriptionRefused):
        return _on_refused(link, event, now), (_refusal(event),)
    if isinstance(event, events.ConfigurationRead):
        return _subscribe_jobs(link, topic_prefix)
    if isinstance(event, events.ConfigurationChanged):
        return link, (effects.ReadConfiguration(link.attempt),)
    if isinstance(event, events.PublishFailed) and event.unauthorized:
        return replace(link, denied_topics=link.denied_topics | {event.message.topic}), ()
    if isinstance(event, events.Published):
        return replace(link, denied_topics=link.denied_topics - {event.message.topic}), ()
    return link, ()


def _on_refused(link: Link, event: events.SubscriptionRefused, now: Moment) -> Link:
    """Nucleus lite takes no subscription to AWS IoT while it is offline: it is asked again."""
    if event.subscription not in JOB_SUBSCRIPTIONS or event.unauthorized:
        return replace(link, refused=(*link.refused, event))
    failures = link.jobs_failures + (link.jobs_at is None)
    wait = BACKOFF.delay(failures, link.seed).total_seconds()
    return replace(link, jobs_failures=failures, jobs_at=now.monotonic + wait)


def _subscribe_jobs(link: Link, topic_prefix: str) -> Step:
    if link.topic_prefix == topic_prefix:
        return link, ()
    asked = effects.SubscribeJobs(link.attempt, topic_prefix)
    return replace(link, topic_prefix=topic_prefix, jobs_at=None), (asked,)


def _on_tick(link: Link, now: Moment) -> Step:
    wake_at = link.wake_at()
    if wake_at is None or now.monotonic < wake_at:
        return link, ()
    if link.connected and link.topic_prefix is not None:
        asked = effects.SubscribeJobs(link.attempt, link.topic_prefix)
        return replace(link, jobs_at=None), (asked,)
    if link.retry_at is None:
        return _on_disconnected(link, f"no answer within {CONNECT_TIMEOUT:g} s", now)
    attempt = link.attempt + 1
    trying = replace(
        link,
        attempt=attempt,
        since=now.monotonic,
        retry_at=None,
        subscribed=frozenset(),
        refused=(),
        denied_topics=frozenset(),
        topic_prefix=None,
        jobs_at=None,
        jobs_failures=0,
    )
    return trying, (effects.Connect(attempt),)


def _on_disconnected(link: Link, reason: str, now: Moment) -> Step:
    since = link.since if link.connected else None
    steady = since is not None and now.monotonic - since >= STEADY_SECONDS
    failures = 1 if steady else link.failures + 1
    wait = BACKOFF.delay(failures, link.seed).total_seconds()
    down = replace(
        link,
        connected=False,
        jobs_at=None,
        failures=failures,
        since=None,
        retry_at=now.monotonic + wait,
        reason=reason,
    )
    details = {"reason": reason, "attempt": failures, "retryInSeconds": round(wait, 1)}
    return down, (Log("ipc-lost", details, effects.WARN),)


def _refusal(event: events.SubscriptionRefused) -> Effect:
    details: dict[str, object] = {"to": event.subscription, "reason": event.reason}
    if not event.unauthorized:
        # Nucleus lite has not every operation, and nothing of AWS IoT while it is offline.
        return Log("not-offered", details, effects.DEBUG)
    details["remedy"] = REMEDY_UNAUTHORIZED
    return Log("not-allowed", details, effects.ERROR)
