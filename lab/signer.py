"""An example of an operator's own signer (docs/signer.md): it signs with a CA's key in a file.

For the lab, and to begin your own with. What yours needs beside it: a key that lies in an HSM
or in AWS KMS instead of a file, and rules of your own as to whom it signs for.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 90
_BACKDATED = timedelta(minutes=5)  # for devices whose clock is a little late


def handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """As Lambda calls it; CA_FOLDER is a folder that ``make_ca`` made."""
    return sign(event, Path(os.environ["CA_FOLDER"]))


def sign(event: dict[str, Any], folder: Path) -> dict[str, str]:
    """The answer to a request: a certificate for its CSR and the CA's, or why there is none."""
    try:
        request = x509.load_pem_x509_csr(event["csr"].encode())
    except ValueError:
        return {"refused": "the CSR is no PKCS#10 request in PEM"}
    if not request.is_signature_valid:
        return {"refused": "the CSR is not signed by its own key"}
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # make_ca's
    now = datetime.now(UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(ca.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return {"certificateChain": "".join(_pem(one) for one in (leaf, ca))}


def make_ca(folder: Path, name: str = "Device CA") -> str:
    """Makes a CA for ten years in the folder, its key with mode 0600; its certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    ca = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    key_file = folder / "ca.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "ca.pem").write_text(_pem(ca))
    return _pem(ca)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
