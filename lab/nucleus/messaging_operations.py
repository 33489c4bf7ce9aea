"""Messages over IPC: through the nucleus to AWS IoT Core, and between components.

The MQTT connection itself is ``mqtt_proxy``. Left out: MQTT 5 properties
(content type, response topic, user properties), which the nucleus hands through.

Sources: ``MqttProxyIPCAgent`` and ``PubSubIPCEventStreamAgent`` of the classic nucleus;
``publish_to_iot_core.c``, ``subscribe_to_iot_core.c`` and ``subscribe_to_topic.c`` of lite.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from lab.nucleus.authorization import MQTT_PROXY, PUBSUB
from lab.nucleus.mqtt_proxy import SpoolError
from lab.nucleus.mqtt_topics import covers
from lab.nucleus.operations import (
    Answer,
    Call,
    IpcError,
    Mqtt,
    Nucleus,
    Operation,
)


@dataclass(frozen=True)
class _Subscriber:
    call: Call
    topic_filter: str
    others_only: bool


class MessagingOperations:
    """PublishToIoTCore, SubscribeToIoTCore, PublishToTopic, SubscribeToTopic."""

    def __init__(self, nucleus: Nucleus, mqtt: Mqtt) -> None:
        self._nucleus = nucleus
        self._mqtt = mqtt
        self._subscribers: list[_Subscriber] = []

    def operations(self) -> dict[str, Operation]:
        """By name; all of them on both nuclei."""
        return {
            "PublishToIoTCore": Operation(self._publish_to_iot_core),
            "SubscribeToIoTCore": Operation(self._subscribe_to_iot_core, streams=True),
            "PublishToTopic": Operation(self._publish_to_topic),
            "SubscribeToTopic": Operation(self._subscribe_to_topic, streams=True),
        }

    async def _publish_to_iot_core(self, call: Call) -> Answer:
        topic = self._required(call, "topicName", "Topic is required")
        payload = call.request.blob("payload")
        self._nucleus.authorize(call.component, MQTT_PROXY, "PublishToIoTCore", topic)
        if payload is None:
            if self._nucleus.classic:
                raise self._nucleus.missing("Payload is required")
            payload = b""
        qos = self._qos(call)
        try:
            await self._mqtt.publish(topic, payload, qos)
        except SpoolError as error:
            failed = f"Publish to topic {topic} failed: " if self._nucleus.classic else ""
            raise IpcError("ServiceError", f"{failed}{error}") from error
        return {}

    async def _subscribe_to_iot_core(self, call: Call) -> Answer:
        topic_filter = self._required(call, "topicName", "Topic is required")
        self._nucleus.authorize(call.component, MQTT_PROXY, "SubscribeToIoTCore", topic_filter)
        qos = self._qos(call)

        def deliver(topic: str, payload: bytes) -> None:
            message = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
            call.event("IoTCoreMessage", {"message": message})

        try:
            unsubscribe = await self._mqtt.subscribe(topic_filter, qos, deliver)
        except SpoolError as error:
            raise IpcError("ServiceError", str(error)) from error

        async def leave() -> None:
            await unsubscribe()

        call.on_close(lambda: self._nucleus.spawn(leave()))
        self._nucleus.subscribed(call, "SubscribeToIoTCore", topic_filter)
        return {}

    def _qos(self, call: Call) -> int:
        classic = self._nucleus.classic
        # The client sends it as text. Lite takes a number as well, and 0 if there is none.
        value = call.request.any("qos")
        if not classic and (value is None or (isinstance(value, int) and value in (0, 1))):
            return int(value or 0)
        if value is None:
            raise self._nucleus.missing("QoS is required")
        if value not in ("0", "1"):
            raise self._nucleus.missing("Invalid QoS value")
        return int(value)

    async def _publish_to_topic(self, call: Call) -> Answer:
        topic = self._required(call, "topic", "Publish topic must not be null")
        message = call.request.part("publishMessage")
        self._nucleus.authorize(call.component, PUBSUB, "PublishToTopic", topic)
        if any(wildcard in topic for wildcard in "+#*"):
            raise self._nucleus.missing("Publish topic must not contain a wildcard.")
        if message is None:
            raise self._nucleus.missing("Publish message must not be null")
        context = {"topic": topic}
        event: dict[str, object] = {}
        json_message = message.part("jsonMessage")
        if json_message is not None:
            json_message.part("message")
            event["jsonMessage"] = {"message": json_message.any("message"), "context": context}
        binary_message = message.part("binaryMessage")
        if binary_message is not None:
            binary_message.blob("message")
            event["binaryMessage"] = {"message": binary_message.any("message"), "context": context}
        if len(event) != 1:
            raise self._nucleus.missing("One of jsonMessage and binaryMessage is required")
        for subscriber in tuple(self._subscribers):
            own = subscriber.call.component == call.component
            if covers(subscriber.topic_filter, topic) and not (own and subscriber.others_only):
                subscriber.call.event("SubscriptionResponseMessage", event)
        return {}

    async def _subscribe_to_topic(self, call: Call) -> Answer:
        topic_filter = self._required(call, "topic", "Subscribe topic must not be empty")
        mode = call.request.text("receiveMode")
        self._nucleus.authorize(call.component, PUBSUB, "SubscribeToTopic", topic_filter)
        others_only = mode == "RECEIVE_MESSAGES_FROM_OTHERS" or (
            mode is None and any(wildcard in topic_filter for wildcard in "+#")
        )
        # Lite knows no receive mode: everybody gets everything.
        subscriber = _Subscriber(call, topic_filter, others_only and self._nucleus.classic)
        self._subscribers.append(subscriber)
        call.on_close(lambda: self._subscribers.remove(subscriber))
        self._nucleus.subscribed(call, "SubscribeToTopic", topic_filter)
        return {}

    def _required(self, call: Call, name: str, why: str) -> str:
        value = call.request.text(name)
        if not value:
            raise self._nucleus.missing(why)
        return value
