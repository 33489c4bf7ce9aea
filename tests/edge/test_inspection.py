"""One look at a device: what it finds, in which order, and that nothing found makes it raise."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.edge import clock, inventory_json
from certkeeper.edge.inspection import CLIENT_DEVICE_CA, Request, inspect
from certkeeper.edge.store_rehearsal import rehearse
from lab.account.authority import Authority
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from tests.edge.classic_files import CERTIFICATE, KEY, changed, log
from tests.greengrass_root import (
    DAY,
    DAYS_LEFT,
    NOW,
    GreengrassRoot,
    another_key,
    authority,
    certificate_pem,
    install,
    key_of,
    open_folder,
    pkcs8,
    without_privilege,
)


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it."""
    return install(tmp_path)


def look(root: GreengrassRoot, *watch: str) -> Inventory:
    return inspect(Request(root=str(root.folder), watch=watch))


def core(inventory: Inventory) -> Reading:
    reading = inventory.core_device
    assert reading is not None
    assert reading is inventory.readings[0]
    return reading


def statuses(inventory: Inventory) -> dict[ReadinessCheckName, CheckStatus]:
    return {check.name: check.status for check in inventory.checks}


# -- a device as it should be -------------------------------------------------------


def test_an_installed_device(root: GreengrassRoot) -> None:
    """Certificate, key and root CA are found; the pair matches; the CA's end is known."""
    inventory = look(root)
    assert [reading.role for reading in inventory.readings] == [Role.CORE_DEVICE, Role.ROOT_CA]
    device, ca = inventory.readings
    assert device.facts is not None
    assert device.facts.not_after == NOW + DAYS_LEFT * DAY
    assert device.facts.issuer_not_after == authority().certificate.not_valid_after_utc
    assert (device.pair, device.source) == (PairState.MATCHES, str(root.certificate))
    assert ca.facts is not None
    assert (ca.pair, ca.facts.issuer_not_after) == (PairState.NOT_CHECKED, None)
    assert inventory.private_key_source == str(root.key)
    assert inventory.runtime == "classic"
    assert inventory.clock_synchronized == clock.synchronized()
    failing = {name for name, status in statuses(inventory).items() if status is CheckStatus.FAIL}
    assert failing == set()


def test_the_folder_is_left_as_it_was(root: GreengrassRoot) -> None:
    """A look leaves no file behind, and changes none."""

    def all_files() -> dict[str, int]:
        return {str(path): path.stat().st_ino for path in root.folder.rglob("*")}

    before = all_files()
    look(root)
    assert all_files() == before


def test_a_bundle_of_root_cas(root: GreengrassRoot) -> None:
    """Each CA of the bundle has a reading of its own."""
    others = [Authority.create(f"Root {n}", not_after=NOW + n * DAY) for n in (1, 2)]
    pems = [authority().certificate_pem, *(other.certificate_pem for other in others)]
    root.root_ca.write_text("".join(pems))
    readings = [reading for reading in look(root).readings if reading.role is Role.ROOT_CA]
    subjects = [reading.facts.subject for reading in readings if reading.facts]
    assert subjects == [
        "CN=Device CA,O=CertKeeper lab,C=US",
        "CN=Root 1,O=CertKeeper lab,C=US",
        "CN=Root 2,O=CertKeeper lab,C=US",
    ]


def test_a_chain_in_the_certificate_file(root: GreengrassRoot) -> None:
    """Of a chain the first certificate is the device's; the others say when its CA ends."""
    chain = certificate_pem(key_of()) + authority().certificate_pem
    root.certificate.write_text(chain)
    root.root_ca.write_text(Authority.create("Amazon Root CA 1").certificate_pem)
    inventory = look(root)
    assert len(inventory.readings) == 2
    facts = core(inventory).facts
    assert facts is not None
    assert facts.subject == "CN=press-7"
    assert facts.issuer_not_after == authority().certificate.not_valid_after_utc


def test_everything_that_is_watched(root: GreengrassRoot) -> None:
    """Claim certificate, client-device CA and watched paths follow, each in its role."""
    claim, extra = root.folder / "claim.crt", root.folder / "extra one.crt"
    claim.write_text(certificate_pem(key_of()))
    extra.write_text(certificate_pem(key_of()) + authority().certificate_pem)
    client_device_ca = root.folder / CLIENT_DEVICE_CA
    client_device_ca.parent.mkdir(parents=True)
    client_device_ca.write_text(authority().certificate_pem)
    plugin = ["services", "aws.greengrass.FleetProvisioningByClaim", "configuration"]
    log(
        root.folder,
        [
            changed(CERTIFICATE, str(root.certificate)),
            changed(KEY, str(root.key)),
            changed([*plugin, "claimCertificatePath"], str(claim)),
        ],
    )
    inventory = look(root, str(extra), f"file://{root.folder}/extra%20one.crt")
    assert [(reading.role, reading.source) for reading in inventory.readings] == [
        (Role.CORE_DEVICE, str(root.certificate)),
        (Role.CLAIM, str(claim)),
        (Role.CLIENT_DEVICE_CA, str(client_device_ca)),
        (Role.WATCHED, str(extra)),
        (Role.WATCHED, str(extra)),
    ]
    assert all(reading.facts for reading in inventory.readings)


def test_a_claim_certificate_that_was_deleted(root: GreengrassRoot) -> None:
    """Many devices delete the claim once it is used: one that is gone is not watched."""
    plugin = ["services", "aws.greengrass.FleetProvisioningByClaim", "configuration"]
    gone = str(root.folder / "claim.crt")
    credentials = [changed(CERTIFICATE, str(root.certificate)), changed(KEY, str(root.key))]
    log(root.folder, [*credentials, changed([*plugin, "claimCertificatePath"], gone)])
    assert [reading.role for reading in look(root).readings] == [Role.CORE_DEVICE]


def test_overrides(root: GreengrassRoot, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A pair named in the component's configuration is read in place of the nucleus's."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "device.crt").write_text(certificate_pem(another_key(), days_left=9))
    (elsewhere / "device.key").write_bytes(pkcs8(another_key()))
    request = Request(
        root=str(root.folder),
        certificate_override=str(elsewhere / "device.crt"),
        private_key_override=str(elsewhere / "device.key"),
    )
    inventory = inspect(request)
    assert core(inventory).pair is PairState.MATCHES
    assert core(inventory).source == str(elsewhere / "device.crt")
    assert inventory.private_key_source == str(elsewhere / "device.key")


# -- a device as it should not be ---------------------------------------------------


def test_no_credentials(tmp_path: Path) -> None:
    """Where no credentials are found, that is the one reading and the one check, with a remedy."""
    inventory = inspect(Request(root=str(tmp_path)))
    assert core(inventory).problem is ReadProblem.MISSING
    assert statuses(inventory) == {ReadinessCheckName.CREDENTIALS_FOUND: CheckStatus.FAIL}
    assert inventory.checks[0].remedy
    assert inventory.private_key_source is None


def test_the_key_of_another_certificate(root: GreengrassRoot) -> None:
    """A key that is not the certificate's is a mismatch, and may not sign for it."""
    root.write_key(pkcs8(another_key()))
    inventory = look(root)
    assert core(inventory).pair is PairState.MISMATCH
    assert core(inventory).detail
    assert inventory.private_key_source is None
    assert statuses(inventory)[ReadinessCheckName.PAIR_MATCHES] is CheckStatus.FAIL


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"garbage", pkcs8(key_of(), b"pass")])
def test_a_key_that_cannot_be_used(root: GreengrassRoot, content: bytes) -> None:
    """With a key that cannot be used the certificate is still read, and the reason is told."""
    root.write_key(content)
    inventory = look(root)
    reading = core(inventory)
    assert reading.facts is not None
    assert reading.pair is PairState.KEY_UNREADABLE
    assert str(root.key) in reading.detail
    assert inventory.private_key_source is None
    assert statuses(inventory)[ReadinessCheckName.KEY_READABLE] is CheckStatus.FAIL
    assert statuses(inventory)[ReadinessCheckName.PAIR_MATCHES] is CheckStatus.UNKNOWN


def test_a_pair_in_a_token(root: GreengrassRoot) -> None:
    """A pair in a PKCS#11 token is said to be there, and its PIN is said nowhere."""
    log(
        root.folder,
        [
            changed(CERTIFICATE, "pkcs11:object=device;type=cert;pin-value=1234"),
            changed(KEY, "pkcs11:object=device;type=private?pin-value=1234"),
        ],
    )
    inventory = look(root)
    assert core(inventory).problem is ReadProblem.PKCS11
    assert core(inventory).source == "pkcs11:object=device;type=cert"
    assert statuses(inventory)[ReadinessCheckName.KEY_READABLE] is CheckStatus.WARN
    assert "1234" not in json.dumps(inventory_json.encode(inventory))
    assert "1234" not in repr(inventory)


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("relative/device.crt", "relative/device.crt"),
        ("handle:0x81000001", "handle:0x81000001"),
        ("https://pki.example/device.crt", "https://pki.example/device.crt"),
        ("file://elsewhere/device.crt", "file://elsewhere/device.crt"),
        ("bad:x?pin-value=1234", "bad:x?(not shown)"),
    ],
)
def test_a_place_that_cannot_be_read(root: GreengrassRoot, uri: str, source: str) -> None:
    """A certificate in a place of another kind is unreadable, with the place and the reason."""
    log(root.folder, [changed(CERTIFICATE, uri), changed(KEY, str(root.key))])
    reading = core(look(root))
    assert (reading.problem, reading.source) == (ReadProblem.UNREADABLE, source)
    assert reading.detail
    assert "1234" not in repr(reading)


def test_a_watched_place_that_cannot_be_read(root: GreengrassRoot) -> None:
    """What the configuration wants watched is shown without a PIN, wherever it should be."""
    reading = look(root, "file://elsewhere/x?pin-value=1234").readings[-1]
    assert (reading.role, reading.problem) == (Role.WATCHED, ReadProblem.UNREADABLE)
    assert "1234" not in repr(reading)


def test_a_certificate_whose_parts_are_none(root: GreengrassRoot) -> None:
    """A certificate that is one at first sight only is told with its path."""
    from cryptography import x509 as library
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = library.load_pem_x509_certificate(certificate_pem(key_of()).encode())
    der = certificate.public_bytes(Encoding.DER)
    root.certificate.write_bytes(der.replace(b"\x0c\x07press-7", b"\x03\x07\0ress-7"))
    reading = core(look(root))
    assert reading.problem is ReadProblem.NOT_A_CERTIFICATE
    assert str(root.certificate) in reading.detail


def test_a_work_folder_that_may_not_be_looked_into() -> None:
    """A person without privilege is told of what may not be read, by an inventory too."""
    with open_folder() as folder:
        root = install(folder)
        (folder / CLIENT_DEVICE_CA).parent.mkdir(parents=True)
        (folder / CLIENT_DEVICE_CA).touch()
        (folder / "work").chmod(0o700 if os.geteuid() == 0 else 0)
        if os.geteuid() != 0:
            root.key.chmod(0)
        folder.chmod(0o555)
        with without_privilege():
            inventory = look(root)
        folder.chmod(0o755)
        (folder / "work").chmod(0o755)
    reading = core(inventory)
    assert reading.facts is not None
    assert reading.pair is PairState.NOT_CHECKED
    assert statuses(inventory)[ReadinessCheckName.KEY_READABLE] is CheckStatus.FAIL
    assert statuses(inventory)[ReadinessCheckName.STORE_WRITABLE] is CheckStatus.FAIL


BYTES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([certificate_pem(key_of()).encode(), pkcs8(key_of())]).flatmap(
        lambda good: st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)).map(
            lambda at: good[: at[0]] + bytes([at[1]]) + good[at[0] + 1 :]
        )
    ),
)


@settings(max_examples=60, deadline=None)
@given(certificate=BYTES, key=BYTES, root_ca=BYTES)
def test_no_content_makes_it_raise(certificate: bytes, key: bytes, root_ca: bytes) -> None:
    """Whatever the files hold, a look brings back an inventory that survives its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        root = GreengrassRoot(Path(folder))
        root.certificate.write_bytes(certificate)
        root.key.write_bytes(key)
        root.root_ca.write_bytes(root_ca)
        inventory = look(root)
    core(inventory)
    encoded = json.dumps(inventory_json.encode(inventory))
    assert inventory_json.decode(json.loads(encoded)) == inventory


def test_a_path_that_is_not_unicode(root: GreengrassRoot) -> None:
    """A watched file whose name is not UTF-8 is read, and survives the way to the daemon."""
    path = root.folder / os.fsdecode(b"\xff.crt")
    path.write_text(certificate_pem(key_of()))
    inventory = look(root, f"file://{root.folder}/%FF.crt")
    assert inventory.readings[-1].facts is not None
    encoded = json.dumps(inventory_json.encode(inventory))
    assert inventory_json.decode(json.loads(encoded)) == inventory


def test_json_keeps_every_field(root: GreengrassRoot) -> None:
    """An inventory with every field set is the same after its JSON."""
    inventory = replace(
        look(root), thing_name="press-7", clock_synchronized=None, notes=("one", "two")
    )
    checks = rehearse(root.folder / "gone", ())
    missing = Reading(Role.WATCHED, "/x", None, ReadProblem.MISSING, "/x does not exist")
    inventory = replace(inventory, readings=(*inventory.readings, missing), checks=checks)
    encoded = json.dumps(inventory_json.encode(inventory))
    assert inventory_json.decode(json.loads(encoded)) == inventory
