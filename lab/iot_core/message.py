"""A publication, as the broker passes it on and as the cloud's side sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.iot_core.wire import NO_PROPERTIES, Properties


@dataclass(frozen=True)
class Message:
    """``client_id`` and ``principal`` (the certificate id) are None if the cloud published it.

    ``at`` is when it was accepted, in seconds since the epoch; ``properties`` are those that
    MQTT 5 forwards to subscribers.
    """

    topic: str
    payload: bytes
    qos: int
    client_id: str | None
    principal: str | None
    at: float
    retain: bool = False
    properties: Properties = NO_PROPERTIES

    def expired(self, now: float) -> bool:
        """Whether its message expiry interval is over (OASIS MQTT 5.0, 3.3.2.3.3)."""
        expiry = self.properties.message_expiry
        return expiry is not None and now >= self.at + expiry

    def properties_at(self, now: float) -> Properties:
        """Its properties with what is then left of the message expiry interval."""
        expiry = self.properties.message_expiry
        if expiry is None:
            return self.properties
        left = max(0, round(self.at + expiry - now))
        return replace(self.properties, message_expiry=left)
