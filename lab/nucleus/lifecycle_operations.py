"""What a component tells and hears over IPC about its life: state, updates, certificates.

The nucleus's side of it, too: asking components before an update, and sending the local
MQTT broker's server certificate. Classic; of these, lite serves UpdateState alone.

Sources: ``LifecycleIPCEventStreamAgent`` and ``ComponentMetricIPCEventStreamAgent`` of the
classic nucleus; ``SubscribeToCertificateUpdatesOperationHandler`` of client device auth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.nucleus.authorization import CLIENT_DEVICE_AUTH, COMPONENT_METRIC
from lab.nucleus.operations import Answer, Call, IpcError, MalformedRequest, Nucleus, Operation


class Deferral(NamedTuple):
    """What a component answers to a pending update; 0 milliseconds: go ahead."""

    recheck_after_ms: int
    message: str | None = None


@dataclass(frozen=True)
class CertificateUpdate:
    """The local MQTT broker's server certificate, its key and its chain, all PEM."""

    certificate: str
    public_key: str
    private_key: str = field(repr=False)
    ca_certificates: tuple[str, ...] = ()


class LifecycleOperations:
    """UpdateState, component updates, certificate updates, PutComponentMetric."""

    def __init__(self, nucleus: Nucleus, state_reported: Callable[[str, str], None]) -> None:
        self._nucleus = nucleus
        self._state_reported = state_reported
        self._update_calls: list[Call] = []
        # (component, deployment id) -> what the component says to the pending update
        self._deferrals: dict[tuple[str, str], asyncio.Future[Deferral]] = {}
        self._certificate_calls: list[Call] = []
        self._certificate: CertificateUpdate | None = None

    def operations(self) -> dict[str, Operation]:
        """By name, those that this nucleus serves now."""
        served = {"UpdateState": Operation(self._update_state)}
        if self._nucleus.classic:
            served |= {
                "SubscribeToComponentUpdates": Operation(self._component_updates, streams=True),
                "DeferComponentUpdate": Operation(self._defer),
                "PutComponentMetric": Operation(self._put_metric),
            }
            if CLIENT_DEVICE_AUTH in self._nucleus.configuration:
                served["SubscribeToCertificateUpdates"] = Operation(
                    self._certificate_updates, streams=True
                )
        return served

    async def _update_state(self, call: Call) -> Answer:
        state = call.request.text("state")
        if state not in ("RUNNING", "ERRORED"):
            raise MalformedRequest("state is neither RUNNING nor ERRORED")
        self._nucleus.record("state-reported", component=call.component, state=state)
        self._state_reported(call.component, state)
        return {}

    async def _component_updates(self, call: Call) -> Answer:
        self._update_calls.append(call)
        call.on_close(lambda: self._update_calls.remove(call))
        self._nucleus.subscribed(call, "SubscribeToComponentUpdates")
        return {}

    async def _defer(self, call: Call) -> Answer:
        deployment_id = call.request.text("deploymentId")
        recheck_after_ms = call.request.number("recheckAfterMs")
        message = call.request.text("message")
        if not any(other.component == call.component for other in self._update_calls):
            raise IpcError(
                "InvalidArgumentsError", "Component is not subscribed to component update events"
            )
        if deployment_id is None:
            raise IpcError(
                "InvalidArgumentsError",
                "Cannot defer the update, the deployment ID provided was null",
            )
        pending = self._deferrals.pop((call.component, deployment_id), None)
        if pending is None or pending.done():
            raise IpcError(
                "ServiceError", "Time limit to respond to PreComponentUpdateEvent exceeded"
            )
        pending.set_result(Deferral(int(recheck_after_ms or 0), message))
        self._nucleus.record(
            "component-update-answered",
            component=call.component,
            deployment=deployment_id,
            recheck_after_ms=int(recheck_after_ms or 0),
            message=message,
        )
        return {}

    async def ask_component_update(
        self, deployment_id: str, *, is_ggc_restarting: bool, timeout: float
    ) -> dict[str, Deferral]:
        """Send the pre-update event to every subscriber; gives who answered within ``timeout`` s.

        Returns as soon as all have answered; whoever answers later gets a ServiceError.
        """
        self._deferrals.clear()
        event = {"deploymentId": deployment_id, "isGgcRestarting": is_ggc_restarting}
        self._nucleus.record("component-update-asked", deployment=deployment_id)
        asked: dict[str, asyncio.Future[Deferral]] = {}
        for call in tuple(self._update_calls):
            if call.component not in asked:
                asked[call.component] = asyncio.get_running_loop().create_future()
                self._deferrals[call.component, deployment_id] = asked[call.component]
            call.event("ComponentUpdatePolicyEvents", {"preUpdateEvent": event})
        if asked:
            await asyncio.wait(asked.values(), timeout=timeout)
        for component in asked:
            self._deferrals.pop((component, deployment_id), None)
        return {name: answer.result() for name, answer in asked.items() if answer.done()}

    def end_component_update(self, deployment_id: str) -> None:
        """Send the post-update event to every subscriber."""
        for call in tuple(self._update_calls):
            event = {"deploymentId": deployment_id}
            call.event("ComponentUpdatePolicyEvents", {"postUpdateEvent": event})

    async def _certificate_updates(self, call: Call) -> Answer:
        self._nucleus.authorize(
            call.component, CLIENT_DEVICE_AUTH, "SubscribeToCertificateUpdates", "*"
        )
        options = call.request.part("certificateOptions")
        if options is None:
            raise self._nucleus.missing("Certificate options are required.")
        if options.text("certificateType") != "SERVER":
            raise self._nucleus.missing("Valid certificate type is required.")
        self._certificate_calls.append(call)
        call.on_close(lambda: self._certificate_calls.remove(call))
        self._nucleus.subscribed(call, "SubscribeToCertificateUpdates")
        if self._certificate is not None:
            _send_certificate(call, self._certificate)
        return {}

    def send_certificate(self, update: CertificateUpdate) -> None:
        """Send a server certificate to every subscriber, and to later ones when they come."""
        self._certificate = update
        self._nucleus.record("certificate-sent", subscribers=len(self._certificate_calls))
        for call in tuple(self._certificate_calls):
            _send_certificate(call, update)

    async def _put_metric(self, call: Call) -> Answer:
        self._nucleus.authorize(call.component, COMPONENT_METRIC, "PutComponentMetric", "*")
        if not call.component.startswith("aws."):
            raise IpcError(
                "UnauthorizedError",
                f"Principal {call.component} is not authorized to perform "
                f"{COMPONENT_METRIC}:aws.greengrass#PutComponentMetric",
            )
        metrics = call.request.any("metrics")
        if not isinstance(metrics, list) or not metrics:
            raise self._nucleus.missing(
                "Null or Empty list of metrics found in PutComponentMetricRequest"
            )
        for metric in metrics:
            if not _is_metric(metric):
                raise self._nucleus.missing("Invalid argument found in PutComponentMetricRequest")
        return {}


def _send_certificate(call: Call, update: CertificateUpdate) -> None:
    content = {
        "privateKey": update.private_key,
        "publicKey": update.public_key,
        "certificate": update.certificate,
        "caCertificates": list(update.ca_certificates),
    }
    call.event("CertificateUpdateEvent", {"certificateUpdate": content})


def _is_metric(metric: object) -> bool:
    if not isinstance(metric, dict):
        return False
    name, unit, value = (metric.get(key) for key in ("name", "unit", "value"))
    return (
        isinstance(name, str)
        and 0 < len(name.encode()) <= 32
        and isinstance(unit, str)
        and unit != ""
        and isinstance(value, int | float)
        and value >= 0
    )
