"""paho-mqtt with its callbacks turned into queues that a test waits on."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from lab.iot_core.packets import Version
from tests.lab.iot_core_site import WAIT, Device, Site


@dataclass
class Received:
    """A message as paho gave it to the test."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    properties: Any


class PahoClient:
    """paho-mqtt with its callbacks turned into queues that a test waits on."""

    def __init__(
        self,
        site: Site,
        device: Device,
        client_id: str,
        version: Version = Version.MQTT_5,
        *,
        clean: bool = True,
        session_expiry: int | None = None,
        keep_alive: int = 60,
        will: tuple[str, bytes, int, bool] | None = None,
    ) -> None:
        five = version is Version.MQTT_5
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if five else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self.client.tls_set(
            str(site.authority.certificate), str(device.certificate), str(device.key)
        )
        if will is not None:
            self.client.will_set(*will)
        self.connacks: queue.Queue[tuple[bool, Any, Any]] = queue.Queue()
        self.subacks: queue.Queue[list[int]] = queue.Queue()
        self.pubacks: queue.Queue[int] = queue.Queue()
        self.disconnects: queue.Queue[int] = queue.Queue()
        self.messages: queue.Queue[Received] = queue.Queue()
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = self._on_message
        properties = None
        if session_expiry is not None:
            properties = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = session_expiry
        self.client.connect(
            "localhost",
            site.core.port,
            keep_alive,
            clean_start=clean if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )
        self.client.loop_start()
        self.present, self.code, self.properties = self.connacks.get(timeout=WAIT)

    def __enter__(self) -> PahoClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        # Else its own pair of sockets waits for the collector, in whatever test runs by then.
        self.client._reset_sockets()

    def subscribe(self, topic_filter: str, qos: int = 1) -> int:
        """The code in the SUBACK."""
        self.client.subscribe(topic_filter, qos)
        (code,) = self.subacks.get(timeout=WAIT)
        return code

    def publish(self, topic: str, payload: bytes = b"", qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain)

    def cut(self) -> None:
        """End the connection without a DISCONNECT."""
        connection = self.client.socket()
        assert connection is not None
        connection.close()

    def message(self) -> Received:
        return self.messages.get(timeout=WAIT)

    def _on_connect(self, _c: Any, _u: Any, flags: Any, code: Any, properties: Any) -> None:
        self.connacks.put((flags.session_present, code.value, properties))

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, codes: Any, _properties: Any) -> None:
        self.subacks.put([code.value for code in codes])

    def _on_publish(self, _c: Any, _u: Any, _mid: int, code: Any, _properties: Any) -> None:
        self.pubacks.put(code.value)

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self.disconnects.put(code.value)

    def _on_message(self, _c: Any, _u: Any, m: paho.MQTTMessage) -> None:
        self.messages.put(
            Received(
                m.topic, bytes(m.payload), m.qos, m.retain, m.dup, getattr(m, "properties", None)
            )
        )
