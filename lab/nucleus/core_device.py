"""One Greengrass core device: a root folder, and the nucleus that runs on it.

Puts together what the other files of this folder do, behind blocking calls. The
configuration lives as long as the device, as it does in config.tlog; IPC, MQTT and
the component's process live from one start of the nucleus to its stop.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.loop import LoopThread
from lab.nucleus.component_log import ComponentLog
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.ipc import IpcServer
from lab.nucleus.lifecycle import Component, State, component_environment
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.recipe import Recipe, load_recipe
from lab.nucleus.recipe_variables import with_variables
from lab.nucleus.root_layout import RootLayout
from lab.timeline import Timeline

PROJECT = Path(__file__).resolve().parents[2]
NUCLEUS_VERSIONS = {"classic": "2.18.0", "lite": "2.6.0"}


@dataclass(frozen=True)
class Endpoint:
    """Where the device finds AWS IoT Core."""

    host: str
    port: int


class CoreDevice:
    """A core device with one component deployed to it; every call blocks until it is done."""

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        layout: RootLayout,
        *,
        thing_name: str,
        region: str,
        endpoint: Endpoint,
        recipe: Path = PROJECT / "recipe.yaml",
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        """``configuration`` is merged over the recipe's defaults, as a deployment does it."""
        self.layout = layout
        self.thing_name = thing_name
        self._loop = loop
        self._timeline = timeline
        self._region = region
        self._endpoint = endpoint
        self._recipe = load_recipe(recipe, layout.runtime)
        self._configuration = ConfigurationStore(layout.runtime)
        self._component: Component | None = None
        self._ipc: IpcServer | None = None
        self._mqtt: MqttProxy | None = None
        self._token = ""
        self._installed = False
        unarchive(layout, self._recipe)
        nucleus = (
            "aws.greengrass.NucleusLite" if layout.runtime == "lite" else "aws.greengrass.Nucleus"
        )
        self._configuration.add(nucleus, {"iotDataEndpoint": endpoint.host, "awsRegion": region})
        self._configuration.add(self._recipe.name, self._recipe.default_configuration)
        if configuration:
            self.deploy(configuration)

    @property
    def work_path(self) -> Path:
        """The component's work folder."""
        return self.layout.work_path(self._recipe.name)

    @property
    def component_state(self) -> State:
        """The component's state, as the nucleus sees it."""
        return State.NEW if self._component is None else self._component.state

    @property
    def component_pid(self) -> int:
        """The component's process. Raises RuntimeError if none runs."""
        pid = None if self._component is None else self._component.process_id
        if pid is None:
            raise RuntimeError("the component is not running")
        return pid

    def start(self) -> None:
        """Start the nucleus: connect to AWS IoT, open the IPC socket, start the component."""
        self._timeline.record("nucleus", "started", runtime=self.layout.runtime)
        self._loop.run(self._start())

    def stop(self) -> None:
        """Stop the nucleus as its service manager does: the component is asked to end first.

        Does nothing to a device that is not running.
        """
        if self._ipc is None:
            return
        self._loop.run(self._stop(), timeout=180)
        self._timeline.record("nucleus", "stopped")

    def restart_component(self) -> None:
        """Stop the component and start it again, the nucleus staying up."""
        component = self._running()

        async def restart() -> None:
            await component.stop()
            await component.start(install=False)

        self._loop.run(restart(), timeout=180)

    def deploy(self, merge: Mapping[str, Any], reset: tuple[str, ...] = ()) -> None:
        """Deploy a configuration update to the component.

        Lite restarts the component then; classic asks it first, and tells it of the change.
        Raises ConfigurationRefused if the component refuses it.
        """
        self._loop.run(
            self._configuration.deploy(
                self._recipe.name, merge=merge, reset=reset, deployment_id="lab"
            )
        )
        if self.layout.runtime == "lite" and self._component is not None:
            self.restart_component()

    def drop_ipc(self) -> None:
        """A fault: every IPC connection is cut; the socket stays."""
        if self._ipc is not None:
            self._loop.run(self._ipc.drop_connections())

    def _running(self) -> Component:
        if self._component is None:
            raise RuntimeError("the device is not started")
        return self._component

    async def _start(self) -> None:
        self._mqtt = MqttProxy(
            self.layout.runtime,
            thing_name=self.thing_name,
            host=self._endpoint.host,
            port=self._endpoint.port,
            certificate_path=self.layout.certificate_path,
            private_key_path=self.layout.private_key_path,
            root_ca_path=self.layout.root_ca_path,
            timeline=self._timeline,
        )
        await self._mqtt.connect()
        self._ipc = IpcServer(
            self.layout.ipc_socket,
            runtime=self.layout.runtime,
            thing_name=self.thing_name,
            mqtt=self._mqtt,
            configuration=self._configuration,
            timeline=self._timeline,
        )
        await self._ipc.start()
        name = self._recipe.name
        self._component = Component(
            with_variables(
                self._recipe,
                root=self.layout.root,
                thing_name=self.thing_name,
                configuration=self._configuration.of(name).get(),
            ),
            work_path=self.work_path,
            log=ComponentLog(self.layout.log_path(name), name, self._timeline),
            timeline=self._timeline,
            environment=self._environment,
        )
        await self._component.start(install=self.layout.runtime == "classic" or not self._installed)
        self._installed = True

    async def _stop(self) -> None:
        if self._component is not None:
            await self._component.stop()
        if self._ipc is not None:
            await self._ipc.stop()
        if self._mqtt is not None:
            await self._mqtt.disconnect()
        self._component = self._ipc = self._mqtt = None

    def _environment(self) -> Mapping[str, str]:
        """Of one start of a script: the token of the start before is no longer good."""
        assert self._ipc is not None
        self._ipc.forget(self._token)
        self._token = self._ipc.register(self._recipe.name)
        environment = component_environment(
            svcuid=self._token,
            thing_name=self.thing_name,
            region=self._region,
            root_ca_path=self.layout.root_ca_path,
            ipc_socket=self.layout.ipc_socket,
            version=NUCLEUS_VERSIONS[self.layout.runtime],
        )
        # The device's image has the component's packages: those of the Python that runs the lab.
        image = str(Path(sys.executable).parent)
        return {**environment, "PATH": os.pathsep.join([image, os.environ.get("PATH", os.defpath)])}


def unarchive(layout: RootLayout, recipe: Recipe) -> None:
    """Put the component's archive where the nucleus unpacks it, from the source tree."""
    target = layout.unarchived_path(recipe.name, recipe.version) / "certkeeper"
    shutil.copytree(PROJECT / "src", target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(PROJECT / "requirements" / "device.txt", target / "requirements.txt")
