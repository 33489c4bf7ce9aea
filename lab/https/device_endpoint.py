"""The account's HTTPS endpoint for devices: credentials provider and Jobs data plane, mutual TLS.

AWS has two host names for the two, here one port serves both: a device's endpoints are
``localhost:PORT``. A certificate is let in as at the MQTT endpoint, and looked at again at
each request.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lab.https.credentials import Clients, CredentialsProvider
from lab.https.jobs_routes import JobsRoutes
from lab.https.listener import PATIENCE, Listener
from lab.https.message import Request, Response, failed
from lab.https.permission import HttpsPermission
from lab.iot_core.registry import Registry
from lab.iot_core.tls import PeerCertificate, TlsServer
from lab.jobs.service import Jobs
from lab.loop import LoopThread
from lab.timeline import Timeline


class DeviceAccount(Clients, Protocol):
    """What the endpoint needs of an account."""

    @property
    def region(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def registry(self) -> Registry: ...


class DeviceEndpoint:
    """For blocking code, on any thread but the loop's own. Speaks as ``https`` in the timeline."""

    host = "localhost"

    def __init__(
        self,
        loop: LoopThread,
        timeline: Timeline,
        account: DeviceAccount,
        jobs: Jobs,
        *,
        server_certificate: Path,
        server_key: Path,
        patience: float = PATIENCE,
    ) -> None:
        """PEM files for a server certificate that names ``host``; claims a port on loopback.

        ``patience`` is what a client has for a whole request, in seconds.
        """
        self._permission = HttpsPermission(account.registry, account.region, account.account_id)
        self._credentials = CredentialsProvider(account, self._permission, timeline)
        self._jobs = JobsRoutes(jobs)
        self._listener = Listener(
            loop,
            timeline,
            "https",
            self._serve,
            tls=lambda: TlsServer(
                server_certificate, server_key, self._permission.certificate_fault
            ),
            patience=patience,
        )
        self.start = self._listener.start
        self.stop = self._listener.stop
        self.go_away = self._listener.go_away
        self.come_back = self._listener.come_back

    @property
    def port(self) -> int:
        """The same for as long as this object lives."""
        return self._listener.port

    @property
    def address(self) -> str:
        """What a device is configured with, as its data and its credentials endpoint."""
        return f"{self.host}:{self.port}"

    def _serve(self, request: Request, peer: PeerCertificate | None) -> Response:
        assert peer is not None  # there is no plaintext before the handshake
        # Asked again: the certificate may have been deactivated since the handshake.
        fault = self._permission.certificate_fault(peer.certificate_id)
        if fault is not None:
            return failed(403, "ForbiddenException", fault)
        match (request.method, *request.path):
            case ("GET", "role-aliases", alias, "credentials"):
                thing_name = request.headers.get("x-amzn-iot-thingname")
                return self._credentials.answer(peer, alias, thing_name)
        operation = self._jobs.operation(request)
        if operation is None:
            return failed(404, "ResourceNotFoundException", "there is nothing here")
        decision = self._permission.decide(
            peer, f"iotjobsdata:{operation.name}", f"thing/{operation.thing}"
        )
        if not decision.allowed:
            return failed(403, "ForbiddenException", decision.why)
        return operation.call()
