"""The IPC protocol spoken by a client that keeps to it, or does not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.nucleus.eventstream import (
    CONNECTION_ACCEPTED,
    TERMINATE_STREAM,
    Message,
    MessageType,
    Opaque,
    Value,
    encode,
)
from lab.nucleus.ipc_connection import LITE_MAX_MESSAGE, MAX_STREAMS
from tests.lab.ipc_device import (
    COMPONENT,
    TIMEOUT,
    Device,
    connect,
    connected,
    request,
)


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.CONNECT, payload=b"{}"),
        Message(MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b'{"authToken": 7}'),
        Message(MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b"no JSON"),
        Message(MessageType.CONNECT, headers={":version": "0.1.0"}, payload=b"[" * 100_000),
        Message(MessageType.CONNECT, headers={":version": "0.1.0"}),
    ],
)
def test_a_malformed_connect_is_refused(classic: Device, message: Message) -> None:
    """Without version and token in a JSON object the answer is a refusal, never silence."""
    with classic.raw() as client:
        client.send(message)
        assert client.receive() == Message(MessageType.CONNECT_ACK)
        client.send(request("GetConfiguration"))
        assert client.receive() is None


def test_another_protocol_version_is_refused(classic: Device) -> None:
    """Only version 0.1.0 is spoken."""
    with classic.raw() as client:
        client.send(connect(classic.call(classic.server.register, COMPONENT), version="0.2.0"))
        assert client.receive() == Message(MessageType.CONNECT_ACK)


def test_nothing_is_answered_before_connecting(device: Device) -> None:
    """A request without a connect before it ends the connection."""
    with device.raw() as client:
        client.send(request("GetConfiguration"))
        assert client.receive() is None
    device.timeline.wait_for("ipc-refused", reason="it did not connect first")


def test_an_operation_outside_the_model(device: Device) -> None:
    """Classic answers an unknown operation with an error of no model, lite with ServiceError."""
    with connected(device) as client:
        client.send(request("MakeCoffee"))
        message = client.receive()
        assert message is not None
        assert message.type is MessageType.APPLICATION_ERROR
        assert message.flags == TERMINATE_STREAM
        assert message.headers.get("service-model-type") == (
            None if device.classic else "aws.greengrass#ServiceError"
        )


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"7", b"[" * 200_000, b'{"a":' * 150 + b"1" + b"}" * 150, b"1" * 5000],
)
def test_a_payload_that_is_no_object_is_malformed(classic: Device, payload: bytes) -> None:
    """Whatever JSON parsing does with it, the stream ends with an error and others live on."""
    with connected(classic) as client:
        client.send(request("GetConfiguration", payload))
        message = client.receive()
        assert message is not None
        assert (message.type, message.payload) == (
            MessageType.APPLICATION_ERROR,
            b"InternalServerError",
        )
        client.send(request("GetConfiguration", stream=2))
        message = client.receive()
        assert message is not None
        assert message.type is MessageType.APPLICATION_MESSAGE


def test_a_single_answer_ends_its_stream_on_classic_only(device: Device) -> None:
    """Classic sets the terminate flag with the answer; lite leaves that to the client."""
    with connected(device) as client:
        client.send(request("GetConfiguration"))
        message = client.receive()
        assert message is not None
        assert message.flags == (TERMINATE_STREAM if device.classic else 0)
        client.send(Message(MessageType.APPLICATION_MESSAGE, 1, TERMINATE_STREAM))
        client.send(request("GetConfiguration", stream=2))
        assert client.receive() is not None


def test_classic_answers_a_ping_with_what_it_said(classic: Device) -> None:
    """Headers and payload of a ping come back."""
    with connected(classic) as client:
        headers: dict[str, Value] = {"a": "b", "n": 1, "t": Opaque(0, b"")}
        client.send(Message(MessageType.PING, headers=headers, payload=b"x"))
        assert client.receive() == Message(MessageType.PING_RESPONSE, headers=headers, payload=b"x")
        client.send(Message(MessageType.PING_RESPONSE))
        client.send(Message(MessageType.PING))
        assert client.receive() == Message(MessageType.PING_RESPONSE)


def test_lite_ends_a_connection_that_pings(lite: Device) -> None:
    """Lite takes nothing on stream 0 after the connect."""
    with connected(lite) as client:
        client.send(Message(MessageType.PING))
        assert client.receive() == Message(MessageType.PROTOCOL_ERROR)
        assert client.receive() is None


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.CONNECT),
        Message(MessageType.APPLICATION_MESSAGE),
        Message(MessageType.PING, 1),
        Message(MessageType.APPLICATION_MESSAGE, 1),
        Message(MessageType.APPLICATION_MESSAGE, 1, headers={"operation": 7}),
    ],
)
def test_a_message_out_of_place_ends_the_connection(device: Device, message: Message) -> None:
    """A client that does not keep to the protocol gets a protocol error and is cut off."""
    with connected(device) as client:
        client.send(message)
        assert client.receive() == Message(MessageType.PROTOCOL_ERROR)
        assert client.receive() is None


def test_stream_numbers_only_rise(classic: Device) -> None:
    """A stream number that was used before does not open a stream again."""
    with connected(classic) as client:
        client.send(request("GetConfiguration", stream=5))
        assert client.receive() is not None
        client.send(request("GetConfiguration", stream=4))
        assert client.receive() == Message(MessageType.PROTOCOL_ERROR)


def test_streams_without_end_are_cut_off(classic: Device) -> None:
    """A client may not hold more streams open than there can be reason for."""
    classic.mqtt.never_connected = True
    payload = b'{"topicName": "a", "qos": "1"}'
    with connected(classic) as client:
        for number in range(1, MAX_STREAMS + 2):
            client.send(request("SubscribeToIoTCore", payload, number))
        assert client.receive() == Message(MessageType.PROTOCOL_ERROR)
        assert client.receive() is None


def test_a_client_that_does_not_read_is_cut_off(
    classic: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events pile up for a client only so far."""
    monkeypatch.setattr("lab.nucleus.ipc_connection.MAX_UNREAD", 100_000)
    with connected(classic) as client:
        client.send(request("SubscribeToIoTCore", b'{"topicName": "a", "qos": "1"}'))
        assert client.receive() is not None
        deliver = classic.mqtt.subscribed["a"]
        for _ in range(100):
            classic.call(deliver, "a", bytes(10_000))
        classic.timeline.wait_for("ipc-disconnected", reason="it does not read what it is sent")


def test_lite_takes_messages_of_10_000_bytes(lite: Device) -> None:
    """A message that is larger than lite's buffer ends the connection; classic takes it."""
    base = len(encode(request("GetConfiguration", b'{"x":""}')))
    fitting = b'{"x":"%s"}' % (b"y" * (LITE_MAX_MESSAGE - base))
    with connected(lite) as client:
        client.send(request("GetConfiguration", fitting))
        assert client.receive() is not None
        client.send(request("GetConfiguration", fitting.replace(b"y", b"yy", 1), 2))
        assert client.receive() is None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.binary(min_size=1, max_size=200), before=st.booleans(), flip=st.integers(0, 10))
def test_garbage_kills_only_its_own_connection(
    device: Device, garbage: bytes, before: bool, flip: int
) -> None:
    """Random or damaged bytes, before or after connecting, never harm the nucleus."""
    token = device.call(device.server.register, COMPONENT)
    damaged = bytearray(encode(request("GetConfiguration")))
    damaged[flip] ^= 0xFF
    with device.raw() as client:
        if not before:
            client.send(connect(token))
            assert client.receive() is not None
        client.connection.sendall(garbage + bytes(damaged))
        # The nucleus may have closed it already.
        with contextlib.suppress(OSError):
            client.connection.shutdown(1)
        while client.receive() is not None:
            pass
    with device.raw() as client:
        client.send(connect(token))
        assert client.receive() == Message(MessageType.CONNECT_ACK, flags=CONNECTION_ACCEPTED)


def test_nothing_is_sent_on_a_stream_that_has_ended(device: Device) -> None:
    """A message that MQTT still delivers after the stream's end goes nowhere."""
    with connected(device) as client:
        client.send(request("SubscribeToIoTCore", b'{"topicName": "a", "qos": "1"}'))
        assert client.receive() is not None
        deliver = device.mqtt.subscribed["a"]
        client.send(Message(MessageType.APPLICATION_MESSAGE, 1, TERMINATE_STREAM))
        assert device.mqtt.unsubscribed.get(timeout=TIMEOUT) == "a"
        device.call(deliver, "a", b"late")
        client.send(request("GetConfiguration", stream=2))
        message = client.receive()
        assert message is not None
        assert message.stream == 2
