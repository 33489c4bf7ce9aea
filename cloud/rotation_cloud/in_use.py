"""Which certificate a thing was last heard with: what speaks for or against one's being in use.

A message counts by the certificate that authenticated its connection, never by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotation_cloud import inventory
from rotation_cloud.ports import Cloud


@dataclass(frozen=True)
class Heard:
    """The certificate of the connection, and when, in seconds since the epoch."""

    certificate_id: str
    at: int


def last_heard(cloud: Cloud, thing: str) -> Heard | None:
    """The last message that the inventory took of the thing; None if it took none."""
    entry = inventory.read(cloud, thing)
    return Heard(entry.principal, entry.heard_at) if entry.principal else None
