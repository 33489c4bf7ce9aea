"""The configuration over IPC: read, update, follow, and judge what a deployment brings.

Sources: ``ConfigStoreIPCEventStreamAgent`` of the classic nucleus; ``get_configuration.c``,
``update_configuration.c`` and ``subscribe_to_configuration_update.c`` of lite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from lab.nucleus.configuration import (
    ConfigurationRefused,
    StaleUpdate,
    UnknownKey,
    ValidityReport,
)
from lab.nucleus.configuration_tree import KeyPath, Leaf
from lab.nucleus.operations import (
    MAX_DEPTH,
    Answer,
    Call,
    IpcError,
    MalformedRequest,
    Nucleus,
    Operation,
)


class ConfigurationOperations:
    """GetConfiguration and its kin; the two for validation on classic only."""

    def __init__(self, nucleus: Nucleus) -> None:
        self._nucleus = nucleus
        # (component, deployment id) -> the report that a deployment waits for
        self._reports: dict[tuple[str, str], asyncio.Future[ValidityReport]] = {}

    def operations(self) -> dict[str, Operation]:
        """By name, those that this nucleus serves."""
        both = {
            "GetConfiguration": Operation(self._get),
            "UpdateConfiguration": Operation(self._update),
            "SubscribeToConfigurationUpdate": Operation(self._subscribe, streams=True),
        }
        if not self._nucleus.classic:
            return both
        return both | {
            "SubscribeToValidateConfigurationUpdates": Operation(self._validate, streams=True),
            "SendConfigurationValidityReport": Operation(self._report),
        }

    async def _get(self, call: Call) -> Answer:
        component, key_path = self._place(call)
        try:
            node = self._nucleus.configuration.of(component).node(key_path)
        except UnknownKey as error:
            raise _not_found() from error
        value = {node.name: node.value} if isinstance(node, Leaf) else node.plain()
        return {"componentName": component, "value": value}

    async def _update(self, call: Call) -> Answer:
        key_path = _key_path(call)
        value = call.request.any("valueToMerge")
        seconds = call.request.number("timestamp")
        if seconds is None:
            raise self._invalid("Timestamp is required")
        if value is None:
            raise self._invalid("ValueToMerge is required")
        if self._nucleus.classic and not isinstance(value, dict):
            raise MalformedRequest("valueToMerge is not an object")
        store = self._nucleus.configuration
        try:
            configuration = store.of(call.component)
        except UnknownKey as error:
            raise self._invalid(
                f"Component config not found for component {call.component}"
            ) from error
        touched = (
            [key_path]
            if key_path
            else [(name,) for name in (value if isinstance(value, dict) else ())]
        )
        if any(configuration.is_access_control(path) for path in touched):
            raise self._invalid("Config update is not allowed for following fields [accessControl]")
        try:
            is_leaf = isinstance(configuration.node(key_path), Leaf)
        except UnknownKey:
            is_leaf = False
        try:
            configuration.update(key_path, value, int(seconds * 1000), store.clock())
        except ConfigurationRefused as error:
            if self._nucleus.classic and is_leaf:
                raise self._invalid(str(error)) from error
            raise IpcError(
                "ServiceError",
                str(error) if self._nucleus.classic else "Failed to update the configuration.",
            ) from error
        except StaleUpdate as error:
            raise IpcError("FailedUpdateConditionCheckError", str(error)) from error
        return {}

    async def _subscribe(self, call: Call) -> Answer:
        component, key_path = self._place(call)

        def notify(changed: KeyPath) -> None:
            event = {"componentName": component, "keyPath": list(changed)}
            call.event("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

        try:
            unsubscribe = self._nucleus.configuration.of(component).subscribe(key_path, notify)
        except UnknownKey as error:
            raise _not_found() from error
        call.on_close(unsubscribe)
        place = "/".join((component, *key_path))
        self._nucleus.subscribed(call, "SubscribeToConfigurationUpdate", place)
        return {}

    async def _validate(self, call: Call) -> Answer:
        async def ask(configuration: Mapping[str, Any], deployment_id: str) -> ValidityReport:
            key = (call.component, deployment_id)
            report: asyncio.Future[ValidityReport] = asyncio.get_running_loop().create_future()
            self._reports[key] = report
            event = {"configuration": configuration, "deploymentId": deployment_id}
            call.event(
                "ValidateConfigurationUpdateEvents", {"validateConfigurationUpdateEvent": event}
            )
            try:
                return await report
            finally:
                self._reports.pop(key, None)

        call.on_close(self._nucleus.configuration.validate_with(call.component, ask))
        self._nucleus.subscribed(call, "SubscribeToValidateConfigurationUpdates")
        return {}

    async def _report(self, call: Call) -> Answer:
        report = call.request.part("configurationValidityReport")
        if report is None:
            raise MalformedRequest("configurationValidityReport is missing")
        deployment_id, status = report.text("deploymentId"), report.text("status")
        message = report.text("message")
        if deployment_id is None:
            raise self._invalid(
                "Cannot accept configuration validity report, the deployment ID provided was null"
            )
        future = self._reports.pop((call.component, deployment_id), None)
        if future is None or future.done():
            raise self._invalid("Validation request either timed out or was never made")
        # The nucleus lets pass whatever is not a rejection.
        future.set_result(ValidityReport(status != "REJECTED", message))
        self._nucleus.record(
            "configuration-judged",
            component=call.component,
            deployment=deployment_id,
            status=status,
            message=message,
        )
        return {}

    def _place(self, call: Call) -> tuple[str, KeyPath]:
        component = call.request.text("componentName")
        return call.component if component is None else component, _key_path(call)

    @staticmethod
    def _invalid(why: str) -> IpcError:
        return IpcError("InvalidArgumentsError", why)


def _key_path(call: Call) -> KeyPath:
    key_path = call.request.texts("keyPath")
    if len(key_path) > MAX_DEPTH:
        raise MalformedRequest(f"keyPath is deeper than {MAX_DEPTH}")
    return key_path


def _not_found() -> IpcError:
    return IpcError("ResourceNotFoundError", "Key not found")
