"""A nucleus from one start of its process to its end: MQTT, IPC, and the component's process.

All of them are lost together; what outlives them is in ``NucleusSetup``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.nucleus.component_log import ComponentLog
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.faults import DeviceFaults
from lab.nucleus.ipc import IpcServer
from lab.nucleus.lifecycle import Component, State, component_environment
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.recipe import Recipe
from lab.nucleus.recipe_variables import with_variables
from lab.nucleus.root_layout import RootLayout
from lab.timeline import Timeline

SHIFTED_CLOCK = Path(__file__).with_name("shifted_clock")
NUCLEUS_VERSIONS = {"classic": "2.18.0", "lite": "2.6.0"}


@dataclass(frozen=True)
class Endpoint:
    """Where the device finds AWS IoT Core."""

    host: str
    port: int


@dataclass
class NucleusSetup:
    """What a nucleus is started with; a change counts from its next start on.

    ``reconnect_delays`` are the first and the longest wait between connections, and
    ``shutdown_seconds`` what the component has to end in, if not the nucleus's own time.
    ``clock`` is the file with the seconds that the device's clock is ahead, if it ever is.
    """

    layout: RootLayout
    thing_name: str
    region: str
    endpoint: Endpoint
    recipe: Recipe
    configuration: ConfigurationStore
    faults: DeviceFaults
    timeline: Timeline
    reconnect_delays: tuple[float, float]
    shutdown_seconds: float | None = None
    clock: Path | None = None


class NucleusRun:
    """One run. To be called on the lab's loop, unless a method says otherwise.

    ``environment`` is what the service manager gives to the nucleus, and it to components.
    """

    def __init__(self, setup: NucleusSetup, environment: Mapping[str, str]) -> None:
        layout, recipe = setup.layout, setup.recipe
        self._setup = setup
        self._environment = environment
        self._token = ""
        self.mqtt = MqttProxy(
            layout.runtime,
            thing_name=setup.thing_name,
            host=setup.endpoint.host,
            port=setup.endpoint.port,
            certificate_path=layout.certificate_path,
            private_key_path=layout.private_key_path,
            root_ca_path=layout.root_ca_path,
            timeline=setup.timeline,
            min_reconnect_delay=setup.reconnect_delays[0],
            max_reconnect_delay=setup.reconnect_delays[1],
            faults=setup.faults,
        )
        self.ipc = IpcServer(
            layout.ipc_socket,
            runtime=layout.runtime,
            thing_name=setup.thing_name,
            mqtt=self.mqtt,
            configuration=setup.configuration,
            timeline=setup.timeline,
        )
        self.component = Component(
            with_variables(
                recipe,
                root=layout.root,
                thing_name=setup.thing_name,
                configuration=setup.configuration.of(recipe.name).get(),
            ),
            work_path=layout.work_path(recipe.name),
            log=ComponentLog(layout.log_path(recipe.name), recipe.name, setup.timeline),
            timeline=setup.timeline,
            environment=self._component_environment,
            shutdown_seconds=setup.shutdown_seconds,
        )

    @property
    def installed(self) -> bool:
        """Whether the component's install script is behind it. From any thread."""
        return self.component.state is not State.NEW

    async def start(self, *, install: bool, goes_on: Callable[[], bool]) -> None:
        """Connect to AWS IoT, open the IPC socket, begin the component's life.

        Stops half-way when ``goes_on`` says that the power is gone.
        """
        await self.mqtt.connect()
        await self.ipc.start()
        if goes_on():
            await self.component.start(install=install)

    async def stop(self) -> None:
        """End as the service manager asks it to: the component is asked first."""
        await self.component.stop()
        await self._close()

    def cut(self) -> None:
        """The power is gone: the component is dead, the cloud hears nothing. From any thread.

        ``put_away`` is still to be called.
        """
        self.mqtt.cut()
        process = self.component.process_id
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)

    async def put_away(self) -> None:
        """What the lab itself holds of a nucleus whose power is gone."""
        await self.component.kill()
        await self._close()

    async def _close(self) -> None:
        await self.ipc.stop()
        await self.mqtt.disconnect()

    def _component_environment(self) -> Mapping[str, str]:
        """Of one start of a script: the token of the start before is no longer good."""
        setup = self._setup
        self.ipc.forget(self._token)
        self._token = self.ipc.register(setup.recipe.name)
        own = component_environment(
            svcuid=self._token,
            thing_name=setup.thing_name,
            region=setup.region,
            root_ca_path=setup.layout.root_ca_path,
            ipc_socket=setup.layout.ipc_socket,
            version=NUCLEUS_VERSIONS[setup.layout.runtime],
        )
        if setup.clock is not None:
            own |= {"LAB_CLOCK": str(setup.clock), "PYTHONPATH": str(SHIFTED_CLOCK)}
        return {**self._environment, **own}
