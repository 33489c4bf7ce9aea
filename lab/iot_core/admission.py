"""CONNECT: may this client come in, as whom, and on which terms?

The terms are those that AWS IoT Core grants: what its CONNACK says in MQTT 5, and a
session that outlives its connection by at most an hour. The user name, in which the AWS
SDKs send their metrics (``?SDK=...``), is not looked at. (AWS IoT Core quotas.)
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from lab.iot_core.authorizer import Authorizer, Principal
from lab.iot_core.packets import Connack, Connect, Version, Will
from lab.iot_core.tls import PeerCertificate
from lab.iot_core.topics import topic_fault
from lab.iot_core.wire import Properties, Reason

CLIENT_ID_MAXIMUM = 128  # bytes
KEEP_ALIVE_MAXIMUM = 1200  # seconds; also what a client gets that asks for none
SESSION_EXPIRY_MAXIMUM = 3600  # seconds
RECEIVE_MAXIMUM = 100  # unacknowledged QoS 1 messages, either way
PACKET_MAXIMUM = 149_504  # bytes
PAYLOAD_MAXIMUM = 128 * 1024  # bytes
TOPIC_ALIAS_MAXIMUM = 8

# MQTT 3.1.1's return codes (3.2.2.3), which do not say much.
_RETURN_CODES = {
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_IDENTIFIER_NOT_VALID: 2,
}
_NOT_AUTHORIZED = 5


class ConnectRefusedError(Exception):
    """The message says why; ``connack`` is the answer."""

    def __init__(self, why: str, reason: Reason, version: Version) -> None:
        super().__init__(why)
        five = version is Version.MQTT_5
        code = reason if five else _RETURN_CODES.get(reason, _NOT_AUTHORIZED)
        self.connack = Connack(False, code)


@dataclass(frozen=True)
class Admission:
    """Who comes in and what was agreed; seconds and bytes."""

    principal: Principal
    version: Version
    clean_start: bool
    session_expiry: int
    keep_alive: int
    receive_maximum: int
    packet_maximum: int
    will: Will | None
    connack_properties: Properties


def admit(connect: Connect, peer: PeerCertificate, authorizer: Authorizer) -> Admission:
    """Raises ConnectRefusedError."""
    version, asked = connect.version, connect.properties
    five = version is Version.MQTT_5

    def refuse(why: str, reason: Reason) -> ConnectRefusedError:
        return ConnectRefusedError(why, reason, version)

    if not connect.client_id and not five and not connect.clean_start:
        raise refuse("a persistent session needs a client id", Reason.CLIENT_IDENTIFIER_NOT_VALID)
    client_id = connect.client_id or uuid.uuid4().hex
    if len(client_id.encode("utf-8")) > CLIENT_ID_MAXIMUM:
        raise refuse("client id longer than 128 bytes", Reason.CLIENT_IDENTIFIER_NOT_VALID)
    if asked.authentication_method is not None or asked.authentication_data is not None:
        raise refuse("enhanced authentication", Reason.BAD_AUTHENTICATION_METHOD)
    # Asked again: the certificate may have been deactivated since the handshake.
    fault = authorizer.certificate_fault(peer.certificate_id)
    if fault is not None:
        raise refuse(fault, Reason.NOT_AUTHORIZED)
    principal = Principal(peer.certificate_id, peer.common_name, client_id)
    decision = authorizer.decide(principal, "iot:Connect", client_id)
    if not decision.allowed:
        raise refuse(decision.why, Reason.NOT_AUTHORIZED)
    if connect.will is not None:
        fault = topic_fault(connect.will.topic)
        if fault is not None:
            raise refuse(f"will topic: {fault}", Reason.TOPIC_NAME_INVALID)
        if connect.will.qos == 2:
            raise refuse("will with QoS 2", Reason.QOS_NOT_SUPPORTED)

    wanted = (asked.session_expiry or 0) if five else 0 if connect.clean_start else 0xFFFFFFFF
    expiry = min(wanted, SESSION_EXPIRY_MAXIMUM)
    keep_alive = min(connect.keep_alive or KEEP_ALIVE_MAXIMUM, KEEP_ALIVE_MAXIMUM)
    return Admission(
        principal=principal,
        version=version,
        clean_start=connect.clean_start,
        session_expiry=expiry,
        keep_alive=keep_alive,
        receive_maximum=min(asked.receive_maximum or RECEIVE_MAXIMUM, RECEIVE_MAXIMUM),
        packet_maximum=asked.maximum_packet_size or PACKET_MAXIMUM,
        will=connect.will,
        connack_properties=Properties(
            session_expiry=expiry if expiry != wanted else None,
            receive_maximum=RECEIVE_MAXIMUM,
            maximum_qos=1,
            retain_available=1,
            maximum_packet_size=PACKET_MAXIMUM,
            assigned_client_identifier=None if connect.client_id else client_id,
            topic_alias_maximum=TOPIC_ALIAS_MAXIMUM,
            wildcard_subscription_available=1,
            subscription_identifiers_available=0,
            shared_subscription_available=0,
            server_keep_alive=keep_alive,
        ),
    )
