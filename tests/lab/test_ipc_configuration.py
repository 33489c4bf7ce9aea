"""The configuration through the real SDK."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from awsiot.eventstreamrpc import StreamClosedError
from awsiot.greengrasscoreipc import model

from lab.nucleus.configuration import ConfigurationRefused
from lab.nucleus.eventstream import MessageType
from tests.lab.ipc_device import (
    COMPONENT,
    OTHER,
    TIMEOUT,
    Device,
    Events,
    connected,
    request,
    running_device,
)

NUCLEUS = "aws.greengrass.Nucleus"
VALUES: dict[str, Any] = {
    "schedule": "rate(1 day)",
    "alerts": {"topic": "a", "days": [30, 7], "on": True},
}


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with running_device(request.param) as device:
        device.install(**VALUES)
        device.call(
            device.store.add, NUCLEUS, {"awsRegion": "eu-central-1", "mqtt": {"port": 8883}}
        )
        yield device


@pytest.fixture
def classic() -> Iterator[Device]:
    with running_device("classic") as device:
        device.install(**VALUES)
        yield device


def deploy(device: Device, component: str = COMPONENT, **change: Any) -> Any:
    return device.loop.run(device.store.deploy(component, **change))


def deploy_soon(device: Device, **change: Any) -> concurrent.futures.Future[Any]:
    """A deployment that a component is to be asked about."""
    return asyncio.run_coroutine_threadsafe(
        device.store.deploy(COMPONENT, **change), device.loop.loop
    )


def time_of(device: Device, milliseconds: int = 0) -> datetime.datetime:
    """The nucleus's clock, and so many milliseconds."""
    return datetime.datetime.fromtimestamp((device.now + milliseconds) / 1000, datetime.UTC)


def test_a_component_reads_its_own_configuration(device: Device) -> None:
    """The whole, a container, and a leaf, which comes wrapped with its name."""
    client = device.client()
    whole = client.get_configuration()
    assert whole.component_name == COMPONENT
    assert {key: whole.value[key] for key in VALUES} == VALUES
    assert client.get_configuration(key_path=["alerts"]).value == VALUES["alerts"]
    assert client.get_configuration(key_path=["schedule"]).value == {"schedule": "rate(1 day)"}
    assert client.get_configuration(key_path=["alerts", "days"]).value == {"days": [30, 7]}


def test_a_component_reads_the_nucleus_s_and_others_configuration(device: Device) -> None:
    """No policy is needed to read another component's configuration."""
    device.install(OTHER, access_control={}, x=1)
    client = device.client()
    assert client.get_configuration(component_name=NUCLEUS, key_path=["mqtt"]).value == {
        "port": 8883
    }
    other = client.get_configuration(component_name=OTHER, key_path=["x"])
    assert (other.component_name, other.value) == (OTHER, {"x": 1})


@pytest.mark.parametrize(
    ("component", "path"),
    [
        (None, ["nothing"]),
        (None, ["schedule", "deeper"]),
        (NUCLEUS, ["system"]),
        (NUCLEUS, ["system", "certificateFilePath"]),
        ("system", []),
        ("com.example.Nobody", []),
    ],
)
def test_what_is_not_there_is_not_found(
    device: Device, component: str | None, path: list[str]
) -> None:
    """An absent key or component, and the system's part, are ResourceNotFoundError."""
    client = device.client()
    for operation in (client.get_configuration, client.subscribe_to_configuration_update):
        with pytest.raises(model.ResourceNotFoundError):
            operation(component_name=component, key_path=path)


def test_case_is_the_nucleus_s(device: Device) -> None:
    """Classic answers to a key in any case, with the name that the key really has."""
    client = device.client()
    if device.classic:
        assert client.get_configuration(key_path=["SCHEDULE"]).value == {"schedule": "rate(1 day)"}
    else:
        with pytest.raises(model.ResourceNotFoundError):
            client.get_configuration(key_path=["SCHEDULE"])


def test_a_component_updates_its_configuration(device: Device) -> None:
    """A merged value is read back, and the update is in the timeline."""
    client = device.client()
    client.update_configuration(
        key_path=["alerts"], timestamp=time_of(device, 1), value_to_merge={"topic": "b"}
    )
    client.update_configuration(timestamp=time_of(device, 1), value_to_merge={"new": {"x": 1}})
    assert client.get_configuration(key_path=["alerts", "topic"]).value == {"topic": "b"}
    assert client.get_configuration(key_path=["new"]).value == {"x": 1}
    device.timeline.wait_for("configuration-updated", component=COMPONENT, key_path="alerts/topic")


def test_an_update_from_the_past_is_refused_on_classic(device: Device) -> None:
    """A stale timestamp is an error on classic; lite answers well and changes nothing."""
    client = device.client()
    arguments = {"timestamp": time_of(device, -1), "value_to_merge": {"schedule": "old"}}
    if device.classic:
        with pytest.raises(model.FailedUpdateConditionCheckError):
            client.update_configuration(**arguments)
    else:
        client.update_configuration(**arguments)
    assert client.get_configuration(key_path=["schedule"]).value == {"schedule": "rate(1 day)"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([], {"accessControl": {}}),
        (["accessControl"], {"aws.greengrass.ipc.mqttproxy": {}}),
        (["accessControl", "aws.greengrass.ipc.mqttproxy"], {"x": 1}),
    ],
)
def test_a_component_does_not_change_its_own_policies(
    device: Device, path: list[str], value: dict[str, Any]
) -> None:
    """``accessControl`` is out of a component's reach."""
    client = device.client()
    before = client.get_configuration(key_path=["accessControl"]).value
    with pytest.raises(model.InvalidArgumentsError):
        client.update_configuration(
            key_path=path, timestamp=time_of(device, 1), value_to_merge=value
        )
    assert client.get_configuration(key_path=["accessControl"]).value == before


def test_classic_wants_a_container_to_merge_into(device: Device) -> None:
    """A key path to a leaf is refused by classic; lite writes it, of any type."""
    client = device.client()
    arguments = {"key_path": ["schedule"], "timestamp": time_of(device, 1)}
    with pytest.raises(model.InvalidArgumentsError if device.classic else model.ServiceError):
        client.update_configuration(value_to_merge={"schedule": "x"}, **arguments)
    if device.classic:
        with pytest.raises(StreamClosedError):
            client.update_configuration(value_to_merge="x", **arguments)
    else:
        client.update_configuration(value_to_merge="x", **arguments)
        assert client.get_configuration(key_path=["schedule"]).value == {"schedule": "x"}


def test_an_update_that_cannot_be_is_a_service_error(device: Device) -> None:
    """A container does not become a leaf, and lite says no more than that it failed."""
    with pytest.raises(model.ServiceError):
        device.client().update_configuration(
            timestamp=time_of(device, 1), value_to_merge={"alerts": 1}
        )


def test_a_value_that_is_no_unicode_is_still_a_value(device: Device) -> None:
    """JSON can hold half a character; such a value is kept like any other."""
    client = device.client()
    client.update_configuration(timestamp=time_of(device, 1), value_to_merge={"x": "\ud800"})
    assert client.get_configuration(key_path=["x"]).value == {"x": "\ud800"}


@pytest.mark.parametrize("arguments", [{"value_to_merge": {}}, {"timestamp": 0}])
def test_an_update_lacks_something(device: Device, arguments: dict[str, Any]) -> None:
    """Time and value are both required."""
    if "timestamp" in arguments:
        arguments = {"timestamp": time_of(device)}
    with pytest.raises(model.InvalidArgumentsError):
        device.client().update_configuration(**arguments)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"timestamp": 1e999, "valueToMerge": {}}',
        b'{"timestamp": true, "valueToMerge": {}}',
        b'{"timestamp": 1, "valueToMerge": {}, "keyPath": "x"}',
        b'{"timestamp": 1, "valueToMerge": {}, "keyPath": [null]}',
        b'{"timestamp": 1, "valueToMerge": {}, "keyPath": ["\\ud800"]}',
        b'{"timestamp": 1, "valueToMerge": {}, "keyPath": [%s]}' % b",".join([b'"x"'] * 2000),
    ],
)
def test_a_malformed_update_is_an_error(classic: Device, payload: bytes) -> None:
    """Numbers out of range, wrong types and endless paths end the stream, nothing else."""
    with connected(classic) as client:
        client.send(request("UpdateConfiguration", payload))
        message = client.receive()
        assert message is not None
        assert message.type is MessageType.APPLICATION_ERROR
    assert classic.client().get_configuration(key_path=["schedule"]).value


def test_a_subscriber_is_told_which_key_changed(device: Device) -> None:
    """The event names the component and the path of the leaf, and carries no value."""
    client, everything, topic = device.client(), Events(), Events()
    client.subscribe_to_configuration_update(key_path=[], **everything.handlers)
    client.subscribe_to_configuration_update(key_path=["alerts", "topic"], **topic.handlers)
    deploy(device, merge={"schedule": "x", "alerts": {"topic": "b"}})
    seen = [everything.next().configuration_update_event for _ in range(2)]
    assert [event.component_name for event in seen] == [COMPONENT, COMPONENT]
    assert sorted(event.key_path for event in seen) == [["alerts", "topic"], ["schedule"]]
    assert topic.next().configuration_update_event.key_path == ["alerts", "topic"]
    assert topic.none()


def test_a_subscriber_follows_another_component(device: Device) -> None:
    """Changes of the nucleus's configuration arrive under the name that was asked for."""
    client, events = device.client(), Events()
    client.subscribe_to_configuration_update(
        component_name=NUCLEUS, key_path=["awsRegion"], **events.handlers
    )
    deploy(device, NUCLEUS, merge={"awsRegion": "us-east-1"})
    event = events.next().configuration_update_event
    assert (event.component_name, event.key_path) == (NUCLEUS, ["awsRegion"])


def test_a_closed_configuration_subscription_hears_nothing(device: Device) -> None:
    """Closing the stream ends it, and the nucleus forgets the subscriber."""
    client, events, mark = device.client(), Events(), Events()
    _, operation = client.subscribe_to_configuration_update(key_path=[], **events.handlers)
    client.subscribe_to_configuration_update(key_path=[], **mark.handlers)
    operation.close()
    client.get_configuration()
    deploy(device, merge={"schedule": "x"})
    mark.next()
    assert events.none()


def report(client: Any, deployment_id: str | None, status: str, message: str | None = None) -> None:
    client.send_configuration_validity_report(
        configuration_validity_report=model.ConfigurationValidityReport(
            status=status, deployment_id=deployment_id, message=message
        )
    )


def test_a_component_accepts_or_rejects_a_deployment(classic: Device) -> None:
    """The deployment waits for the report, brings what is accepted, and fails on a rejection."""
    client, events = classic.client(), Events()
    client.subscribe_to_validate_configuration_updates(**events.handlers)
    accepted = deploy_soon(classic, merge={"schedule": "x"}, deployment_id="d-1")
    event = events.next().validate_configuration_update_event
    assert event.deployment_id == "d-1"
    assert event.configuration["schedule"] == "x"
    assert event.configuration["alerts"] == VALUES["alerts"]
    report(client, "d-1", model.ConfigurationValidityStatus.ACCEPTED)
    accepted.result(TIMEOUT)
    assert client.get_configuration(key_path=["schedule"]).value == {"schedule": "x"}

    rejected = deploy_soon(classic, merge={"schedule": "y"}, deployment_id="d-2")
    events.next()
    report(client, "d-2", model.ConfigurationValidityStatus.REJECTED, "no schedule")
    with pytest.raises(ConfigurationRefused, match="no schedule"):
        rejected.result(TIMEOUT)
    assert client.get_configuration(key_path=["schedule"]).value == {"schedule": "x"}
    classic.timeline.wait_for("configuration-judged", deployment="d-2", status="REJECTED")


def test_a_report_that_nobody_waits_for_is_refused(classic: Device) -> None:
    """A report for no deployment, another one, or after the time limit is an error."""
    client, events = classic.client(), Events()
    client.subscribe_to_validate_configuration_updates(**events.handlers)
    with pytest.raises(model.InvalidArgumentsError):
        report(client, None, "ACCEPTED")
    with pytest.raises(ConfigurationRefused, match="no validation report"):
        deploy(classic, merge={"schedule": "x"}, deployment_id="d-1", validation_timeout=0.01)
    assert events.next().validate_configuration_update_event.deployment_id == "d-1"
    for deployment_id in ("d-1", "d-2"):
        with pytest.raises(model.InvalidArgumentsError) as error:
            report(client, deployment_id, "ACCEPTED")
        assert error.value.message == "Validation request either timed out or was never made"


def test_who_closed_its_validation_is_not_asked(classic: Device) -> None:
    """Without a subscription a deployment brings its configuration unjudged."""
    client = classic.client()
    client.subscribe_to_validate_configuration_updates()
    client.close().result(TIMEOUT)
    classic.timeline.wait_for("ipc-disconnected")
    deploy(classic, merge={"schedule": "x"}, validation_timeout=0.01)
    assert classic.call(classic.store.of(COMPONENT).get, ["schedule"]) == "x"


def test_lite_has_no_validation() -> None:
    """Both operations are a ServiceError on lite, without a message that the SDK could read."""
    with running_device("lite") as lite:
        lite.install()
        client = lite.client()
        with pytest.raises(model.ServiceError) as error:
            client.subscribe_to_validate_configuration_updates()
        assert error.value.message is None
        with pytest.raises(model.ServiceError):
            report(client, "d-1", "ACCEPTED")
