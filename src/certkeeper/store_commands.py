"""What a person asks of the store on the device: ``status``, which looks, and ``release``.

Both find the store as the component does, with the configuration that it last accepted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from certkeeper.commands import CANNOT_TELL, CROSSED, FINE, UsageError, kept_settings, table
from certkeeper.core.journal import Journal, JournalError, Phase, decode
from certkeeper.core.store import SLOTS
from certkeeper.edge import rotation_device, x509
from certkeeper.edge.file_store import FileStore, StoreProblem
from certkeeper.edge.rotation_device import Device, StepProblem
from certkeeper.edge.x509 import CertificateError
from rotation_protocol.values import dataclass

#: How a person tells a journal that says nothing from one that cannot be read.
_NO_ROTATION = "no rotation is under way"


@dataclass(frozen=True)
class Status:
    """The store and the journal of a device. ``problem`` is why the journal cannot be read."""

    device: Device
    store: Mapping[str, Any]
    journal: Journal
    problem: str

    @property
    def exit_code(self) -> int:
        """0 no rotation is under way, 1 one is, 2 cannot tell."""
        if self.problem:
            return CANNOT_TELL
        return FINE if self.journal.phase is Phase.IDLE else CROSSED


def look(root: str, work: Path, configuration: Path | None) -> Status:
    """Look at the store of the device under ``root``. Raises UsageError."""
    settings = kept_settings(work, configuration)
    request = {
        "root": root,
        "thingName": "",
        "certificateFilePath": settings.certificate_file_path,
        "privateKeyPath": settings.private_key_path,
    }
    try:
        device = rotation_device.find(request)
        with rotation_device.store_problems():
            store = rotation_device.look(device)
    except StepProblem as problem:
        raise UsageError(problem.detail) from None
    if store["journal"] is None:
        return Status(device, store, Journal(), "")
    try:
        return Status(device, store, decode(base64.b64decode(store["journal"])), "")
    except JournalError as error:
        return Status(device, store, Journal(), str(error))


def status(seen: Status, as_json: bool) -> str:
    """The journal and both slots, for a person or as JSON."""
    journal, store = seen.journal, seen.store
    if as_json:
        fields = {
            "exitCode": seen.exit_code,
            "store": store["folder"],
            "adopted": store["adopted"],
            "current": store["current"],
            "certificateInUse": store["inUse"],
            "slots": store["slots"],
            "phase": journal.phase.value,
            "jobId": journal.job_id,
            "reason": None if journal.reason is None else journal.reason.value,
            "detail": journal.detail,
            "journalProblem": seen.problem or None,
        }
        return json.dumps(fields, indent=2)
    adopted = "adopted" if store["adopted"] else "not adopted: no rotation has been made here"
    lines = [
        f"store     {store['folder']} ({adopted})",
        f"in use    {_described(seen.device.certificate, store['inUse'])}",
        f"rotation  {_rotation(seen)}",
        "",
    ]
    rows: list[Sequence[str]] = [("SLOT", "STATE", "CERTIFICATE", "VALID UNTIL", "KEY")]
    rows.extend(_row(seen, slot) for slot in SLOTS)
    return "\n".join(lines + table(rows))


def release(root: str, work: Path, configuration: Path | None) -> str:
    """Turn the links back into plain files and remove the store; says what was done.

    Raises UsageError while a rotation is under way, or if the store cannot do it.
    """
    seen = look(root, work, configuration)
    if seen.problem:
        raise UsageError(
            f"the journal in {seen.store['folder']} cannot be read ({seen.problem}): start the "
            "component, which finds out which pair is right, and release the store after that"
        )
    if seen.journal.phase is not Phase.IDLE:
        raise UsageError(
            f"{_rotation(seen)}: let it end, or cancel its job, and release the store after that"
        )
    if not seen.device.store.folder.exists():
        return f"{seen.store['folder']} is not there: nothing to release"
    try:
        FileStore(seen.device.certificate, seen.device.private_key).release()
    except StoreProblem as problem:
        raise UsageError(f"the store could not be released: {problem.detail}") from None
    return (
        f"released: {seen.device.certificate} and {seen.device.private_key} are plain files "
        "again, with the same content"
    )


def _rotation(seen: Status) -> str:
    journal = seen.journal
    if seen.problem:
        return f"the journal cannot be read: {seen.problem}"
    if journal.phase is Phase.IDLE:
        return _NO_ROTATION
    said = f"{journal.phase.value}, job {journal.job_id}"
    if journal.starts:
        said += f", started {journal.starts} times in this phase"
    if journal.reason is not None:
        said += f", because of {journal.reason.value} {journal.detail}".rstrip()
    return said


def _row(seen: Status, slot: str) -> tuple[str, ...]:
    found = seen.store["slots"][slot]
    if not found["hasKey"] and found["certificateId"] is None:
        return (slot, "empty", "-", "-", "-")
    state = "whole" if found["whole"] else "not whole"
    if slot == seen.store["current"]:
        state = f"in use, {state}" if seen.store["adopted"] else state
    elif slot == seen.journal.new_slot:
        state = f"new, {state}"
    try:
        path = seen.device.store.slot(slot).certificate
        facts = x509.facts_of(x509.read_certificates(path)[0])
    except CertificateError:
        return (slot, state, "-", "-", "-")
    until = f"{facts.not_after:%Y-%m-%d %H:%M}Z"
    return (slot, state, fingerprint(facts.certificate_id), until, facts.key_algorithm)


def _described(path: Path, certificate_id: str | None) -> str:
    return f"{path} {'(unreadable)' if certificate_id is None else fingerprint(certificate_id)}"


def fingerprint(certificate_id: str) -> str:
    """A certificate id as ``openssl x509 -fingerprint -sha256`` prints it."""
    upper = certificate_id.upper()
    return ":".join(upper[at : at + 2] for at in range(0, len(upper), 2))
