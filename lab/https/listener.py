"""A port of the loopback that stays the same, whether anybody listens on it or not."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable

from lab.https.connection import HttpConnection, Serve, Service
from lab.iot_core.tls import TlsServer
from lab.loop import LoopThread
from lab.loopback import bound
from lab.timeline import Timeline

WORKERS = 4
PATIENCE = 60.0


class Listener:
    """For blocking code, on any thread but the loop's own."""

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        source: str,
        serve: Serve,
        *,
        tls: Callable[[], TlsServer] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Claims a port; ``tls`` makes each connection's TLS. See Service for the rest."""
        self._loop = loop
        self._timeline = timeline
        self._source = source
        self._tls = tls
        self._workers = concurrent.futures.ThreadPoolExecutor(WORKERS, f"lab-{source}")
        self._service = Service(source, serve, self._workers, timeline, patience)
        self._server: asyncio.Server | None = None
        self._connections: dict[HttpConnection, None] = {}
        # Bound and never listening: nobody else gets the port while this one is away.
        self._claim = bound(0)
        self.port: int = self._claim.getsockname()[1]

    def start(self) -> None:
        """Take connections."""
        self._loop.run(self._listen())
        self._timeline.record(self._source, "listening", port=self.port)

    def stop(self) -> None:
        """Reset every connection and give the port back, once and for all."""
        self._loop.run(self._refuse())
        self._workers.shutdown()
        self._claim.close()

    def go_away(self) -> None:
        """Connections are reset, new ones refused."""
        self._loop.run(self._refuse())
        self._timeline.record(self._source, "gone-away")

    def come_back(self) -> None:
        """Take connections again, on the same port."""
        self._loop.run(self._listen())
        self._timeline.record(self._source, "back", port=self.port)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, sock=bound(self.port), backlog=256
            )

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.reset()

    def _connection(self) -> HttpConnection:
        tls = None if self._tls is None else self._tls()
        connection = HttpConnection(tls, self._service, self._connections)
        if self._server is None:  # accepted, and then everything went away
            connection.reset()
        return connection
