"""The journal of a rotation: what must be known after a power cut, and nothing else.

It is written down before what it announces is done (docs/decisions/0006). A journal that
cannot be understood is a JournalError, a case of its own: never "no rotation".
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any

from certkeeper.core.store import SLOTS
from rotation_protocol.reasons import FailureReason
from rotation_protocol.values import dataclass

VERSION = 1


class JournalError(ValueError):
    """A journal that cannot be understood; says why."""


class Phase(str, Enum):
    """How far a rotation has come (design, section 5)."""

    IDLE = "idle"
    CLAIMING = "claiming"
    PREPARING = "preparing"
    REQUESTING = "requesting"
    STAGED = "staged"
    PROBING = "probing"
    SWITCHING = "switching"
    PROVING = "proving"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling-back"
    FAILED = "failed"


@dataclass(frozen=True)
class Journal:
    """One rotation. ``old_slot`` and ``new_slot`` are "a" or "b", ``old_certificate_id`` and
    ``certificate_id`` name the certificates in them; ``csr`` is what the new one is issued for,
    so that repeats get the same one.

    ``session`` tells the start of the nucleus in which it was told to take another pair from
    those before and after (None: it never was). ``reconnects`` counts how often it was told to
    take the new one, ``starts`` how often our process began in this phase.
    """

    phase: Phase = Phase.IDLE
    job_id: str | None = None
    old_slot: str | None = None
    new_slot: str | None = None
    csr: str | None = None
    old_certificate_id: str | None = None
    certificate_id: str | None = None
    session: str | None = None
    reconnects: int = 0
    starts: int = 0
    reason: FailureReason | None = None
    detail: str = ""


def encode(journal: Journal) -> bytes:
    """The journal as the content of its file."""
    fields = {"version": VERSION, **asdict(journal)}
    fields["phase"] = journal.phase.value
    fields["reason"] = None if journal.reason is None else journal.reason.value
    return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode()


def decode(content: bytes) -> Journal:
    """The journal in a file's content. Raises JournalError."""
    try:
        fields: dict[str, Any] = json.loads(content)
        if fields["version"] != VERSION:
            raise JournalError(f"its version is {fields['version']!r}, not {VERSION}")
        if fields.pop("checksum") != _checksum(fields):
            raise JournalError("its checksum does not fit: it has been damaged")
        del fields["version"]
        reason = fields.pop("reason")
        phase = Phase(fields.pop("phase"))
        journal = Journal(
            **fields, phase=phase, reason=None if reason is None else FailureReason(reason)
        )
    except JournalError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(f"it is not a journal ({type(error).__name__})") from None
    problem = _problem(journal)
    if problem:
        raise JournalError(problem)
    return journal


def _problem(journal: Journal) -> str:
    """Why no rotation of ours can have written this, in words; empty if one can."""
    texts = (
        *(journal.job_id, journal.csr, journal.old_certificate_id, journal.certificate_id),
        *(journal.session, journal.detail),
    )
    if not all(text is None or isinstance(text, str) for text in texts):
        return "it holds something else where there should be text"
    if any(type(count) is not int or count < 0 for count in (journal.reconnects, journal.starts)):
        return "it holds something else where there should be a count"
    slots = (journal.old_slot, journal.new_slot)
    if any(slot not in (None, *SLOTS) for slot in slots):
        return "it names a slot that there is not"
    if None not in slots and slots[0] == slots[1]:
        return "its old and its new slot are the same"
    if journal.phase is not Phase.IDLE and journal.job_id is None:
        return f"it is {journal.phase.value}, but names no job"
    if journal.phase in _WITH_SLOTS and None in slots:
        return f"it is {journal.phase.value}, but does not name both slots"
    return ""


#: From here on the new pair may be the one in use.
_WITH_SLOTS = frozenset({Phase.SWITCHING, Phase.PROVING, Phase.COMMITTING, Phase.COMMITTED})


def _checksum(fields: Mapping[str, Any]) -> int:
    """CRC-32, so that a file with a damaged slot or phase is refused as a whole."""
    return binascii.crc32(json.dumps(fields).encode())
