"""Whether a certificate of an own CA may become a device's: what it says, and who signed it.

Why it may not is one of a closed list. Looks at the certificate alone: what the registry and the
operator have to say of the thing is for ``registration.py``.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from rotation_cloud.certificates import MALFORMED, is_ca, is_valid

#: https://docs.aws.amazon.com/iot/latest/apireference/API_CreateThing.html
THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
#: The parameter RegistrationNameAttribute.
ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "dnQualifier": NameOID.DN_QUALIFIER,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
}


class Reason(StrEnum):
    """Why a device is not let in."""

    UNKNOWN_CA = "unknown-ca"
    NOT_SIGNED = "not-signed"
    NOT_VALID = "not-valid"
    NO_NAME = "no-name"
    DENIED = "denied"
    UNKNOWN_THING = "unknown-thing"
    ATTACHED_ELSEWHERE = "attached-elsewhere"
    THING_IN_USE = "thing-in-use"


class NotAdmitted(Exception):
    """The device stays out; says why, of which thing if that is known, and in words."""

    def __init__(self, reason: Reason, detail: str, thing: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.thing = thing


def check(pem: str, ca_pem: str, now: datetime) -> x509.Certificate:
    """The certificate, signed by the CA (both PEM) and valid at ``now``. Raises NotAdmitted."""
    try:
        ca = x509.load_pem_x509_certificate(ca_pem.encode())
        leaf = x509.load_pem_x509_certificate(pem.encode())
        if not is_ca(ca):
            raise NotAdmitted(Reason.NOT_SIGNED, "the CA certificate is not that of a CA")
        if is_ca(leaf):
            raise NotAdmitted(Reason.NOT_SIGNED, "the certificate is a CA's, not a device's")
        leaf.verify_directly_issued_by(ca)
    except InvalidSignature:
        raise NotAdmitted(Reason.NOT_SIGNED, "the signature is not the CA's") from None
    except MALFORMED as error:
        raise NotAdmitted(Reason.NOT_SIGNED, f"it cannot be verified: {error}"[:300]) from None
    for whose, one in (("the certificate", leaf), ("the CA", ca)):
        if not is_valid(one, now):
            begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
            window = f"{whose} is valid from {begins.isoformat()} to {ends.isoformat()}"
            raise NotAdmitted(Reason.NOT_VALID, window)
    return leaf


def thing_of(leaf: x509.Certificate, attribute: str) -> str:
    """The thing's name, from that attribute of the subject (ATTRIBUTES). Raises NotAdmitted."""
    try:
        values = [one.value for one in leaf.subject.get_attributes_for_oid(ATTRIBUTES[attribute])]
    except MALFORMED:
        raise NotAdmitted(Reason.NO_NAME, "the subject cannot be read") from None
    if len(values) != 1:
        raise NotAdmitted(Reason.NO_NAME, f"the subject has {attribute} {len(values)} times")
    (name,) = values
    if not isinstance(name, str) or not THING_NAME.fullmatch(name):
        raise NotAdmitted(Reason.NO_NAME, f"{attribute} {str(name)[:130]!r} is no thing name")
    return name


def has_ended(pem: str, now: datetime) -> bool:
    """Whether the certificate (PEM) lets nobody in any more, since its end has come."""
    try:
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc <= now
    except MALFORMED:
        return False


def serial_of(leaf: x509.Certificate) -> str:
    """The serial number in lowercase hex, without leading zeros, as alerts have it."""
    return format(leaf.serial_number, "x")
