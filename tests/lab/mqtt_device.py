"""A nucleus's MQTT against the lab's IoT MqttDevice, over mutual TLS, with the real client."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.iot_core.iot_core import Message
from lab.loop import LoopThread
from lab.nucleus.mqtt_proxy import MqttProxy
from lab.nucleus.recipe import Runtime
from lab.timeline import Entry, Timeline
from tests.lab.iot_core_site import WAIT, Device, Site

NEVER = 0.3  # seconds in which something that must not happen would have happened


@dataclass
class MqttDevice:
    """A device's MQTT, what it received, and the files that it connects with."""

    proxy: MqttProxy
    loop: LoopThread
    timeline: Timeline
    pair: Device
    certificate: Path
    key: Path
    received: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)

    def connect(self) -> None:
        self.loop.run(self.proxy.connect())

    def disconnect(self) -> None:
        self.loop.run(self.proxy.disconnect())

    def online(self, after: int = 0) -> Entry:
        return self.timeline.wait_for("mqtt-connected", after=after, timeout=WAIT)

    def publish(self, topic: str, payload: bytes = b"{}", qos: int = 1) -> None:
        self.loop.run(self.proxy.publish(topic, payload, qos))

    def subscribe(self, topic_filter: str, qos: int = 1) -> Callable[[], None]:
        def deliver(topic: str, payload: bytes) -> None:
            self.received.put((topic, payload))

        ended = self.loop.run(self.proxy.subscribe(topic_filter, qos, deliver))

        async def end() -> None:
            await ended()

        return lambda: self.loop.run(end())

    def next(self) -> tuple[str, bytes]:
        return self.received.get(timeout=WAIT)

    def use(self, device: Device) -> None:
        """Put another pair where the nucleus has its own."""
        shutil.copy(device.certificate, self.certificate)
        shutil.copy(device.key, self.key)


Make = Callable[..., MqttDevice]
both = pytest.mark.parametrize("runtime", ["classic", "lite"])


@contextmanager
def devices(site: Site, folder: Path) -> Iterator[Make]:
    """Makes a device that may do all, unless policies are given; not yet connected."""
    all_made: list[MqttDevice] = []
    faults: list[dict[str, Any]] = []
    with LoopThread() as loop:
        loop.loop.set_exception_handler(lambda _, context: faults.append(context))

        def make(runtime: Runtime = "classic", *policies: dict[str, Any]) -> MqttDevice:
            device = site.device("press-7", *policies)
            certificate, key = folder / "thingCert.crt", folder / "privKey.key"
            timeline = Timeline()
            proxy = MqttProxy(
                runtime,
                thing_name="press-7",
                host="localhost",
                port=site.core.port,
                certificate_path=certificate,
                private_key_path=key,
                root_ca_path=site.authority.certificate,
                timeline=timeline,
                min_reconnect_delay=0.02,
                max_reconnect_delay=0.1,
            )
            made = MqttDevice(proxy, loop, timeline, device, certificate, key)
            made.use(device)
            all_made.append(made)
            return made

        yield make
        for made in all_made:
            made.disconnect()
    assert not faults, f"the loop had to report {faults}"


@contextmanager
def observed(site: Site, topic_filter: str = "#") -> Iterator[queue.Queue[Message]]:
    """What the cloud accepts on a topic, in order."""
    messages: queue.Queue[Message] = queue.Queue()
    stop = site.core.observe(topic_filter, messages.put)
    try:
        yield messages
    finally:
        stop()


def is_silent(of: queue.Queue[Any]) -> bool:
    """Whether nothing comes for a while."""
    try:
        of.get(timeout=NEVER)
    except queue.Empty:
        return True
    return False
