"""The lab's authorities issue certificates that OpenSSL and AWS's clients accept."""

from __future__ import annotations

import datetime
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from lab.account.authority import (
    AWS_IOT_DEFAULT_SUBJECT,
    AWS_IOT_NOT_AFTER,
    CSR_MAX_CHARACTERS,
    KEY_ALGORITHMS,
    Authority,
    CsrRefused,
    common_name,
    csr_pem,
    generate_private_key,
    private_key_pem,
)

AWS_IOT_ISSUER = "OU = Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"


@pytest.fixture(scope="module")
def aws_iot() -> Authority:
    """AWS IoT's authority, for the tests of this module."""
    return Authority.create_aws_iot()


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def openssl(*arguments: str) -> str:
    finished = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_private_key_is_written_as_aws_iot_hands_it_out(algorithm: str) -> None:
    """An RSA key is written as PKCS#1, an EC key as PKCS#8, of the size that was asked for."""
    pem = private_key_pem(generate_private_key(algorithm))
    family, _, size = algorithm.partition("-")
    header = "-----BEGIN RSA PRIVATE KEY-----" if family == "RSA" else "-----BEGIN PRIVATE KEY-----"
    assert pem.startswith(header)
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    assert str(key.key_size) == size.removeprefix("P")


def test_unknown_key_algorithm_is_refused_by_name() -> None:
    """A key algorithm that nobody knows is refused with its name and the known ones."""
    with pytest.raises(ValueError, match=r"'RSA-1024'.*RSA-2048"):
        generate_private_key("RSA-1024")


def test_device_certificate_from_a_csr_looks_as_aws_iot_makes_it(
    aws_iot: Authority, tmp_path: Path
) -> None:
    """OpenSSL shows AWS IoT's issuer, window and extensions, the CSR's subject, and verifies it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Presses Ltd."),
            x509.NameAttribute(NameOID.COMMON_NAME, "press-7"),
        ]
    )
    key = generate_private_key("ECDSA-P256")
    pem = aws_iot.issue_device_certificate_from_csr(csr_pem(key, subject))
    assert parsed(pem).public_key() == key.public_key()

    leaf, root = tmp_path / "leaf.pem", tmp_path / "root.pem"
    leaf.write_text(pem)
    root.write_text(aws_iot.certificate_pem)
    text = openssl("x509", "-in", str(leaf), "-noout", "-text")
    assert f"Issuer: {AWS_IOT_ISSUER}\n" in text
    assert "Subject: O = Presses Ltd., CN = press-7\n" in text
    assert "Not After : Dec 31 23:59:59 2049 GMT" in text
    extensions = [line.strip() for line in text.splitlines() if "X509v3" in line]
    assert extensions[1:] == [
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
        "X509v3 Basic Constraints: critical",
        "X509v3 Key Usage: critical",
    ]
    openssl("verify", "-x509_strict", "-CAfile", str(root), str(leaf))


def test_default_certificate_is_valid_from_before_now(aws_iot: Authority) -> None:
    """AWS IoT's certificate begins two minutes in the past, so a slow clock accepts it."""
    key = generate_private_key("ECDSA-P256").public_key()
    before = datetime.datetime.now(datetime.UTC)
    certificate = parsed(aws_iot.issue_device_certificate(key))
    after = datetime.datetime.now(datetime.UTC)
    second = datetime.timedelta(seconds=1)
    two_minutes = datetime.timedelta(minutes=2)
    assert before - second <= certificate.not_valid_before_utc + two_minutes <= after
    assert certificate.not_valid_after_utc == AWS_IOT_NOT_AFTER
    assert certificate.subject == AWS_IOT_DEFAULT_SUBJECT


def test_device_certificate_takes_the_window_that_is_asked_for(aws_iot: Authority) -> None:
    """notBefore and notAfter are those asked for, also in the past."""
    begin = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    end = datetime.datetime(2002, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    key = generate_private_key("ECDSA-P256")
    by_key = aws_iot.issue_device_certificate(key.public_key(), not_before=begin, not_after=end)
    by_csr = aws_iot.issue_device_certificate_from_csr(
        csr_pem(key, common_name("x")), not_before=begin, not_after=end
    )
    for pem in (by_key, by_csr):
        certificate = parsed(pem)
        window = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        assert window == (begin, end)


def test_impossible_windows_are_refused(aws_iot: Authority) -> None:
    """A window without a time zone, and one that ends before it begins, are errors."""
    key = generate_private_key("ECDSA-P256").public_key()
    naive = datetime.datetime(2030, 1, 1)  # noqa: DTZ001  (what is refused)
    with pytest.raises(ValueError, match="time zone"):
        aws_iot.issue_device_certificate(key, not_after=naive)
    begin = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    end = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(ValueError, match="after"):
        aws_iot.issue_device_certificate(key, not_before=begin, not_after=end)


def csr_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name("x"))
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def with_the_last_byte_changed(csr: str) -> str:
    der = bytearray(x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    changed = x509.load_der_x509_csr(bytes(der))
    return changed.public_bytes(serialization.Encoding.PEM).decode()


def refused_csrs() -> dict[str, tuple[str, str]]:
    """CSRs that AWS IoT refuses, each with the words of the refusal."""
    good = csr_of(generate_private_key("ECDSA-P256"))
    return {
        "empty": ("", "well-formed"),
        "text": ("file://press-7.csr", "well-formed"),
        "no ASN.1": (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "well-formed",
        ),
        "too long": (good + "\n" * (CSR_MAX_CHARACTERS + 1 - len(good)), "4097 characters"),
        "signature": (with_the_last_byte_changed(good), "signature"),
        "RSA-1024": (csr_of(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        "secp256k1": (csr_of(ec.generate_private_key(ec.SECP256K1())), "neither RSA nor ECC"),
        "Ed25519": (csr_of(ed25519.Ed25519PrivateKey.generate()), "neither RSA nor ECC"),
    }


@pytest.mark.parametrize(
    "case",
    ["empty", "text", "no ASN.1", "too long", "signature", "RSA-1024", "secp256k1", "Ed25519"],
)
def test_csr_that_aws_iot_refuses_is_refused(aws_iot: Authority, case: str) -> None:
    """A CSR that is malformed, too long, badly signed or of a weak key is refused with a reason."""
    csr, words = refused_csrs()[case]
    with pytest.raises(CsrRefused, match=words):
        aws_iot.issue_device_certificate_from_csr(csr)


def test_csr_of_the_greatest_length_is_taken(aws_iot: Authority) -> None:
    """A CSR of exactly 4096 characters is still taken."""
    csr = csr_pem(generate_private_key("ECDSA-P256"), common_name("x"))
    pem = aws_iot.issue_device_certificate_from_csr(csr + "\n" * (CSR_MAX_CHARACTERS - len(csr)))
    assert parsed(pem).subject == common_name("x")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_server_certificate_is_accepted_by_a_client_that_checks_it(
    tmp_path: Path, host: str
) -> None:
    """A TLS client that trusts the root and checks the host name completes the handshake."""
    root = Authority.create("Amazon Root CA 1", organization="Amazon")
    pair = root.issue_server_certificate()
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_text(pair.certificate_pem)
    key.write_text(pair.private_key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cadata=root.certificate_pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(client, server, host)


def test_server_certificate_of_another_root_is_refused(tmp_path: Path) -> None:
    """A TLS client that trusts another authority of the same name refuses the server."""
    pair = Authority.create("Amazon Root CA 1").issue_server_certificate()
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificate.write_text(pair.certificate_pem)
    key.write_text(pair.private_key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    other = Authority.create("Amazon Root CA 1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ssl.create_default_context(cadata=other.certificate_pem), server, "localhost")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """One TLS handshake in memory; raises what either side raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        if not sides:
            return
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    raise AssertionError("the handshake did not come to an end")


def test_root_has_the_name_and_window_of_amazon_root_ca_1() -> None:
    """The server root is named and valid as the real Amazon Root CA 1."""
    certificate = Authority.create("Amazon Root CA 1", organization="Amazon").certificate
    assert certificate.subject.rfc4514_string() == "CN=Amazon Root CA 1,O=Amazon,C=US"
    assert certificate.not_valid_before_utc.isoformat() == "2015-05-26T00:00:00+00:00"
    assert certificate.not_valid_after_utc.isoformat() == "2038-01-17T00:00:00+00:00"


def test_authority_may_end_when_it_is_told_to() -> None:
    """An authority with a chosen end has it, for the deadline that a CA's end sets."""
    end = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    authority = Authority.create("Ends soon", not_after=end)
    assert authority.certificate.not_valid_after_utc == end


@pytest.mark.parametrize("algorithm", ["RSA-2048", "ECDSA-P384", "ECDSA-P521"])
def test_authority_signs_with_any_of_its_algorithms(algorithm: str) -> None:
    """An authority of another key algorithm issues certificates that verify against it."""
    authority = Authority.create("Other", algorithm)
    own_key = authority.certificate.public_key()
    assert isinstance(own_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    assert str(own_key.key_size) in algorithm
    key = generate_private_key("ECDSA-P256")
    pem = authority.issue_device_certificate_from_csr(csr_pem(key, common_name("x")))
    parsed(pem).verify_directly_issued_by(authority.certificate)


def test_common_name_is_cut_to_what_a_certificate_may_hold() -> None:
    """A thing name of 128 characters becomes a CN of the 64 that RFC 5280 allows."""
    assert common_name("a" * 128) == common_name("a" * 64)


def test_repr_of_a_pair_shows_no_key() -> None:
    """The repr of a pair has the certificate, and nothing of the private key."""
    pair = Authority.create("Root").issue_server_certificate()
    assert "PRIVATE KEY" not in repr(pair)
    assert pair.private_key_pem.splitlines()[1] not in repr(pair)
