"""Which alerts a check raises, judged against the ladder and what was alerted before.

One alert a certificate and rung, however often the component restarts, and again
after ``realertHours`` while the rung lasts. Only certificates that the inventory
holds are judged, so a retired one raises nothing. ``muted`` identities (a rotation of
that certificate is under way) raise nothing, and are remembered as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from certkeeper.core.certificate import CertificateFacts, Inventory, PairState, Reading, Role
from certkeeper.core.deadline import DAY, Deadline, deadline_of, whole_days
from certkeeper.core.settings import Settings
from certkeeper.core.threshold import Threshold, span
from certkeeper.core.wording import shortened
from rotation_protocol import messages
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import SENTENCES, AlertType, ReadProblem
from rotation_protocol.values import dataclass

WARNING = "WARNING"
CRITICAL = "CRITICAL"

#: A check takes a little longer on one day than on the next. Without this, every other
#: daily check would come seconds too early to repeat an alert after 24 hours.
EARLY_BY = timedelta(minutes=5)

#: When an (identity, rung) was last alerted.
AlertMemory = Mapping[str, datetime]

#: Bytes of text in an alert, so that nucleus lite takes it, which refuses some 7000
#: (docs/protocol.md); far more than names and paths need.
MAX_PATH = 1024
MAX_NAME = 512

#: More than any device watches on every rung; beyond it the oldest are forgotten.
MAX_REMEMBERED = 512


@dataclass(frozen=True)
class CheckContext:
    """Who checks, when, and when next: what every message of a check says."""

    thing_name: str
    component_version: str
    now: datetime
    next_check_at: datetime | None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one certificate; ``rung`` names it in the memory."""

    reading: Reading
    type: AlertType
    rung: str
    threshold: messages.Threshold
    critical: bool
    detail: str = ""
    deadline: Deadline | None = None

    @property
    def key(self) -> str:
        return f"{self.reading.identity}|{self.rung}"


@dataclass(frozen=True)
class Verdict:
    """What a check says of one certificate: its deadline, and whatever is wrong with it."""

    reading: Reading
    deadline: Deadline | None
    findings: tuple[Finding, ...]

    @property
    def state(self) -> str:
        """ok, warning, critical, or unknown where no verdict was possible."""
        if any(finding.critical for finding in self.findings):
            return "critical"
        if self.findings:
            return "warning"
        return "ok" if self.deadline is not None else "unknown"


def judge(
    inventory: Inventory, settings: Settings, now: datetime, distrust: str | None
) -> tuple[Verdict, ...]:
    """A verdict on each reading. With ``distrust`` of the clock, none speaks of time."""
    return tuple(_verdict(reading, settings, now, distrust) for reading in inventory.readings)


def _verdict(reading: Reading, settings: Settings, now: datetime, distrust: str | None) -> Verdict:
    findings: list[Finding] = []
    deadline = None
    if reading.facts is None:
        findings.append(_unreadable(reading))
    elif distrust is None:
        # Only the core device's certificate can be rotated, so only it has an age policy.
        max_age = settings.max_age_days if reading.role is Role.CORE_DEVICE else 0
        deadline = deadline_of(reading.facts, max_age)
        finding = _near(reading, reading.facts, deadline, settings, now)
        if finding is not None:
            findings.append(finding)
    if reading.pair is PairState.MISMATCH:
        findings.append(
            Finding(
                reading, AlertType.MISMATCH, "mismatch", "mismatch", True, reading.detail, deadline
            )
        )
    if reading.pair is PairState.KEY_UNREADABLE:
        kind = AlertType.KEY_UNREADABLE
        findings.append(Finding(reading, kind, "key", "key", True, reading.detail, deadline))
    if distrust is not None and reading.role is Role.CORE_DEVICE:
        findings.append(
            Finding(reading, AlertType.CLOCK_UNTRUSTED, "clock", "clock", False, distrust)
        )
    return Verdict(reading, deadline, tuple(findings))


def _unreadable(reading: Reading) -> Finding:
    problem = reading.problem
    why = SENTENCES[problem] if problem else ""
    detail = f"{why} {reading.detail}".strip()
    # A certificate in a token is where somebody put it: not watched, yet not lost either.
    critical = reading.role is Role.CORE_DEVICE and problem is not ReadProblem.PKCS11
    return Finding(reading, AlertType.UNREADABLE, "unreadable", "unreadable", critical, detail)


def _near(
    reading: Reading,
    facts: CertificateFacts,
    deadline: Deadline,
    settings: Settings,
    now: datetime,
) -> Finding | None:
    remaining = deadline.remaining(now)
    critical = remaining < settings.critical_below_days * DAY
    if remaining <= timedelta(0):
        # A certificate that is past its age has an end of its own still.
        overdue = deadline_of(facts).remaining(now) > timedelta(0)
        kind = AlertType.OVERDUE if overdue else AlertType.EXPIRED
        word = "overdue" if overdue else "expired"
        return Finding(reading, kind, word, word, critical, deadline=deadline)
    reached = lowest_rung(settings.thresholds, deadline.at - facts.not_before, remaining)
    if reached is None:
        return None
    threshold = reached if isinstance(reached, int) else str(reached)
    return Finding(
        reading, AlertType.EXPIRING, str(threshold), threshold, critical, deadline=deadline
    )


def lowest_rung(
    thresholds: tuple[Threshold, ...], lifetime: timedelta, remaining: timedelta
) -> Threshold | None:
    """The nearest threshold reached: the one with the least time before the deadline."""
    reached = [t for t in thresholds if remaining <= span(t, lifetime)]
    return min(reached, key=lambda threshold: span(threshold, lifetime), default=None)


def due(
    verdicts: tuple[Verdict, ...],
    memory: AlertMemory,
    settings: Settings,
    now: datetime,
    muted: frozenset[str] = frozenset(),
) -> tuple[Finding, ...]:
    """The findings to alert now: new ones, and those last alerted ``realertHours`` ago.

    A certificate that is watched in two places is alerted once, for the first of them.
    """
    found: dict[str, Finding] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            found.setdefault(finding.key, finding)
    return tuple(
        finding
        for key, finding in found.items()
        if finding.reading.identity not in muted
        and _is_due(memory.get(key), settings.realert_after, now)
    )


def _is_due(last: datetime | None, realert_after: timedelta, now: datetime) -> bool:
    # A time of alert in the future is one from a clock that was wrong: it must not
    # silence the ladder until that future comes.
    return last is None or abs(now - last) >= realert_after - EARLY_BY


def remember(
    memory: AlertMemory, findings: tuple[Finding, ...], now: datetime
) -> dict[str, datetime]:
    """The memory once these findings have been alerted."""
    updated = {key: at for key, at in memory.items() if key not in {f.key for f in findings}}
    updated.update({finding.key: now for finding in findings})
    return dict(list(updated.items())[-MAX_REMEMBERED:])


def alert_of(finding: Finding, context: CheckContext) -> Alert:
    """The unsigned message that tells of a finding."""
    reading, facts, deadline = finding.reading, finding.reading.facts, finding.deadline
    return Alert(
        type=finding.type,
        thing_name=context.thing_name,
        role=reading.role.value,
        source=shortened(reading.source, MAX_PATH),
        severity=CRITICAL if finding.critical else WARNING,
        critical=finding.critical,
        threshold=finding.threshold,
        checked_at=context.now,
        next_check_at=context.next_check_at,
        component_version=context.component_version,
        certificate_id=facts.certificate_id if facts else None,
        subject=shortened(facts.subject, MAX_NAME) if facts else None,
        issuer=shortened(facts.issuer, MAX_NAME) if facts else None,
        serial_number=shortened(facts.serial_number, MAX_NAME) if facts else None,
        not_before=facts.not_before if facts else None,
        not_after=facts.not_after if facts else None,
        deadline=deadline.at if deadline else None,
        deadline_reason=deadline.reason if deadline else None,
        days_remaining=whole_days(deadline.remaining(context.now)) if deadline else None,
        key_algorithm=facts.key_algorithm if facts else None,
        detail=shortened(finding.detail, MAX_NAME) or None,
    )
