"""The configuration of all components, and the deployments that change it.

``ConfigurationStore`` asks a component before a deployment changes its configuration, as
classic does. Not thread-safe: it belongs to the event loop that the nucleus runs on.
Source: ``DynamicComponentConfigurationValidator`` of the classic nucleus.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lab.nucleus.component_configuration import (
    Configuration,
    ConfigurationRefused,
    StaleUpdate,
    UnknownKey,
)
from lab.nucleus.configuration_tree import KeyPath
from lab.nucleus.recipe import Runtime

__all__ = [
    "Configuration",
    "ConfigurationRefused",
    "ConfigurationStore",
    "StaleUpdate",
    "UnknownKey",
    "ValidityReport",
]

_NUCLEUS = "aws.greengrass.Nucleus"
_NUCLEUS_LITE = "aws.greengrass.NucleusLite"


class ValidityReport(NamedTuple):
    """A component's verdict on a configuration that a deployment brings."""

    accepted: bool
    message: str | None = None


Validate = Callable[[Mapping[str, Any], str], Awaitable[ValidityReport]]


def _epoch_milliseconds() -> int:
    return time.time_ns() // 1_000_000


class ConfigurationStore:
    """The configuration of every component on the device, the nucleus's own among them.

    ``clock`` gives milliseconds since the epoch.
    """

    def __init__(self, runtime: Runtime, clock: Callable[[], int] = _epoch_milliseconds) -> None:
        self.runtime = runtime
        self.clock = clock
        self._configurations: dict[str, tuple[str, Configuration]] = {}
        self._validators: dict[str, Validate] = {}
        self._watchers: list[Callable[[str, KeyPath], None]] = []

    def add(self, component: str, defaults: Mapping[str, Any]) -> Configuration:
        """A component is installed. Raises ConfigurationRefused."""

        def tell(path: KeyPath) -> None:
            for watcher in self._watchers:
                watcher(component, path)

        configuration = Configuration(defaults, self.runtime, self.clock(), tell)
        self._configurations[self._key(component)] = (component, configuration)
        return configuration

    def remove(self, component: str) -> None:
        """A component is removed, and its configuration with it."""
        self._configurations.pop(self._key(component), None)

    def of(self, component: str) -> Configuration:
        """A component's configuration. Raises UnknownKey."""
        try:
            return self._configurations[self._key(component)][1]
        except KeyError:
            raise UnknownKey("Key not found") from None

    def __contains__(self, component: str) -> bool:
        return self._key(component) in self._configurations

    @property
    def components(self) -> tuple[str, ...]:
        """The names of all components."""
        return tuple(name for name, _ in self._configurations.values())

    def watch(self, changed: Callable[[str, KeyPath], None]) -> Callable[[], None]:
        """Call ``changed(component, key_path)`` for every change; gives the way out."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def validate_with(self, component: str, validate: Validate) -> Callable[[], None]:
        """Let the component judge its configuration before a deployment changes it (classic).

        A second subscription of the same component changes nothing, but closing either
        ends it: so says ``ConfigStoreIPCEventStreamAgent``.
        """
        self._validators.setdefault(component, validate)

        def unsubscribe() -> None:
            self._validators.pop(component, None)

        return unsubscribe

    async def deploy(
        self,
        component: str,
        *,
        merge: Mapping[str, Any] | None = None,
        reset: Iterable[str] = (),
        defaults: Mapping[str, Any] | None = None,
        deployment_id: str = "",
        validation_timeout: float = 30.0,
    ) -> tuple[KeyPath, ...]:
        """Bring a deployment's ``configurationUpdate``; gives the paths that changed.

        ``defaults`` are those of a new version of the component; such a deployment asks
        nobody. ``validation_timeout`` is in seconds. Raises UnknownKey, or
        ConfigurationRefused if it cannot be, or the component rejects it or is silent.
        """
        configuration = self.of(component)
        update = (merge or {}, tuple(reset), defaults, self.clock())
        proposal = configuration.propose(*update)
        validate = self._validators.get(component)
        if validate is not None and defaults is None and proposal.told:
            try:
                report = await asyncio.wait_for(
                    validate(proposal.tree.plain(), deployment_id), validation_timeout
                )
            except TimeoutError:
                raise ConfigurationRefused(
                    f"{component} sent no validation report within {validation_timeout:g} s"
                ) from None
            if not report.accepted:
                raise ConfigurationRefused(
                    "Components reported that their to-be-deployed configuration is invalid "
                    f"{{ name = {component}, message = {report.message} }}"
                )
            # Once more: the component may have changed something while it was asked.
            proposal = configuration.propose(*update)
        configuration.apply(proposal)
        return tuple(proposal.told)

    def _key(self, component: str) -> str:
        if self.runtime == "classic":
            return component.lower()
        return _NUCLEUS_LITE if component == _NUCLEUS else component
