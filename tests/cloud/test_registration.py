"""A device presents a certificate of an own CA: who is let in, as what, and who stays out."""

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
from rotation_cloud.documents import DENIED, REGISTRATION, Document
from rotation_cloud.ports import AwsError, Registered
from rotation_cloud.registration import Terms, register
from rotation_cloud.retirement import retire
from rotation_cloud.security_events import Activity
from rotation_protocol.fields import WireError
from tests.cloud.factory import (
    CA_ID,
    DAY,
    POLICY,
    SAW,
    TERMS,
    Factory,
    authority,
    common_name,
    event,
    subject,
)


def test_new_device_is_let_in() -> None:
    """Its thing is made, it has thing and policy, it is ACTIVE, and an event says so."""
    factory = Factory()
    device = factory.device()
    assert factory.present(device)
    assert factory.admitted(device)
    assert SAW in factory.account.registry.known
    (said,) = factory.account.audit.events
    assert (said.activity, said.thing, said.succeeded) == (Activity.DEVICE_REGISTERED, SAW, True)
    assert said.certificate_id == device
    assert factory.account.notices.told == []


def test_activation_comes_last() -> None:
    """Nothing is done to the registry after the activation."""
    factory = Factory()
    factory.present(factory.device())
    writes = ("registrar.create_thing", "registry.attach", "registrar.activate")
    made = [call for call in factory.account.calls if call.startswith(writes)]
    assert made[-1] == "registrar.activate"
    assert len(made) == 4


def test_thing_that_is_there_is_used() -> None:
    """A known thing without a certificate is taken as it is, under either setting."""
    for terms in (TERMS, replace(TERMS, creates_things=False)):
        factory = Factory(terms)
        factory.account.registry.known.add(SAW)
        device = factory.device()
        assert factory.present(device)
        assert factory.admitted(device)
        assert "registrar.create_thing" not in factory.account.calls


def test_unknown_thing_where_only_known_ones_are_let_in() -> None:
    """It stays out until somebody makes the thing."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    assert not factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing"]
    factory.account.registry.known.add(SAW)
    assert factory.present(device)


def test_attachment_by_hand_is_kept() -> None:
    """A certificate that an operator attached already, not exclusively, is not attached again."""
    factory = Factory()
    device = factory.device()
    factory.account.registry.known.add(SAW)
    factory.of(device).things[SAW] = "NON_EXCLUSIVE_THING"
    assert factory.present(device)
    assert factory.of(device).things == {SAW: "NON_EXCLUSIVE_THING"}


def test_event_is_not_believed() -> None:
    """What the event says beside the id counts for nothing; without an id it is no event."""
    factory = Factory(replace(TERMS, ca_id=CA_ID))
    device = factory.device()
    assert factory.present(device)  # the event names another CA
    with pytest.raises(WireError):
        register(factory.account.cloud, TERMS, {"caCertificateId": CA_ID})


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "gone"])
def test_certificate_that_waits_no_more(status: str) -> None:
    """Redelivered after the activation, an operator's decision, or its deletion: no call more."""
    factory = Factory()
    device = factory.device()
    found = factory.of(device)
    found.is_pending, found.is_active = False, status == "ACTIVE"
    if status == "gone":
        del factory.account.registry.certificates[found.arn]
    register(factory.account.cloud, TERMS, event(device))
    assert factory.account.calls == ["registry.registered"]


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


# -- things in use -----------------------------------------------------------------------


def test_thing_with_an_active_certificate_is_not_taken_over() -> None:
    """A second certificate of the same name stays out, and the first one works on."""
    factory = Factory()
    first, second = factory.device(), factory.device()
    assert factory.present(first)
    assert not factory.present(second)
    assert factory.admitted(first)
    assert factory.of(second).things == {}
    assert factory.of(second).policies == set()
    (told,) = factory.account.notices.told
    assert (told["reason"], told["certificateId"]) == ("thing-in-use", second)
    assert first in told["detail"]
    factory.account.clock.sleep(100)
    factory.present(second)
    claim = factory.account.documents.items[SAW, REGISTRATION]
    assert claim.body["certificateId"] == first  # who is refused keeps nobody waiting


def test_certificate_of_aws_iot_counts_too() -> None:
    """A thing whose certificate is not the CA's is in use all the same."""
    factory = Factory()
    assert not factory.present(factory.device(THING))
    assert list(factory.refusals()) == ["thing-in-use"]


@pytest.mark.parametrize("how", ["deactivated", "ended", "deleted"])
def test_thing_whose_certificate_opens_nothing(how: str) -> None:
    """Provisioned anew, after its certificate was deactivated, deleted or has ended."""
    factory = Factory()
    first = factory.device(ends=timedelta(days=10))
    assert factory.present(first)
    if how == "deactivated":
        factory.of(first).is_active = False
    elif how == "ended":
        factory.account.clock.sleep(11 * DAY)
    else:
        del factory.account.registry.certificates[factory.of(first).arn]
    second = factory.device()
    assert factory.present(second)
    assert factory.admitted(second)


def test_replacing() -> None:
    """Where it is allowed, the new one is let in, the old one is shut out, and people hear."""
    factory = Factory(replace(TERMS, replaces=True))
    first, second = factory.device(), factory.device()
    assert factory.present(first)
    before = factory.account.clock.time
    assert factory.present(second)
    assert factory.account.clock.time == before  # the first one's claim was over
    assert factory.admitted(second)
    assert not factory.of(first).is_active
    (told,) = factory.account.notices.told
    assert (told["status"], told["certificateId"]) == ("CERTIFICATE_REPLACED", second)
    assert first in told["detail"]
    said = [(one.activity, one.certificate_id) for one in factory.account.audit.events[1:]]
    retired = (Activity.CERTIFICATE_RETIRED, first)
    assert said == [retired, (Activity.DEVICE_REGISTERED, second)]


def test_certificate_that_is_attached_elsewhere() -> None:
    """A certificate of another thing stays out, and is attached to no second one."""
    factory = Factory()
    device = factory.device()
    factory.of(device).things[THING] = "EXCLUSIVE_THING"
    assert not factory.present(device)
    assert list(factory.refusals()) == ["attached-elsewhere"]
    assert factory.of(device).things == {THING: "EXCLUSIVE_THING"}
    assert factory.account.registry.known == {THING}


# -- what people hear --------------------------------------------------------------------


def test_refusal_is_told_once_a_day() -> None:
    """However often the device tries, for whichever reason, people hear of it once a day."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    for _ in range(50):
        factory.present(device)
        factory.account.clock.sleep(DAY / 60)
    assert len(list(factory.refusals())) == 1
    factory.terms = replace(TERMS, ca_id="d" * 64)
    factory.account.clock.sleep(DAY / 6)
    factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing", "unknown-ca"]
    refused = [one for one in factory.account.audit.events if not one.succeeded]
    assert [one.reason for one in refused] == ["unknown-thing", "unknown-ca"]
    other = factory.device()
    factory.present(other)
    assert len(list(factory.refusals())) == 3


def test_refusal_that_could_not_be_told_is_told_later() -> None:
    """A notice that failed is not counted as told."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    factory.account.disturb(failing("notices.tell"))
    factory.present(device)
    assert factory.dead_letters
    factory.account.disturb()
    factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing"]


def test_two_that_would_tell_at_once() -> None:
    """Of two events at once one tells."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    nested = False

    def second(name: str, _: int) -> None:
        nonlocal nested
        if name == "documents.write" and not nested:
            nested = True
            register(factory.account.cloud, factory.terms, event(device))

    factory.account.disturb(second)
    factory.present(device)
    assert nested
    assert list(factory.refusals()) == ["unknown-thing"]


def test_terms_of_the_environment() -> None:
    """Each parameter arrives."""
    environment = {
        "DEVICE_POLICY_NAME": "p",
        "REGISTRATION_CA_ID": CA_ID,
        "REGISTRATION_NAME_ATTRIBUTE": "OU",
        "REGISTRATION_THINGS": "known",
        "REGISTRATION_OF_THING_IN_USE": "replace",
    }
    assert Terms.of(environment) == Terms("p", CA_ID, "OU", creates_things=False, replaces=True)
    other = {"REGISTRATION_THINGS": "create", "REGISTRATION_OF_THING_IN_USE": "refuse"}
    assert Terms.of({**environment, **other}) == Terms("p", CA_ID, "OU")


def test_policy_that_is_missing_lets_nobody_in() -> None:
    """An activation without the policy does not happen."""
    factory = Factory()
    device = factory.device()
    factory.account.disturb(failing("registry.attach_policy", error=AwsError))
    assert not factory.present(device)
    assert not factory.of(device).is_active
