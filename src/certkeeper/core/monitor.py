"""The watch over the certificates: checks on a schedule, alerts, health, the outbox.

One pure machine, ``step(monitor, event, now) -> (monitor, effects)``. One check runs so:

    a time comes  ->  Inspect  ->  Inspected: judged against the ladder
                  ->  SignAlerts, if there is something to say  ->  AlertsSigned
                  ->  SaveRecord: alerts remembered as raised, and waiting, in one write
                  ->  Publish, one at a time, until nothing waits

An Inspect or a SignAlerts is always answered: their edge sees to that. A message leaves
the outbox once the nucleus took it. What the nucleus does not take is tried again, with a
growing wait, over restarts too. Nothing here needs the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any, Callable, Optional

from certkeeper.core import alerting, configuring, effects, events
from certkeeper.core.alerting import CheckContext, Finding
from certkeeper.core.certificate import Inventory
from certkeeper.core.check_lines import alert_line, certificate_line
from certkeeper.core.clock_trust import clock_distrust, newest_after
from certkeeper.core.effects import Effect, Log
from certkeeper.core.events import Event
from certkeeper.core.health import clock_check, configuration_check, health_of
from certkeeper.core.moment import Moment
from certkeeper.core.outbox import Outbox
from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from certkeeper.core.value_reader import ScheduleProblem
from rotation_protocol.codec import encode_alert, encode_health
from rotation_protocol.fields import time_text
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.values import dataclass

HEALTH_KEY = "health"
#: How long the first check waits for the nucleus to hand over the configuration.
SETTLE_SECONDS = 5.0
#: After a failed check or a fault of our own: long enough to be no busy loop, short enough
#: to be no gap.
FAULT_PAUSE = 900.0
#: The wall clock has jumped if it moved by this much more or less than time itself.
JUMP = timedelta(minutes=10)

#: The next time of a schedule expression after a moment; None if there is none any more.
NextCheck = Callable[[str, datetime], Optional[datetime]]
Step = tuple["Monitor", tuple[Effect, ...]]


@dataclass(frozen=True)
class Rules:
    """What does not change while the daemon runs. ``next_check`` has this device's jitter,
    ``next_time`` has none."""

    thing_name: str
    component_version: str
    next_check: NextCheck
    next_time: NextCheck
    schedule_problem: ScheduleProblem


@dataclass(frozen=True)
class Raised:
    """Findings that are being turned into signed alerts."""

    findings: tuple[Finding, ...]
    health: Message
    at: datetime


@dataclass(frozen=True)
class Monitor:
    """The state between events. ``*_at`` of type float are monotonic seconds; ``attempt``
    is the number of the newest connection, and what an older one still says is ignored."""

    settings: Settings
    record: Record
    attempt: int = 0
    check_at: datetime | None = None
    check_now_at: float | None = None
    inspecting: bool = False
    raised: Raised | None = None
    outbox: Outbox = field(default_factory=Outbox)
    refused_configuration: tuple[str, ...] = ()
    muted: frozenset[str] = frozenset()
    last: Moment | None = field(default=None, compare=False)

    def wake_at(self, now: Moment) -> float | None:
        """When a Tick is wanted, in monotonic seconds."""
        wanted: list[float] = []
        if not self.inspecting and self.raised is None:
            if self.check_now_at is not None:
                wanted.append(self.check_now_at)
            if self.check_at is not None:
                wanted.append(now.monotonic + (self.check_at - now.wall).total_seconds())
        delivery = self.outbox.wake_at(self.record.waiting)
        if delivery is not None:
            wanted.append(delivery)
        return min(wanted, default=None)


def started(settings: Settings, record: Record, now: Moment) -> Monitor:
    """The monitor of a process that begins: it checks as soon as it knows its configuration."""
    return Monitor(settings, record, check_now_at=now.monotonic + SETTLE_SECONDS, last=now)


def after_fault(monitor: Monitor, now: Moment) -> Monitor:
    """The monitor once an event could not be handled: what was under way is given up, and a
    check follows in a while, so that no fault leaves a device unwatched."""
    return replace(monitor, inspecting=False, raised=None, check_now_at=now.monotonic + FAULT_PAUSE)


def check_soon(monitor: Monitor, now: Moment) -> Monitor:
    """The monitor with a check due now: the certificate in use is another."""
    return replace(monitor, check_now_at=now.monotonic)


def step(
    monitor: Monitor,
    event: Event,
    now: Moment,
    rules: Rules,
    further_checks: tuple[ReadinessCheck, ...] = (),
) -> Step:
    """What follows from ``event``; ``further_checks`` are reported beside the monitor's own."""
    monitor, noticed = _notice_jump(monitor, now)
    monitor, asked = _on_event(monitor, event, now, rules, further_checks)
    monitor, begun = _begin_what_is_due(monitor, now, rules)
    return monitor, noticed + asked + begun


def _on_event(
    monitor: Monitor,
    event: Event,
    now: Moment,
    rules: Rules,
    further_checks: tuple[ReadinessCheck, ...],
) -> Step:
    if getattr(event, "attempt", monitor.attempt) < monitor.attempt:
        return monitor, ()
    if isinstance(event, events.ConfigurationRead):
        return _on_configuration(monitor, event.values, now, rules)
    if isinstance(event, events.ValidationAsked):
        return monitor, (configuring.validity(event, rules.schedule_problem),)
    if isinstance(event, events.Inspected):
        return _on_inspected(monitor, event.inventory, now, rules, further_checks)
    if isinstance(event, events.InspectionFailed):
        return _on_inspection_failed(monitor, event.reason, now, rules)
    if isinstance(event, events.AlertsSigned):
        return _on_signed(monitor, event)
    if isinstance(event, events.Connected):
        outbox = monitor.outbox.opened(now.monotonic)
        return replace(monitor, attempt=event.attempt, outbox=outbox), ()
    if isinstance(event, events.Disconnected):
        return replace(monitor, outbox=monitor.outbox.closed()), ()
    if isinstance(event, events.Published):
        return _on_published(monitor, event.message, now)
    if isinstance(event, events.PublishFailed):
        return _on_publish_failed(monitor, event, now, rules)
    return monitor, ()


# -- time ---------------------------------------------------------------------------


def _notice_jump(monitor: Monitor, now: Moment) -> Step:
    """A wall clock that was set, or a machine that slept: the schedule is read anew."""
    last, monitor = monitor.last, replace(monitor, last=now)
    if last is None:
        return monitor, ()
    jump = (now.wall - last.wall) - timedelta(seconds=now.monotonic - last.monotonic)
    if abs(jump) < JUMP:
        return monitor, ()
    details = {"fromTime": time_text(last.wall), "toTime": time_text(now.wall)}
    log = Log("clock-jumped", details, effects.WARN)
    return replace(monitor, check_now_at=now.monotonic, check_at=None), (log,)


def _begin_what_is_due(monitor: Monitor, now: Moment, rules: Rules) -> Step:
    begun: list[Effect] = []
    if _check_is_due(monitor, now):
        monitor = replace(monitor, inspecting=True, check_now_at=None, check_at=None)
        begun.append(effects.Inspect(monitor.settings))
    outbox = monitor.outbox
    if outbox.is_unanswered(now.monotonic):
        outbox, wait = outbox.failed(now.monotonic, rules.thing_name)
        begun.append(Log("publish-unanswered", {"retryInSeconds": round(wait)}, effects.WARN))
    outbox, message = outbox.begin(monitor.record.waiting, now.monotonic)
    if message is not None:
        begun.append(effects.Publish(message))
    monitor = replace(monitor, outbox=outbox)
    return monitor, tuple(begun)


def _check_is_due(monitor: Monitor, now: Moment) -> bool:
    if monitor.inspecting or monitor.raised is not None:
        return False
    if monitor.check_now_at is not None and now.monotonic >= monitor.check_now_at:
        return True
    return monitor.check_at is not None and now.wall >= monitor.check_at


def _schedule(monitor: Monitor, now: Moment, rules: Rules) -> Monitor:
    return replace(monitor, check_at=rules.next_check(monitor.settings.schedule, now.wall))


# -- configuration ------------------------------------------------------------------


def _on_configuration(
    monitor: Monitor, values: Mapping[str, Any], now: Moment, rules: Rules
) -> Step:
    """A first or another configuration is followed by a check."""
    refused = monitor.refused_configuration
    judged = configuring.judged(values, monitor.settings, refused, rules.schedule_problem)
    if judged.changed or monitor.check_now_at is not None:
        monitor = replace(monitor, check_now_at=now.monotonic)
    monitor = replace(monitor, settings=judged.settings, refused_configuration=judged.refused)
    return monitor, judged.effects


# -- one check ----------------------------------------------------------------------


def _on_inspected(
    monitor: Monitor,
    inventory: Inventory,
    now: Moment,
    rules: Rules,
    further_checks: tuple[ReadinessCheck, ...],
) -> Step:
    if not monitor.inspecting:
        return monitor, ()
    monitor = _schedule(replace(monitor, inspecting=False), now, rules)
    record = monitor.record
    distrust = clock_distrust(inventory, now.wall, record.newest_seen)
    if distrust is None:
        newest = newest_after(now.wall, record.newest_seen, inventory.clock_synchronized)
        monitor = replace(monitor, record=replace(record, newest_seen=newest))
    checks = (
        *inventory.checks,
        clock_check(distrust, inventory.clock_synchronized),
        configuration_check(monitor.settings, monitor.refused_configuration),
        *further_checks,
    )
    verdicts = alerting.judge(inventory, monitor.settings, now.wall, distrust)
    findings = alerting.due(verdicts, record.memory, monitor.settings, now.wall, monitor.muted)
    about = CheckContext(rules.thing_name, rules.component_version, now.wall, monitor.check_at)
    health = health_of(
        verdicts,
        checks,
        about,
        runtime=inventory.runtime,
        waiting_alerts=len(_alert_keys(record) | {finding.key for finding in findings}),
    )
    message = Message(HEALTH_KEY, monitor.settings.health_topic, encode_health(health).decode())
    monitor = replace(monitor, raised=Raised(findings, message, now.wall))
    logs = tuple(certificate_line(verdict, now.wall) for verdict in verdicts)
    alerts = tuple(alerting.alert_of(finding, about) for finding in findings)
    if alerts and monitor.settings.sign_alerts:
        return monitor, (*logs, effects.SignAlerts(alerts, inventory.private_key_source))
    monitor, rest = _on_signed(monitor, events.AlertsSigned(alerts))
    return monitor, logs + rest


def _alert_keys(record: Record) -> set[str]:
    return {message.key for message in record.waiting} - {HEALTH_KEY}


def _on_signed(monitor: Monitor, event: events.AlertsSigned) -> Step:
    """The alerts are raised: remembered, and waiting for delivery, in one write."""
    raised = monitor.raised
    if raised is None:
        return monitor, ()
    memory = alerting.remember(monitor.record.memory, raised.findings, raised.at)
    waiting = tuple(
        Message(finding.key, monitor.settings.alert_topic, encode_alert(alert).decode("utf-8"))
        for finding, alert in zip(raised.findings, event.alerts)
    )
    record = replace(monitor.record, alerted=tuple(memory.items()))
    record = record.with_waiting(*waiting, raised.health)
    record = replace(record, last_health=raised.health.payload)
    logs: list[Effect] = []
    given_up = monitor.record.left_out(record)
    if given_up:
        details = {"messages": given_up, "waiting": len(record.waiting)}
        logs.append(Log("outbox-full", details, effects.ERROR))
    if event.problem:
        logs.append(Log("alerts-unsigned", {"reason": event.problem}, effects.WARN))
    logs.extend(alert_line(alert) for alert in event.alerts)
    next_check = time_text(monitor.check_at) if monitor.check_at else "never"
    logs.append(Log("checked", {"alerts": len(event.alerts), "nextCheck": next_check}))
    monitor = replace(monitor, record=record, raised=None)
    return monitor, (effects.SaveRecord(record), *logs)


def _on_inspection_failed(monitor: Monitor, reason: str, now: Moment, rules: Rules) -> Step:
    if not monitor.inspecting:
        return monitor, ()
    monitor = _schedule(replace(monitor, inspecting=False), now, rules)
    if monitor.check_now_at is None:
        monitor = replace(monitor, check_now_at=now.monotonic + FAULT_PAUSE)
    return monitor, (Log("check-failed", {"reason": reason}, effects.ERROR),)


# -- the outbox ---------------------------------------------------------------------


def _on_published(monitor: Monitor, message: Message, now: Moment) -> Step:
    record = monitor.record.without(message)
    outbox = monitor.outbox.delivered(message, now.monotonic)
    details = {"topic": message.topic, "waiting": len(record.waiting)}
    return replace(monitor, record=record, outbox=outbox), (
        effects.SaveRecord(record),
        Log("published", details),
    )


def _on_publish_failed(
    monitor: Monitor, event: events.PublishFailed, now: Moment, rules: Rules
) -> Step:
    if monitor.outbox.sending != event.message:
        return monitor, ()
    outbox, wait = monitor.outbox.failed(now.monotonic, rules.thing_name)
    record = monitor.record
    if event.unauthorized and event.message in record.waiting:
        # Its topic may never be allowed: to the end of the line, past which others go.
        record = record.with_waiting(event.message)
    details: dict[str, object] = {
        "topic": event.message.topic,
        "reason": event.reason,
        "attempt": outbox.failures,
        "retryInSeconds": round(wait),
        "waiting": len(record.waiting),
    }
    if event.unauthorized:
        details["remedy"] = "allow this topic in the component's accessControl"
    log = Log("publish-failed", details, effects.WARN)
    return replace(monitor, record=record, outbox=outbox), (log,)
