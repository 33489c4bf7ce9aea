"""A device's alert, from the rule to people: verified, told once, noted, and acted upon.

What costs nothing is looked at first: who repeats himself, or is not believed any more today,
causes no call to AWS IoT. An alert counts for the thing whose certificate authenticated the
connection, and only if that certificate's key has signed it (docs/protocol.md, "Verifying an
alert"). Three kinds come from a device that may have no key to sign with; they are told
all the same, marked as unverified.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rotation_cloud import documents, inventory, signature, words, workflow
from rotation_cloud.doubts import Doubt, NotBelieved, Outdated
from rotation_cloud.due import is_new
from rotation_cloud.hearing import count, hear, tally
from rotation_cloud.inventory import CORE_DEVICE
from rotation_cloud.iot_jobs import thing_arn
from rotation_cloud.ports import AwsError, Cloud, NotFound, RecordChanged
from rotation_cloud.records import Record
from rotation_cloud.reports import (
    Report,
    is_being_replaced,
    is_certificate_id,
    is_retired,
    speak_for,
)
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_cloud.sender import attached, attached_seen
from rotation_cloud.telling import Matter
from rotation_protocol.codec import canonical, decode_alert
from rotation_protocol.fields import WireError
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType

_log = logging.getLogger(__name__)
_DAY = 24 * 3600
#: Alerts of one device in a day that people are told of.
MOST_TOLD = 50
_RUNG = re.compile(r"[A-Za-z0-9%-]{1,20}")
#: The key may be gone, or not be the certificate's: then there is nothing to sign with.
_UNSIGNABLE = frozenset({AlertType.KEY_UNREADABLE, AlertType.MISMATCH, AlertType.UNREADABLE})
#: What a rotation mends.
_MENDABLE = frozenset({AlertType.EXPIRING, AlertType.OVERDUE})


@dataclass(frozen=True)
class Policy:
    """What the operator decided (parameters of cloud/template.yaml)."""

    require_signed: bool = True
    auto_rotate_below_days: int = 0
    job_template_arn: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Policy:
        """From the function's environment."""
        return cls(
            require_signed=environment["REQUIRE_SIGNED_ALERTS"] == "true",
            auto_rotate_below_days=int(environment["AUTO_ROTATE_BELOW_DAYS"]),
            job_template_arn=environment["JOB_TEMPLATE_ARN"],
        )


@dataclass(frozen=True)
class _Heard:
    """An alert that is believed. ``certificates`` are those of the thing, as far as they matter
    to it; ``rotations`` are the thing's."""

    report: Report
    alert: Alert
    certificates: Set[str]
    rotations: Sequence[Record]
    verified: bool

    @property
    def moment(self) -> int:
        return self.report.moment(self.alert.checked_at)


def receive(cloud: Cloud, policy: Policy, event: Mapping[str, Any]) -> None:
    """Serves one alert. Raises AwsError, RecordChanged or StillTelling if it is to come again."""
    hear(cloud, event, lambda report: _receive(cloud, policy, report))


def _receive(cloud: Cloud, policy: Policy, report: Report) -> None:
    alert, content = _decoded(report)
    matter = Matter.read(cloud, report.thing, _name(policy, report, alert))
    if matter.is_over(report.moment(alert.checked_at), cloud.clock.now()):
        _log.info("alert-repeated thing=%s %s", report.thing, alert.type.value)
        return
    rotations = cloud.records.of_thing(report.thing)
    certificates, seen = _certificates(cloud, report, alert, rotations)
    used_at = report.received_at if alert.certificate_id == report.principal else None
    if is_retired(alert.certificate_id, rotations, used_at):
        raise Outdated("its certificate has been replaced since")
    verified = alert.signature is not None
    if not verified:
        _check_that_it_may_be_unsigned(policy, alert)
    else:
        _check_signature(cloud, report, alert, content, certificates)
        with suppress(RecordChanged):  # ten others have written it meanwhile
            inventory.note_alert(cloud, report, alert, seen)
    since = cloud.clock.now() - _DAY
    if alert.type in _MENDABLE and is_being_replaced(alert.certificate_id, rotations, since):
        _log.info("alert-while-rotating thing=%s %s", report.thing, alert.type.value)
        return
    heard = _Heard(report, alert, certificates, rotations, verified)
    if not matter.is_told(heard.moment) and tally(cloud, report.principal, "told") >= MOST_TOLD:
        raise NotBelieved(Doubt.TOO_MANY, f"more than {MOST_TOLD}")
    _serve(cloud, policy, heard, matter)


def _certificates(
    cloud: Cloud, report: Report, alert: Alert, rotations: Sequence[Record]
) -> tuple[Set[str], int]:
    """The thing's certificates that may have to do with the alert, by their ids, and when the
    sender's was seen to be one of them. Raises NotBelieved, Outdated."""
    if alert.role == CORE_DEVICE and alert.certificate_id not in (None, report.principal):
        return attached(cloud, report, rotations), int(cloud.clock.now())
    seen = attached_seen(cloud, report, rotations)
    return frozenset({report.principal}), seen


def _decoded(report: Report) -> tuple[Alert, bytes]:
    """The alert, and what its signature covers. Raises NotBelieved."""
    try:
        alert = decode_alert(report.payload)
        content = canonical({n: v for n, v in report.fields.items() if n != "signature"})
    except (WireError, RecursionError) as error:
        raise NotBelieved(Doubt.MALFORMED, str(error)) from error
    speak_for(report, alert.thing_name)
    if not _RUNG.fullmatch(str(alert.threshold)):
        raise NotBelieved(Doubt.MALFORMED, "threshold is none of ours")
    if not (alert.certificate_id is None or is_certificate_id(alert.certificate_id)):
        raise NotBelieved(Doubt.MALFORMED, "certificateId is none")
    return alert, content


def _name(policy: Policy, report: Report, alert: Alert) -> str:
    """Device, certificate and rung. Where signatures are wanted and there is none, nothing that
    a sender could vary at will."""
    if alert.signature is None and policy.require_signed:
        role = alert.role if alert.role in words.ROLES else "watched"
        return documents.alert(report.principal, f"unsigned-{alert.type.value}-{role}")
    unnamed = hashlib.sha256(f"{alert.role}\n{alert.source}".encode("utf-8", "replace"))
    return documents.alert(alert.certificate_id or unnamed.hexdigest(), str(alert.threshold))


def _check_that_it_may_be_unsigned(policy: Policy, alert: Alert) -> None:
    if policy.require_signed and alert.type not in _UNSIGNABLE:
        raise NotBelieved(Doubt.UNSIGNED, f"an alert of type {alert.type.value}")


def _check_signature(
    cloud: Cloud,
    report: Report,
    alert: Alert,
    content: bytes,
    certificates: Set[str],
) -> None:
    """By the certificate of the connection, or by the one that the alert names, if that is the
    thing's too. Raises NotBelieved, or Outdated if the connection's is younger than the alert: the
    key before it has signed then, whether a rotation has replaced that or a person."""
    began = 0
    for certificate_id in dict.fromkeys((report.principal, alert.certificate_id or "")):
        if certificate_id not in certificates:
            continue
        with suppress(NotFound):
            found = cloud.registry.registered(certificate_id)
            if found.is_active and signature.is_by(found.pem, alert.signature or "", content):
                return
            if certificate_id == report.principal:
                began = int(found.created)  # in whole seconds, as an alert's times are
    if alert.checked_at.timestamp() < began:
        raise Outdated("the key that signed it has been replaced since")
    raise NotBelieved(Doubt.WRONG_SIGNATURE, f"an alert of type {alert.type.value}")


def _serve(cloud: Cloud, policy: Policy, heard: _Heard, read: Matter) -> None:
    """Starts the rotation that is due, and tells people; each is done once, and what failed is
    raised when the other is done."""
    told = read.is_told(heard.moment)
    matter = read if told else read.claim(cloud, heard.moment)
    if matter is None:
        return
    started, failure = "", None
    if _is_rotation_due(policy, heard, cloud.clock.now()):
        try:
            started = _start(cloud, heard)
        except AwsError as error:
            failure = error
    if not told:
        _tell(cloud, policy, heard, matter, started, failure)
    elif failure is None:
        matter.settle(cloud)
    if failure is not None:
        raise failure


def _is_rotation_due(policy: Policy, heard: _Heard, now: float) -> bool:
    alert = heard.alert
    return (
        heard.verified
        and alert.type in _MENDABLE
        and alert.role == CORE_DEVICE
        and alert.certificate_id in heard.certificates
        and alert.days_remaining is not None
        and policy.auto_rotate_below_days > 0
        and alert.days_remaining < policy.auto_rotate_below_days
        and not (
            alert.deadline is not None
            and is_new(alert.certificate_id, alert.deadline.timestamp(), heard.rotations, now)
        )
    )


def _start(cloud: Cloud, heard: _Heard) -> str:
    certificate_id = heard.alert.certificate_id or ""
    return workflow.start(cloud, heard.report.thing, certificate_id, workflow.Cause.ALERT)


def _tell(
    cloud: Cloud,
    policy: Policy,
    heard: _Heard,
    matter: Matter,
    started: str,
    failure: AwsError | None,
) -> None:
    alert, thing = heard.alert, heard.report.thing
    outcome = words.Outcome(
        heard.verified, started, failure is not None, _command(cloud, policy, heard)
    )
    try:
        count(cloud, heard.report.principal, "told")
        cloud.alerts.tell(
            words.subject(alert, verified=heard.verified),
            words.text(alert, outcome),
            {
                "severity": "CRITICAL" if alert.critical else "WARNING",
                "type": alert.type.value,
                "thing": thing,
                "verified": str(heard.verified).lower(),
            },
        )
    except AwsError:
        matter.release(cloud)
        raise
    cloud.audit.record(
        SecurityEvent(
            Activity.ALERT_RECEIVED,
            thing,
            certificate_id=alert.certificate_id or "",
            reason=str(alert.threshold),
            detail=f"{alert.type.value} {alert.threshold}{'' if heard.verified else ' unverified'}",
        )
    )
    matter.told(cloud, settled=failure is None)


def _command(cloud: Cloud, policy: Policy, heard: _Heard) -> str:
    """What makes the rotation job by hand, one a day at most."""
    thing = heard.report.thing
    return (
        f"aws iot create-job --job-id {workflow.execution_name(thing, cloud.clock.now())} \\\n"
        f"    --targets {thing_arn(thing, policy.job_template_arn)} \\\n"
        f"    --job-template-arn {policy.job_template_arn}"
    )
