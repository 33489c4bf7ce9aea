"""What a person or a script asks on the device: ``check`` and ``doctor``.

Both look at the device themselves, with the configuration that the component last
accepted. They change nothing, send nothing, and need no nucleus.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from certkeeper.core.alerting import Verdict, judge
from certkeeper.core.certificate import Inventory
from certkeeper.core.clock_trust import clock_distrust
from certkeeper.core.deadline import whole_days
from certkeeper.core.health import clock_check, configuration_check
from certkeeper.core.record import Record
from certkeeper.core.settings import Settings, SettingsError, parse
from certkeeper.edge import inventory_json, schedule
from certkeeper.edge.clock import SystemClock
from certkeeper.edge.inspection import Request, inspect
from certkeeper.edge.state_files import ConfigurationFile, RecordFile
from rotation_protocol.codec import decode_health
from rotation_protocol.fields import WireError, time_text
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import AlertType, CheckStatus, ReadinessCheckName
from rotation_protocol.values import dataclass

FINE, CROSSED, CANNOT_TELL = 0, 1, 2

_CROSSED = {AlertType.EXPIRING, AlertType.EXPIRED, AlertType.OVERDUE, AlertType.MISMATCH}


class UsageError(Exception):
    """What was asked for cannot be done as asked; says what to do instead."""


@dataclass(frozen=True)
class Look:
    """One look at the device, judged."""

    inventory: Inventory
    settings: Settings
    verdicts: tuple[Verdict, ...]
    checks: tuple[ReadinessCheck, ...]
    now: datetime

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a threshold crossed or a pair that does not match, 2 cannot tell."""
        kinds = {finding.type for verdict in self.verdicts for finding in verdict.findings}
        if kinds & _CROSSED:
            return CROSSED
        return CANNOT_TELL if kinds or self.key_problem else FINE

    @property
    def key_problem(self) -> str | None:
        """Why the private key's file cannot be used; None for a key kept elsewhere."""
        for found in self.checks:
            unusable = found.status is CheckStatus.FAIL
            if found.name is ReadinessCheckName.KEY_READABLE and unusable:
                return found.detail
        return None


def look(root: str, work: Path, configuration: Path | None, *, try_endpoint: bool = False) -> Look:
    """Look at the device under ``root``; the component's own files are in ``work``.

    Raises UsageError for a configuration that cannot be used.
    """
    settings = kept_settings(work, configuration)
    inventory = inspect(
        Request(
            root=root,
            watch=settings.watch,
            certificate_override=settings.certificate_file_path,
            private_key_override=settings.private_key_path,
            try_endpoint=try_endpoint,
        )
    )
    now = SystemClock().now().wall
    record, _ = RecordFile(work).load()
    distrust = clock_distrust(inventory, now, record.newest_seen)
    checks = (
        *inventory.checks,
        clock_check(distrust, inventory.clock_synchronized),
        configuration_check(settings, ()),
        _ipc_check(record),
    )
    return Look(inventory, settings, judge(inventory, settings, now, distrust), checks, now)


def check(seen: Look, as_json: bool) -> str:
    """The certificates, for a person or as JSON."""
    if as_json:
        return json.dumps(
            {
                "checkedAt": time_text(seen.now),
                "exitCode": seen.exit_code,
                "privateKeyProblem": seen.key_problem,
                "certificates": [_certificate_fields(v, seen.now) for v in seen.verdicts],
            },
            indent=2,
        )
    rows: list[Sequence[str]] = [
        ("ROLE", "STATE", "DEADLINE", "DAYS LEFT", "BECAUSE OF", "KEY", "SOURCE")
    ]
    rows.extend(_row(verdict, seen.now) for verdict in seen.verdicts)
    lines = table(rows)
    for verdict in seen.verdicts:
        for finding in verdict.findings:
            said = f": {finding.detail}" if finding.detail else f" (threshold {finding.threshold})"
            lines.append(f"! {verdict.reading.role.value}: {finding.type.value}{said}")
    if seen.key_problem and not any(AlertType.KEY_UNREADABLE.value in line for line in lines):
        lines.append(f"! private key: {seen.key_problem}")
    return "\n".join(lines)


def doctor(seen: Look, as_json: bool) -> str:
    """What is ready and what is not, for a person or as JSON."""
    if as_json:
        checks = [inventory_json.encode_check(check) for check in seen.checks]
        return json.dumps({"exitCode": doctor_exit_code(seen), "checks": checks}, indent=2)
    lines = table([(c.status.value.upper(), c.name.value, c.detail) for c in seen.checks])
    remedies = [f"-> {c.name.value}: {c.remedy}" for c in seen.checks if c.remedy]
    if remedies:
        lines.extend(["", "What to do:", *remedies])
    lines.extend(f"note: {note}" for note in seen.inventory.notes)
    return "\n".join(lines)


def doctor_exit_code(seen: Look) -> int:
    """0 ready, 1 something fails or warns, 2 something could not be looked at."""
    statuses = {check.status for check in seen.checks}
    if statuses & {CheckStatus.FAIL, CheckStatus.WARN}:
        return CROSSED
    return CANNOT_TELL if CheckStatus.UNKNOWN in statuses else FINE


def _ipc_check(record: Record) -> ReadinessCheck:
    """What only the running component sees: as its last health message has it."""
    name = ReadinessCheckName.IPC
    unknown = ReadinessCheck(
        name,
        CheckStatus.UNKNOWN,
        "the component has made no check here yet",
        "deploy and start it, then look again",
    )
    if record.last_health is None:
        return unknown
    try:
        health = decode_health(record.last_health.encode())
    except WireError:
        return unknown
    for check in health.checks:
        if check.name is name:
            return replace(check, detail=f"{check.detail} (at {time_text(health.checked_at)})")
    return unknown


def kept_settings(work: Path, configuration: Path | None) -> Settings:
    """The settings in that file, else those that the component last accepted.

    Raises UsageError.
    """
    path = configuration or ConfigurationFile(work).path
    other = "" if configuration else "; run this as root, or name another one with --config"
    values: Any = {}
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        # Before the component has accepted one, the defaults are in force.
        if configuration or not isinstance(error, FileNotFoundError):
            raise UsageError(f"{path} cannot be read: {error.strerror or error}{other}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON{other}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} is not a JSON object{other}")
    try:
        return parse(values, schedule.problem)
    except SettingsError as error:
        raise UsageError(f"{path} is not valid: {error}") from None


def _certificate_fields(verdict: Verdict, now: datetime) -> dict[str, Any]:
    deadline = verdict.deadline
    return {
        **inventory_json.encode_reading(verdict.reading),
        "state": verdict.state,
        "deadline": time_text(deadline.at) if deadline else None,
        "deadlineReason": deadline.reason.value if deadline else None,
        "daysRemaining": whole_days(deadline.remaining(now)) if deadline else None,
        "findings": [finding.type.value for finding in verdict.findings],
    }


def _row(verdict: Verdict, now: datetime) -> tuple[str, ...]:
    reading, deadline = verdict.reading, verdict.deadline
    return (
        reading.role.value,
        verdict.state.upper(),
        f"{deadline.at:%Y-%m-%d %H:%M}Z" if deadline else "-",
        str(whole_days(deadline.remaining(now))) if deadline else "-",
        deadline.reason.value if deadline else "-",
        reading.facts.key_algorithm if reading.facts else "-",
        reading.source,
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, their columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows
    ]
