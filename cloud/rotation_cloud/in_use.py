"""Which certificate a thing was last heard with: what speaks for or against one's being in use.

A message counts by the certificate that authenticated its connection, never by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotation_cloud import inventory
from rotation_cloud.ports import Cloud


@dataclass(frozen=True)
class Heard:
    """The certificate of the connection over which the last message came that was believed.

    ``seen`` is when the registry was last asked whether it is the thing's, ``last`` when anything
    was last heard of the thing, in seconds since the epoch.
    """

    certificate_id: str
    seen: int
    last: int


def last_heard(cloud: Cloud, thing: str) -> Heard | None:
    """As the inventory has it; None if it has nothing."""
    entry = inventory.read(cloud, thing)
    if not entry.principal:
        return None
    return Heard(entry.principal, entry.attached_seen, max(entry.attached_seen, entry.heard_at))
