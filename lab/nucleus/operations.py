"""What the IPC operations share: a call, its typed request, its errors, and the nucleus.

The operations themselves are in ``messaging_operations``, ``configuration_operations``
and ``lifecycle_operations``; ``ipc_connection`` turns what they answer into messages.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.nucleus.authorization import AccessControl
from lab.nucleus.component_configuration import ACCESS_CONTROL, UnknownKey
from lab.nucleus.configuration import ConfigurationStore
from lab.timeline import Timeline

PREFIX = "aws.greengrass#"
# How deep a request may be nested, so that nobody runs out of stack.
MAX_DEPTH = 100
# In the model of classic, and served only when a plug-in of the nucleus is deployed.
UNSERVED = frozenset(
    {
        "AuthorizeClientDeviceAction",
        "CancelLocalDeployment",
        "CreateDebugPassword",
        "CreateLocalDeployment",
        "DeleteThingShadow",
        "GetClientDeviceAuthToken",
        "GetComponentDetails",
        "GetLocalDeploymentStatus",
        "GetSecretValue",
        "GetThingShadow",
        "ListComponents",
        "ListLocalDeployments",
        "ListNamedShadowsForThing",
        "PauseComponent",
        "RestartComponent",
        "ResumeComponent",
        "StopComponent",
        "SubscribeToCertificateUpdates",
        "UpdateThingShadow",
        "ValidateAuthorizationToken",
        "VerifyClientDeviceIdentity",
    }
)


class IpcError(Exception):
    """An answer that is an error of the model: ``UnauthorizedError`` and the like."""

    def __init__(self, model: str, message: str = "") -> None:
        super().__init__(f"{model}: {message}")
        self.model = model
        self.message = message


class MalformedRequest(Exception):
    """A request that does not fit the model of its operation; holds nothing of it."""


class Mqtt(Protocol):
    """What the operations need of the nucleus's ``MqttProxy``."""

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take a message to be sent, which does not mean delivered; raises SpoolError."""

    async def subscribe(
        self, topic_filter: str, qos: int, deliver: Callable[[str, bytes], None]
    ) -> Callable[[], Awaitable[None]]:
        """Deliver (topic, payload) of what comes in; gives the way to unsubscribe.

        May take for ever (classic, before the first connection), and may be cancelled:
        then nothing stays subscribed. Raises SpoolError if the cloud refuses it.
        """


class Request:
    """The JSON object of a request, read by type; null counts as absent.

    Every reader gives None for what is absent, and raises MalformedRequest for a value
    of another type.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """A text that is one, also as UTF-8."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise MalformedRequest(f"{name} is not text")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise MalformedRequest(f"{name} is not Unicode text") from None
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of text; empty if absent."""
        value = self._values.get(name)
        if not isinstance(value, list | None):
            raise MalformedRequest(f"{name} is not a list")
        items = [Request({name: item}).text(name) for item in value or ()]
        if None in items:
            raise MalformedRequest(f"{name} is not a list of text")
        return tuple(item for item in items if item is not None)

    def blob(self, name: str) -> bytes | None:
        """Bytes that travel as base64."""
        value = self.text(name)
        try:
            return None if value is None else base64.b64decode(value, validate=True)
        except ValueError:
            raise MalformedRequest(f"{name} is not base64") from None

    def number(self, name: str) -> float | None:
        """A finite number."""
        value = self._values.get(name)
        if value is None:
            return None
        # Not infinite, and within what a time in milliseconds may be.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
            raise MalformedRequest(f"{name} is not a number")
        return value

    def part(self, name: str) -> Request | None:
        """An object within."""
        value = self._values.get(name)
        if not isinstance(value, dict | None):
            raise MalformedRequest(f"{name} is not an object")
        return None if value is None else Request(value)

    def any(self, name: str) -> Any:
        """Whatever is there."""
        return self._values.get(name)


def parse_request(payload: bytes) -> Request:
    """The request in a payload. Raises MalformedRequest."""
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        raise MalformedRequest("not JSON") from None
    if not isinstance(values, dict):
        raise MalformedRequest("not a JSON object")
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return Request(values)
    raise MalformedRequest(f"nested deeper than {MAX_DEPTH}")


class Call(Protocol):
    """One request on one stream, as an operation sees it."""

    @property
    def component(self) -> str:
        """Who asks."""

    @property
    def request(self) -> Request:
        """What it says."""

    def event(self, model: str, payload: Mapping[str, Any]) -> None:
        """Send a message after the answer, or, before it, keep it until the answer is sent."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the stream ends, for whatever reason."""


Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """An operation that is served: ``handle`` gives the answer's payload or raises IpcError.

    A stream stays open after the answer if ``streams``. ``handle`` may take for ever, and is
    cancelled when the stream ends.
    """

    handle: Callable[[Call], Awaitable[Answer]]
    streams: bool = False


@dataclass
class Nucleus:
    """What every operation needs to know and to use."""

    thing_name: str
    configuration: ConfigurationStore
    timeline: Timeline
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def classic(self) -> bool:
        """Whether it is the classic nucleus; otherwise it is lite."""
        return self.configuration.runtime == "classic"

    def record(self, event: str, **details: object) -> None:
        """Into the timeline."""
        self.timeline.record("nucleus", event, **details)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what nobody waits for; ``tasks`` holds it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def subscribed(self, call: Call, operation: str, resource: str = "") -> None:
        """Into the timeline, too: a component follows something from now on."""
        self.record("subscribed", component=call.component, operation=operation, resource=resource)

    def access_control(self, component: str) -> AccessControl:
        """What the component's configuration allows it now."""
        ids: dict[str, set[str]] = {}
        for other in self.configuration.components:
            policies = self._policies(other)
            if other != component and isinstance(policies, Mapping):
                for service, entries in policies.items():
                    ids.setdefault(service, set()).update(
                        entries if isinstance(entries, Mapping) else ()
                    )
        return AccessControl(
            self._policies(component),
            component,
            self.configuration.runtime,
            self.thing_name,
            ids_elsewhere=ids,
        )

    def _policies(self, component: str) -> object:
        try:
            return self.configuration.of(component).get((ACCESS_CONTROL,))
        except UnknownKey:
            return None

    def authorize(self, component: str, service: str, operation: str, resource: str) -> None:
        """Raises IpcError unless the component may do that now, and records it."""
        name = PREFIX + operation
        if self.access_control(component).allows(service, name, resource):
            return
        self.record("unauthorized", component=component, operation=operation, resource=resource)
        raise IpcError(
            "UnauthorizedError",
            f"Principal {component} is not authorized to perform {service}:{name} "
            f"on resource {resource}"
            if self.classic
            else "IPC Operation not authorized.",
        )

    def missing(self, why: str) -> IpcError:
        """The answer to a request that lacks what it must have, or has it wrong."""
        if self.classic:
            return IpcError("InvalidArgumentsError", why)
        return IpcError("ServiceError", "Received invalid parameters.")
