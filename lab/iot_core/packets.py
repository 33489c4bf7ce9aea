"""The control packets of MQTT 3.1.1 and 5 as values (OASIS MQTT 3.1.1 and 5.0, chapter 3).

Those of QoS 2 and AUTH are left out: AWS IoT Core has neither. ``codec`` turns these
into bytes and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from lab.iot_core.wire import NO_PROPERTIES, Properties, Reason


class Version(IntEnum):
    """The protocol level in CONNECT."""

    MQTT_3_1_1 = 4
    MQTT_5 = 5

    def __str__(self) -> str:
        return "MQTT 5" if self is Version.MQTT_5 else "MQTT 3.1.1"


@dataclass(frozen=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Connect:
    version: Version
    client_id: str
    clean_start: bool
    keep_alive: int  # seconds
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Connack:
    session_present: bool
    code: int  # an MQTT 3.1.1 return code or an MQTT 5 reason code
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    duplicate: bool = False
    packet_id: int = 0  # 0 with QoS 0
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Puback:
    packet_id: int
    reason: int = Reason.SUCCESS
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Subscription:
    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0  # 0: always send what is retained, 1: if new, 2: never


@dataclass(frozen=True)
class Subscribe:
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Suback:
    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Unsubscribe:
    packet_id: int
    topic_filters: tuple[str, ...]
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Unsuback:
    packet_id: int
    codes: tuple[int, ...] = ()  # none in MQTT 3.1.1
    properties: Properties = NO_PROPERTIES


@dataclass(frozen=True)
class Pingreq:
    pass


@dataclass(frozen=True)
class Pingresp:
    pass


@dataclass(frozen=True)
class Disconnect:
    reason: int = Reason.SUCCESS
    properties: Properties = NO_PROPERTIES


Packet = (
    Connect | Connack | Publish | Puback | Subscribe | Suback | Unsubscribe | Unsuback
    | Pingreq | Pingresp | Disconnect
)  # fmt: skip
