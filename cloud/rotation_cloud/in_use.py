"""Which certificate a thing was last heard with: what speaks for or against one's being in use.

A message counts by the certificate that authenticated its connection, never by what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotation_cloud.documents import INVENTORY
from rotation_cloud.ports import Cloud


@dataclass(frozen=True)
class Heard:
    """The certificate of the last health message's connection.

    ``seen`` is when the registry was last asked whether it is the thing's, ``last`` when anything
    was last heard of the thing, in seconds since the epoch.
    """

    certificate_id: str
    seen: int
    last: int


def last_heard(cloud: Cloud, thing: str) -> Heard | None:
    """As the inventory has it; None if it has nothing."""
    document = cloud.documents.get(thing, INVENTORY)
    body = {} if document is None else document.body
    if not body.get("attached"):
        return None
    seen = int(body.get("attachedSeen", 0))
    return Heard(str(body["attached"]), seen, max(seen, int(body.get("lastSeen", 0))))
