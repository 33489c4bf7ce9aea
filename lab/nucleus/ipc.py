"""The nucleus's IPC socket, which the Greengrass SDK of a component talks to.

``IpcServer`` accepts connections and lets the lab play the nucleus. Everything here runs
on one event loop and is called there. Left out: components' own IPC services.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from lab.nucleus.authorization import AccessControl
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.configuration_operations import ConfigurationOperations
from lab.nucleus.configuration_tree import KeyPath
from lab.nucleus.ipc_connection import Connection
from lab.nucleus.lifecycle_operations import CertificateUpdate, Deferral, LifecycleOperations
from lab.nucleus.messaging_operations import MessagingOperations
from lab.nucleus.operations import Mqtt, Nucleus, Operation
from lab.nucleus.recipe import Runtime
from lab.timeline import Timeline

# What fits into sockaddr_un with its final zero byte (unix(7)).
MAX_SOCKET_PATH = 107


class IpcServer:
    """The IPC of one nucleus.

    ``state_reported(component, state)`` hears what components report by UpdateState.
    Raises ValueError if the socket's path is too long for the operating system.
    """

    def __init__(
        self,
        socket_path: Path,
        *,
        runtime: Runtime,
        thing_name: str,
        mqtt: Mqtt,
        configuration: ConfigurationStore,
        timeline: Timeline,
        state_reported: Callable[[str, str], None] = lambda component, state: None,
    ) -> None:
        length = len(os.fsencode(socket_path))
        if length > MAX_SOCKET_PATH:
            raise ValueError(
                f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes; "
                f"{socket_path} has {length}"
            )
        if configuration.runtime != runtime:
            raise ValueError(f"a {runtime} nucleus with a {configuration.runtime} configuration")
        self._path = socket_path
        self._nucleus = Nucleus(thing_name, configuration, timeline)
        self._messaging = MessagingOperations(self._nucleus, mqtt)
        self._configuration = ConfigurationOperations(self._nucleus)
        self._lifecycle = LifecycleOperations(self._nucleus, state_reported)
        self._tokens: dict[str, str] = {}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._stopped = False
        self._unwatch: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Listen; a socket that an earlier nucleus left behind is replaced."""
        self._stopped = False
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, self._path)
        self._unwatch = self._nucleus.configuration.watch(self._configuration_changed)

    async def stop(self) -> None:
        """Close every connection, remove the socket, give up what is under way."""
        if self._server is None:
            return
        self._stopped = True
        self._server.close()
        self._server = None
        self._unwatch()
        self._path.unlink(missing_ok=True)
        await self._cut("the nucleus stopped")
        tasks = tuple(self._nucleus.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def register(self, component: str) -> str:
        """A component starts: the token (SVCUID) that lets its process in."""
        token = secrets.token_hex(8).upper()
        self._tokens[token] = component
        for problem in self.access_control(component).problems:
            self._nucleus.record("policy-problem", component=component, problem=problem)
        return token

    def forget(self, token: str) -> None:
        """The component stopped: its token is refused from now on, its connections closed."""
        self._tokens.pop(token, None)
        for connection in tuple(self._connections):
            if connection.token == token:
                connection.close("the component stopped")

    def access_control(self, component: str) -> AccessControl:
        """What the component's configuration allows it now."""
        return self._nucleus.access_control(component)

    async def drop_connections(self) -> None:
        """A fault: every connection is cut; the socket stays, and clients may come back."""
        await self._cut("cut by a fault")

    async def ask_component_update(
        self, deployment_id: str, *, is_ggc_restarting: bool = False, timeout: float = 60.0
    ) -> dict[str, Deferral]:
        """Tell subscribed components that an update is near, and wait for what they say.

        Gives the answers by component as soon as all are there, or those that came within
        ``timeout`` seconds (``componentUpdatePolicy``). To whom no deferral, or one of 0 ms,
        came, the update may happen; after a deferral the nucleus asks again.
        """
        return await self._lifecycle.ask_component_update(
            deployment_id, is_ggc_restarting=is_ggc_restarting, timeout=timeout
        )

    def end_component_update(self, deployment_id: str) -> None:
        """Tell subscribed components that the update is over."""
        self._lifecycle.end_component_update(deployment_id)

    def send_certificate(self, update: CertificateUpdate) -> None:
        """Client device auth renewed the local MQTT broker's server certificate."""
        self._lifecycle.send_certificate(update)

    def _accept(self) -> Connection:
        return Connection(
            self._nucleus,
            self._tokens.get,
            self._operation,
            made=self._made,
            lost=self._connections.discard,
        )

    def _made(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._stopped:
            connection.close("the nucleus stopped")

    def _operation(self, name: str) -> Operation | None:
        for subject in (self._messaging, self._configuration, self._lifecycle):
            operation = subject.operations().get(name)
            if operation is not None:
                return operation
        return None

    async def _cut(self, reason: str) -> None:
        connections = tuple(self._connections)
        for connection in connections:
            connection.close(reason)
        await asyncio.gather(*(connection.gone for connection in connections))

    def _configuration_changed(self, component: str, key_path: KeyPath) -> None:
        self._nucleus.record(
            "configuration-updated", component=component, key_path="/".join(key_path)
        )
