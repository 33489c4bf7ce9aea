"""The rotating child's answers, on real files with real keys: each step, and what goes wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509 as library

from certkeeper.core.algorithms import KEY_ALGORITHMS
from certkeeper.edge import x509
from certkeeper.edge.file_store import FileStore, StoreProblem
from certkeeper.edge.rotating_child import MAX_DETAIL, RotatingChild
from rotation_protocol.reasons import FailureReason
from tests.edge.rotation_stage import (
    Child,
    certificate_id,
    device,
)
from tests.greengrass_root import (
    SECRET,
    another_key,
    certificate_pem,
    install,
    key_of,
    pkcs8,
)

EMPTY = {"hasKey": False, "certificateId": None, "whole": False}


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """The child of a classic core device."""
    return Child(device(tmp_path))


def content(child: Child) -> dict[str, bytes]:
    """What a nucleus reads, and every file under the root."""
    files = {str(p): p.read_bytes() for p in child.root.folder.rglob("*") if p.is_file()}
    return {"certificate": child.root.certificate.read_bytes(), **files}


# -- survey -------------------------------------------------------------------------


def test_a_survey_of_a_fresh_device(child: Child) -> None:
    """A device that has never been rotated has its pair in use, and no store yet."""
    assert child.survey() == {
        "event": "Surveyed",
        "folder": str(child.root.folder / "certkeeper"),
        "runtime": "classic",
        "adopted": False,
        "current": None,
        "slots": {"a": EMPTY, "b": EMPTY},
        "inUse": certificate_id(child.root.certificate),
        "journal": None,
    }


def test_a_survey_changes_nothing(child: Child) -> None:
    """To look leaves everything as it is."""
    before = content(child)
    child.survey()
    assert content(child) == before


def test_a_survey_in_the_middle(child: Child) -> None:
    """With the new key made, the old slot is whole and the new one has a key alone."""
    prepared = child.prepared()
    old = prepared["oldCertificateId"]
    seen = child.survey()
    assert (seen["adopted"], seen["current"], seen["inUse"]) == (True, prepared["oldSlot"], old)
    assert seen["slots"] == {
        prepared["oldSlot"]: {"hasKey": True, "certificateId": old, "whole": True},
        prepared["newSlot"]: {"hasKey": True, "certificateId": None, "whole": False},
    }


def test_a_slot_whose_files_do_not_match(child: Child) -> None:
    """A slot with a good key and another's certificate is not whole."""
    prepared = child.prepared()
    child.store.write_certificate(prepared["newSlot"], certificate_pem(another_key()).encode())
    slot = child.survey()["slots"][prepared["newSlot"]]
    assert slot["certificateId"] is not None
    assert not slot["whole"]


@pytest.mark.parametrize("journal", [b"{}", b"\xff\x00 no journal", b""])
def test_the_journal_is_given_as_it_is(child: Child, journal: bytes) -> None:
    """The journal's bytes are handed on whatever they are: to judge them is not the child's."""
    child.prepared()
    (child.store.folder / "journal.json").write_bytes(journal)
    assert base64.b64decode(child.survey()["journal"]) == journal


def test_nothing_in_use(child: Child) -> None:
    """A certificate that cannot be read is none in use; the survey says so and goes on."""
    child.root.certificate.write_text("garbage")
    seen = child.survey()
    assert (seen["event"], seen["inUse"]) == ("Surveyed", None)


def test_no_credentials(tmp_path: Path) -> None:
    """Where no pair is configured the survey fails, and each later step with the same reason."""
    child = Child(device(tmp_path))
    seen = child.survey(root=str(tmp_path / "nowhere"))
    assert seen["event"] == "SurveyFailed"
    assert "no certificate and key found" in seen["reason"]
    assert len(seen["reason"]) <= MAX_DETAIL
    answer = child.prepare()
    assert (answer["step"], answer["reason"]) == ("Prepare", "credentials-unreadable")
    assert child.survey()["event"] == "Surveyed"
    child.survey(root=str(tmp_path / "nowhere"))
    assert child.prepare()["reason"] == "credentials-unreadable", "what was found is forgotten"


@pytest.mark.parametrize("field", ["certificateFilePath", "privateKeyPath"])
def test_a_token(child: Child, field: str) -> None:
    """A pair in a PKCS#11 token is not rotated, and its PIN is not told."""
    paths = {
        "certificateFilePath": str(child.root.certificate),
        "privateKeyPath": str(child.root.key),
        field: f"pkcs11:object=x;type=private?pin-value={SECRET}",
    }
    assert child.survey(**paths)["event"] == "SurveyFailed"
    assert child.prepare()["reason"] == "key-not-supported"
    assert not [said for said in child.said if SECRET in said]


def test_configured_paths(child: Child) -> None:
    """The store is beside the key that the component's configuration names."""
    folder = child.root.folder / "mine"
    folder.mkdir()
    child.root.certificate.rename(folder / "my.crt")
    child.root.key.rename(folder / "my.key")
    seen = child.survey(
        certificateFilePath=str(folder / "my.crt"), privateKeyPath=f"file://{folder}/my.key"
    )
    assert seen["folder"] == str(folder / "certkeeper")
    assert seen["inUse"] == certificate_id(folder / "my.crt")


@pytest.mark.parametrize(
    "do", ["prepare", "stage", "probe", "arm", "activate", "reconnect", "disarm", "wipe"]
)
def test_the_survey_comes_first(do: str, tmp_path: Path) -> None:
    """No step is done before it is known where the pair is."""
    answer = Child(install(tmp_path)).ask(do)
    assert (answer["event"], answer["step"].lower()) == ("StepFailed", do)
    assert answer["detail"] == "no survey has been made"


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"garbage", b"\xff", b"[]", b"{}", b"5", b"[" * 100_000, b'{"do": "x"}']
)
def test_a_request_that_is_none(line: bytes) -> None:
    """What is no request is answered as well."""
    answer = RotatingChild().answer(line)
    assert (answer["event"], answer["reason"]) == ("StepFailed", "internal-error")


# -- prepare ------------------------------------------------------------------------


def test_prepare_adopts_and_makes_a_key(child: Child) -> None:
    """The nucleus still reads the same bytes; the spare slot holds the CSR's key, and only it."""
    before = (child.root.certificate.read_bytes(), child.root.key.read_bytes())
    prepared = child.prepared()
    assert (child.root.certificate.read_bytes(), child.root.key.read_bytes()) == before
    assert prepared["keyAlgorithm"] == "ECDSA-P256"
    assert prepared["oldCertificateId"] == certificate_id(child.root.certificate)
    files = child.store.slot(prepared["newSlot"])
    assert not files.certificate.exists()
    assert files.private_key.stat().st_mode & 0o777 == 0o600
    key = x509.load_private_key(files.private_key)
    request = library.load_pem_x509_csr(prepared["csr"].encode())
    assert request.public_key() == key.public_key()


@pytest.mark.parametrize("algorithm", KEY_ALGORITHMS)
def test_every_key_is_rotated_to(tmp_path: Path, algorithm: str) -> None:
    """Whatever the current key is, the wanted one is made, and what is issued for it staged."""
    child = Child(device(tmp_path, key=key_of("RSA-2048")))
    prepared = child.prepared(key=algorithm)
    assert prepared["keyAlgorithm"] == algorithm
    assert child.stage(prepared)["event"] == "Staged"


def test_prepare_again_is_another_key(child: Child) -> None:
    """Repeated, it makes a new key in the same slot, and leaves the old slot alone."""
    first = child.prepared()
    child.stage(first)
    second = child.prepare()
    assert (second["oldSlot"], second["newSlot"]) == (first["oldSlot"], first["newSlot"])
    assert second["csr"] != first["csr"]
    assert second["oldCertificateId"] == first["oldCertificateId"]
    assert not child.store.slot(second["newSlot"]).certificate.exists()


@pytest.mark.parametrize(
    ("file", "broken"),
    [
        ("certificate", b""),
        ("certificate", b"garbage"),
        ("key", b""),
        ("key", SECRET.encode()),
        ("key", pkcs8(another_key())),
        ("key", pkcs8(key_of(), b"passphrase")),
    ],
    ids=["no-certificate", "garbage", "no-key", "no-PEM", "another-key", "encrypted"],
)
def test_a_pair_that_is_none(child: Child, file: str, broken: bytes) -> None:
    """A device whose pair is damaged is not rotated, and nothing is changed."""
    getattr(child.root, file).write_bytes(broken)
    child.survey()
    before = content(child)
    assert child.prepare()["reason"] == "credentials-unreadable"
    assert content(child) == before
    assert not [said for said in child.said if SECRET in said]


@pytest.mark.parametrize(
    ("key", "signing"),
    [("same", "SHA256WITHRSA"), ("RSA-2048", "ECDSA-WITH-SHA256"), ("RSA-4096", "auto")],
)
def test_keys_that_are_not_made(child: Child, key: str, signing: str) -> None:
    """A key or a signature that is not to be had is told before anything is changed."""
    child.survey()
    before = content(child)
    assert child.prepare(key, signing)["reason"] == "key-not-supported"
    assert content(child) == before


def test_a_store_that_cannot_be_made(child: Child) -> None:
    """What the store says is the answer: here a file is in the place of its folder."""
    (child.root.folder / "certkeeper").write_text("mine")
    child.survey()
    answer = child.prepare()
    assert (answer["event"], answer["reason"]) == ("StepFailed", "store-failed")
    assert answer["detail"]


def test_the_store_is_rehearsed_first(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that could not switch later is told so before anything is changed."""

    def refuse(_: FileStore) -> None:
        raise StoreProblem(FailureReason.STORE_NOT_REPLACEABLE, "it is a mount point")

    monkeypatch.setattr(FileStore, "rehearse", refuse)
    child.survey()
    before = content(child)
    answer = child.prepare()
    assert (answer["reason"], answer["detail"]) == ("store-not-replaceable", "it is a mount point")
    assert content(child) == before


def test_nothing_behind_the_back_of_another(tmp_path: Path) -> None:
    """A child whose daemon is gone by the time that the key is made leaves the store alone."""
    orphan = Child(device(tmp_path), RotatingChild(orphaned=lambda: True))
    orphan.survey()
    before = content(orphan)
    with pytest.raises(SystemExit):
        orphan.prepare()
    assert content(orphan) == before
