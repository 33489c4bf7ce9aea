"""What people read of a device's alert: what, which device, by when, and what to do.

Nothing that a device says gets into a subject, and in a text it is cut and set in quotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rotation_cloud.doubts import ADVICE, SENTENCES, NotBelieved
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType, DeadlineReason

#: "Less than 100 characters": https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
MAX_SUBJECT = 99
_MAX_SAID = 300

#: What each certificate is for; of any other only that it is watched.
ROLES = {
    "core-device": "certificate",
    "root-ca": "root CA certificate",
    "claim": "claim certificate",
    "client-device-ca": "client-device CA certificate",
}
_ENDS = {
    DeadlineReason.NOT_AFTER: "ends",
    DeadlineReason.MAX_AGE: "is too old",
    DeadlineReason.ISSUER_END: "loses its CA",
}
_REASONS = {
    DeadlineReason.NOT_AFTER: "then it expires",
    DeadlineReason.MAX_AGE: "then it is older than maxAgeDays allows; AWS IoT still takes it",
    DeadlineReason.ISSUER_END: "then the CA that issued it expires",
}
_ADVICE = {
    AlertType.EXPIRED: (
        "If it is the device's own certificate, its next connection is refused: reach the device "
        "while the present one stands. If it is a CA in rootCA.pem, put the new one beside it."
    ),
    AlertType.MISMATCH: (
        "Put back the file that was replaced BEFORE the nucleus restarts: until then the device "
        "works with the pair in its memory."
    ),
    AlertType.KEY_UNREADABLE: (
        "At once: put the private key back, or give the device a new pair, before the nucleus "
        "restarts. It cannot connect again without its key."
    ),
    AlertType.UNREADABLE: (
        "For the device's own certificate: at once, put the file back before the nucleus "
        "restarts. For any other: restore the file, or stop watching it."
    ),
    AlertType.CLOCK_UNTRUSTED: "Make the device keep time: nothing is said of expiry until then.",
}
_REPLACE = "Replace the certificate before then, and the file that it is in."
_ROTATE = "Rotate it before then, while the device is online:"
_STARTED = (
    "A rotation has been started by itself ({}). There is nothing to do unless you hear that it "
    "failed."
)
_NOT_STARTED = "A rotation could not be started by itself yet, and is tried again. If none comes:"


@dataclass(frozen=True)
class Outcome:
    """What the backend made of the alert: whether its signature verifies, the rotation workflow
    that was started (or that one could not be), and the command that makes a job by hand."""

    verified: bool
    started: str = ""
    not_started: bool = False
    command: str = ""


def plain(text: str, most: int = _MAX_SAID) -> str:
    """The text with nothing in it that is not printed, cut to so many characters."""
    kept = "".join(one if one.isprintable() else "?" for one in text[: most + 1])
    return kept if len(kept) <= most else kept[: most - 3] + "..."


def subject(alert: Alert, *, verified: bool) -> str:
    """In ASCII, at most MAX_SUBJECT characters, and none of them the device's own choice."""
    kind = "CRITICAL" if alert.critical else "WARNING"
    if not verified:
        kind = f"UNVERIFIED {kind}"
    return _subject(kind, alert.thing_name, _headline(alert))


def text(alert: Alert, outcome: Outcome) -> str:
    """The message itself."""
    lines = [f"{alert.thing_name}: {_headline(alert)}.", ""]
    named = plain(alert.certificate_id, 64) if alert.certificate_id else "(could not be read)"
    facts = [
        ("Device", alert.thing_name),
        ("Certificate", f"{named} ({alert.role if alert.role in ROLES else 'watched'})"),
        ("File", _quoted(alert.source)),
    ]
    if alert.deadline is not None:
        why = _REASONS.get(alert.deadline_reason) if alert.deadline_reason else None
        facts.append(("Replace by", f"{_time(alert.deadline)}{f' ({why})' if why else ''}"))
    if alert.days_remaining is not None:
        facts.append(("Days left", str(alert.days_remaining)))
    if alert.detail:
        facts.append(("It says", _quoted(alert.detail)))
    if alert.key_algorithm:
        facts.append(("Key", plain(alert.key_algorithm, 40)))
    facts += [
        ("Checked", f"{_time(alert.checked_at)}, by the device's clock"),
        ("Component", plain(alert.component_version, 40)),
        ("Signature", _signature(outcome)),
    ]
    lines += [f"{name + ':':<13}{value}" for name, value in facts]
    return "\n".join([*lines, "", "What to do", "", *_advice(alert, outcome), ""])


def not_believed(thing: str, principal: str, reason: NotBelieved) -> tuple[str, str]:
    """Subject and text: somebody sends what is not believed."""
    lines = [
        f"What {thing} sends is not believed. {SENTENCES[reason.doubt]}",
        "",
        f"{'Client id of:':<13}{thing}",
        f"{'Connected:':<13}with certificate {principal}",
        f"{'Reason:':<13}{reason.doubt.value}",
    ]
    if reason.detail:
        lines.append(f"{'In detail:':<13}{_quoted(reason.detail)}")
    lines += ["", "What to do", "", ADVICE[reason.doubt]]
    lines.append("You hear this once a day for each certificate; the log and the security events")
    lines += ["have the first few messages of each day.", ""]
    return _subject("SECURITY", thing, "messages are not believed"), "\n".join(lines)


def _headline(alert: Alert) -> str:
    role = _role(alert)
    if alert.type is AlertType.EXPIRING:
        end = _ENDS.get(alert.deadline_reason, "ends") if alert.deadline_reason else "ends"
        return f"{role} {end} {_in_days(alert.days_remaining)}"
    return {
        AlertType.EXPIRED: f"{role} has expired",
        AlertType.OVERDUE: f"{role} is older than allowed",
        AlertType.MISMATCH: "private key and certificate do not match",
        AlertType.KEY_UNREADABLE: "private key is gone or unreadable",
        AlertType.UNREADABLE: f"{role} cannot be read",
        AlertType.CLOCK_UNTRUSTED: "clock cannot be right",
    }[alert.type]


def _in_days(days: int | None) -> str:
    if days is None:
        return "soon"
    if days < 1:
        return "in less than a day"
    return "in 1 day" if days == 1 else f"in {min(days, 99999)} days"


def _role(alert: Alert) -> str:
    return ROLES.get(alert.role, "watched certificate")


def _advice(alert: Alert, outcome: Outcome) -> list[str]:
    if alert.type in _ADVICE:
        return [_ADVICE[alert.type]]
    if alert.role != "core-device":
        return [_REPLACE]
    if outcome.started:
        return [_STARTED.format(outcome.started)]
    return [
        _NOT_STARTED if outcome.not_started else _ROTATE,
        "",
        outcome.command,
        "",
        'See "Rotate one device" in docs/operations.md.',
    ]


def _signature(outcome: Outcome) -> str:
    if outcome.verified:
        return "verified against the certificate that is registered in AWS IoT"
    return "NONE. It came over the device's own connection; see for yourself before you act"


def _quoted(said: str) -> str:
    return f'"{plain(said)}"'


def _subject(kind: str, thing: str, what: str) -> str:
    room = MAX_SUBJECT - len(f"{kind}: : {what}")
    return f"{kind}: {thing if len(thing) <= room else thing[: room - 2] + '..'}: {what}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
