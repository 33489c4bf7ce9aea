"""When a device asks for a rotation by itself: near its certificate's deadline, in its window.

It asks the cloud for a job, and does nothing else: what follows is a rotation like any
other. A clock that cannot be right starts nothing. Asked once for each check, so a request
that was lost is made again at the next one.
"""

from __future__ import annotations

import binascii
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Callable, Optional

from certkeeper.core import effects, events
from certkeeper.core.certificate import Inventory, PairState
from certkeeper.core.clock_trust import clock_distrust
from certkeeper.core.deadline import DAY, deadline_of, whole_days
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event
from certkeeper.core.moment import Moment
from certkeeper.core.settings import Settings
from certkeeper.core.value_reader import RotateWindow
from rotation_protocol import rotation, topics
from rotation_protocol.values import dataclass

#: The next time of a schedule expression after a moment; None if there is none any more.
NextTime = Callable[[str, datetime], Optional[datetime]]


@dataclass(frozen=True)
class Terms:
    """What the policy goes by: who the device is, its settings, and the newest time seen."""

    thing_name: str
    settings: Settings
    next_time: NextTime
    newest_seen: datetime | None
    under_way: bool


@dataclass(frozen=True)
class Policy:
    """``ask_at`` is when the cloud is asked, ``certificate_id`` for which certificate's sake."""

    ask_at: datetime | None = None
    certificate_id: str = ""

    def wake_at(self, now: Moment) -> float | None:
        """When a Tick is wanted, in monotonic seconds."""
        if self.ask_at is None:
            return None
        return now.monotonic + (self.ask_at - now.wall).total_seconds()


def step(
    policy: Policy, event: Event, now: Moment, terms: Terms
) -> tuple[Policy, tuple[Effect, ...]]:
    """What follows from ``event``."""
    if isinstance(event, events.Inspected):
        return _on_inspected(event.inventory, now, terms)
    if isinstance(event, events.RequestAnswered):
        if event.problem:
            return policy, (Log("request-rejected", {"reason": event.problem}, effects.WARN),)
        return policy, (Log("request-accepted"),)
    if policy.ask_at is None or now.wall < policy.ask_at:
        return policy, ()
    asked = replace(policy, ask_at=None)
    if terms.under_way:
        return asked, ()
    topic = topics.rotation(terms.settings.topic_prefix, terms.thing_name, topics.REQUEST)
    log = Log("rotation-requested", {"certificateId": policy.certificate_id})
    return asked, (log, effects.Send(topic, rotation.encode_request(policy.certificate_id)))


def _on_inspected(
    inventory: Inventory, now: Moment, terms: Terms
) -> tuple[Policy, tuple[Effect, ...]]:
    core, settings = inventory.core_device, terms.settings
    if terms.under_way or settings.rotate_before_days == 0 or core is None or core.facts is None:
        return Policy(), ()
    if clock_distrust(inventory, now.wall, terms.newest_seen) is not None:
        return Policy(), ()
    deadline = deadline_of(core.facts, settings.max_age_days)
    remaining = deadline.remaining(now.wall)
    # Of a certificate that lives shortly, its last third: a new one must not be due at once.
    last_third = (deadline.at - core.facts.not_before) / 3
    if remaining > min(settings.rotate_before_days * DAY, last_third):
        return Policy(), ()
    if core.pair is not PairState.MATCHES:
        return Policy(), ()
    at = opens_at(settings.rotate_window, now.wall, terms.next_time, core.facts.certificate_id)
    details: dict[str, object] = {
        "daysRemaining": whole_days(remaining),
        "reason": deadline.reason.value,
        "askAt": "never" if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Policy(at, core.facts.certificate_id), (Log("rotation-due", details),)


def opens_at(
    window: RotateWindow | None, now: datetime, next_time: NextTime, seed: str
) -> datetime | None:
    """When to ask: now, or at this device's own moment in the next window.

    The moment within a window is a function of ``seed``, so that a fleet is spread over it.
    """
    if window is None:
        return now
    length = timedelta(minutes=window.minutes)
    opened = next_time(window.cron, now - length)
    if opened is None:
        return None
    if opened <= now:
        return now
    # The first half: what begins late in a window does not end in it.
    share = binascii.crc32(seed.encode()) / 2**33
    return opened + length * share
