"""A core device with a component of a few lines of shell, for the tests of what is around it."""

from __future__ import annotations

import dataclasses
import queue
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.loop import LoopThread
from lab.nucleus.component_store import built
from lab.nucleus.core_device import CoreDevice, Endpoint
from lab.nucleus.recipe import Runtime, Step
from lab.nucleus.root_layout import CoreIdentity, lay_out_classic, lay_out_lite
from lab.timeline import Entry, Timeline
from tests.lab.iot_core_site import REGION, WAIT, Device, Site, running_site

THING = "press-7"
NUCLEUS = {"classic": "greengrass.service", "lite": "greengrass-lite.target"}
# Says its own process, that of a child, and that of one that has left the process group.
RUN = """\
echo main $$
sleep 600 & echo child $!
setsid sleep 600 >/dev/null 2>&1 & echo stray $!
echo ready
wait"""
# Ends only when it is killed.
DEAF = "trap '' TERM; echo ready; while :; do sleep 600; done"


class PoweredDevice:
    """A device, not started, and the cloud that it finds."""

    def __init__(self, runtime: Runtime, folder: Path, loop: LoopThread, site: Site) -> None:
        self.runtime = runtime
        self.loop = loop
        self.site = site
        self.pair = site.device(THING)
        self.marks: list[Any] = []
        self.timeline = Timeline(self._recorded)
        identity = CoreIdentity(
            thing_name=THING,
            certificate_pem=self.pair.certificate.read_text(),
            private_key_pem=self.pair.key.read_text(),
            root_ca_pem=site.authority.certificate.read_text(),
            region=REGION,
            data_endpoint=site.core.host,
            credential_endpoint=site.core.host,
        )
        lay_out = lay_out_lite if runtime == "lite" else lay_out_classic
        self.core = CoreDevice(
            loop,
            self.timeline,
            lay_out(folder / "gg", identity),
            thing_name=THING,
            region=REGION,
            endpoint=Endpoint(site.core.host, site.core.port),
            component=built(folder / "component"),
        )
        self.core.setup.reconnect_delays = (0.05, 0.2)
        self.core.setup.shutdown_seconds = 2.0
        self.script(run=RUN)

    def script(self, *, install: str = "echo installed", run: str = RUN) -> None:
        """What the component does, from the next start of the nucleus on."""
        steps = {
            "install": Step(path="install.Script", script=install),
            "run": Step(path="run.Script", script=run),
        }
        recipe = dataclasses.replace(self.core.setup.recipe, steps=steps)
        self.core.setup.recipe = recipe

    def start(self) -> None:
        """Start it, and wait until the component is ready and the nucleus connected."""
        mark = self.timeline.mark()
        self.core.start()
        self.up(mark)

    def up(self, mark: int) -> None:
        """Wait until component and connection are there."""
        self.seen("ready", after=mark, source="component")
        self.seen("mqtt-connected", after=mark)

    def down(self) -> None:
        """Wait until the cloud has noticed that nobody is connected any more."""
        connections = self.site.core.connections
        self.site.timeline.poll(lambda: not connections(), "no connection", WAIT)

    def seen(self, event: str, *, after: int = 0, **details: Any) -> Entry:
        """Wait for an event of the device."""
        return self.timeline.wait_for(event, after=after, timeout=WAIT, **details)

    def process(self, name: str, after: int = 0) -> int:
        """The process that the component has called so."""
        return int(str(self.seen(name, after=after).details["line"]).split()[1])

    def use(self, pair: Device) -> None:
        """Put another pair where the nucleus has its own."""
        layout = self.core.layout
        layout.certificate_path.write_bytes(pair.certificate.read_bytes())
        layout.private_key_path.write_bytes(pair.key.read_bytes())

    def subscribe(self, topic_filter: str) -> queue.Queue[bytes]:
        """What the nucleus hears for a component; the cloud knows of it when this returns."""
        heard: queue.Queue[bytes] = queue.Queue()
        mark = self.site.timeline.mark()
        self.loop.run(
            self.core.mqtt.subscribe(topic_filter, 1, lambda topic, payload: heard.put(payload))
        )
        self.site.timeline.wait_for(
            "subscribed", topic_filter=topic_filter, after=mark, timeout=WAIT
        )
        return heard

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish through the nucleus, as a component does."""
        self.loop.run(self.core.mqtt.publish(topic, payload, 1))

    def ask(
        self, *words: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the component would, with its environment."""
        return subprocess.run(
            words,
            env=environment or self.environment(),
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The component's."""
        path = Path(f"/proc/{self.core.component_pid}/environ")
        variables = path.read_bytes().decode().rstrip("\0").split("\0")
        return dict(variable.split("=", 1) for variable in variables)

    def when(self, event: str, action: Any) -> None:
        """Act once, at the instant at which the event is recorded, on the thread that does it."""
        self.marks.append((event, action))

    def _recorded(self, entry: Entry) -> None:
        for mark in [mark for mark in self.marks if mark[0] == entry.event]:
            self.marks.remove(mark)
            mark[1]()


def is_alive(process: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def processes_of(root: Path) -> list[int]:
    """The processes of a device that run."""
    mark = f"LAB_UNIT={root}:".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if mark in environment:
            found.append(int(process.name))
    return found


@contextmanager
def powered_device(runtime: Runtime) -> Iterator[PoweredDevice]:
    """A device in a folder whose path is short; afterwards nothing of it runs."""
    faults: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pow") as name:
        folder = Path(name)
        site_folder = folder / "site"
        site_folder.mkdir()
        with running_site(site_folder) as site, LoopThread() as loop:
            loop.loop.set_exception_handler(lambda _, context: faults.append(context))
            device = PoweredDevice(runtime, folder, loop, site)
            try:
                yield device
            finally:
                device.core.stop()
        assert not processes_of(folder / "gg")
    assert not faults, f"the loop had to report {faults}"
