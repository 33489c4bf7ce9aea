"""Certificates as they are and as they should not be: real ones, and broken ones."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from certkeeper.edge import x509
from certkeeper.edge.x509 import CertificateError, PrivateKeyError
from lab.account.authority import KEY_ALGORITHMS, Authority, common_name
from rotation_protocol.reasons import ReadProblem
from tests.greengrass_root import (
    DAY,
    NOW,
    authority,
    certificate_pem,
    key_of,
    open_folder,
    pkcs8,
    without_privilege,
    written,
)


def der_of(pem: str) -> bytes:
    certificate = library.load_pem_x509_certificate(pem.encode())
    return certificate.public_bytes(serialization.Encoding.DER)


def refused(path: Path) -> CertificateError:
    """Why the file cannot be used, as whoever reads it and asks for the facts is told."""
    try:
        found = [x509.facts_of(certificate) for certificate in x509.read_certificates(path)]
    except CertificateError as error:
        return error
    pytest.fail(f"{path} was taken: {found}")


# -- facts --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_facts_of_each_key_type(tmp_path: Path, algorithm: str) -> None:
    """The facts are those of the certificate, and name its key's algorithm as settings do."""
    pem = certificate_pem(key_of(algorithm), days_left=400, age_days=30)
    (certificate,) = x509.read_certificates(written(tmp_path, pem))
    facts = x509.facts_of(certificate)
    assert facts.certificate_id == hashlib.sha256(der_of(pem)).hexdigest()
    assert facts.key_algorithm == algorithm
    assert facts.subject == "CN=press-7"
    assert facts.issuer == "CN=Device CA,O=CertKeeper lab,C=US"
    assert int(facts.serial_number, 16) == certificate.serial_number
    assert (facts.not_before, facts.not_after) == (NOW - 30 * DAY, NOW + 400 * DAY)
    assert facts.issuer_not_after is None


def test_facts_of_an_ed25519_certificate(tmp_path: Path) -> None:
    """A key of a type that AWS IoT does not take is named by its own name."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = common_name("press-7")
    certificate = (
        library.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(key, None)
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (read,) = x509.read_certificates(written(tmp_path, pem))
    facts = x509.facts_of(read)
    assert (facts.key_algorithm, facts.serial_number) == ("Ed25519", "7")
    path = written(tmp_path, pkcs8(key), "key.pem")  # type: ignore[arg-type]  # no type of ours
    loaded = x509.load_private_key(path)
    assert x509.is_pair(read, loaded)
    with pytest.raises(PrivateKeyError, match="a key of type Ed25519 cannot sign"):
        x509.sign_detached(b"{}", loaded)


def test_aws_iot_end_in_2049(tmp_path: Path) -> None:
    """The end that AWS IoT gives its own certificates is read as it is, to the second."""
    pem = authority().issue_device_certificate(key_of().public_key())
    (certificate,) = x509.read_certificates(written(tmp_path, pem))
    expected = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert x509.facts_of(certificate).not_after == expected


def test_no_well_defined_end(tmp_path: Path) -> None:
    """A certificate without a well-defined end (RFC 5280 4.1.2.5: year 9999) has facts too."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    pem = authority().issue_device_certificate(key_of().public_key(), not_after=last)
    (certificate,) = x509.read_certificates(written(tmp_path, pem))
    assert x509.facts_of(certificate).not_after == last


# -- files of certificates ----------------------------------------------------------


def test_a_chain_is_read_in_its_order(tmp_path: Path) -> None:
    """All certificates of a PEM file come in its order, with text around them ignored."""
    device, ca = certificate_pem(key_of()), authority().certificate_pem
    path = written(tmp_path, f"subject=/CN=press-7\r\n{device}\n# its CA\n{ca}trailing words\n")
    found = [x509.certificate_id(certificate) for certificate in x509.read_certificates(path)]
    assert found == [hashlib.sha256(der_of(pem)).hexdigest() for pem in (device, ca)]


def test_der(tmp_path: Path) -> None:
    """A file in DER is read like one in PEM."""
    pem = certificate_pem(key_of())
    (certificate,) = x509.read_certificates(written(tmp_path, der_of(pem)))
    assert x509.certificate_id(certificate) == hashlib.sha256(der_of(pem)).hexdigest()


def test_a_bundle_of_all_public_roots_is_read(tmp_path: Path) -> None:
    """A bundle as large as that of all public root CAs is still taken."""
    content = (authority().certificate_pem * 300).ljust(x509.MAX_CERTIFICATE_FILE)
    assert len(x509.read_certificates(written(tmp_path, content))) == 300


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", ReadProblem.EMPTY, id="no-bytes"),
        pytest.param(b"\r\n \t\n", ReadProblem.EMPTY, id="blanks"),
        pytest.param(b"\0" * 4096, ReadProblem.EMPTY, id="NULs, as a power cut leaves them"),
        pytest.param(b"garbage", ReadProblem.NOT_A_CERTIFICATE, id="garbage"),
        pytest.param(bytes(range(256)) * 6, ReadProblem.NOT_A_CERTIFICATE, id="binary"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\n", ReadProblem.NOT_A_CERTIFICATE, id="only-a-beginning"
        ),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ReadProblem.NOT_A_CERTIFICATE,
            id="PEM-of-nothing",
        ),
        pytest.param(pkcs8(key_of()), ReadProblem.NOT_A_CERTIFICATE, id="a-key"),
        pytest.param(
            certificate_pem(key_of())[:-200].encode(), ReadProblem.NOT_A_CERTIFICATE, id="torn"
        ),
        pytest.param(
            der_of(certificate_pem(key_of()))[:-1], ReadProblem.NOT_A_CERTIFICATE, id="torn-DER"
        ),
        pytest.param(b"x" * (2 * 1024 * 1024), ReadProblem.TOO_LARGE, id="2 MB"),
        pytest.param(
            b"x" * (x509.MAX_CERTIFICATE_FILE + 1), ReadProblem.TOO_LARGE, id="one-byte-too-many"
        ),
    ],
)
def test_what_is_no_certificate(tmp_path: Path, content: bytes, problem: ReadProblem) -> None:
    """Each way of being no certificate is told by its name, with the path."""
    path = written(tmp_path, content)
    error = refused(path)
    assert error.problem is problem
    assert str(path) in error.detail
    assert "\n" not in error.detail


@pytest.mark.parametrize("version", [1, 5, 33])
def test_a_version_that_x509_has_not(tmp_path: Path, version: int) -> None:
    """A certificate of a version that does not exist is no certificate."""
    der = bytearray(der_of(certificate_pem(key_of())))
    at = der.index(b"\xa0\x03\x02\x01\x02")
    der[at + 4] = version
    error = refused(written(tmp_path, bytes(der)))
    assert error.problem is ReadProblem.NOT_A_CERTIFICATE


def test_a_name_of_a_kind_that_it_may_not_be(tmp_path: Path) -> None:
    """A name whose value is of another ASN.1 type than any name has is no certificate."""
    der = der_of(certificate_pem(key_of()))
    text = b"\x0c\x07press-7"
    assert der.count(text) == 1
    error = refused(written(tmp_path, der.replace(text, b"\x03\x07\0ress-7")))
    assert error.problem is ReadProblem.NOT_A_CERTIFICATE


# -- files that are none ------------------------------------------------------------


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is missing."""
    error = refused(tmp_path / "gone.pem")
    assert (error.problem, error.detail) == (
        ReadProblem.MISSING,
        f"{tmp_path / 'gone.pem'} does not exist",
    )


def test_a_link_to_nothing_is_missing(tmp_path: Path) -> None:
    """A link whose file is gone is missing too."""
    (tmp_path / "link.pem").symlink_to("gone.pem")
    assert refused(tmp_path / "link.pem").problem is ReadProblem.MISSING


def test_a_link_is_followed(tmp_path: Path) -> None:
    """A link to a certificate is read, as the nucleus reads it."""
    written(tmp_path, certificate_pem(key_of()), "real.pem")
    (tmp_path / "link.pem").symlink_to("real.pem")
    assert len(x509.read_certificates(tmp_path / "link.pem")) == 1


def test_a_link_to_itself(tmp_path: Path) -> None:
    """A loop of links is unreadable."""
    (tmp_path / "loop.pem").symlink_to("loop.pem")
    assert refused(tmp_path / "loop.pem").problem is ReadProblem.UNREADABLE


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    """A folder, a pipe or a device is told from a file, and never waited for."""
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    error = refused(path)
    assert (error.problem, error.detail) == (ReadProblem.UNREADABLE, f"{path} is not a file")
    with pytest.raises(PrivateKeyError, match="is not a file"):
        x509.load_private_key(path)


@pytest.mark.parametrize("of", ["file", "folder"])
def test_denied(of: str) -> None:
    """A file that may not be read, or in a folder that may not be entered, is denied."""
    with open_folder() as folder:
        inner = folder / "inner"
        inner.mkdir()
        path = written(inner, certificate_pem(key_of()))
        path.chmod(0o000 if of == "file" else 0o644)
        inner.chmod(0o700 if of == "folder" and os.geteuid() == 0 else 0o755)
        if os.geteuid() != 0 and of == "folder":
            inner.chmod(0o000)
        with without_privilege():
            assert refused(path).problem is ReadProblem.DENIED
            with pytest.raises(PrivateKeyError, match="may not be read"):
                x509.load_private_key(path)
        inner.chmod(0o755)


# -- the CA's end -------------------------------------------------------------------


def test_the_end_of_the_ca_that_signed() -> None:
    """The CA's end is taken from the certificate whose key signed, not from one of that name."""
    signed = library.load_pem_x509_certificate(certificate_pem(key_of()).encode())
    namesake = Authority.create("Device CA", not_after=NOW + 7000 * DAY)
    other = Authority.create("Another CA")
    facts = x509.facts_of(signed)
    known = [signed, namesake.certificate, other.certificate]
    assert x509.with_issuer_end(facts, signed, known).issuer_not_after is None
    known.append(authority().certificate)
    end = authority().certificate.not_valid_after_utc
    assert x509.with_issuer_end(facts, signed, known).issuer_not_after == end


def test_the_ca_certificate_that_lasts_longest_counts() -> None:
    """Of two certificates of one CA's key, the later end counts."""
    key = key_of("ECDSA-P384")
    name = common_name("Renewed CA")

    def ca(end: datetime) -> library.Certificate:
        builder = library.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(1)
        builder = builder.not_valid_before(NOW - DAY).not_valid_after(end)
        return builder.sign(key, hashes.SHA384())

    early, late = ca(NOW + DAY), ca(NOW + 9 * DAY)
    device = (
        library.CertificateBuilder()
        .subject_name(common_name("press-7"))
        .issuer_name(name)
        .public_key(key_of().public_key())
        .serial_number(2)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=99))
        .sign(key, hashes.SHA384())
    )
    facts = x509.facts_of(device)
    assert x509.with_issuer_end(facts, device, [late, early]).issuer_not_after == NOW + 9 * DAY


def test_a_root_is_not_its_own_issuer() -> None:
    """A self-signed certificate's end is its own: it has no CA end beside it."""
    root = authority().certificate
    facts = x509.facts_of(root)
    assert x509.with_issuer_end(facts, root, [root]).issuer_not_after is None
