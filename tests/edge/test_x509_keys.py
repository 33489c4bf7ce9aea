"""Private keys, and what is signed with them: every type, every way of being no key."""

from __future__ import annotations

import base64
import json
import traceback
from pathlib import Path

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, RSAKey

from certkeeper.edge import x509
from certkeeper.edge.x509 import CertificateError, PrivateKeyError
from lab.account.authority import KEY_ALGORITHMS, private_key_pem
from tests.greengrass_root import SECRET, another_key, certificate_pem, key_of, pkcs8, written

JWS_ALGORITHMS = {
    "RSA-2048": "RS256",
    "RSA-3072": "RS256",
    "ECDSA-P256": "ES256",
    "ECDSA-P384": "ES384",
    "ECDSA-P521": "ES512",
}


# -- private keys -------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
@pytest.mark.parametrize("form", ["as AWS IoT hands it out", "PKCS#8"])
def test_keys_in_their_forms(tmp_path: Path, algorithm: str, form: str) -> None:
    """RSA keys in PKCS#1 or PKCS#8, and EC keys in PKCS#8, are loaded and match."""
    key = key_of(algorithm)
    content = pkcs8(key) if form == "PKCS#8" else private_key_pem(key).encode()
    loaded = x509.load_private_key(written(tmp_path, content))
    certificate = library.load_pem_x509_certificate(certificate_pem(key).encode())
    assert x509.is_pair(certificate, loaded)
    assert not x509.is_pair(certificate, another_key())


def test_an_ec_key_as_openssl_writes_it(tmp_path: Path) -> None:
    """An EC key in the traditional form (RFC 5915) is loaded."""
    key = key_of("ECDSA-P384")
    form = serialization.PrivateFormat.TraditionalOpenSSL
    content = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    certificate = library.load_pem_x509_certificate(certificate_pem(key).encode())
    assert x509.is_pair(certificate, x509.load_private_key(written(tmp_path, content)))


def test_the_key_of_another_type(tmp_path: Path) -> None:
    """A key of another type than the certificate's does not match it."""
    certificate = library.load_pem_x509_certificate(certificate_pem(key_of("RSA-2048")).encode())
    assert not x509.is_pair(certificate, key_of())


def pem_of(der: bytes, label: str = "PRIVATE KEY") -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def der_of_key(key: x509.PrivateKey) -> bytes:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.DER, form, plain)


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "ECDSA-P521"])
def test_an_ec_key_of_two_halves(tmp_path: Path, algorithm: str) -> None:
    """A private value with the public point of another key is no key: it would never sign true."""
    ours, other = key_of(algorithm), KEY_ALGORITHMS[algorithm]()

    def point(key: x509.PrivateKey) -> bytes:
        form = serialization.PublicFormat.UncompressedPoint
        return key.public_key().public_bytes(serialization.Encoding.X962, form)

    assert point(ours) in der_of_key(ours)
    mixed = pem_of(der_of_key(ours).replace(point(ours), point(other)))
    with pytest.raises(PrivateKeyError, match="holds no valid private key"):
        x509.load_private_key(written(tmp_path, mixed))


@pytest.mark.parametrize("part", ["d", "p", "q", "dmp1", "dmq1", "iqmp"])
def test_an_rsa_key_with_a_flipped_bit(tmp_path: Path, part: str) -> None:
    """An RSA key of which one bit is another than it was is no key, though its modulus is whole."""
    key = key_of("RSA-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    value = getattr(key.private_numbers(), part).to_bytes(256, "big").lstrip(b"\0")
    der = der_of_key(key)
    assert der.count(value) == 1
    flipped = der.replace(value, value[:40] + bytes([value[40] ^ 1]) + value[41:])
    with pytest.raises(PrivateKeyError, match="holds no valid private key"):
        x509.load_private_key(written(tmp_path, pem_of(flipped)))


BROKEN_KEYS = [
    pytest.param(b"", "holds no valid private key", id="empty"),
    pytest.param(b"\0" * 1024, "holds no valid private key", id="NULs"),
    pytest.param(SECRET.encode(), "holds no valid private key", id="garbage"),
    pytest.param(pkcs8(key_of())[:-60] + SECRET.encode(), "holds no valid private key", id="torn"),
    pytest.param(
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n".encode(),
        "holds no valid private key",
        id="no-DER-in-PEM",
    ),
    pytest.param(
        pem_of(SECRET.encode()),
        "holds no valid private key",
        id="other-DER-in-PEM",
    ),
    pytest.param(
        f"-----BEGIN {SECRET}-----\nAAAA\n-----END {SECRET}-----\n".encode(),
        "holds no valid private key",
        id="odd-label",
    ),
    pytest.param(
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: {SECRET},00\n\nAAAA\n"
        "-----END RSA PRIVATE KEY-----\n".encode(),
        "is encrypted|holds no valid private key",
        id="unknown-cipher",
    ),
    pytest.param(pkcs8(key_of(), b"pass"), "is encrypted with a passphrase", id="encrypted"),
    pytest.param(
        certificate_pem(key_of()).encode(), "holds no valid private key", id="certificate"
    ),
    pytest.param(
        SECRET.encode() + b"x" * (2 * 1024 * 1024), "has more than 65536 bytes", id="2 MB"
    ),
    pytest.param(
        rsa.generate_private_key(65537, 1024)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "holds no valid private key",
        id="public-key",
    ),
]


@pytest.mark.parametrize(("content", "why"), BROKEN_KEYS)
def test_keys_that_are_none(tmp_path: Path, content: bytes, why: str) -> None:
    """What is no usable key is told with its path and why, and never with a byte of it."""
    path = written(tmp_path, content)
    with pytest.raises(PrivateKeyError, match=why) as caught:
        x509.load_private_key(path)
    assert str(path) in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert base64.b64encode(SECRET.encode()).decode()[:40] not in shown


@pytest.mark.parametrize(("content", "why"), BROKEN_KEYS)
def test_a_key_where_a_certificate_should_be(tmp_path: Path, content: bytes, why: str) -> None:
    """A key file that is watched by mistake is refused without a byte of it, too."""
    path = written(tmp_path, content)
    try:
        x509.read_certificates(path)
    except CertificateError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error) + error.detail
        assert SECRET not in shown
        assert base64.b64encode(SECRET.encode()).decode()[:40] not in shown


# -- signatures ---------------------------------------------------------------------


def public_jwk(algorithm: str) -> RSAKey | ECKey:
    """The public key as an independent library reads it out of the certificate."""
    certificate = library.load_pem_x509_certificate(certificate_pem(key_of(algorithm)).encode())
    pem = certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return RSAKey.import_key(pem) if algorithm.startswith("RSA") else ECKey.import_key(pem)


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_signatures_verify_elsewhere(algorithm: str) -> None:
    """Another JOSE library verifies the detached JWS with the certificate's public key."""
    content = '{"thingName":"Prässe ✓"}'.encode()
    token = x509.sign_detached(content, key_of(algorithm))
    header, payload, _ = token.split(".")
    assert payload == ""
    decoded = json.loads(base64.urlsafe_b64decode(header + "=="))
    assert decoded == {"alg": JWS_ALGORITHMS[algorithm]}
    key = public_jwk(algorithm)
    verified = jws.deserialize_compact(
        token, key, algorithms=[JWS_ALGORITHMS[algorithm]], payload=content
    )
    assert verified.payload == content


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_every_signature_has_its_full_length(algorithm: str) -> None:
    """r and s keep their leading zeros (RFC 7518 3.4): every one of many signatures verifies."""
    key, signer = public_jwk(algorithm), key_of(algorithm)
    lengths = set()
    for number in range(40):
        content = str(number).encode()
        token = x509.sign_detached(content, signer)
        lengths.add(len(token))
        jws.deserialize_compact(token, key, algorithms=[JWS_ALGORITHMS[algorithm]], payload=content)
    assert len(lengths) == 1


def test_leading_zeros_of_r_and_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small r and s are padded to the curve's size."""
    monkeypatch.setattr(x509, "decode_dss_signature", lambda _: (1, 2))
    signature = x509.sign_detached(b"", key_of("ECDSA-P521")).split("..")[1]
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert raw == bytes(65) + b"\1" + bytes(65) + b"\2"


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
@pytest.mark.parametrize("tampered", ["content", "signature", "key"])
def test_tampering_is_detected(algorithm: str, tampered: str) -> None:
    """Another content, another signature or another key does not verify."""
    content = b'{"daysRemaining":6}'
    token = x509.sign_detached(content, key_of(algorithm))
    key = public_jwk(algorithm)
    if tampered == "content":
        content = b'{"daysRemaining":7}'
    elif tampered == "signature":
        header, signature = token.split("..")
        flipped = "B" if signature[10] == "A" else "A"
        token = f"{header}..{signature[:10]}{flipped}{signature[11:]}"
    elif algorithm.startswith("RSA"):
        key = public_jwk("RSA-2048" if algorithm == "RSA-3072" else "RSA-3072")
    else:
        other = KEY_ALGORITHMS[algorithm]().public_key()
        assert isinstance(other, ec.EllipticCurvePublicKey)
        key = ECKey.import_key(other)
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(token, key, algorithms=[JWS_ALGORITHMS[algorithm]], payload=content)


def test_the_key_id_stands_in_the_header() -> None:
    """A key id, where one is given, is in the protected header."""
    header = x509.sign_detached(b"", key_of(), "abc").split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "ES256", "kid": "abc"}


def test_a_curve_that_jws_has_not() -> None:
    """A key on a curve for which JWS names no algorithm cannot sign; it says which key it is."""
    with pytest.raises(PrivateKeyError, match="a key of type ECDSA-secp224r1 cannot sign"):
        x509.sign_detached(b"", ec.generate_private_key(ec.SECP224R1()))
