"""A pair is tried against a real TLS server on the loopback, which behaves in every way."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from certkeeper.edge.probe import Target, Verdict, probe
from lab.account.authority import Authority, common_name, generate_private_key, private_key_pem

SECRET = "s3cr3t-session-token"  # what a good answer holds
ROLE_PATH = "GET /role-aliases/Alias/credentials HTTP/1.1"
JOBS_PATH = "GET /things/press-7/jobs HTTP/1.1"

Behaviour = Callable[[ssl.SSLSocket], None]
SERVERS = Authority.create("Amazon Root CA 1")
DEVICES = Authority.create("AWS IoT")
STRANGERS = Authority.create("Somebody else")


class Pair:
    """A certificate and a key in files."""

    def __init__(self, folder: Path, authority: Authority = DEVICES) -> None:
        key = generate_private_key("ECDSA-P256")
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        pem = authority.issue_device_certificate(key.public_key(), common_name("press-7"))
        self.certificate.write_text(pem)
        self.key.write_text(private_key_pem(key))


class Server:
    """Serves each connection with ``behave``; keeps the requests that it read."""

    def __init__(self, folder: Path, behave: Behaviour, authority: Authority) -> None:
        pair = authority.issue_server_certificate()
        (folder / "server.pem").write_text(pair.certificate_pem)
        (folder / "server.key").write_text(pair.private_key_pem)
        (folder / "devices.pem").write_text(DEVICES.certificate_pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self._context.load_verify_locations(folder / "devices.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[str] = []
        self.endpoint = f"localhost:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with raw, contextlib.suppress(OSError):
                raw.settimeout(20)
                with self._context.wrap_socket(raw, server_side=True) as connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(4096)
                    self.requests.append(head.decode())
                    self._behave(connection)


def answers(status: int, body: bytes = b"") -> Behaviour:
    def behave(connection: ssl.SSLSocket) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    return behave


def hangs_up(connection: ssl.SSLSocket) -> None:
    """Closes without an answer."""


def says_no_http(connection: ssl.SSLSocket) -> None:
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, and closes them."""
    with contextlib.ExitStack() as closing:

        def start(behave: Behaviour, authority: Authority = SERVERS) -> Server:
            folder = tmp_path / f"server-{threading.active_count()}"
            folder.mkdir(exist_ok=True)
            server = Server(folder, behave, authority)
            closing.callback(server.close)
            return server

        yield start


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "root.pem").write_text(SERVERS.certificate_pem)
    return Target("press-7", tmp_path / "root.pem")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_credentials_prove_acceptance(
    serve: Callable[..., Server], target: Target, pair: Pair
) -> None:
    """200 from the credentials provider; the credentials in it are said nowhere."""
    server = serve(answers(200, json.dumps({"message": SECRET, "credentials": SECRET}).encode()))
    asked = replace(target, credential_endpoint=server.endpoint, role_alias="Alias")
    said = probe(asked, pair.certificate, pair.key)
    assert said.verdict is Verdict.ACCEPTED
    assert SECRET not in repr(said)
    (request,) = server.requests
    assert request.startswith(ROLE_PATH)
    assert "x-amzn-iot-thingname: press-7" in request


def test_403_of_the_credentials_provider_is_a_refusal(
    serve: Callable[..., Server], target: Target, pair: Pair
) -> None:
    """A certificate without the thing or the policy is refused in words, which are passed on;
    nobody else is asked."""
    credentials = serve(answers(403, b'{"message":"Invalid thing name\\npassed"}'))
    data = serve(answers(200))
    asked = replace(
        target,
        credential_endpoint=credentials.endpoint,
        role_alias="Alias",
        data_endpoint=data.endpoint,
    )
    said = probe(asked, pair.certificate, pair.key)
    assert said.verdict is Verdict.REFUSED
    assert "403 Invalid thing name passed" in said.detail
    assert data.requests == []


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_what_is_not_about_the_certificate_is_unclear(
    serve: Callable[..., Server], target: Target, pair: Pair, status: int
) -> None:
    """A missing role alias or a busy AWS refuse no certificate: the data endpoint is asked."""
    credentials, data = serve(answers(status)), serve(answers(200))
    asked = replace(target, credential_endpoint=credentials.endpoint, role_alias="Alias")
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNCLEAR
    both = replace(asked, data_endpoint=data.endpoint)
    assert probe(both, pair.certificate, pair.key).verdict is Verdict.ACCEPTED
    assert data.requests[0].startswith(JOBS_PATH)


def test_403_of_the_data_endpoint_is_unclear(
    serve: Callable[..., Server], target: Target, pair: Pair
) -> None:
    """A policy may well not allow to list jobs over HTTPS."""
    asked = replace(target, data_endpoint=serve(answers(403)).endpoint)
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNCLEAR


def test_tls_alert_is_a_refusal(
    serve: Callable[..., Server], target: Target, tmp_path: Path
) -> None:
    """A certificate that the server does not know is refused by an alert (RFC 8446, section 6)."""
    (tmp_path / "strange").mkdir()
    stranger = Pair(tmp_path / "strange", STRANGERS)
    asked = replace(target, data_endpoint=serve(answers(200)).endpoint)
    said = probe(asked, stranger.certificate, stranger.key)
    assert said.verdict is Verdict.REFUSED
    assert "UNKNOWN_CA" in said.detail


@pytest.mark.parametrize("behave", [hangs_up, says_no_http])
def test_closed_connection_is_unclear(
    serve: Callable[..., Server], target: Target, pair: Pair, behave: Behaviour
) -> None:
    """A hang-up or nonsense proves neither acceptance nor refusal."""
    asked = replace(target, data_endpoint=serve(behave).endpoint)
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNCLEAR


def test_server_that_is_somebody_else_is_unreachable(
    serve: Callable[..., Server], target: Target, pair: Pair
) -> None:
    """A server whose certificate our root CA did not sign says nothing about ours, and never
    sees a request."""
    server = serve(answers(403), STRANGERS)
    asked = replace(target, credential_endpoint=server.endpoint, role_alias="Alias")
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNREACHABLE
    assert server.requests == []


def test_silent_server_is_unreachable(target: Target, pair: Pair) -> None:
    """A server that accepts and says nothing is given up after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = replace(target, data_endpoint=f"localhost:{listener.getsockname()[1]}")
        said = probe(asked, pair.certificate, pair.key, timeout=0.2)
    assert said.verdict is Verdict.UNREACHABLE


@pytest.mark.parametrize("endpoint", [None, "", "localhost:1", "localhost:banana", "no host"])
def test_no_endpoint_is_unreachable(target: Target, pair: Pair, endpoint: str | None) -> None:
    """Nobody there, or no address at all, is no refusal."""
    asked = replace(target, data_endpoint=endpoint)
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNREACHABLE


def test_missing_root_ca_is_unreachable(target: Target, pair: Pair, tmp_path: Path) -> None:
    """Without a root CA no server can be believed; that is not the new pair's fault."""
    asked = replace(target, root_ca=tmp_path / "none.pem", data_endpoint="localhost:1")
    assert probe(asked, pair.certificate, pair.key).verdict is Verdict.UNREACHABLE


def test_pair_that_is_none_is_refused(target: Target, pair: Pair, tmp_path: Path) -> None:
    """A certificate with another's key, or a damaged file, nobody will ever take."""
    (tmp_path / "other").mkdir()
    other = Pair(tmp_path / "other")
    assert probe(target, pair.certificate, other.key).verdict is Verdict.REFUSED
    pair.certificate.write_text("garbage")
    assert probe(target, pair.certificate, pair.key).verdict is Verdict.REFUSED
