"""One Greengrass core device: a root folder, and the nucleus that runs on it.

Puts together what the other files of this folder do, behind blocking calls. The
configuration lives as long as the device, as it does in config.tlog; the service manager
and its timers live while the power is on; IPC, MQTT and the component's process from one
start of the nucleus to its stop. Whatever changes the nucleus's life waits for the change
before it (``_changing``) and then looks whether the power is still the same (``_power``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.loop import LoopThread
from lab.nucleus.component_log import ComponentLog
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.host import IOTCORED_UNIT, NUCLEUS_UNIT, Host
from lab.nucleus.ipc import IpcServer
from lab.nucleus.lifecycle import Component, State, component_environment
from lab.nucleus.lifecycle_operations import Deferral
from lab.nucleus.message_faults import Fault, MessageFaults
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.recipe import Recipe, load_recipe
from lab.nucleus.recipe_variables import with_variables
from lab.nucleus.root_layout import RootLayout
from lab.nucleus.service_manager import Service
from lab.timeline import Timeline

PROJECT = Path(__file__).resolve().parents[2]
NUCLEUS_VERSIONS = {"classic": "2.18.0", "lite": "2.6.0"}
# The first and the longest wait between connections, in seconds; lite's as measured.
RECONNECT_DELAYS = {"classic": (1.0, 120.0), "lite": (3.7, 300.0)}


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
        # Take effect when the nucleus starts the next time.
        self.reconnect_delays = RECONNECT_DELAYS[layout.runtime]
        self.shutdown_seconds: float | None = None
        self._faults = MessageFaults()
        self._component: Component | None = None
        self._ipc: IpcServer | None = None
        self._mqtt: MqttProxy | None = None
        self._host = Host(layout, self._services(), lambda: self._mqtt, timeline)
        # Another object for each time that the power is on.
        self._power: object | None = None
        self._changing = asyncio.Lock()
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
        """Boot, and start the nucleus: connect to AWS IoT, open the IPC socket, the component.

        Raises RuntimeError if the nucleus runs. If the power goes meanwhile, it stays off.
        """
        self._loop.run(self._boot(), timeout=180)

    def stop(self) -> None:
        """Shut the device down in good order: the component is asked to end first.

        Timers of the service manager are gone afterwards. Does nothing to a device that is
        off.
        """
        self._loop.run(self._shut_down(), timeout=180)

    def power_off(self, *, wait: bool = True) -> None:
        """Cut the power, now: no process gets to say goodbye, only the disk stays.

        From any thread and at any instant. Every process is dead when this returns; what
        the lab itself has to put away is put away too if it waits, which it does not on the
        lab's own loop. A listener of the timeline must not wait. ``start`` boots again.
        """
        self._power = None
        component, mqtt = self._component, self._mqtt
        # First, so that the end of the component finds nobody who starts it again.
        fallen = asyncio.run_coroutine_threadsafe(self._fall(), self._loop.loop)
        if mqtt is not None:
            mqtt.cut()
        process = None if component is None else component.process_id
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
        self._host.kill_everything()
        self._timeline.record("nucleus", "power-off", thing=self.thing_name)
        if wait and threading.current_thread() is not self._loop.thread:
            fallen.result(60)

    def restart_nucleus(self) -> None:
        """What ``systemctl restart`` of the nucleus's unit does; the credentials are read anew."""
        self._loop.run(self._restart(), timeout=180)

    def kill_component(self) -> None:
        """SIGKILL to the component's process: the nucleus sees a crash. From any thread.

        Raises RuntimeError if none runs.
        """
        os.kill(self.component_pid, signal.SIGKILL)

    def restart_component(self) -> None:
        """Stop the component and start it again, the nucleus staying up."""
        component = self._running()

        async def restart() -> None:
            async with self._changing:
                await component.stop()
                if component is self._component and self._power is not None:
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

    def ask_deployment(self, deployment_id: str, *, timeout: float = 60.0) -> dict[str, Deferral]:
        """A deployment is near: what the component answers, by name, within ``timeout`` seconds.

        Nothing from a component that is not subscribed, or does not answer. Classic only.
        """
        if self._ipc is None:
            raise RuntimeError("the device is not started")
        asked = self._ipc.ask_component_update(deployment_id, timeout=timeout)
        return self._loop.run(asked, timeout=timeout + 10)

    # -- the operating system: its timers and its faults ----------------------------

    @property
    def timers(self) -> tuple[str, ...]:
        """The transient timers that are armed, as ``NAME.timer``."""
        return self._host.transient.timers

    def fire_timer(self, unit: str) -> int:
        """Let a timer elapse now; the exit code of its command. Raises KeyError if not armed."""
        return self._loop.run(self._host.transient.fire(unit), timeout=180)

    def without_commands(self, names: set[str]) -> None:
        """A fault: of systemctl, systemd-run and ss the device lacks these, and no others."""
        self._host.commands.remove(frozenset(names))

    @property
    def ss_kills(self) -> bool:
        """Whether the kernel can kill sockets for ``ss -K`` (INET_DIAG_DESTROY)."""
        return self._host.ss_kills

    @ss_kills.setter
    def ss_kills(self, kills: bool) -> None:
        self._host.ss_kills = kills

    @property
    def systemctl_fault(self) -> str | None:
        """A fault: what every systemctl says and fails with, None for a sound one."""
        return self._host.manager.fault

    @systemctl_fault.setter
    def systemctl_fault(self, message: str | None) -> None:
        self._host.manager.fault = message

    @property
    def inbound_fault(self) -> Fault | None:
        """A fault: what befalls the messages from the cloud, also after a restart."""
        return self._faults.inbound

    @inbound_fault.setter
    def inbound_fault(self, fault: Fault | None) -> None:
        self._faults.inbound = fault

    @property
    def outbound_fault(self) -> Fault | None:
        """A fault: what befalls the messages to the cloud, also after a restart."""
        return self._faults.outbound

    @outbound_fault.setter
    def outbound_fault(self, fault: Fault | None) -> None:
        self._faults.outbound = fault

    # -- on the lab's loop ----------------------------------------------------------

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
