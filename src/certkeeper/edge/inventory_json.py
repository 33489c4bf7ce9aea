"""An inventory as JSON and back: what the inspecting child hands to the daemon, and what
``check --json`` prints of the readings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from certkeeper.core.certificate import CertificateFacts, Inventory, PairState, Reading, Role
from rotation_protocol.fields import parse_time, time_text
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem


def encode(inventory: Inventory) -> dict[str, Any]:
    """The inventory as a value for json.dumps."""
    return {
        "runtime": inventory.runtime,
        "thingName": inventory.thing_name,
        "privateKeySource": inventory.private_key_source,
        "clockSynchronized": inventory.clock_synchronized,
        "notes": list(inventory.notes),
        "readings": [encode_reading(reading) for reading in inventory.readings],
        "checks": [encode_check(check) for check in inventory.checks],
    }


def decode(fields: dict[str, Any]) -> Inventory:
    """The inventory in ``encode``'s value. Raises KeyError, TypeError or ValueError for others."""
    return Inventory(
        runtime=fields["runtime"],
        thing_name=fields["thingName"],
        private_key_source=fields["privateKeySource"],
        clock_synchronized=fields["clockSynchronized"],
        notes=tuple(fields["notes"]),
        readings=tuple(_reading(reading) for reading in fields["readings"]),
        checks=tuple(_check(check) for check in fields["checks"]),
    )


def encode_reading(reading: Reading) -> dict[str, Any]:
    """One reading, flat."""
    return {
        "role": reading.role.value,
        "source": reading.source,
        "problem": reading.problem.value if reading.problem else None,
        "detail": reading.detail,
        "pair": reading.pair.value,
        "facts": _encode_facts(reading.facts) if reading.facts else None,
    }


def encode_check(check: ReadinessCheck) -> dict[str, Any]:
    """One readiness check."""
    return {
        "name": check.name.value,
        "status": check.status.value,
        "detail": check.detail,
        "remedy": check.remedy,
    }


def _encode_facts(facts: CertificateFacts) -> dict[str, Any]:
    return {
        "certificateId": facts.certificate_id,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serialNumber": facts.serial_number,
        "notBefore": time_text(facts.not_before),
        "notAfter": time_text(facts.not_after),
        "keyAlgorithm": facts.key_algorithm,
        "issuerNotAfter": time_text(facts.issuer_not_after) if facts.issuer_not_after else None,
    }


def _reading(fields: dict[str, Any]) -> Reading:
    return Reading(
        role=Role(fields["role"]),
        source=fields["source"],
        facts=_facts(fields["facts"]) if fields["facts"] else None,
        problem=ReadProblem(fields["problem"]) if fields["problem"] else None,
        detail=fields["detail"],
        pair=PairState(fields["pair"]),
    )


def _facts(fields: dict[str, Any]) -> CertificateFacts:
    return CertificateFacts(
        certificate_id=fields["certificateId"],
        subject=fields["subject"],
        issuer=fields["issuer"],
        serial_number=fields["serialNumber"],
        not_before=parse_time(fields["notBefore"]),
        not_after=parse_time(fields["notAfter"]),
        key_algorithm=fields["keyAlgorithm"],
        issuer_not_after=_time(fields["issuerNotAfter"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _check(fields: dict[str, Any]) -> ReadinessCheck:
    return ReadinessCheck(
        name=ReadinessCheckName(fields["name"]),
        status=CheckStatus(fields["status"]),
        detail=fields["detail"],
        remedy=fields["remedy"],
    )
