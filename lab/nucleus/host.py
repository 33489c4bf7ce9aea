"""What is under the nucleus on a core device: its service manager, its commands, its processes.

It knows the nucleus as a few services that can be started and stopped. Left out: the
kernel, users, and the disk, which are this machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.nucleus.faults import DeviceFaults
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.processes import kill_processes, unit_environment
from lab.nucleus.root_layout import RootLayout
from lab.nucleus.service_manager import Service, ServiceManager
from lab.nucleus.socket_statistics import socket_statistics
from lab.nucleus.stand_ins.folder import StandIns
from lab.nucleus.stand_ins.wire import Answer
from lab.nucleus.transient_units import TransientUnits
from lab.timeline import Timeline

NUCLEUS_UNIT = {"classic": "greengrass.service", "lite": "greengrass-lite.target"}
IOTCORED_UNIT = "ggl.core.iotcored.service"
# What ss calls the process that speaks with AWS IoT Core.
_MQTT_PROCESS = {"classic": "java", "lite": "iotcored"}


class Host:
    """Of one device. To be called on the lab's loop, unless a method says otherwise.

    ``mqtt`` gives the nucleus's MQTT while the nucleus runs. ``python`` is the folder of its
    Python, the lab's own unless given. What belongs to the host lies beside the Greengrass
    root: its socket, its commands.
    """

    def __init__(
        self,
        layout: RootLayout,
        services: Mapping[str, Service],
        mqtt: Callable[[], MqttProxy | None],
        faults: DeviceFaults,
        timeline: Timeline,
        python: Path | None = None,
    ) -> None:
        self._layout = layout
        self._mqtt = mqtt
        self._faults = faults
        # Shorter than the path of the nucleus's own socket, which has to fit as well.
        socket = Path(f"{layout.root}.systemd")
        self.commands = StandIns(Path(f"{layout.root}.commands"), socket, python)
        self.transient = TransientUnits(self.environment, timeline)
        self.manager = ServiceManager(
            socket,
            services=services,
            transient=self.transient,
            statistics=self._ss,
            path=self.commands.path,
            faults=faults,
            timeline=timeline,
        )

    def environment(self, unit: str) -> dict[str, str]:
        """What the service manager gives to the processes of a unit."""
        return {"PATH": self.commands.path, **unit_environment(self._layout.root, unit)}

    async def boot(self) -> None:
        """Does nothing to a host that is up."""
        await self.manager.start()

    async def shut_down(self) -> None:
        """Processes, timers and service manager are gone; the disk stays."""
        self.transient.disarm_all()
        kill_processes(self._layout.root)
        await self.manager.close()

    def kill_everything(self) -> None:
        """SIGKILL to every process of the device, and wait for their ends. From any thread."""
        kill_processes(self._layout.root)

    def kill_nucleus_unit(self) -> None:
        """SIGKILL to what is left of the nucleus's control group (KillMode=mixed)."""
        kill_processes(self._layout.root, NUCLEUS_UNIT[self._layout.runtime])

    def _ss(self, arguments: Sequence[str]) -> Answer:
        mqtt = self._mqtt()
        return socket_statistics(
            arguments,
            process=_MQTT_PROCESS[self._layout.runtime],
            socket=None if mqtt is None else mqtt.socket,
            kill=lambda: (
                None if mqtt is None or not self._faults.ss_kills else mqtt.force_reconnect()
            ),
        )
