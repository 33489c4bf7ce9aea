"""The server's side of mutual TLS as AWS IoT Core does it, in memory: bytes in, bytes out.

AWS lets a client in because its certificate is registered, not because it trusts who
signed it. Python's ``ssl`` verifies against a trust store before anybody may look, so the
store of each connection starts empty, and the certificate that the client presents joins
it during the handshake if ``vet`` finds nothing against it. OpenSSL then checks the rest,
dates and proof of the key included; a certificate that was not vetted, or a Python that
does not show it, is refused. The client gets an alert, as from AWS (there
``certificate_unknown``, here ``unknown_ca``), and in TLS 1.3 it gets it after its own side
of the handshake is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

ALPN_PROTOCOL = "x-amzn-mqtt-ca"  # (AWS IoT Developer Guide, "Device communication protocols")

_HANDSHAKE = 22  # content type, and
_CERTIFICATE = 11  # message type (RFC 8446, 5.1 and 4)


class TlsRefusedError(Exception):
    """The handshake failed or the session broke; the message says why, for the timeline."""


@dataclass(frozen=True)
class PeerCertificate:
    """A client certificate whose key the peer has proved to hold."""

    certificate_id: str
    common_name: str | None


class TlsServer:
    """One connection's TLS. What it wants sent is in ``outgoing()`` after each call, errors too."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        vet: Callable[[str], str | None],
        shown: Callable[[bytes], None] | None = None,
    ) -> None:
        """``vet`` takes a certificate id and gives what is against it, or None. Before it is
        asked, ``shown`` is told the certificate (DER), with or without the key to it.

        ``presented`` is the id that the client showed, with or without the key to it;
        ``peer`` is set once the handshake is done.
        """
        self._vet = vet
        self._shown = shown
        self._fault: str | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate, key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a leaf may be trusted itself
        self._context.num_tickets = 0  # a resumed session would not present its certificate
        self._context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        self._context.set_alpn_protocols([ALPN_PROTOCOL])
        # The one hook of the standard library that shows the client's certificate in time. It is
        # meant for debugging and so has no public name; tests run each case through it.
        self._context._msg_callback = self._on_message  # type: ignore[attr-defined]
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.presented: str | None = None
        self.peer: PeerCertificate | None = None

    def receive(self, data: bytes) -> bytes:
        """Take what came from the network and give the plaintext in it.

        Raises TlsRefusedError; then send what is outgoing, an alert, and close.
        """
        self._incoming.write(data)
        plaintext = bytearray()
        try:
            if self.peer is None:
                self._tls.do_handshake()
                self.peer = self._presented()
                self._context._msg_callback = None  # type: ignore[attr-defined]  # as above
            while chunk := self._tls.read(65536):
                plaintext += chunk
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as error:
            raise TlsRefusedError(self._fault or _reason(error)) from None
        return bytes(plaintext)

    def send(self, plaintext: bytes) -> None:
        self._tls.write(plaintext)

    def close(self) -> None:
        """Say that nothing more comes (RFC 8446, 6.1, close_notify)."""
        # The peer has not said so yet, or the handshake never ended: ours is out anyway.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Take what has to go to the network."""
        return self._outgoing.read()

    def _on_message(
        self,
        _connection: object,
        direction: str,
        version: int,
        content_type: int,
        message_type: int,
        message: bytes,
    ) -> None:
        if (direction, content_type, message_type) != ("read", _HANDSHAKE, _CERTIFICATE):
            return
        leaf = _leaf(message, tls_1_3=version == ssl.TLSVersion.TLSv1_3)
        if leaf is None:
            return
        self.presented = hashlib.sha256(leaf).hexdigest()
        if self._shown is not None:
            self._shown(leaf)
        self._fault = self._vet(self.presented)
        if self._fault is None:
            self._context.load_verify_locations(cadata=leaf)

    def _presented(self) -> PeerCertificate:
        der = self._tls.getpeercert(binary_form=True)
        if der is None:  # cannot be: CERT_REQUIRED
            raise TlsRefusedError("no client certificate")
        subject = x509.load_der_x509_certificate(der).subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        common_name = str(names[0].value) if names else None
        return PeerCertificate(hashlib.sha256(der).hexdigest(), common_name)


def _leaf(message: bytes, *, tls_1_3: bool) -> bytes | None:
    """The first certificate, DER, of a Certificate message (RFC 8446, 4.4.2; RFC 5246, 7.4.2)."""
    at = 4  # the message's type and length
    if tls_1_3:
        at += 1 + int.from_bytes(message[at : at + 1], "big")  # certificate_request_context
    at += 3  # the length of the list
    length = int.from_bytes(message[at : at + 3], "big")
    return message[at + 3 : at + 3 + length] or None


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
