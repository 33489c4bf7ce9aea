"""Lifecycle events: the cloud's own word on who connected, with which certificate, and who left.

(AWS IoT Developer Guide, "Lifecycle events".) Subscribe and unsubscribe events are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lab.iot_core.authorizer import Principal

Publisher = Callable[[str, bytes], None]


class DisconnectReason(StrEnum):
    """The values of disconnectReason that can happen here."""

    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_ERROR = "CLIENT_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    FORBIDDEN_ACCESS = "FORBIDDEN_ACCESS"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"


@dataclass(frozen=True)
class Visit:
    """One connection of one client, as both of its events name it."""

    principal: Principal
    session_identifier: str
    version_number: int


class Presence:
    """Publishes ``$aws/events/presence/...``; none for client ids with # or +, as AWS."""

    def __init__(self, publish: Publisher, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds since the epoch."""
        self._publish = publish
        self._clock = clock
        self._visits: Counter[str] = Counter()

    def connected(self, principal: Principal, session_identifier: str, ip_address: str) -> Visit:
        visit = Visit(principal, session_identifier, self._visits[principal.client_id])
        self._visits[principal.client_id] += 1
        self._tell("connected", visit, ipAddress=ip_address)
        return visit

    def disconnected(self, visit: Visit, reason: DisconnectReason) -> None:
        self._tell(
            "disconnected",
            visit,
            clientInitiatedDisconnect=reason is DisconnectReason.CLIENT_INITIATED_DISCONNECT,
            disconnectReason=reason.value,
        )

    def _tell(self, event: str, visit: Visit, **details: object) -> None:
        client_id = visit.principal.client_id
        if "#" in client_id or "+" in client_id:
            return
        message = {
            "clientId": client_id,
            "timestamp": round(self._clock() * 1000),
            "eventType": event,
            "sessionIdentifier": visit.session_identifier,
            "principalIdentifier": visit.principal.certificate_id,
            "versionNumber": visit.version_number,
            **details,
        }
        self._publish(f"$aws/events/presence/{event}/{client_id}", json.dumps(message).encode())
