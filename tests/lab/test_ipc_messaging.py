"""Messages through the real SDK: AWS IoT Core, and local publish/subscribe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from awsiot.eventstreamrpc import StreamClosedError
from awsiot.greengrasscoreipc import model

from lab.nucleus.authorization import MQTT_PROXY, PUBSUB
from lab.nucleus.mqtt_proxy import SpoolError
from tests.lab.ipc_device import (
    COMPONENT,
    OTHER,
    Device,
    Events,
    policies,
    running_device,
)


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with running_device(request.param) as device:
        yield device


@pytest.fixture
def client(device: Device) -> Any:
    device.install()
    return device.client()


def test_a_publish_reaches_mqtt(device: Device, client: Any) -> None:
    """Topic, payload and QoS arrive as the component gave them."""
    payload = bytes(range(256))
    client.publish_to_iot_core(topic_name="a/b", qos=model.QOS.AT_LEAST_ONCE, payload=payload)
    client.publish_to_iot_core(topic_name="ü", qos=model.QOS.AT_MOST_ONCE, payload=b"")
    assert device.mqtt.published == [("a/b", payload, 1), ("ü", b"", 0)]


def test_publishes_keep_their_order(device: Device, client: Any) -> None:
    """Publishes that do not wait for one another arrive in the order they were made."""
    futures = [
        client.publish_to_iot_core_async(topic_name="a", qos="1", payload=b"%d" % number)
        for number in range(50)
    ]
    for future in futures:
        future.result(20)
    assert [payload for _, payload, _ in device.mqtt.published] == [b"%d" % n for n in range(50)]


def test_an_unauthorized_publish_is_refused(device: Device) -> None:
    """Without a policy for the topic the SDK raises UnauthorizedError and nothing is sent."""
    device.install(access_control=policies(MQTT_PROXY, ["*"], ["mine/*"]))
    client = device.client()
    with pytest.raises(model.UnauthorizedError) as error:
        client.publish_to_iot_core(topic_name="yours/x", qos="1", payload=b"")
    assert (error.value.message is None) is not device.classic
    device.timeline.wait_for(
        "unauthorized", component=COMPONENT, operation="PublishToIoTCore", resource="yours/x"
    )
    assert device.mqtt.published == []
    client.publish_to_iot_core(topic_name="mine/x", qos="1", payload=b"")


def test_lite_alone_knows_the_thing_name_in_a_policy(device: Device) -> None:
    """``{iot:thingName}`` works on lite; on classic, not interpolated, it allows nothing."""
    device.install(access_control=policies(MQTT_PROXY, ["*"], ["x/{iot:thingName}/*"]))
    client = device.client()
    if device.classic:
        with pytest.raises(model.UnauthorizedError):
            client.publish_to_iot_core(topic_name="x/press-7/y", qos="1", payload=b"")
    else:
        client.publish_to_iot_core(topic_name="x/press-7/y", qos="1", payload=b"")


def test_what_the_spool_refuses_is_a_service_error(device: Device, client: Any) -> None:
    """The component hears why its message was not taken (from classic)."""
    device.mqtt.failure = SpoolError("Device is offline. Dropping QoS 0 message.")
    with pytest.raises(model.ServiceError) as error:
        client.publish_to_iot_core(topic_name="a", qos="0", payload=b"")
    assert error.value.message == (
        "Publish to topic a failed: Device is offline. Dropping QoS 0 message."
        if device.classic
        else None
    )
    device.mqtt.failure = SpoolError("Subscribe to topic a failed with error NOT_AUTHORIZED")
    with pytest.raises(model.ServiceError) as error:
        client.subscribe_to_iot_core(topic_name="a", qos="1")
    assert error.value.message == (str(device.mqtt.failure) if device.classic else None)


@pytest.mark.parametrize(
    ("arguments", "on_lite"),
    [
        ({"qos": "1", "payload": b""}, False),
        ({"topic_name": "a", "qos": "1"}, True),
        ({"topic_name": "a", "payload": b""}, True),
        ({"topic_name": "a", "qos": "2", "payload": b""}, False),
        ({"topic_name": "a", "qos": "one", "payload": b""}, False),
    ],
)
def test_a_publish_lacks_something(
    device: Device, client: Any, arguments: dict[str, Any], on_lite: bool
) -> None:
    """Classic wants all three; lite does without payload and QoS, and names no field."""
    if on_lite and not device.classic:
        client.publish_to_iot_core(**arguments)
        assert device.mqtt.published == [("a", b"", int(arguments.get("qos", 0)))]
        return
    with pytest.raises(model.InvalidArgumentsError if device.classic else model.ServiceError):
        client.publish_to_iot_core(**arguments)
    assert device.mqtt.published == []


def test_a_subscription_delivers_what_arrives(device: Device, client: Any) -> None:
    """Messages of MQTT arrive as the SDK's events, in order."""
    events = Events()
    response, _ = client.subscribe_to_iot_core(topic_name="a/+", qos="1", **events.handlers)
    assert isinstance(response, model.SubscribeToIoTCoreResponse)
    device.timeline.wait_for(
        "subscribed", component=COMPONENT, operation="SubscribeToIoTCore", resource="a/+"
    )
    for number in range(20):
        device.call(device.mqtt.subscribed["a/+"], "a/x", b"%d" % number)
    for number in range(20):
        message = events.next().message
        assert (message.topic_name, message.payload) == ("a/x", b"%d" % number)


def test_a_message_that_comes_before_the_answer_waits_for_it(device: Device, client: Any) -> None:
    """The first message of a subscription is always its answer, whatever MQTT does first."""
    original = device.mqtt.subscribe

    async def early(topic_filter: str, qos: int, deliver: Any) -> Any:
        deliver("a", b"early")
        return await original(topic_filter, qos, deliver)

    device.mqtt.subscribe = early  # type: ignore[method-assign]  # a faster MQTT
    events = Events()
    client.subscribe_to_iot_core(topic_name="a", qos="1", **events.handlers)
    assert events.next().message.payload == b"early"


def test_an_unauthorized_subscription_is_refused(device: Device) -> None:
    """Subscribing is an operation of its own, that a policy must name."""
    device.install(access_control=policies(MQTT_PROXY, ["aws.greengrass#PublishToIoTCore"], ["*"]))
    with pytest.raises(model.UnauthorizedError):
        device.client().subscribe_to_iot_core(topic_name="a", qos="1")
    device.timeline.wait_for("unauthorized", operation="SubscribeToIoTCore", resource="a")
    assert device.mqtt.subscribed == {}


def test_a_changed_policy_counts_at_once(device: Device) -> None:
    """A deployment that changes ``accessControl`` changes what is allowed, without a restart."""
    device.install(access_control=policies(MQTT_PROXY, ["*"], ["old"]))
    client = device.client()
    client.publish_to_iot_core(topic_name="old", qos="1", payload=b"")
    device.loop.run(
        device.store.deploy(
            COMPONENT, merge={"accessControl": policies(MQTT_PROXY, ["*"], ["new"])}
        )
    )
    client.publish_to_iot_core(topic_name="new", qos="1", payload=b"")
    with pytest.raises(model.UnauthorizedError):
        client.publish_to_iot_core(topic_name="old", qos="1", payload=b"")


def test_policies_without_effect_are_reported_when_a_component_starts(device: Device) -> None:
    """What the nucleus would log about policies is in the timeline."""
    device.install(access_control=policies(MQTT_PROXY, ["*"], ["a?"]))
    device.client()
    assert "?" in str(device.timeline.wait_for("policy-problem", component=COMPONENT))


def test_a_policy_id_is_unique_on_the_device(device: Device) -> None:
    """On classic two components with one policy id lose that service both; lite does not mind."""
    for component in (COMPONENT, OTHER):
        device.install(component, access_control=policies(MQTT_PROXY, ["*"], ["*"], "same"))
    for component in (COMPONENT, OTHER):
        allowed = device.call(device.server.access_control, component).allows(
            MQTT_PROXY, "aws.greengrass#PublishToIoTCore", "a"
        )
        assert allowed is not device.classic


JSON = model.PublishMessage(json_message=model.JsonMessage(message={"a": [1, None]}))
BINARY = model.PublishMessage(binary_message=model.BinaryMessage(message=b"\x00\xff"))


def test_local_messages_reach_other_components(device: Device, client: Any) -> None:
    """JSON and binary messages arrive with their topic; other topics do not."""
    device.install(OTHER, access_control=policies(PUBSUB, ["*"], ["*"], "other"))
    events = Events()
    device.client(OTHER).subscribe_to_topic(topic="a/+", **events.handlers)
    client.publish_to_topic(topic="b", publish_message=JSON)
    client.publish_to_topic(topic="a/x", publish_message=JSON)
    client.publish_to_topic(topic="a/y", publish_message=BINARY)
    first, second = events.next(), events.next()
    assert first.json_message.message == {"a": [1, None]}
    assert first.json_message.context.topic == "a/x"
    assert second.binary_message.message == b"\x00\xff"
    assert second.binary_message.context.topic == "a/y"
    assert events.none()


@pytest.mark.parametrize(
    ("topic", "mode", "own"),
    [
        ("a/b", None, True),
        ("a/+", None, False),
        ("a/#", model.ReceiveMode.RECEIVE_ALL_MESSAGES, True),
        ("a/b", model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS, False),
    ],
)
def test_whether_a_component_hears_itself(
    device: Device, client: Any, topic: str, mode: str | None, own: bool
) -> None:
    """On classic that depends on the receive mode, by default on the filter; lite: always."""
    events, mark = Events(), Events()
    client.subscribe_to_topic(topic=topic, receive_mode=mode, **events.handlers)
    client.subscribe_to_topic(topic="mark", **mark.handlers)
    client.publish_to_topic(topic="a/b", publish_message=JSON)
    client.publish_to_topic(topic="mark", publish_message=JSON)
    mark.next()
    assert events.none() is (device.classic and not own)


def test_a_local_subscription_that_is_closed_hears_nothing(device: Device, client: Any) -> None:
    """After its stream is closed a subscriber gets no more messages."""
    events, mark = Events(), Events()
    _, operation = client.subscribe_to_topic(topic="a", **events.handlers)
    client.subscribe_to_topic(topic="a", **mark.handlers)
    operation.close()
    assert events.closed.wait(20) or not device.classic
    client.publish_to_topic(topic="a", publish_message=JSON)
    mark.next()
    assert events.none()


def test_local_pubsub_is_authorized(device: Device) -> None:
    """Both operations need a policy of the pubsub service."""
    device.install(access_control=policies(MQTT_PROXY, ["*"], ["*"]))
    client = device.client()
    with pytest.raises(model.UnauthorizedError):
        client.publish_to_topic(topic="a", publish_message=JSON)
    with pytest.raises(model.UnauthorizedError):
        client.subscribe_to_topic(topic="a")
    assert len(device.timeline.find("unauthorized", component=COMPONENT, resource="a")) == 2


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("a/+", JSON),
        ("a/*", JSON),
        (None, JSON),
        ("a", None),
        ("a", model.PublishMessage()),
    ],
)
def test_a_local_publish_that_makes_no_sense(
    device: Device, client: Any, topic: str | None, message: Any
) -> None:
    """Wildcards in a topic and missing parts are refused."""
    with pytest.raises(model.InvalidArgumentsError if device.classic else model.ServiceError):
        client.publish_to_topic(topic=topic, publish_message=message)


def test_a_local_json_message_is_an_object(device: Device, client: Any) -> None:
    """A JSON message that is not an object does not fit the model."""
    message = model.PublishMessage(json_message=model.JsonMessage(message=[1]))
    with pytest.raises(StreamClosedError if device.classic else model.ServiceError):
        client.publish_to_topic(topic="a", publish_message=message)
