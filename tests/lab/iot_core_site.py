"""An IoT Core endpoint with a registry in memory, and certificates and a client to try it with."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from lab.iot_core.codec import decode, encode, frame
from lab.iot_core.iot_core import IotCore
from lab.iot_core.packets import Connack, Connect, Packet, Version
from lab.loop import LoopThread
from lab.timeline import Timeline

REGION, ACCOUNT = "eu-central-1", "123456789012"
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
WAIT = 20.0  # seconds before a test gives up on something that should happen at once


def allow(*actions: str, resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    """A policy document with one statement."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


EVERYTHING = allow("iot:*")


@dataclass(frozen=True)
class Registered:
    certificate_id: str
    arn: str
    status: str
    pem: str


@dataclass
class MemoryRegistry:
    """A registry that tests change under the endpoint's feet."""

    certificates: dict[str, Registered] = field(default_factory=dict)
    policies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    things: dict[str, list[str]] = field(default_factory=dict)
    exclusive: dict[str, str] = field(default_factory=dict)

    def certificate(self, certificate_id: str) -> Registered | None:
        return self.certificates.get(certificate_id)

    def policy_documents(self, certificate_id: str) -> list[dict[str, Any]]:
        return self.policies.get(certificate_id, [])

    def thing_names(self, certificate_id: str) -> list[str]:
        return self.things.get(certificate_id, [])

    def exclusive_thing(self, certificate_id: str) -> str | None:
        return self.exclusive.get(certificate_id)

    def register(self, device: Device, status: str = "ACTIVE") -> None:
        pem = device.certificate.read_text()
        arn = f"{ARN}:cert/{device.certificate_id}"
        self.certificates[device.certificate_id] = Registered(
            device.certificate_id, arn, status, pem
        )

    def set_status(self, device: Device, status: str) -> None:
        old = self.certificates[device.certificate_id]
        self.certificates[device.certificate_id] = replace(old, status=status)

    def forget(self, device: Device) -> None:
        del self.certificates[device.certificate_id]


@dataclass(frozen=True)
class Device:
    """A certificate and a key on disk."""

    certificate: Path
    key: Path
    certificate_id: str


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path, name: str = "Lab CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(self._name, self._key, days=3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = self._write("ca.pem", certificate.public_bytes(_PEM))

    def issue(
        self,
        name: str,
        *,
        days: float = 365,
        server: bool = False,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> Device:
        """A pair, P-256 unless given; with negative ``days`` its certificate has expired."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, days)
        if server:
            names = [x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        der = certificate.public_bytes(serialization.Encoding.DER)
        pem_key = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Device(
            self._write(f"{name}.crt", certificate.public_bytes(_PEM)),
            self._write(f"{name}.key", pem_key),
            hashlib.sha256(der).hexdigest(),
        )

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        days: float,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


_PEM = serialization.Encoding.PEM


class Site:
    """The endpoint, started, and everything around it."""

    def __init__(self, folder: Path, loop: LoopThread, connect_timeout: float) -> None:
        self.timeline = Timeline()
        self.registry = MemoryRegistry()
        self.authority = Authority(folder)
        server = self.authority.issue("server", server=True)
        self.core = IotCore(
            loop,
            self.timeline,
            self.registry,
            server_certificate=server.certificate,
            server_key=server.key,
            region=REGION,
            account_id=ACCOUNT,
            connect_timeout=connect_timeout,
        )

    def device(self, name: str = "press-7", *policies: dict[str, Any]) -> Device:
        """An ACTIVE certificate, allowed everything unless policies say otherwise."""
        device = self.authority.issue(name)
        self.registry.register(device)
        self.registry.policies[device.certificate_id] = list(policies or (EVERYTHING,))
        return device


@contextmanager
def running_site(folder: Path, *, connect_timeout: float = 10.0) -> Iterator[Site]:
    """A started site; afterwards, every error that the loop had to report fails the test."""
    faults: list[dict[str, Any]] = []
    with ExitStack() as stack:
        loop = stack.enter_context(LoopThread())
        loop.loop.set_exception_handler(lambda _, context: faults.append(context))
        site = Site(folder, loop, connect_timeout)
        stack.callback(site.core.stop)
        site.core.start()
        yield site
    assert not faults, f"the loop had to report {faults}"


class RawClient:
    """A TLS connection over which a test says exactly what it wants to say."""

    def __init__(
        self,
        site: Site,
        device: Device | None,
        *,
        tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        alpn: list[str] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(site.authority.certificate)
        context.minimum_version = context.maximum_version = tls
        if device is not None:
            context.load_cert_chain(device.certificate, device.key)
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        plain = socket.create_connection(("127.0.0.1", site.core.port), timeout=WAIT)
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.tls = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        self.version = Version.MQTT_3_1_1
        self._buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.tls.close()

    def send(self, *packets: Packet) -> None:
        self.tls.sendall(b"".join(encode(packet, self.version) for packet in packets))

    def receive(self) -> Packet | None:
        """The next packet, or None if the connection is closed, politely or not."""
        while (framed := frame(self._buffer, 1 << 28)) is None:
            try:
                data = self.tls.recv(65536)
            except (ConnectionError, ssl.SSLEOFError):
                return None
            if not data:
                return None
            self._buffer += data
        first_byte, body, length = framed
        self._buffer = self._buffer[length:]
        return decode(first_byte, body, self.version)

    def connect(self, connect: Connect) -> Connack:
        self.version = connect.version
        self.send(connect)
        answer = self.receive()
        assert isinstance(answer, Connack), answer
        return answer


def connect_packet(client_id: str, version: Version = Version.MQTT_5, **fields: Any) -> Connect:
    return Connect(version, client_id, fields.pop("clean_start", True), 60, **fields)
