"""What the monitor of a device reports, alert or health message, as the rule hands it over.

The rule gives the message's fields with ``clientId``, ``principal`` and ``receivedAt`` written
over them. The thing is the one of the client id, the sender the certificate of the
connection: neither is taken from the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotation_cloud.doubts import Doubt, NotBelieved
from rotation_cloud.records import Record, State, Which

#: More than twice what the component sends (docs/protocol.md, "Sizes").
MAX_BYTES = 16 * 1024
_OF_THE_RULE = ("clientId", "principal", "receivedAt")
#: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
#: The states in which the rotation's job has ended.
_ENDED = (State.GRACE, State.RETIRING, State.DONE)
_CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Report:
    """One message: who sends it over which certificate, what it says, and when it arrived
    (seconds since the epoch)."""

    thing: str
    principal: str
    fields: Mapping[str, Any]
    received_at: float

    @classmethod
    def of(cls, event: Mapping[str, Any], now: float) -> Report | None:
        """None for a message that no certificate of a device has sent."""
        client_id, principal = event.get("clientId"), event.get("principal")
        thing = client_id.partition("#")[0] if isinstance(client_id, str) else ""
        if not (_THING.fullmatch(thing) and is_certificate_id(principal)):
            return None
        at = event.get("receivedAt")
        return cls(
            thing=thing,
            principal=str(principal),
            fields={name: value for name, value in event.items() if name not in _OF_THE_RULE},
            received_at=at / 1000 if type(at) is int else now,
        )

    @property
    def payload(self) -> bytes:
        """The message again, as JSON. Raises NotBelieved for one that is too large."""
        try:
            payload = json.dumps(self.fields).encode()
        except RecursionError:
            raise NotBelieved(Doubt.MALFORMED, "the message has no end of brackets") from None
        if len(payload) > MAX_BYTES:
            raise NotBelieved(Doubt.MALFORMED, f"the message is larger than {MAX_BYTES} bytes")
        return payload

    def moment(self, checked_at: datetime) -> int:
        """When the device looked, and never later than it said so: its clock may be ahead."""
        return int(min(checked_at.timestamp(), self.received_at))


def is_certificate_id(value: object) -> bool:
    """Whether it has the form of AWS IoT's certificate ids."""
    return isinstance(value, str) and _CERTIFICATE_ID.fullmatch(value) is not None


def speak_for(report: Report, thing: object) -> None:
    """Raises NotBelieved unless that is the thing whose client id the connection has."""
    if thing != report.thing:
        raise NotBelieved(Doubt.OTHER_THING, f"it speaks for {thing}")


def is_retired(
    certificate_id: str | None, rotations: Sequence[Record], used_at: float | None = None
) -> bool:
    """Whether a rotation has decided that this certificate goes.

    Not if a connection used it at ``used_at``, after the end of that rotation's job: then the
    device has come back with it, within the grace period.
    """
    return certificate_id is not None and any(
        rotation.retire is which
        and certificate_id == certificate
        and (used_at is None or used_at <= rotation.ended)
        for rotation in rotations
        for which, certificate in ((Which.OLD, rotation.old), (Which.NEW, rotation.new))
    )


def is_being_replaced(
    certificate_id: str | None, rotations: Sequence[Record], since: float
) -> bool:
    """Whether a rotation of this certificate is under way that began after ``since``."""
    return certificate_id is not None and any(
        rotation.old == certificate_id and rotation.state not in _ENDED and rotation.started > since
        for rotation in rotations
    )
