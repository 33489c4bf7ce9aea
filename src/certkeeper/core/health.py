"""The health message: what a check found, in a form that always fits through the nucleus."""

from __future__ import annotations

from datetime import datetime

from certkeeper.core.alerting import CheckContext, Verdict
from certkeeper.core.deadline import whole_days
from certkeeper.core.settings import Settings
from certkeeper.core.wording import shortened
from rotation_protocol.codec import encode_health
from rotation_protocol.messages import CertificateHealth, Health, ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName

#: Nucleus lite refuses to publish more than some 7000 bytes (measured; docs/protocol.md).
MAX_BYTES = 6000
#: Bytes of each text, so that every check there is leaves room for the worst certificate.
MAX_TEXT = 160

_WORST_FIRST = ("critical", "unknown", "warning", "ok")


def clock_check(distrust: str | None, synchronized: bool | None) -> ReadinessCheck:
    """The readiness check of the device's clock."""
    name = ReadinessCheckName.CLOCK
    if distrust is not None:
        remedy = (
            "set the clock: start a time service (chrony, systemd-timesyncd) and let it reach NTP"
        )
        return ReadinessCheck(name, CheckStatus.FAIL, distrust, remedy)
    said = {True: "synchronized", False: "plausible, but not synchronized", None: "plausible"}
    return ReadinessCheck(name, CheckStatus.OK, said[synchronized])


def configuration_check(settings: Settings, refused: tuple[str, ...]) -> ReadinessCheck:
    """The readiness check of the component's configuration."""
    name = ReadinessCheckName.CONFIGURATION
    if refused:
        detail = "refused, the last valid one stays: " + "; ".join(refused)
        return ReadinessCheck(
            name, CheckStatus.FAIL, detail, "deploy a configuration that corrects it"
        )
    if settings.notes:
        return ReadinessCheck(name, CheckStatus.WARN, "; ".join(settings.notes))
    return ReadinessCheck(name, CheckStatus.OK, "valid")


def overall(verdicts: tuple[Verdict, ...], checks: tuple[ReadinessCheck, ...]) -> str:
    """healthy, warning, critical, or unknown where there is no certificate to speak of."""
    states = {verdict.state for verdict in verdicts}
    if "critical" in states:
        return "critical"
    if not verdicts or "unknown" in states:
        return "unknown"
    failing = any(check.status is CheckStatus.FAIL for check in checks)
    return "warning" if "warning" in states or failing else "healthy"


def health_of(
    verdicts: tuple[Verdict, ...],
    checks: tuple[ReadinessCheck, ...],
    context: CheckContext,
    *,
    runtime: str,
    waiting_alerts: int,
) -> Health:
    """The message for one check, with the worst certificates first and no more than fit."""
    certificates = sorted(
        (_certificate(verdict, context.now) for verdict in verdicts),
        key=lambda certificate: _WORST_FIRST.index(certificate.state),
    )
    shown = tuple(_shortened(check) for check in checks)
    left_out = 0
    while True:
        health = Health(
            thing_name=context.thing_name,
            status=overall(verdicts, checks),
            checked_at=context.now,
            next_check_at=context.next_check_at,
            component_version=context.component_version,
            runtime=runtime,
            waiting_alerts=waiting_alerts,
            certificates=tuple(certificates),
            certificates_left_out=left_out,
            checks=shown,
        )
        if len(encode_health(health)) <= MAX_BYTES or not certificates:
            return health
        certificates.pop()
        left_out += 1


def _certificate(verdict: Verdict, now: datetime) -> CertificateHealth:
    facts, deadline = verdict.reading.facts, verdict.deadline
    said: list[str] = [f"{f.type.value}: {f.detail}".rstrip(": ") for f in verdict.findings]
    return CertificateHealth(
        role=verdict.reading.role.value,
        source=shortened(verdict.reading.source, MAX_TEXT),
        state=verdict.state,
        certificate_id=facts.certificate_id if facts else None,
        not_after=facts.not_after if facts else None,
        deadline=deadline.at if deadline else None,
        deadline_reason=deadline.reason if deadline else None,
        days_remaining=whole_days(deadline.remaining(now)) if deadline else None,
        detail=shortened("; ".join(said), MAX_TEXT) or None,
        key_algorithm=facts.key_algorithm if facts else None,
    )


def _shortened(check: ReadinessCheck) -> ReadinessCheck:
    remedy = shortened(check.remedy, MAX_TEXT) if check.remedy else None
    return ReadinessCheck(check.name, check.status, shortened(check.detail, MAX_TEXT), remedy)
