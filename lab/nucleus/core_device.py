"""One Greengrass core device: a root folder, and the nucleus that runs on it.

Puts together what the other files of this folder do, behind blocking calls. The
configuration lives as long as the device, as it does in config.tlog; the service manager
and its timers live while the power is on; MQTT, IPC and the component's process from one
start of the nucleus to its end. Whatever changes the nucleus's life waits for the change
before it (``_changing``), and ends early if the power is not what it was (``_power``).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from lab.loop import LoopThread
from lab.nucleus.component_store import deliver, recipe_path
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.faults import DeviceFaults
from lab.nucleus.host import IOTCORED_UNIT, NUCLEUS_UNIT, Host
from lab.nucleus.lifecycle import State
from lab.nucleus.lifecycle_operations import Deferral
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.nucleus_run import Endpoint, NucleusRun, NucleusSetup
from lab.nucleus.recipe import load_recipe
from lab.nucleus.root_layout import RootLayout
from lab.nucleus.service_manager import Service
from lab.timeline import Timeline

__all__ = ["CoreDevice", "Endpoint"]

PROJECT = Path(__file__).resolve().parents[2]
# Seconds; lite's as measured.
RECONNECT_DELAYS = {"classic": (1.0, 120.0), "lite": (3.7, 300.0)}
_LONGEST_CHANGE = 300.0


class CoreDevice(DeviceFaults):
    """A core device with one component deployed to it; every call blocks until it is done.

    ``setup`` may be changed between two starts, the faults at any time.
    """

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        layout: RootLayout,
        *,
        thing_name: str,
        region: str,
        endpoint: Endpoint,
        component: Path,
        python: Path | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        """``component`` is a build of it: a folder as ``gdk_build.py`` writes it.

        ``python`` is the folder of the device's Python; the lab's own, which has the packages,
        unless given. ``configuration`` is merged over the recipe's defaults, as a deployment
        does it.
        """
        super().__init__()
        self.layout = layout
        self.thing_name = thing_name
        self._loop = loop
        self._timeline = timeline
        self._recipe = load_recipe(recipe_path(component), layout.runtime)
        self._configuration = ConfigurationStore(layout.runtime)
        self.setup = NucleusSetup(
            layout=layout,
            thing_name=thing_name,
            region=region,
            endpoint=endpoint,
            recipe=self._recipe,
            configuration=self._configuration,
            faults=self,
            timeline=timeline,
            reconnect_delays=RECONNECT_DELAYS[layout.runtime],
        )
        self._nucleus: NucleusRun | None = None
        # Another object for each time that the power is on.
        self._power: object | None = None
        self._changing = asyncio.Lock()
        self._installed = False
        self._host = Host(layout, self._services(), self._mqtt_or_none, self, timeline, python)
        deliver(component, self._recipe, layout)
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
    def artifact_path(self) -> Path:
        """The component's artifact, unpacked: what ``python -m certkeeper`` is run from."""
        [artifact] = self._recipe.artifacts
        unarchived = self.layout.unarchived_path(self._recipe.name, self._recipe.version)
        return unarchived / Path(artifact.name).stem

    @property
    def component_state(self) -> State:
        """The component's state, as the nucleus sees it."""
        nucleus = self._nucleus
        return State.NEW if nucleus is None else nucleus.component.state

    @property
    def component_pid(self) -> int:
        """The component's process. Raises RuntimeError if none runs."""
        nucleus = self._nucleus
        pid = None if nucleus is None else nucleus.component.process_id
        if pid is None:
            raise RuntimeError("the component is not running")
        return pid

    @property
    def mqtt(self) -> MqttProxy:
        """The nucleus's MQTT, for the lab's loop. Raises RuntimeError if no nucleus runs."""
        return self._running().mqtt

    # -- the power --------------------------------------------------------------------

    def start(self) -> None:
        """Boot, and start the nucleus: connect to AWS IoT, open the IPC socket, the component.

        Raises RuntimeError if the nucleus runs. If the power goes meanwhile, it stays off.
        """
        self._loop.run(self._boot(), timeout=_LONGEST_CHANGE)

    def stop(self) -> None:
        """Shut the device down in good order: the component is asked to end first.

        The service manager's timers are gone afterwards. Does nothing to a device that is off.
        """
        self._loop.run(self._shut_down(), timeout=_LONGEST_CHANGE)

    def power_off(self, *, wait: bool = True) -> None:
        """Cut the power, now: no process gets to say goodbye, only the disk stays.

        From any thread and at any instant, the middle of a start included. Every process is
        dead when this returns. With ``wait`` the lab has also put its own things away; on
        the lab's own loop that is done later, and a listener of the timeline must not wait.
        ``start`` boots again.
        """
        self._power = None
        nucleus = self._nucleus
        # First, so that the end of the component finds nobody who starts it again.
        fallen = asyncio.run_coroutine_threadsafe(self._fall(), self._loop.loop)
        if nucleus is not None:
            self._installed = self._installed or nucleus.installed
            nucleus.cut()
        self._host.kill_everything()
        self._timeline.record("nucleus", "power-off", thing=self.thing_name)
        if wait and not self._on_loop():
            fallen.result(_LONGEST_CHANGE)

    # -- the nucleus ------------------------------------------------------------------

    def restart_nucleus(self) -> None:
        """What ``systemctl restart`` of the nucleus's unit does; credentials are read anew."""
        self._running()
        self._loop.run(self._restart(), timeout=_LONGEST_CHANGE)

    def restart_iotcored(self) -> None:
        """As when that process of nucleus lite has failed, and its service starts it again."""
        self._loop.run(self._restart_iotcored())

    def kill_component(self) -> None:
        """SIGKILL to the component's process: to the nucleus, a crash. From any thread.

        Raises RuntimeError if none runs.
        """
        os.kill(self.component_pid, signal.SIGKILL)

    def restart_component(self) -> None:
        """Stop the component and start it again, the nucleus staying up."""
        nucleus = self._running()

        async def restart() -> None:
            async with self._changing:
                await nucleus.component.stop()
                if self._nucleus is nucleus and self._power is not None:
                    await nucleus.component.start(install=False)

        self._loop.run(restart(), timeout=_LONGEST_CHANGE)

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
        if self.layout.runtime == "lite" and self._nucleus is not None:
            self.restart_component()

    def ask_deployment(self, deployment_id: str, *, timeout: float = 60.0) -> dict[str, Deferral]:
        """A deployment is near: what components answer to it, by name, within ``timeout`` s.

        A component that has not subscribed is not asked; lite asks nobody.
        """
        asked = self._running().ipc.ask_component_update(deployment_id, timeout=timeout)
        return self._loop.run(asked, timeout=timeout + 10)

    def drop_ipc(self) -> None:
        """A fault: every IPC connection is cut; the socket stays."""
        if self._nucleus is not None:
            self._loop.run(self._nucleus.ipc.drop_connections())

    # -- what is under the nucleus ----------------------------------------------------

    def move_clock(self, ahead: timedelta) -> None:
        """The device's wall clock is ahead of the real one by this, from now on.

        A component that runs already notices it only if it was so at its start.
        """
        path = Path(f"{self.layout.root}.clock")
        new = path.with_suffix(".new")
        new.write_text(str(ahead.total_seconds()))
        new.replace(path)
        self.setup.clock = path

    @property
    def timers(self) -> tuple[str, ...]:
        """The transient timers that are armed, as ``NAME.timer``."""
        return self._host.transient.timers

    def fire_timer(self, unit: str) -> int:
        """Let a timer elapse now; the exit code of its command. Raises KeyError if not armed."""
        return self._loop.run(self._host.transient.fire(unit), timeout=_LONGEST_CHANGE)

    def without_commands(self, names: set[str]) -> None:
        """A fault: of systemctl, systemd-run and ss the device lacks these, and no others."""
        self._host.commands.remove(frozenset(names))

    # -- on the lab's loop ------------------------------------------------------------

    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop.loop
        except RuntimeError:  # none runs in this thread
            return False

    def _running(self) -> NucleusRun:
        if self._nucleus is None:
            raise RuntimeError("the device is not started")
        return self._nucleus

    async def _boot(self) -> None:
        async with self._changing:
            if self._power is None:
                await self._put_away()
                self._power = object()
                await self._host.boot()
            elif self._nucleus is not None:
                raise RuntimeError("the device is started already")
            await self._start()

    async def _start(self) -> None:
        power = self._power
        if power is None:
            return
        self._timeline.record("nucleus", "started", runtime=self.layout.runtime)
        environment = self._host.environment(NUCLEUS_UNIT[self.layout.runtime])
        nucleus = self._nucleus = NucleusRun(self.setup, environment)
        await nucleus.start(
            install=self.layout.runtime == "classic" or not self._installed,
            goes_on=lambda: self._power is power,
        )

    async def _stop(self) -> None:
        nucleus = self._nucleus
        if nucleus is None:
            return
        self._installed = self._installed or nucleus.installed
        await nucleus.stop()
        self._host.kill_nucleus_unit()
        self._nucleus = None
        self._timeline.record("nucleus", "stopped")

    async def _restart(self) -> None:
        async with self._changing:
            if self._power is not None:
                await self._stop()
                await self._start()

    async def _shut_down(self) -> None:
        async with self._changing:
            if self._power is not None:
                await self._stop()
                self._power = None
            await self._put_away()

    async def _fall(self) -> None:
        if self._nucleus is not None:
            await self._nucleus.component.kill()
        async with self._changing:
            # Unless the device was booted again in the meantime: then that has put away.
            if self._power is None:
                await self._put_away()

    async def _put_away(self) -> None:
        nucleus, self._nucleus = self._nucleus, None
        if nucleus is not None:
            await nucleus.put_away()
        await self._host.shut_down()

    # -- the units of the service manager ---------------------------------------------

    def _mqtt_or_none(self) -> MqttProxy | None:
        return None if self._nucleus is None else self._nucleus.mqtt

    def _services(self) -> dict[str, Service]:
        services = {
            NUCLEUS_UNIT[self.layout.runtime]: Service(
                is_active=lambda: self._nucleus is not None,
                start=self._start_service,
                stop=self._stop_service,
                restart=self._restart,
            )
        }
        if self.layout.runtime == "lite":
            services[IOTCORED_UNIT] = Service(
                is_active=lambda: self._nucleus is not None and self._nucleus.mqtt.started,
                start=self._start_iotcored,
                stop=self._stop_iotcored,
                restart=self._restart_iotcored,
            )
        return services

    async def _start_service(self) -> None:
        async with self._changing:
            if self._nucleus is None:
                await self._start()

    async def _stop_service(self) -> None:
        async with self._changing:
            await self._stop()

    async def _start_iotcored(self) -> None:
        async with self._changing:
            if self._nucleus is not None and not self._nucleus.mqtt.started:
                await self._nucleus.mqtt.connect()

    async def _stop_iotcored(self) -> None:
        async with self._changing:
            if self._nucleus is not None:
                await self._nucleus.mqtt.disconnect()

    async def _restart_iotcored(self) -> None:
        async with self._changing:
            if self._power is not None and self._nucleus is not None:
                if self._nucleus.mqtt.started:
                    await self._nucleus.mqtt.restart_process()
                else:
                    await self._nucleus.mqtt.connect()
