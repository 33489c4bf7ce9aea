"""What the cloud issued is looked at before it is kept: whatever is wrong with it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certkeeper.edge import acceptance, key_pair
from certkeeper.edge.acceptance import MAX_CHARACTERS, Accepted, NotAccepted
from lab.account.authority import Authority, common_name, generate_private_key
from rotation_protocol.reasons import FailureReason
from tests.edge.odd_names import UNREADABLE_NAMES, certificate_with_subject
from tests.greengrass_root import another_key, key_of, pkcs8

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
ISSUER = Authority.create("Issuer", not_after=NOW + 9000 * DAY)
NAME = common_name("press-7")
CSR = key_pair.csr_pem(key_of(), NAME)


def name(**parts: str) -> library.Name:
    """A subject of these parts: cn, o, ou."""
    oids = {
        "cn": NameOID.COMMON_NAME,
        "o": NameOID.ORGANIZATION_NAME,
        "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    }
    return library.Name([library.NameAttribute(oids[key], value) for key, value in parts.items()])


def issued(
    subject: library.Name = NAME,
    begins: timedelta = -2 * MINUTE,
    ends: timedelta = 365 * DAY,
) -> str:
    return ISSUER.issue_device_certificate(
        key_of().public_key(), subject, not_before=NOW + begins, not_after=NOW + ends
    )


def self_signed(ca: bool | None = None, begins: timedelta = -DAY, ends: timedelta = DAY) -> str:
    """A certificate for the key with any window, that says to be a CA's, or not, or nothing."""
    key = key_of()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = library.CertificateBuilder(NAME, NAME, key.public_key(), 7, NOW + begins, NOW + ends)
    if ca is not None:
        builder = builder.add_extension(library.BasicConstraints(ca, None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def accept(pem: str, csr: str = CSR, now: datetime = NOW, clock_trusted: bool = True) -> Accepted:
    return acceptance.check(pem, csr, now, clock_trusted)


def refused(pem: str, csr: str = CSR, now: datetime = NOW) -> tuple[FailureReason, str]:
    with pytest.raises(NotAccepted) as caught:
        acceptance.check(pem, csr, now)
    return caught.value.reason, caught.value.detail


# -- good ones ----------------------------------------------------------------------


def test_what_was_asked_for_is_accepted() -> None:
    """The certificate comes back as it was, with its id as AWS IoT has it."""
    pem = issued()
    accepted = accept(pem)
    der = library.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    assert accepted == Accepted(sha256(der).hexdigest(), pem.encode())


@pytest.mark.parametrize(
    "algorithm", ["RSA-2048", "RSA-3072", "ECDSA-P256", "ECDSA-P384", "ECDSA-P521"]
)
def test_every_key(algorithm: str) -> None:
    """A certificate for a key of each algorithm is accepted."""
    csr = key_pair.csr_pem(key_of(algorithm), NAME)
    pem = ISSUER.issue_device_certificate_from_csr(csr, not_before=NOW, not_after=NOW + DAY)
    assert accept(pem, csr).pem == pem.encode()


def test_its_chain_is_kept() -> None:
    """The CAs after it are kept in their order."""
    chain = issued() + ISSUER.certificate_pem + Authority.create("Root").certificate_pem
    assert accept(chain).pem == chain.encode()


def test_nothing_else_is_kept() -> None:
    """Of text around the certificate, of odd line ends and of a key that somebody sent along,
    nothing is kept."""
    pem = issued()
    untidy = "Subject: press-7\r\n" + pem.replace("\n", "\r\n") + "\n" + pkcs8(key_of()).decode()
    assert accept(untidy).pem == pem.encode()


def test_no_basic_constraints() -> None:
    """A certificate that does not say whether it is a CA's is none (RFC 5280, section 4.2.1.9)."""
    pem = self_signed(ca=None)
    assert accept(pem).pem == pem.encode()


# -- garbage ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pem",
    [
        *("", " ", "garbage", "5", "null", "\0", "é", "\udcff"),
        *("-----BEGIN CERTIFICATE-----\n", "x" * 1_000_000),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        issued()[:-40],
        issued().replace("CERTIFICATE", "CERTIFICATE REQUEST"),
        CSR,
        issued() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        issued() + "\u2028",
    ],
    ids=lambda pem: repr(pem[:30]),
)
def test_garbage(pem: str) -> None:
    """What is no certificate, whole or in part, is refused as garbage."""
    assert refused(pem)[0] is FailureReason.CERTIFICATE_GARBAGE


def test_a_key_alone() -> None:
    """A private key in the place of the certificate is garbage, and nothing of it is told."""
    reason, detail = refused(pkcs8(key_of()).decode())
    assert (reason, detail) == (FailureReason.CERTIFICATE_GARBAGE, "it is no certificate in PEM")


def test_the_size_limit() -> None:
    """A good certificate among more text than any certificate needs is refused."""
    pem = issued()
    accept("x" * (MAX_CHARACTERS - len(pem) - 1) + "\n" + pem)
    assert refused("x" * (MAX_CHARACTERS - len(pem)) + "\n" + pem)[0] is (
        FailureReason.CERTIFICATE_GARBAGE
    )


@pytest.mark.parametrize("subject", UNREADABLE_NAMES.values(), ids=UNREADABLE_NAMES)
def test_a_subject_that_is_no_name(subject: bytes) -> None:
    """A certificate whose subject cannot be read is garbage."""
    key = key_of()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = certificate_with_subject(subject, key)
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    assert refused(pem)[0] is FailureReason.CERTIFICATE_GARBAGE


def test_a_ca_is_refused() -> None:
    """A certificate for our key that would make the device a CA is refused."""
    reason, detail = refused(self_signed(ca=True))
    assert reason is FailureReason.CERTIFICATE_GARBAGE
    assert "a CA's" in detail


def test_the_chain_in_the_wrong_order() -> None:
    """The device's own certificate has to be the first one."""
    assert refused(ISSUER.certificate_pem + issued())[0] is FailureReason.CERTIFICATE_GARBAGE


def test_two_certificates_of_devices() -> None:
    """With two of them it would not be clear which one is meant."""
    assert refused(issued() + issued())[0] is FailureReason.CERTIFICATE_GARBAGE


def test_an_extension_twice() -> None:
    """A certificate with the same extension twice is refused, whichever the reader would take."""
    der = library.load_pem_x509_certificate(issued().encode()).public_bytes(
        serialization.Encoding.DER
    )
    # subjectKeyIdentifier (2.5.29.14) becomes a second authorityKeyIdentifier (2.5.29.35).
    twice = der.replace(bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d23"))
    assert twice != der
    pem = library.load_der_x509_certificate(twice).public_bytes(serialization.Encoding.PEM)
    assert refused(pem.decode())[0] is FailureReason.CERTIFICATE_GARBAGE


# -- another one --------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048"])
def test_another_key(algorithm: str) -> None:
    """A certificate for any other key is refused."""
    key = another_key() if algorithm == "ECDSA-P256" else key_of(algorithm)
    pem = ISSUER.issue_device_certificate(key.public_key(), NAME)
    assert refused(pem)[0] is FailureReason.CERTIFICATE_OTHER_KEY


def test_the_request_is_damaged() -> None:
    """A request that cannot be read any more is a fault of ours, not of the certificate's."""
    for csr in ("", "garbage", CSR[:-50], "\udcff"):
        assert refused(issued(), csr)[0] is FailureReason.INTERNAL_ERROR


FULL = name(cn="press-7", o="Works")


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        pytest.param(FULL, FULL, id="the-same"),
        pytest.param(FULL, name(cn="AWS IoT Certificate"), id="AWS-IoT's-own"),
        pytest.param(FULL, name(o="Other", cn="press-7", ou="Hall 3"), id="same-common-name"),
        pytest.param(FULL, name(cn="press-7"), id="common-name-alone"),
        pytest.param(library.Name([]), library.Name([]), id="both-empty"),
        pytest.param(library.Name([]), name(cn="AWS IoT Certificate"), id="default-for-empty"),
        pytest.param(name(o="Works"), name(o="Works"), id="no-common-name"),
        pytest.param(name(cn="AWS IoT Certificate"), name(cn="AWS IoT Certificate"), id="default"),
    ],
)
def test_subjects_that_are_accepted(asked: library.Name, got: library.Name) -> None:
    """The subject asked for, AWS IoT's own, or one with the same common name is accepted."""
    assert accept(issued(got), key_pair.csr_pem(key_of(), asked))


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        pytest.param(FULL, name(cn="press-8", o="Works"), id="another-device"),
        pytest.param(FULL, name(cn="press-70"), id="a-longer-name"),
        pytest.param(FULL, name(cn="PRESS-7"), id="other-case"),
        pytest.param(FULL, library.Name([]), id="none"),
        pytest.param(FULL, name(o="Works"), id="without-common-name"),
        pytest.param(name(o="Works"), name(o="Other"), id="neither-has-a-common-name"),
        pytest.param(library.Name([]), name(cn="press-7"), id="nothing-was-asked-for"),
        pytest.param(FULL, name(cn="AWS IoT Certificate", o="Works"), id="more-than-AWS-IoT's"),
    ],
)
def test_subjects_that_are_refused(asked: library.Name, got: library.Name) -> None:
    """A certificate in another name is refused, and both names are told."""
    reason, detail = refused(issued(got), key_pair.csr_pem(key_of(), asked))
    assert reason is FailureReason.CERTIFICATE_OTHER_SUBJECT
    assert repr(got.rfc4514_string()) in detail
    assert repr(asked.rfc4514_string()) in detail


def test_a_name_in_another_kind_of_text() -> None:
    """A CA that writes the same name as PrintableString has not changed it."""
    same = library.Name(
        [
            library.NameAttribute(
                NameOID.COMMON_NAME, "press-7", library.name._ASN1Type.PrintableString
            )
        ]
    )
    assert accept(issued(same))


# -- its window ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begins", "ends", "reason"),
    [
        (timedelta(), DAY, None),
        (5 * MINUTE, DAY, None),
        (5 * MINUTE + SECOND, DAY, FailureReason.CERTIFICATE_NOT_YET_VALID),
        (30 * DAY, 60 * DAY, FailureReason.CERTIFICATE_NOT_YET_VALID),
        (-DAY, SECOND, None),
        (-DAY, timedelta(), FailureReason.CERTIFICATE_EXPIRED),
        (-9 * DAY, -8 * DAY, FailureReason.CERTIFICATE_EXPIRED),
    ],
)
def test_the_window(begins: timedelta, ends: timedelta, reason: FailureReason | None) -> None:
    """Now has to be in the window, but for the minutes that the cloud's clock may be ahead."""
    pem = issued(begins=begins, ends=ends)
    if reason is None:
        assert accept(pem)
    else:
        assert refused(pem)[0] is reason


@pytest.mark.parametrize(
    "now", [datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]
)
def test_a_clock_that_cannot_be_right(now: datetime) -> None:
    """Of a clock that is plainly wrong nothing is concluded; one that may be right counts."""
    assert refused(issued(), now=now)[0] in (
        FailureReason.CERTIFICATE_NOT_YET_VALID,
        FailureReason.CERTIFICATE_EXPIRED,
    )
    assert accept(issued(), now=now, clock_trusted=False)


def _window(begins: datetime, ends: datetime) -> str:
    """A certificate with a window that the library's builder would refuse."""
    good = self_signed(ca=False, begins=timedelta(), ends=2 * DAY)
    der = library.load_pem_x509_certificate(good.encode()).public_bytes(serialization.Encoding.DER)
    form = "%y%m%d%H%M%SZ"
    old = (NOW.strftime(form).encode(), (NOW + 2 * DAY).strftime(form).encode())
    assert der.count(old[0]) == der.count(old[1]) == 1
    marks = der.replace(old[0], b"BEGIN".ljust(13)).replace(old[1], b"END".ljust(13))
    der = marks.replace(b"BEGIN".ljust(13), begins.strftime(form).encode())
    der = der.replace(b"END".ljust(13), ends.strftime(form).encode())
    pem = library.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
    return pem.decode()


@pytest.mark.parametrize("clock_trusted", [True, False])
@pytest.mark.parametrize("later", [timedelta(), SECOND, 30 * DAY])
def test_a_window_that_is_none(clock_trusted: bool, later: timedelta) -> None:
    """A certificate that ends when it begins, or before, is refused whatever the clock says."""
    with pytest.raises(NotAccepted) as caught:
        accept(_window(NOW, NOW - later), clock_trusted=clock_trusted)
    assert caught.value.reason is FailureReason.CERTIFICATE_GARBAGE
    assert accept(_window(NOW - DAY, NOW + DAY), clock_trusted=clock_trusted)


def test_the_key_counts_before_the_name() -> None:
    """Of several faults the graver one is told."""
    pem = ISSUER.issue_device_certificate(
        generate_private_key("ECDSA-P256").public_key(),
        name(cn="press-8"),
        not_before=NOW - 2 * DAY,
        not_after=NOW - DAY,
    )
    assert refused(pem)[0] is FailureReason.CERTIFICATE_OTHER_KEY
