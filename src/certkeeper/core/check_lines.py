"""The log lines of a check: one for each certificate, one for each alert."""

from __future__ import annotations

from datetime import datetime

from certkeeper.core import effects
from certkeeper.core.alerting import Verdict
from certkeeper.core.deadline import whole_days
from certkeeper.core.effects import Effect, Log
from rotation_protocol.fields import time_text
from rotation_protocol.messages import Alert


def certificate_line(verdict: Verdict, now: datetime) -> Effect:
    reading, facts, deadline = verdict.reading, verdict.reading.facts, verdict.deadline
    details: dict[str, object] = {"role": reading.role.value, "state": verdict.state}
    if facts is not None:
        details["certificateId"] = facts.certificate_id
        details["notAfter"] = time_text(facts.not_after)
    if deadline is not None:
        details["deadline"] = time_text(deadline.at)
        details["reason"] = deadline.reason.value
        details["daysRemaining"] = whole_days(deadline.remaining(now))
    if reading.problem is not None:
        details["problem"] = reading.problem.value
    details["source"] = reading.source
    level = {"critical": effects.ERROR, "warning": effects.WARN}.get(verdict.state, effects.INFO)
    return Log("certificate", details, level)


def alert_line(alert: Alert) -> Effect:
    details: dict[str, object] = {
        "type": alert.type.value,
        "severity": alert.severity,
        "threshold": alert.threshold,
        "role": alert.role,
        "signed": alert.signature is not None,
    }
    if alert.days_remaining is not None:
        details["daysRemaining"] = alert.days_remaining
    if alert.detail:
        details["detail"] = alert.detail
    return Log("alert", details, effects.ERROR if alert.critical else effects.WARN)
