"""Which certificates the endpoint lets in, over real sockets, in TLS 1.2 and 1.3."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab.iot_core.packets import Disconnect
from lab.iot_core.wire import Reason
from tests.lab.iot_core_site import EVERYTHING, Authority, Device, RawClient, Site, connect_packet

pytestmark = pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def try_to_connect(site: Site, device: Device | None, tls: ssl.TLSVersion) -> None:
    with RawClient(site, device, tls=tls) as client:
        client.send(connect_packet("press-7"))
        client.tls.recv(1)  # in TLS 1.3 the client learns only now that it was refused


def refusal(site: Site, device: Device | None, tls: ssl.TLSVersion) -> tuple[str, str]:
    """The alert that the client gets, and what the timeline says of it."""
    with pytest.raises(ssl.SSLError) as caught:
        try_to_connect(site, device, tls)
    entry = site.timeline.wait_for("refused", source="iot-core")
    assert not site.core.connections()
    if device is not None:
        assert entry.details["principal"] == device.certificate_id
    return caught.value.reason, str(entry.details["why"])


def test_registered_and_active_is_let_in(site: Site, tls: ssl.TLSVersion) -> None:
    """An ACTIVE certificate connects, and the endpoint knows which one it was."""
    device = site.device()
    with RawClient(site, device, tls=tls) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS
        (connection,) = site.core.connections()
    assert connection.principal == device.certificate_id
    entry = site.timeline.wait_for("connected", source="iot-core")
    assert entry.details["principal"] == device.certificate_id


def test_registered_after_the_start_is_let_in(site: Site, tls: ssl.TLSVersion) -> None:
    """A certificate refused as unknown connects as soon as it is registered."""
    device = site.authority.issue("press-7")
    assert refusal(site, device, tls)[1] == "certificate not registered"
    site.registry.register(device)
    site.registry.policies[device.certificate_id] = [EVERYTHING]
    with RawClient(site, device, tls=tls) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED", "PENDING_ACTIVATION"])
def test_not_active_is_refused(site: Site, tls: ssl.TLSVersion, status: str) -> None:
    """A registered certificate that is not ACTIVE gets a TLS alert."""
    device = site.device()
    site.registry.set_status(device, status)
    assert refusal(site, device, tls) == ("TLSV1_ALERT_UNKNOWN_CA", f"certificate {status}")


def test_unregistered_is_refused(site: Site, tls: ssl.TLSVersion) -> None:
    """A certificate of the very authority that signed registered ones is no way in."""
    site.device()
    other = site.authority.issue("other")
    assert refusal(site, other, tls) == ("TLSV1_ALERT_UNKNOWN_CA", "certificate not registered")


def test_expired_is_refused(site: Site, tls: ssl.TLSVersion) -> None:
    """AWS does not let an expired certificate in, registered and ACTIVE though it be."""
    device = site.authority.issue("press-7", days=-1)
    site.registry.register(device)
    alert, why = refusal(site, device, tls)
    assert alert == "SSLV3_ALERT_CERTIFICATE_EXPIRED"
    assert why == "certificate not accepted: certificate has expired"


def test_no_certificate_is_refused(site: Site, tls: ssl.TLSVersion) -> None:
    """A client without a certificate is refused."""
    assert refusal(site, None, tls)[1] == "TLS: peer did not return a certificate"


def test_certificate_without_its_key_is_refused(site: Site, tls: ssl.TLSVersion) -> None:
    """Whoever shows a registered certificate must prove to hold its key."""
    device = site.device()
    thief = site.authority.issue("thief")
    device.key.write_bytes(forged_key(device, thief))
    alert, why = refusal(site, device, tls)
    assert alert in ("TLSV1_ALERT_DECRYPT_ERROR", "SSLV3_ALERT_DECRYPT_ERROR")
    assert why == "TLS: bad signature"


def forged_key(victim: Device, thief: Device) -> bytes:
    """A SEC 1 key (RFC 5915) that looks like the victim's, with the thief's private number.

    OpenSSL compares only the public halves before it lets a client use a pair.
    """
    certificate = x509.load_pem_x509_certificate(victim.certificate.read_bytes())
    public = certificate.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    key = serialization.load_pem_private_key(thief.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    private = key.private_numbers().private_value.to_bytes(32, "big")
    der = bytes.fromhex("30770201010420") + private
    der += bytes.fromhex("a00a06082a8648ce3d030107a144034200") + public
    encoded = base64.encodebytes(der)
    return b"-----BEGIN EC PRIVATE KEY-----\n" + encoded + b"-----END EC PRIVATE KEY-----\n"


def test_any_signer_will_do(site: Site, tls: ssl.TLSVersion, tmp_path: Path) -> None:
    """IoT Core need not know who signed a certificate that was registered without its CA."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    device = Authority(folder, "Somebody else's CA").issue("press-7")
    site.registry.register(device)
    site.registry.policies[device.certificate_id] = [EVERYTHING]
    with RawClient(site, device, tls=tls) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS


def test_chain_and_rsa_are_let_in(site: Site, tls: ssl.TLSVersion, tmp_path: Path) -> None:
    """A client may send its chain along, and its key may be RSA: the first certificate counts."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    authority = Authority(folder, "Chain CA")
    device = authority.issue("press-7", key=rsa.generate_private_key(65537, 2048))
    site.registry.register(device)
    site.registry.policies[device.certificate_id] = [EVERYTHING]
    chain = device.certificate.read_bytes() + authority.certificate.read_bytes()
    device.certificate.write_bytes(chain)
    with RawClient(site, device, tls=tls) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS
        assert site.core.connections()[0].principal == device.certificate_id


def test_alpn_of_port_443_is_agreed(site: Site, tls: ssl.TLSVersion) -> None:
    """Clients set up for port 443 ask for x-amzn-mqtt-ca and get it; others need not ask."""
    device = site.device()
    with RawClient(site, device, tls=tls, alpn=["x-amzn-mqtt-ca"]) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.SUCCESS
        assert client.tls.selected_alpn_protocol() == "x-amzn-mqtt-ca"


def test_sessions_are_not_resumed(site: Site, tls: ssl.TLSVersion) -> None:
    """A resumed TLS session would not present its certificate, so none is offered."""
    device = site.device()
    with RawClient(site, device, tls=tls) as client:
        client.connect(connect_packet("press-7"))
        session = client.tls.session
    assert session is None or not session.has_ticket
    with RawClient(site, device, tls=tls) as client:
        assert not client.tls.session_reused


@pytest.mark.parametrize("deleted", [False, True])
def test_enforce_registry_drops_live_connections(
    site: Site, tls: ssl.TLSVersion, deleted: bool
) -> None:
    """A deactivated or deleted certificate loses its connection when the registry is enforced."""
    device, other = site.device(), site.device("press-8")
    with RawClient(site, device, tls=tls) as client, RawClient(site, other, tls=tls) as stays:
        client.connect(connect_packet("press-7"))
        stays.connect(connect_packet("press-8"))
        if deleted:
            site.registry.forget(device)
        else:
            site.registry.set_status(device, "INACTIVE")
        assert len(site.core.connections()) == 2
        site.core.enforce_registry()
        assert client.receive() == Disconnect(Reason.NOT_AUTHORIZED)
        assert client.receive() is None
        assert [c.client_id for c in site.core.connections()] == ["press-8"]
    entry = site.timeline.wait_for("disconnected", client_id="press-7")
    assert entry.details["reason"] == "FORBIDDEN_ACCESS"


def test_deactivated_between_handshake_and_connect(
    site: Site, tls: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is asked again at CONNECT."""
    device = site.device()
    active = site.registry.certificates[device.certificate_id]
    answers = iter([active, replace(active, status="INACTIVE")])
    monkeypatch.setattr(site.registry, "certificate", lambda _: next(answers))
    with RawClient(site, device, tls=tls) as client:
        assert client.connect(connect_packet("press-7")).code == Reason.NOT_AUTHORIZED
        assert client.receive() is None
    entry = site.timeline.wait_for("refused", source="iot-core", client_id="press-7")
    assert entry.details["why"] == "certificate INACTIVE"
