"""Whose certificate it is that is presented: the CA, the name in it, and the deny list."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lab.account.authority import Authority
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.documents import DENIED, Document
from rotation_cloud.ports import Registered
from rotation_cloud.retirement import retire
from tests.cloud.factory import CA_ID, POLICY, SAW, TERMS, Factory, authority, common_name, subject

# -- the CA ------------------------------------------------------------------------------


def test_one_ca_only() -> None:
    """Where one CA is named, a device of another one stays out, however well signed."""
    factory = Factory(replace(TERMS, ca_id="d" * 64))
    assert not factory.present(factory.device())
    assert list(factory.refusals()) == ["unknown-ca"]


@pytest.mark.parametrize("what", ["INACTIVE", "unregistered", "none"])
def test_ca_that_does_not_count(what: str) -> None:
    """A CA that is not ACTIVE, gone from the registry, or not named lets nobody in."""
    factory = Factory()
    device = factory.device(ca_id="" if what == "none" else CA_ID)
    cas = factory.account.registrar.cas
    if what == "INACTIVE":
        cas[CA_ID] = replace(cas[CA_ID], status="INACTIVE")
    elif what == "unregistered":
        cas.clear()
    assert not factory.present(device)
    assert list(factory.refusals()) == ["unknown-ca"]


def test_signature_is_verified() -> None:
    """A certificate that another CA of the same name signed stays out, whatever AWS IoT says."""
    factory = Factory()
    assert not factory.present(factory.device(of=Authority.create("Factory CA")))
    assert not factory.present(factory.device(of=Authority.create("Another CA")))
    assert list(factory.refusals()) == ["not-signed", "not-signed"]


def test_ca_that_is_none() -> None:
    """What a certificate without the right to sign has signed lets nobody in."""
    factory = Factory()
    key = ec.generate_private_key(ec.SECP256R1())
    pem = authority().issue_device_certificate(key.public_key(), common_name("middle"))
    middle = x509.load_pem_x509_certificate(pem.encode())
    device = x509.load_pem_x509_certificate(factory.of(factory.device()).pem.encode())
    signed = (
        x509.CertificateBuilder()
        .subject_name(device.subject)
        .issuer_name(middle.subject)
        .public_key(device.public_key())
        .serial_number(7)
        .not_valid_before(device.not_valid_before_utc)
        .not_valid_after(device.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    signed.verify_directly_issued_by(middle)
    factory.account.registrar.cas[CA_ID] = Registered("arn", pem, "ACTIVE")
    assert not factory.present(factory.register(signed.public_bytes(Encoding.PEM).decode()))
    assert list(factory.refusals()) == ["not-signed"]


def test_certificate_of_a_ca_is_no_device() -> None:
    """A CA's own certificate is no device's, although it signed it."""
    factory = Factory()
    assert not factory.present(factory.register(authority().certificate_pem))
    assert list(factory.refusals()) == ["not-signed"]


def test_window() -> None:
    """A certificate that has ended stays out."""
    factory = Factory()
    assert not factory.present(factory.device(ends=timedelta(seconds=-1)))
    assert list(factory.refusals()) == ["not-valid"]


def test_ca_that_has_ended() -> None:
    """So do the devices of a CA that has ended."""
    factory = Factory()
    factory.account.clock.time = authority().certificate.not_valid_after_utc.timestamp() + 1
    assert not factory.present(factory.device())
    assert list(factory.refusals()) == ["not-valid"]


# -- the name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "oid"),
    [
        ("CN", NameOID.COMMON_NAME),
        ("serialNumber", NameOID.SERIAL_NUMBER),
        ("dnQualifier", NameOID.DN_QUALIFIER),
        ("OU", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ],
)
def test_name_is_where_the_operator_says(attribute: str, oid: x509.ObjectIdentifier) -> None:
    """The attribute that is chosen names the thing, and no other one does."""
    factory = Factory(replace(TERMS, name_attribute=attribute))
    others = [
        (NameOID.COMMON_NAME, "other"),
        (NameOID.SERIAL_NUMBER, "other"),
        (NameOID.DN_QUALIFIER, "other"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "other"),
    ]
    name = subject(*(one for one in others if one[0] != oid), (oid, SAW))
    device = factory.device(name)
    assert factory.present(device)
    assert factory.admitted(device)


@pytest.mark.parametrize(
    "name",
    [
        subject((NameOID.ORGANIZATION_NAME, SAW)),
        subject((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")),
        *(
            common_name(text)
            for text in ("saw 1", "saw/1", "saw#2", "+", "*", "säge", "${x}", "a\n")
        ),
    ],
    ids=str,
)
def test_name_that_no_thing_may_have(name: x509.Name) -> None:
    """No name, two of them, or one with other characters: the device stays out."""
    factory = Factory()
    assert not factory.present(factory.device(name))
    assert list(factory.refusals()) == ["no-name"]
    assert factory.account.registry.known == {THING}


# -- the deny list -----------------------------------------------------------------------


@pytest.mark.parametrize("by", ["thing", "certificate", "serial"])
def test_deny_list(by: str) -> None:
    """A thing, a certificate or a serial number on the list stays out as long as it is there."""
    factory = Factory()
    device = factory.device()
    parsed = x509.load_pem_x509_certificate(factory.of(device).pem.encode())
    key = {"thing": SAW, "certificate": device, "serial": format(parsed.serial_number, "x")}[by]
    items = factory.account.documents.items
    items[key, DENIED] = Document(key, DENIED, {"why": "stolen"})
    assert not factory.present(device)
    (told,) = factory.account.notices.told
    assert told["reason"] == "denied"
    assert told["detail"] == f"{key} is on the deny list: stolen"
    assert told["thingName"] == SAW
    del items[key, DENIED]
    assert factory.present(device)


def test_deny_list_that_cannot_be_read() -> None:
    """Nobody is let in while the list cannot be read."""
    factory = Factory()
    device = factory.device()
    factory.account.disturb(failing("documents.get"))
    assert not factory.present(device)
    assert factory.dead_letters
    factory.account.disturb()
    assert factory.present(device)


@pytest.mark.parametrize("registers", [True, False])
def test_what_was_retired_does_not_come_back(registers: bool) -> None:
    """A certificate that was retired stays out, even of a thing that has none any more."""
    factory = Factory()
    device = factory.device()
    factory.present(device)
    pem, arn = factory.of(device).pem, factory.of(device).arn
    cloud = replace(factory.account.cloud, registers=registers)
    for _ in range(2):
        retire(cloud, arn, [POLICY], SAW)
    assert factory.register(pem) == device  # its key is used again
    assert factory.present(device) is not registers
