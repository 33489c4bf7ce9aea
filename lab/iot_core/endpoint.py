"""The listening side: a port that stays the same, and every connection that came through it.

Lives on the lab's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lab.iot_core.client import Client, Services
from lab.iot_core.connection import Connection
from lab.iot_core.presence import DisconnectReason
from lab.iot_core.tls import TlsServer
from lab.iot_core.wire import Reason
from lab.loopback import bound


class Endpoint:
    def __init__(
        self,
        services: Services,
        server_certificate: Path,
        server_key: Path,
        connect_timeout: float,
        shown: Callable[[bytes], None] | None = None,
    ) -> None:
        """``shown`` is told every client certificate (DER) that is presented."""
        self._services = services
        self._certificate = server_certificate
        self._key = server_key
        self._connect_timeout = connect_timeout
        self._shown = shown
        self._server: asyncio.Server | None = None
        self._connections: dict[Connection, None] = {}
        # Bound and never listening: nobody else gets the port while the endpoint is away.
        self._claim = bound(0)
        self.port: int = self._claim.getsockname()[1]

    async def listen(self) -> None:
        """Take connections on ``port``, for the first time or again."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, sock=bound(self.port), backlog=1024
            )

    def refuse(self) -> None:
        """Close the listening socket: the kernel refuses who comes now."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def reset_all(self, why: str) -> None:
        for connection in list(self._connections):
            connection.reset(why)

    def close(self) -> None:
        self.refuse()
        self.reset_all("IoT Core stops")
        self._claim.close()

    def clients(self) -> list[Client]:
        return [c.client for c in self._connections if c.client is not None and not c.ended]

    def enforce_registry(self) -> None:
        """Drop each client whose certificate is no longer registered and ACTIVE."""
        for connection in list(self._connections):
            if connection.client is None:
                continue
            certificate_id = connection.client.principal.certificate_id
            fault = self._services.authorizer.certificate_fault(certificate_id)
            if fault is not None:
                connection.end(DisconnectReason.FORBIDDEN_ACCESS, fault, Reason.NOT_AUTHORIZED)

    def _connection(self) -> Connection:
        vet = self._services.authorizer.certificate_fault
        tls = TlsServer(self._certificate, self._key, vet, self._shown)
        connection = Connection(tls, self._services, self._connect_timeout, self._gone)
        self._connections[connection] = None
        return connection

    def _gone(self, connection: Connection) -> None:
        del self._connections[connection]
