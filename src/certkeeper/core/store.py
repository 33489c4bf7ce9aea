"""What is known of the two slots that hold the device's pairs, as plain values."""

from __future__ import annotations

from dataclasses import field

from rotation_protocol.values import dataclass

#: The slots of the store, and the name of the link that says which one the nucleus reads.
SLOTS = ("a", "b")


@dataclass(frozen=True)
class Slot:
    """One slot. ``certificate_id`` is None where there is no certificate that can be read;
    ``whole``: there are both a certificate and a key, and they belong together."""

    has_key: bool = False
    certificate_id: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class Store:
    """The store as it was found. ``folder`` is where it is, or would be.

    ``current`` is the slot that the link names (None: there is no link). ``adopted``: both
    configured paths lead through it. ``in_use`` is the id of the certificate that a nucleus
    finds now, whatever the slots say. ``journal`` is the content of the journal's file.
    """

    folder: str
    runtime: str
    adopted: bool = False
    current: str | None = None
    slots: dict[str, Slot] = field(default_factory=lambda: {slot: Slot() for slot in SLOTS})
    in_use: str | None = None
    journal: bytes | None = field(default=None, repr=False)


def other(slot: str) -> str:
    """The slot that is not this one."""
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]
