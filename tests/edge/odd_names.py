"""Subjects as no library makes them, as DER, and certificates that have them."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.account.authority import generate_private_key

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
_CN, _C, _O = "550403", "550406", "55040a"  # their object identifiers, in hexadecimal
_UTF8, _PRINTABLE, _TELETEX, _IA5 = 0x0C, 0x13, 0x14, 0x16
_UNIVERSAL, _BMP, _INTEGER, _BITS = 0x1C, 0x1E, 0x02, 0x03


def der(tag: int, content: bytes) -> bytes:
    """Tag, length and content (X.690)."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + content


def _attribute(oid: str, tag: int, value: bytes) -> bytes:
    return der(0x30, der(6, bytes.fromhex(oid)) + der(tag, value))


def _name(*relative: list[bytes]) -> bytes:
    return der(0x30, b"".join(der(0x31, b"".join(attributes)) for attributes in relative))


#: What can be read, and has to come back as it is.
ODD_NAMES = {
    "empty": _name(),
    "a country of three letters": _name([_attribute(_C, _PRINTABLE, b"USA")]),
    "an empty common name": _name([_attribute(_CN, _UTF8, b"")]),
    "a common name of 100": _name([_attribute(_CN, _UTF8, b"x" * 100)]),
    "two attributes in one": _name([_attribute(_CN, _UTF8, b"a"), _attribute(_O, _UTF8, b"b")]),
    "BMPString": _name([_attribute(_CN, _BMP, "hé".encode("utf-16-be"))]),
    "UniversalString": _name([_attribute(_CN, _UNIVERSAL, "hé".encode("utf-32-be"))]),
    "IA5String": _name([_attribute(_CN, _IA5, b"a@b")]),
    "two common names": _name([_attribute(_CN, _UTF8, b"a")], [_attribute(_CN, _UTF8, b"b")]),
}
#: What is no name, by whatever rule.
UNREADABLE_NAMES = {
    "Latin-1 in a TeletexString": _name([_attribute(_CN, _TELETEX, b"h\xe9")]),
    "no UTF-8": _name([_attribute(_CN, _UTF8, b"\xff\xfe")]),
    "a common name of bits": _name([_attribute(_CN, _BITS, b"\x00ab")]),
    "a common name that is a number": _name([_attribute(_CN, _INTEGER, b"\x05")]),
    "the same attribute twice": _name([_attribute(_CN, _UTF8, b"a"), _attribute(_CN, _UTF8, b"a")]),
    "an empty part": _name([]),
}


def certificate_with_subject(
    name: bytes, key: ec.EllipticCurvePrivateKey | None = None
) -> library.Certificate:
    """A certificate whose subject is this DER, signed by its own P-256 key."""
    made = key or generate_private_key("ECDSA-P256")
    assert isinstance(made, ec.EllipticCurvePrivateKey)
    issuer = library.Name([library.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    builder = library.CertificateBuilder(issuer, library.Name([]), made.public_key(), 5, BEGIN, END)
    signed = builder.sign(made, hashes.SHA256()).tbs_certificate_bytes
    parts = list(_parts(signed))
    parts[5] = name  # version, serialNumber, signature, issuer, validity, subject, ...
    to_be_signed = der(0x30, b"".join(parts))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    signature = der(3, b"\0" + made.sign(to_be_signed, ec.ECDSA(hashes.SHA256())))
    return library.load_der_x509_certificate(
        der(0x30, to_be_signed + ecdsa_with_sha256 + signature)
    )


def _parts(sequence: bytes) -> list[bytes]:
    parts, at = [], _header(sequence, 0)[0]
    while at < len(sequence):
        begin, size = _header(sequence, at)
        parts.append(sequence[at : begin + size])
        at = begin + size
    return parts


def _header(content: bytes, at: int) -> tuple[int, int]:
    """Where the value at ``at`` begins, and its length."""
    size = content[at + 1]
    if size < 128:
        return at + 2, size
    more = size - 128
    return at + 2 + more, int.from_bytes(content[at + 2 : at + 2 + more], "big")
