"""Connections of the IPC socket: who is let in, and what ends them."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc
import pytest
from awscrt.exceptions import AwsCrtError
from awsiot.eventstreamrpc import AccessDeniedError, StreamClosedError
from awsiot.greengrasscoreipc import model

from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.ipc import IpcServer
from lab.timeline import Timeline
from tests.lab.ipc_device import (
    COMPONENT,
    OTHER,
    TIMEOUT,
    Device,
    Events,
    RecordedMqtt,
)


def answers(client: Any) -> bool:
    """Whether the nucleus answers this client."""
    return bool(client.get_configuration(key_path=[]).component_name == COMPONENT)


def test_a_component_with_its_token_is_let_in(device: Device) -> None:
    """The SDK connects with the token of a component's start, and is known by its name."""
    assert answers(device.client())
    device.timeline.wait_for("ipc-connected", source="nucleus", component=COMPONENT)


def test_a_wrong_token_is_refused(device: Device) -> None:
    """A token that no component start was given is refused: classic says so, lite hangs up."""
    expected = AccessDeniedError if device.classic else AwsCrtError
    with pytest.raises(expected):
        device.client(token="0123456789ABCDEF")
    device.timeline.wait_for("ipc-refused", source="nucleus")
    assert device.timeline.find("ipc-connected") == []


def test_several_clients_are_served_at_once(device: Device) -> None:
    """Two connections of one component and one of another do not disturb one another."""
    device.install(OTHER)
    first, second, other = device.client(), device.client(), device.client(OTHER)
    first.close().result(TIMEOUT)
    assert answers(second)
    assert other.get_configuration(key_path=[]).component_name == OTHER


def test_a_stopped_component_is_cut_off(device: Device) -> None:
    """Forgetting a token closes its connections and refuses it from then on."""
    token = device.call(device.server.register, COMPONENT)
    mine, other = device.client(token=token), device.client()
    device.call(device.server.forget, token)
    device.timeline.wait_for(
        "ipc-disconnected", component=COMPONENT, reason="the component stopped"
    )
    assert answers(other)
    with pytest.raises((AccessDeniedError, AwsCrtError)):
        device.client(token=token)
    assert mine.client.close().exception(TIMEOUT) is not None


def test_a_cut_leaves_the_socket(device: Device) -> None:
    """After a fault that drops all connections, a client may come back with the same token."""
    token = device.call(device.server.register, COMPONENT)
    events = Events()
    client = device.client(token=token)
    client.subscribe_to_iot_core(topic_name="a", qos="1", **events.handlers)
    device.loop.run(device.server.drop_connections())
    assert events.closed.wait(TIMEOUT)
    assert device.mqtt.unsubscribed.get(timeout=TIMEOUT) == "a"
    assert answers(device.client(token=token))


def test_stopping_closes_everything(device: Device) -> None:
    """After stop nobody is connected, the socket is gone, and stopping again does nothing."""
    events = Events()
    device.client().subscribe_to_topic(topic="a", **events.handlers)
    device.loop.run(device.server.stop())
    assert events.closed.wait(TIMEOUT)
    assert not device.path.exists()
    with pytest.raises((AwsCrtError, RuntimeError)):
        device.client()
    device.loop.run(device.server.stop())


def test_a_nucleus_that_starts_again_takes_its_socket_back(device: Device) -> None:
    """A stopped server starts again, and so does one whose socket a crash left behind."""
    device.loop.run(device.server.stop())
    device.loop.run(device.server.start())
    assert answers(device.client())
    device.call(device.store.of(COMPONENT).update, (), {"x": 1}, device.now, device.now)
    assert len(device.timeline.find("configuration-updated")) == 1


def test_a_client_that_goes_takes_its_subscriptions_along(device: Device) -> None:
    """When a client disconnects, the nucleus unsubscribes for it."""
    client = device.client()
    client.subscribe_to_iot_core(topic_name="a", qos="1")
    client.close().result(TIMEOUT)
    assert device.mqtt.unsubscribed.get(timeout=TIMEOUT) == "a"
    device.timeline.wait_for("ipc-disconnected", component=COMPONENT)


def test_a_closed_stream_ends_its_subscription(device: Device) -> None:
    """Closing a subscription unsubscribes, and the connection stays good."""
    client, events = device.client(), Events()
    _, operation = client.subscribe_to_iot_core(topic_name="a", qos="1", **events.handlers)
    operation.close()
    assert device.mqtt.unsubscribed.get(timeout=TIMEOUT) == "a"
    assert answers(client)


def test_a_request_that_is_never_answered_blocks_nobody(device: Device) -> None:
    """While a subscription waits for MQTT, other requests of the connection are answered."""
    device.mqtt.never_connected = True
    client = device.client()
    pending = client.subscribe_to_iot_core_async(topic_name="a", qos="1")[0]
    assert answers(client)
    assert not pending.done()
    client.close().result(TIMEOUT)
    assert device.mqtt.cancelled.get(timeout=TIMEOUT) == "a"


def test_closing_a_waiting_stream_gives_it_up(device: Device) -> None:
    """A client that no longer wants an answer ends the operation behind it."""
    device.mqtt.never_connected = True
    client = device.client()
    _, operation = client.subscribe_to_iot_core_async(topic_name="a", qos="1")
    assert answers(client)
    operation.close()
    assert device.mqtt.cancelled.get(timeout=TIMEOUT) == "a"
    assert answers(client)


def test_an_operation_that_no_plugin_serves(device: Device) -> None:
    """Operations of the model that are not served are a ServiceError on both."""
    with pytest.raises(model.ServiceError) as error:
        device.client().restart_component(component_name=COMPONENT)
    assert error.value.message == (
        "Operation aws.greengrass#RestartComponent is not supported by Greengrass"
        if device.classic
        else None
    )


def test_every_operation_of_the_sdk_is_answered(device: Device) -> None:
    """Called with nothing at all, each one ends with an answer or an error, and soon."""
    client = device.client()
    names = [name for name in dir(client) if name.endswith("_async")]
    assert len(names) > 30
    for name in names:
        started = getattr(client, name)()
        future = started[0] if isinstance(started, tuple) else started
        error = future.exception(TIMEOUT)
        assert error is None or isinstance(error, model.GreengrassCoreIPCError | StreamClosedError)
    assert answers(client)


def test_a_request_that_does_not_fit_its_model(device: Device) -> None:
    """Wrong types are an internal error of no model on classic, a ServiceError on lite."""
    with pytest.raises(StreamClosedError if device.classic else model.ServiceError):
        device.client().get_configuration(component_name=["not", "text"])
    device.timeline.wait_for("ipc-malformed", component=COMPONENT)


def test_a_megabyte_passes_on_classic(classic: Device) -> None:
    """A message much larger than one read of the socket is put together."""
    client = classic.client()
    client.publish_to_iot_core(topic_name="a", qos="1", payload=bytes(1_000_000))
    assert classic.mqtt.published == [("a", bytes(1_000_000), 1)]


def test_a_socket_path_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    """A path over 107 bytes raises an error that names the limit, before anything is opened."""

    def server(path: Path) -> IpcServer:
        return IpcServer(
            path,
            runtime="classic",
            thing_name="press-7",
            mqtt=RecordedMqtt(),
            configuration=ConfigurationStore("classic"),
            timeline=Timeline(),
        )

    server(Path("/" + "x" * 106))
    with pytest.raises(ValueError, match="at most 107 bytes"):
        server(Path("/" + "x" * 107))


def test_what_is_not_a_socket_is_not_replaced(device: Device) -> None:
    """A file that stands in the socket's place stays, and starting fails."""
    assert stat.S_ISSOCK(device.path.stat().st_mode)
    device.loop.run(device.server.stop())
    device.path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        device.loop.run(device.server.start())
    assert device.path.read_text() == "mine"


def test_tokens_are_never_in_the_timeline(device: Device) -> None:
    """What lets a component in is not written where people read."""
    token = device.call(device.server.register, COMPONENT)
    device.client(token=token)
    device.call(device.server.forget, token)
    with contextlib.suppress(AccessDeniedError, AwsCrtError):
        awsiot.greengrasscoreipc.connect(ipc_socket=str(device.path), authtoken=token)
    assert all(token not in repr(entry) for entry in device.timeline.entries)


def test_a_fault_of_the_lab_is_loud(classic: Device) -> None:
    """An operation that fails in a way nobody foresaw ends the connection, and is reported."""
    reports: list[str] = []
    loop = classic.loop.loop
    classic.call(loop.set_exception_handler, lambda _, context: reports.append(context["message"]))
    classic.mqtt.failure = ZeroDivisionError("a bug")
    with pytest.raises((StreamClosedError, AwsCrtError)):
        classic.client().publish_to_iot_core(topic_name="a", qos="1", payload=b"")
    classic.timeline.wait_for("ipc-disconnected", reason="a fault of the lab")
    assert reports == ["an IPC operation failed"]
