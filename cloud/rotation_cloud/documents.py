"""What is known beside the records of rotations, in the same table: one document a name.

A name begins with ``#``, which no job id may contain, so documents and records never meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The last that is known of a thing, for a fleet's inventory.
INVENTORY = "#inventory"
#: Which workflow is just about to make a job for the thing.
BEGINNING = "#beginning"
#: Whose thing, certificate id or serial number has one is not registered. Kept by an operator;
#: written here for certificates that are retired. ``why`` in its body is for people.
DENIED = "#denied"
#: Which certificate is being registered for a thing.
REGISTRATION = "#registration"
#: When people were told that a certificate is refused; kept under its id instead of a thing.
REFUSED = "#refused"
#: What a sender, whose certificate's id stands for the thing, has said on this day.
TALLY = "#tally"


@dataclass(frozen=True)
class Document:
    """``body`` holds what JSON can hold, without fractions. ``version`` counts the writes; 0 has
    never been written, and ``writer`` tells the last write from any other. ``expires_at`` is
    when the table may drop it, in seconds since the epoch; 0: never."""

    thing: str
    name: str
    body: Mapping[str, Any] = field(default_factory=dict)
    expires_at: int = 0
    version: int = 0
    writer: str = ""


def workflow(job_id: str) -> str:
    """The name of what a rotation workflow has to remember of its job."""
    return f"#workflow#{job_id}"


def alert(certificate_id: str, rung: str) -> str:
    """The name of what is known of one certificate's alerts at one rung."""
    return f"#alert#{certificate_id}#{rung}"
