"""State, component updates, certificate updates and metrics through the real SDK."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import pytest
from awsiot.eventstreamrpc import StreamClosedError
from awsiot.greengrasscoreipc import model

from lab.nucleus.authorization import CLIENT_DEVICE_AUTH, COMPONENT_METRIC
from lab.nucleus.lifecycle_operations import CertificateUpdate, Deferral
from tests.lab.ipc_device import (
    COMPONENT,
    OTHER,
    TIMEOUT,
    Device,
    Events,
    policies,
    running_device,
)


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_a_component_reports_its_state(runtime: Any) -> None:
    """RUNNING and ERRORED reach the lab on both nuclei; there are no others."""
    with running_device(runtime) as device:
        device.install()
        client = device.client()
        for state in ("RUNNING", "ERRORED"):
            client.update_state(state=state)
            assert device.states.get(timeout=TIMEOUT) == (COMPONENT, state)
        with pytest.raises(StreamClosedError if device.classic else model.ServiceError):
            client.update_state(state="FINISHED")
        assert device.states.empty()


def ask(
    device: Device, deployment_id: str, timeout: float = TIMEOUT
) -> concurrent.futures.Future[dict[str, Deferral]]:
    return asyncio.run_coroutine_threadsafe(
        device.server.ask_component_update(deployment_id, timeout=timeout), device.loop.loop
    )


def test_a_component_defers_an_update(classic: Device) -> None:
    """It hears of the update, answers for how long to wait, and hears when it is over."""
    client, events = classic.client(), Events()
    client.subscribe_to_component_updates(**events.handlers)
    answers = ask(classic, "d-1")
    event = events.next().pre_update_event
    assert (event.deployment_id, event.is_ggc_restarting) == ("d-1", False)
    client.defer_component_update(deployment_id="d-1", message="rotating", recheck_after_ms=5000)
    assert answers.result(TIMEOUT) == {COMPONENT: Deferral(5000, "rotating")}
    again = ask(classic, "d-1")
    assert events.next().pre_update_event.deployment_id == "d-1"
    client.defer_component_update(deployment_id="d-1", recheck_after_ms=0)
    assert again.result(TIMEOUT) == {COMPONENT: Deferral(0)}
    classic.call(classic.server.end_component_update, "d-1")
    assert events.next().post_update_event.deployment_id == "d-1"


def test_every_subscriber_is_asked(classic: Device) -> None:
    """The nucleus waits for all, and only until the time limit."""
    classic.install(OTHER, access_control={})
    first, second = classic.client(), classic.client(OTHER)
    first_events, second_events = Events(), Events()
    first.subscribe_to_component_updates(**first_events.handlers)
    second.subscribe_to_component_updates(**second_events.handlers)
    answers = ask(classic, "d-1")
    first_events.next()
    second_events.next()
    first.defer_component_update(deployment_id="d-1", recheck_after_ms=1)
    assert not answers.done()
    second.defer_component_update(deployment_id="d-1", recheck_after_ms=2)
    assert answers.result(TIMEOUT) == {COMPONENT: Deferral(1), OTHER: Deferral(2)}
    assert ask(classic, "d-2", timeout=0.01).result(TIMEOUT) == {}


def test_a_deferral_that_comes_too_late(classic: Device) -> None:
    """After the time limit, for another deployment, or a second time it is a ServiceError."""
    client, events = classic.client(), Events()
    client.subscribe_to_component_updates(**events.handlers)
    assert ask(classic, "d-1", timeout=0.01).result(TIMEOUT) == {}
    for deployment_id in ("d-1", "d-2"):
        with pytest.raises(model.ServiceError) as error:
            client.defer_component_update(deployment_id=deployment_id, recheck_after_ms=1)
        assert error.value.message == "Time limit to respond to PreComponentUpdateEvent exceeded"
    with pytest.raises(model.InvalidArgumentsError):
        client.defer_component_update(recheck_after_ms=1)


def test_a_deferral_needs_a_subscription(classic: Device) -> None:
    """Who did not subscribe, or no longer is, cannot defer, and is not asked."""
    client = classic.client()
    with pytest.raises(model.InvalidArgumentsError):
        client.defer_component_update(deployment_id="d-1", recheck_after_ms=1)
    client.subscribe_to_component_updates()
    client.close().result(TIMEOUT)
    classic.timeline.wait_for("ipc-disconnected")
    assert ask(classic, "d-1").result(TIMEOUT) == {}


CERTIFICATE = CertificateUpdate(
    certificate="-----CERTIFICATE-----",
    public_key="-----PUBLIC-----",
    private_key="-----PRIVATE-----",
    ca_certificates=("-----CA-----",),
)


def subscribe_to_certificates(client: Any, events: Events, kind: str | None = "SERVER") -> Any:
    return client.subscribe_to_certificate_updates(
        certificate_options=model.CertificateOptions(certificate_type=kind), **events.handlers
    )


def test_a_component_follows_the_broker_s_certificate(classic: Device) -> None:
    """Subscribers get each new certificate, and who comes later gets the last one at once."""
    classic.call(classic.store.add, CLIENT_DEVICE_AUTH, {})
    classic.install(access_control=policies(CLIENT_DEVICE_AUTH, ["*"], ["*"]))
    client, early, late = classic.client(), Events(), Events()
    subscribe_to_certificates(client, early)
    classic.call(classic.server.send_certificate, CERTIFICATE)
    subscribe_to_certificates(client, late)
    for events in (early, late):
        update = events.next().certificate_update
        assert update.certificate == CERTIFICATE.certificate
        assert update.private_key == CERTIFICATE.private_key
        assert update.public_key == CERTIFICATE.public_key
        assert update.ca_certificates == ["-----CA-----"]
    with pytest.raises(model.InvalidArgumentsError):
        subscribe_to_certificates(client, Events(), None)
    with pytest.raises(model.InvalidArgumentsError):
        client.subscribe_to_certificate_updates()


def test_a_certificate_update_keeps_its_key_to_itself(classic: Device) -> None:
    """Neither its repr nor the timeline shows the private key."""
    classic.call(classic.server.send_certificate, CERTIFICATE)
    assert "PRIVATE" not in repr(CERTIFICATE)
    assert all("PRIVATE" not in repr(entry) for entry in classic.timeline.entries)


def test_certificate_updates_need_a_policy_and_client_device_auth(classic: Device) -> None:
    """Without the component that renews it nobody serves it; with it, a policy is needed."""
    client = classic.client()
    with pytest.raises(model.ServiceError):
        subscribe_to_certificates(client, Events())
    classic.call(classic.store.add, CLIENT_DEVICE_AUTH, {})
    with pytest.raises(model.UnauthorizedError):
        subscribe_to_certificates(client, Events())


def put_metric(client: Any, name: str = "alerts", value: float = 1.0) -> None:
    metric = model.Metric(name=name, unit=model.MetricUnitType.COUNT, value=value)
    client.put_component_metric(metrics=[metric])


def test_metrics_are_for_aws_components(classic: Device) -> None:
    """A policy alone is not enough: the component's name must begin with ``aws.``."""
    allowed = policies(COMPONENT_METRIC, ["*"], ["*"])
    classic.install(access_control=allowed)
    with pytest.raises(model.UnauthorizedError):
        put_metric(classic.client())
    classic.call(classic.store.remove, COMPONENT)
    classic.install("aws.example", access_control=allowed)
    client = classic.client("aws.example")
    put_metric(client)
    for wrong in ({"name": ""}, {"name": "x" * 33}, {"value": -1.0}):
        with pytest.raises(model.InvalidArgumentsError):
            put_metric(client, **wrong)
    with pytest.raises(model.InvalidArgumentsError):
        client.put_component_metric(metrics=[])


def test_metrics_need_a_policy(classic: Device) -> None:
    """Without one even an AWS component is refused."""
    classic.install("aws.example")
    with pytest.raises(model.UnauthorizedError):
        put_metric(classic.client("aws.example"))


def test_what_lite_does_not_serve_is_a_service_error(lite: Device) -> None:
    """A component that takes one of these for fatal does not run on lite."""
    lite.call(lite.store.add, CLIENT_DEVICE_AUTH, {})
    client = lite.client()
    calls = [
        client.subscribe_to_component_updates,
        lambda: client.defer_component_update(deployment_id="d", recheck_after_ms=1),
        lambda: subscribe_to_certificates(client, Events()),
        lambda: put_metric(client),
    ]
    for call in calls:
        with pytest.raises(model.ServiceError) as error:
            call()
        assert error.value.message is None
