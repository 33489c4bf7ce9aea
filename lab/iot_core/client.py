"""One connected MQTT client: what its packets do, and what it is sent, policies permitting.

Limits and answers are those of AWS IoT Core: QoS 0 and 1, payloads up to 128 KB, 50
subscriptions a connection, 8 a request. A publication that the policy refuses ends an
MQTT 3.1.1 connection, and an MQTT 5 one too unless a PUBACK can say so (0x87). Left out:
the will's delay. (AWS IoT Core quotas; AWS IoT Developer Guide, "MQTT".)
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Protocol

from lab.iot_core.admission import (
    PAYLOAD_MAXIMUM,
    SESSION_EXPIRY_MAXIMUM,
    TOPIC_ALIAS_MAXIMUM,
    Admission,
)
from lab.iot_core.authorizer import Authorizer
from lab.iot_core.broker import Broker
from lab.iot_core.codec import encode
from lab.iot_core.message import Message
from lab.iot_core.outbox import Line, Outbox
from lab.iot_core.packets import (
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Version,
)
from lab.iot_core.presence import DisconnectReason, Presence
from lab.iot_core.topics import filter_fault, topic_fault
from lab.iot_core.wire import PacketError, Reason
from lab.timeline import Timeline

SUBSCRIPTIONS_MAXIMUM = 50
SUBSCRIPTIONS_A_REQUEST = 8
SHARED = "$share/"


class Link(Line, Protocol):
    """The connection that carries a client."""

    def end(self, reason: DisconnectReason, why: str, code: Reason | None = None) -> None:
        """Close the connection, with ``code`` in a DISCONNECT where MQTT has one."""


@dataclass(frozen=True)
class Services:
    """What the endpoint's clients share."""

    authorizer: Authorizer
    broker: Broker
    presence: Presence
    timeline: Timeline


class Client:
    def __init__(
        self, link: Link, services: Services, admission: Admission, ip_address: str
    ) -> None:
        """Answer an admitted CONNECT: CONNACK, the event, what the session kept."""
        self.principal = admission.principal
        self.version = admission.version
        self.since = time.time()
        self._loop = asyncio.get_running_loop()
        self._client_id = admission.principal.client_id
        self._link = link
        self._authorizer = services.authorizer
        self._broker = services.broker
        self._presence = services.presence
        self._timeline = services.timeline
        self._will = admission.will
        self._aliases: dict[int, str] = {}
        self._connected = True
        self._session, present = self._broker.attach(
            self._client_id,
            self,
            clean_start=admission.clean_start,
            expiry=admission.session_expiry,
        )
        self._outbox = Outbox(
            link, self._session, admission, services.authorizer, services.timeline
        )
        self._send(Connack(present, Reason.SUCCESS, admission.connack_properties))
        self._record(
            "connected", principal=self.principal.certificate_id, protocol=str(self.version)
        )
        self._visit = self._presence.connected(self.principal, self._session.identifier, ip_address)
        self._outbox.resume()

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks; PacketError for one that no client may send now."""
        match packet:
            case Publish():
                self._publish(packet)
            case Puback():
                self._outbox.acknowledge(packet.packet_id)
            case Subscribe():
                self._subscribe(packet)
            case Unsubscribe():
                self._unsubscribe(packet)
            case Pingreq():
                self._send(Pingresp())
            case Disconnect():
                self._disconnect(packet)
            case _:
                name = type(packet).__name__.upper()
                raise PacketError(f"{name} from a connected client", Reason.PROTOCOL_ERROR)

    def left(self, reason: DisconnectReason, why: str) -> None:
        """The connection is over: end or park the session, tell the account, send the will."""
        self._connected = False
        self._broker.detach(self._client_id)
        self._record("disconnected", reason=reason.value, why=why)
        self._presence.disconnected(self._visit, reason)
        if self._will is not None:
            will = self._will
            properties = replace(will.properties, will_delay=None)
            self._publish_if_allowed(
                Publish(will.topic, will.payload, will.qos, will.retain, properties=properties)
            )

    def take_over(self) -> None:
        self._link.end(
            DisconnectReason.DUPLICATE_CLIENTID,
            "another connection took the client id",
            Reason.SESSION_TAKEN_OVER,
        )

    # --- what the client sends

    def _publish(self, packet: Publish) -> None:
        if packet.qos == 2:
            return self._error("PUBLISH with QoS 2", Reason.QOS_NOT_SUPPORTED)
        if len(packet.payload) > PAYLOAD_MAXIMUM:
            return self._error(f"payload over {PAYLOAD_MAXIMUM} bytes", Reason.PACKET_TOO_LARGE)
        if packet.properties.subscription_identifier is not None:
            raise PacketError("PUBLISH with a subscription identifier", Reason.PROTOCOL_ERROR)
        packet = self._without_alias(packet)
        refusal = self._publish_if_allowed(packet)
        if refusal is None:
            if packet.qos:
                self._send(Puback(packet.packet_id))
        elif packet.qos and self.version is Version.MQTT_5:
            self._send(Puback(packet.packet_id, refusal.code))
        else:
            self._link.end(refusal.reason, f"{refusal.why}: {packet.topic}", refusal.code)
        return None

    def _without_alias(self, packet: Publish) -> Publish:
        """The packet with its whole topic (OASIS MQTT 5.0, 3.3.2.3.4)."""
        alias = packet.properties.topic_alias
        if alias is None:
            return packet
        if not 0 < alias <= TOPIC_ALIAS_MAXIMUM:
            raise PacketError(f"topic alias {alias}", Reason.TOPIC_ALIAS_INVALID)
        if packet.topic:
            self._aliases[alias] = packet.topic
        elif alias not in self._aliases:
            raise PacketError(f"topic alias {alias} was never set", Reason.PROTOCOL_ERROR)
        return replace(
            packet,
            topic=self._aliases[alias],
            properties=replace(packet.properties, topic_alias=None),
        )

    def _publish_if_allowed(self, packet: Publish) -> _Refusal | None:
        refusal = self._publish_refusal(packet)
        if refusal is not None:
            self._record("publish-denied", topic=packet.topic, qos=packet.qos, why=refusal.why)
            return refusal
        self._record("published", topic=packet.topic, qos=packet.qos)
        message = Message(
            packet.topic,
            packet.payload,
            packet.qos,
            self._client_id,
            self.principal.certificate_id,
            time.time(),
            packet.retain,
            packet.properties,
        )
        self._broker.publish(message, self)
        return None

    def _publish_refusal(self, packet: Publish) -> _Refusal | None:
        fault = topic_fault(packet.topic)
        if fault is None and packet.retain and packet.topic.startswith("$"):
            fault = "nothing is retained on a reserved topic"
        if fault is not None:
            return _Refusal(fault, Reason.TOPIC_NAME_INVALID, DisconnectReason.CLIENT_ERROR)
        for action in ("iot:Publish", "iot:RetainPublish") if packet.retain else ("iot:Publish",):
            decision = self._authorizer.decide(self.principal, action, packet.topic)
            if not decision.allowed:
                return _Refusal(decision.why, Reason.NOT_AUTHORIZED, DisconnectReason.AUTH_ERROR)
        return None

    def _subscribe(self, packet: Subscribe) -> None:
        if packet.properties.subscription_identifier is not None:
            why = "SUBSCRIBE with a subscription identifier"
            return self._error(why, Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED)
        if len(packet.subscriptions) > SUBSCRIPTIONS_A_REQUEST:
            why = f"more than {SUBSCRIPTIONS_A_REQUEST} filters in one SUBSCRIBE"
            return self._error(why, Reason.QUOTA_EXCEEDED)
        if self.version is Version.MQTT_3_1_1 and any(s.qos == 2 for s in packet.subscriptions):
            # AWS leaves such a client without a SUBACK; here it need not wait for ever.
            return self._error("SUBSCRIBE with QoS 2", Reason.QOS_NOT_SUPPORTED)
        codes = []
        retained = []
        for wanted in packet.subscriptions:
            subscription = replace(wanted, qos=min(wanted.qos, 1))
            refusal = self._subscribe_refusal(subscription.topic_filter)
            if refusal is None:
                codes.append(subscription.qos)
                retained.append(self._broker.subscribe(self._session, subscription))
                self._record("subscribed", topic_filter=subscription.topic_filter)
            else:
                codes.append(refusal.code if self.version is Version.MQTT_5 else Reason.UNSPECIFIED)
                self._record(
                    "subscribe-denied", topic_filter=subscription.topic_filter, why=refusal.why
                )
        self._send(Suback(packet.packet_id, tuple(codes)))
        for message in retained:
            if message is not None:
                self.deliver(message)
        return None

    def _subscribe_refusal(self, topic_filter: str) -> _Refusal | None:
        if topic_filter.startswith(SHARED):
            return _Refusal(
                "shared subscriptions are not supported here",
                Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
            )
        fault = filter_fault(topic_filter)
        if fault is not None:
            return _Refusal(fault, Reason.TOPIC_FILTER_INVALID)
        held = self._session.subscriptions
        if len(held) >= SUBSCRIPTIONS_MAXIMUM and topic_filter not in held:
            return _Refusal(f"more than {SUBSCRIPTIONS_MAXIMUM} filters", Reason.QUOTA_EXCEEDED)
        decision = self._authorizer.decide(self.principal, "iot:Subscribe", topic_filter)
        return None if decision.allowed else _Refusal(decision.why, Reason.NOT_AUTHORIZED)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        codes = [
            Reason.SUCCESS
            if self._broker.unsubscribe(self._session, topic_filter)
            else Reason.NO_SUBSCRIPTION_EXISTED
            for topic_filter in packet.topic_filters
        ]
        self._send(Unsuback(packet.packet_id, tuple(codes)))

    def _disconnect(self, packet: Disconnect) -> None:
        expiry = packet.properties.session_expiry
        if expiry is not None:
            if expiry and not self._session.expiry:
                raise PacketError("DISCONNECT with a session expiry", Reason.PROTOCOL_ERROR)
            self._session.expiry = min(expiry, SESSION_EXPIRY_MAXIMUM)
        if packet.reason != Reason.DISCONNECT_WITH_WILL:
            self._will = None
        self._link.end(DisconnectReason.CLIENT_INITIATED_DISCONNECT, "the client said goodbye")

    def _error(self, why: str, code: Reason) -> None:
        self._link.end(DisconnectReason.CLIENT_ERROR, why, code)

    # --- what the client is sent

    def deliver(self, message: Message) -> None:
        self._outbox.put(message)

    def reply(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Send a service's answer to this client alone, if it is still here; from any thread."""
        message = Message(topic, payload, qos, None, None, time.time())
        self._loop.call_soon_threadsafe(self._deliver_if_here, message)

    def _deliver_if_here(self, message: Message) -> None:
        if self._connected:
            self.deliver(message)

    def _send(self, packet: Packet) -> None:
        self._link.send(encode(packet, self.version))

    def _record(self, event: str, **details: object) -> None:
        self._timeline.record("iot-core", event, client_id=self._client_id, **details)


@dataclass(frozen=True)
class _Refusal:
    """Why something is not allowed, and how to say so."""

    why: str
    code: Reason
    reason: DisconnectReason = DisconnectReason.AUTH_ERROR
