"""Which certificate a thing was last heard with: what speaks for or against one's being in use.

A message counts by the certificate that authenticated its connection, never by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotation_cloud.documents import INVENTORY
from rotation_cloud.ports import Cloud


@dataclass(frozen=True)
class Heard:
    """The certificate of the connection, and when, in seconds since the epoch."""

    certificate_id: str
    at: int


def last_heard(cloud: Cloud, thing: str) -> Heard | None:
    """The last message that the inventory took of the thing; None if it took none."""
    inventory = cloud.documents.get(thing, INVENTORY)
    if inventory is None:
        return None
    principal, at = inventory.body.get("principal"), inventory.body.get("heardAt")
    if not isinstance(principal, str) or not isinstance(at, int):
        return None
    return Heard(principal, at)
