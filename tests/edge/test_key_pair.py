"""New keys and requests: every key algorithm, every signing algorithm, every odd subject."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from certkeeper.core.algorithms import (
    AUTOMATIC,
    ECDSA_SIGNING_ALGORITHMS,
    KEY_ALGORITHMS,
    RSA_SIGNING_ALGORITHMS,
    SAME,
    SIGNING_ALGORITHMS,
)
from certkeeper.edge import key_pair, x509
from certkeeper.edge.key_pair import MAX_CSR, KeyNotSupported
from lab.account.authority import Authority, common_name
from tests.edge.odd_names import ODD_NAMES, UNREADABLE_NAMES, certificate_with_subject
from tests.greengrass_root import key_of

NAME = common_name("press-7")
DIGESTS: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
AUTOMATIC_SIGNATURES = {
    "RSA-2048": "SHA256WITHRSA",
    "RSA-3072": "SHA256WITHRSA",
    "ECDSA-P256": "ECDSA-WITH-SHA256",
    "ECDSA-P384": "ECDSA-WITH-SHA384",
    "ECDSA-P521": "ECDSA-WITH-SHA512",
}


def parsed(csr: str) -> library.CertificateSigningRequest:
    return library.load_pem_x509_csr(csr.encode())


def signature_name(request: library.CertificateSigningRequest) -> str:
    """The request's signature by its name in the settings."""
    digest = request.signature_hash_algorithm
    assert digest is not None
    name = digest.name.upper()
    parameters = request.signature_algorithm_parameters
    if isinstance(parameters, ec.ECDSA):
        return f"ECDSA-WITH-{name}"
    return f"{name}WITHRSA" + ("ANDMGF1" if isinstance(parameters, padding.PSS) else "")


# -- keys ---------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_each_key_is_of_its_algorithm(tmp_path: Path, algorithm: str) -> None:
    """A key of each algorithm is made, and read back from the file that the nucleus gets."""
    key = key_pair.generate(algorithm)
    assert x509.key_algorithm(key.public_key()) == algorithm
    path = tmp_path / "private.key"
    path.write_bytes(key_pair.key_pem(key))
    assert x509.load_private_key(path).public_key() == key.public_key()


@pytest.mark.parametrize(
    ("algorithm", "label"),
    [("RSA-2048", "RSA PRIVATE KEY"), ("ECDSA-P256", "PRIVATE KEY"), ("ECDSA-P521", "PRIVATE KEY")],
)
def test_the_form_of_a_key(algorithm: str, label: str) -> None:
    """RSA keys are written as PKCS#1, EC keys as PKCS#8, as AWS IoT hands them out."""
    lines = key_pair.key_pem(key_of(algorithm)).decode().splitlines()
    assert (lines[0], lines[-1]) == (f"-----BEGIN {label}-----", f"-----END {label}-----")


def test_two_keys_are_two() -> None:
    """No key is handed out twice."""
    first, second = key_pair.generate("ECDSA-P256"), key_pair.generate("ECDSA-P256")
    assert first.public_key() != second.public_key()


@pytest.mark.parametrize("algorithm", ["RSA-1024", "RSA-4096", "Ed25519", "", "same", "auto"])
def test_keys_that_are_not_made(algorithm: str) -> None:
    """A key of any other algorithm is refused."""
    with pytest.raises(KeyNotSupported):
        key_pair.generate(algorithm)


# -- which --------------------------------------------------------------------------


@pytest.mark.parametrize("current", KEY_ALGORITHMS)
def test_the_same_again(current: str) -> None:
    """``same`` and ``auto`` keep the current key's algorithm, with the signature that suits it."""
    assert key_pair.choose(SAME, AUTOMATIC, current) == (current, AUTOMATIC_SIGNATURES[current])


def test_the_wanted_one_counts() -> None:
    """A key algorithm that the settings name is taken whatever the current key is, odd ones too."""
    for current in ("RSA-2048", "RSA-4096", "Ed25519", "unknown"):
        assert key_pair.choose("ECDSA-P384", "ECDSA-WITH-SHA256", current) == (
            "ECDSA-P384",
            "ECDSA-WITH-SHA256",
        )


@pytest.mark.parametrize(
    ("key", "signing", "current"),
    [
        (SAME, AUTOMATIC, "RSA-4096"),
        (SAME, AUTOMATIC, "Ed25519"),
        (SAME, AUTOMATIC, "ECDSA-secp256k1"),
        (SAME, "ECDSA-WITH-SHA256", "RSA-2048"),
        (SAME, "SHA256WITHRSA", "ECDSA-P256"),
        ("RSA-2048", "ECDSA-WITH-SHA256", "ECDSA-P256"),
        (SAME, "SHA1WITHRSA", "RSA-2048"),
    ],
)
def test_what_does_not_go_together(key: str, signing: str, current: str) -> None:
    """A key that is not made, or a signature that the key cannot make, is refused."""
    with pytest.raises(KeyNotSupported):
        key_pair.choose(key, signing, current)


# -- requests -----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
@pytest.mark.parametrize("signing", SIGNING_ALGORITHMS)
def test_each_signature(algorithm: str, signing: str) -> None:
    """Each signing algorithm works with each key of its family, verifies, and is refused by the
    other family's."""
    key = key_of(algorithm)
    family = RSA_SIGNING_ALGORITHMS if algorithm.startswith("RSA") else ECDSA_SIGNING_ALGORITHMS
    if signing not in family:
        with pytest.raises(KeyNotSupported):
            key_pair.csr_pem(key, NAME, signing)
        return
    csr = key_pair.csr_pem(key, NAME, signing)
    request = parsed(csr)
    assert request.is_signature_valid
    assert (request.subject, request.public_key()) == (NAME, key.public_key())
    assert signature_name(request) == signing
    assert len(csr) <= MAX_CSR
    Authority.create("CA").issue_device_certificate_from_csr(csr)


@pytest.mark.parametrize("name", ["SHA256", "SHA384", "SHA512"])
def test_the_parameters_of_pss(name: str) -> None:
    """RSASSA-PSS has MGF1 with the same digest, and a salt as long as that."""
    request = parsed(key_pair.csr_pem(key_of("RSA-2048"), NAME, f"{name}WITHRSAANDMGF1"))
    parameters = request.signature_algorithm_parameters
    assert isinstance(parameters, padding.PSS)
    digest = DIGESTS[name]
    public_key = request.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    exactly = padding.PSS(padding.MGF1(digest), digest.digest_size)
    public_key.verify(request.signature, request.tbs_certrequest_bytes, exactly, digest)
    assert parameters.mgf._algorithm.name == digest.name


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_the_automatic_signature(algorithm: str) -> None:
    """``auto`` signs as suits the key."""
    request = parsed(key_pair.csr_pem(key_of(algorithm), NAME))
    assert signature_name(request) == AUTOMATIC_SIGNATURES[algorithm]


def test_openssl_agrees(tmp_path: Path) -> None:
    """OpenSSL verifies a request and finds the subject in it."""
    (tmp_path / "csr.pem").write_text(key_pair.csr_pem(key_of("ECDSA-P384"), NAME))
    command = ["openssl", "req", "-in", str(tmp_path / "csr.pem"), "-noout", "-verify", "-subject"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "CN = press-7" in said.stdout + said.stderr or "CN=press-7" in said.stdout + said.stderr


def test_a_request_that_is_too_long() -> None:
    """A subject that makes the request longer than AWS IoT takes is refused, not sent."""
    long = library.Name(
        [
            library.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{n:02}" + "x" * 60)
            for n in range(60)
        ]
    )
    with pytest.raises(KeyNotSupported, match=f"AWS IoT takes {MAX_CSR}"):
        key_pair.csr_pem(key_of(), long)


def test_a_key_of_another_kind() -> None:
    """A key that is neither RSA nor EC signs no request."""
    key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(KeyNotSupported):
        key_pair.csr_pem(key, NAME)  # type: ignore[arg-type]


# -- subjects -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_an_odd_subject_is_kept(name: bytes) -> None:
    """A subject that is empty or odd in any way is in the request byte by byte."""
    certificate = certificate_with_subject(name)
    request = parsed(key_pair.csr_pem(key_of(), key_pair.subject_of(certificate, "press-7")))
    assert request.subject.public_bytes() == name


@pytest.mark.parametrize("name", UNREADABLE_NAMES.values(), ids=UNREADABLE_NAMES)
def test_a_subject_that_cannot_be_read(name: bytes) -> None:
    """In the place of a subject that is no name, the request has the thing's."""
    certificate = certificate_with_subject(name)
    request = parsed(key_pair.csr_pem(key_of(), key_pair.subject_of(certificate, "press-7")))
    assert request.subject == NAME
    cut = key_pair.subject_of(certificate, "x" * 128)
    assert cut == common_name("x" * 64)
    assert key_pair.subject_of(certificate, "") == library.Name([])


def test_no_key_in_what_is_raised() -> None:
    """What is raised says the algorithm, and nothing of a key."""
    with pytest.raises(KeyNotSupported) as caught:
        key_pair.csr_pem(key_of("RSA-2048"), NAME, "ECDSA-WITH-SHA256")
    assert str(caught.value) == "ECDSA-WITH-SHA256 cannot be made with a key of type RSA-2048"
