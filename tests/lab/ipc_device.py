"""A nucleus's IPC socket with a recorded MQTT side, and real SDK clients for it."""

from __future__ import annotations

import asyncio
import queue
import socket
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import awsiot.greengrasscoreipc
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from lab.loop import LoopThread
from lab.nucleus.authorization import MQTT_PROXY, PUBSUB
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.eventstream import (
    CONNECTION_ACCEPTED,
    Decoder,
    Message,
    MessageType,
    encode,
)
from lab.nucleus.ipc import IpcServer
from lab.nucleus.operations import PREFIX
from lab.nucleus.recipe import Runtime
from lab.timeline import Timeline

COMPONENT = "com.example.Keeper"
OTHER = "com.example.Other"
TIMEOUT = 20.0
T = TypeVar("T")


def policies(service: str, operations: list[str], resources: list[str], id_: str = "p") -> Any:
    """An ``accessControl`` with one policy."""
    return {
        service: {id_: {"policyDescription": "", "operations": operations, "resources": resources}}
    }


OPEN = policies(MQTT_PROXY, ["*"], ["*"], "mqtt") | policies(PUBSUB, ["*"], ["*"], "pubsub")


class RecordedMqtt:
    """The MQTT side, as the test wants it: what was published, who subscribed."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, int]] = []
        self.subscribed: dict[str, Callable[[str, bytes], None]] = {}
        self.unsubscribed: queue.Queue[str] = queue.Queue()
        self.cancelled: queue.Queue[str] = queue.Queue()
        self.failure: Exception | None = None
        self.never_connected = False

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Take it, or fail as told."""
        if self.failure is not None:
            raise self.failure
        self.published.append((topic, payload, qos))

    async def subscribe(
        self, topic_filter: str, qos: int, deliver: Callable[[str, bytes], None]
    ) -> Callable[[], Awaitable[None]]:
        """Remember who is to be told; never come back if the nucleus never connected."""
        if self.failure is not None:
            raise self.failure
        if self.never_connected:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.cancelled.put(topic_filter)
        self.subscribed[topic_filter] = deliver

        async def unsubscribe() -> None:
            del self.subscribed[topic_filter]
            self.unsubscribed.put(topic_filter)

        return unsubscribe


class Device:
    """A nucleus that runs on a loop of its own, and the clients that a test opens."""

    def __init__(self, runtime: Runtime, folder: Path, loop: LoopThread) -> None:
        self.runtime = runtime
        self.loop = loop
        self.timeline = Timeline()
        self.mqtt = RecordedMqtt()
        self.now = 1_700_000_000_000
        self.store = ConfigurationStore(runtime, clock=lambda: self.now)
        self.states: queue.Queue[tuple[str, str]] = queue.Queue()
        self.path = folder / "ipc.socket"
        self.server = IpcServer(
            self.path,
            runtime=runtime,
            thing_name="press-7",
            mqtt=self.mqtt,
            configuration=self.store,
            timeline=self.timeline,
            state_reported=lambda component, state: self.states.put((component, state)),
        )
        self._clients: list[Any] = []

    @property
    def classic(self) -> bool:
        """Whether this is the classic nucleus."""
        return self.runtime == "classic"

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call on the nucleus's loop, where it belongs."""

        async def run() -> T:
            return function(*args, **kwargs)

        return self.loop.run(run())

    def install(self, component: str = COMPONENT, access_control: Any = OPEN, **more: Any) -> None:
        """A component with its configuration."""
        self.call(self.store.add, component, {"accessControl": access_control, **more})

    def client(self, component: str = COMPONENT, token: str | None = None) -> Any:
        """The SDK's client, connected as a component that starts now."""
        token = token or self.call(self.server.register, component)
        inner = awsiot.greengrasscoreipc.connect(ipc_socket=str(self.path), authtoken=token)
        client = GreengrassCoreIPCClientV2(client=inner, executor=None)
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        """Close what the test left open, however its connection ended."""
        for client in self._clients:
            client.close().exception(TIMEOUT)

    @contextmanager
    def raw(self) -> Iterator[RawClient]:
        """A client that can send anything."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(self.path))
            yield RawClient(connection)


class RawClient:
    """A client of the socket that says whatever it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._decoder = Decoder()
        self._messages: list[Message] = []

    def send(self, message: Message) -> None:
        """Send one message."""
        self.connection.sendall(encode(message))

    def receive(self) -> Message | None:
        """The next message, or None once the nucleus has closed the connection."""
        while not self._messages:
            try:
                data = self.connection.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._messages.extend(self._decoder.feed(data))
        return self._messages.pop(0)


def connect(token: str, version: str = "0.1.0") -> Message:
    """What a client says first."""
    return Message(
        MessageType.CONNECT,
        headers={":version": version},
        payload=b'{"authToken": "%s"}' % token.encode(),
    )


def request(operation: str, payload: bytes = b"{}", stream: int = 1) -> Message:
    """A request that opens a stream."""
    return Message(
        MessageType.APPLICATION_MESSAGE,
        stream,
        headers={"operation": PREFIX + operation},
        payload=payload,
    )


@contextmanager
def connected(device: Device) -> Iterator[RawClient]:
    """A raw client that was let in."""
    with device.raw() as client:
        client.send(connect(device.call(device.server.register, COMPONENT)))
        assert client.receive() == Message(MessageType.CONNECT_ACK, flags=CONNECTION_ACCEPTED)
        yield client


class Events:
    """What a subscription delivers."""

    def __init__(self) -> None:
        self._events: queue.Queue[Any] = queue.Queue()
        self.closed = threading.Event()
        self.handlers: Mapping[str, Any] = {
            "on_stream_event": self._events.put,
            "on_stream_error": lambda error: True,
            "on_stream_closed": self.closed.set,
        }

    def next(self) -> Any:
        """The next event."""
        return self._events.get(timeout=TIMEOUT)

    def none(self) -> bool:
        """Whether nothing more is here."""
        return self._events.empty()


@contextmanager
def running_device(runtime: Runtime) -> Iterator[Device]:
    """A nucleus that is up, in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ipc") as folder, LoopThread() as loop:
        device = Device(runtime, Path(folder), loop)
        loop.run(device.server.start())
        try:
            yield device
        finally:
            device.close_clients()
            loop.run(device.server.stop())
