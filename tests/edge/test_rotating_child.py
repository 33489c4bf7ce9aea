"""The rotating child's answers, on real files with real keys: each step, and what goes wrong."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as library

from certkeeper.core.algorithms import KEY_ALGORITHMS
from certkeeper.edge import key_pair, probe, rotation_steps, x509
from certkeeper.edge.rotating_child import MAX_DETAIL, RotatingChild
from tests.edge.rotation_stage import (
    ISSUER,
    Child,
    certificate_id,
    commands,
    device,
    key_lines,
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


def test_nothing_behind_the_back_of_another(tmp_path: Path) -> None:
    """A child whose daemon is gone by the time that the key is made leaves the store alone."""
    orphan = Child(device(tmp_path), RotatingChild(orphaned=lambda: True))
    orphan.survey()
    before = content(orphan)
    with pytest.raises(SystemExit):
        orphan.prepare()
    assert content(orphan) == before


# -- stage --------------------------------------------------------------------------


def test_stage_keeps_what_was_issued(child: Child) -> None:
    """The certificate is beside its key, whole, and not in use yet."""
    prepared = child.prepared()
    staged = child.stage(prepared)
    assert staged == {
        "event": "Staged",
        "certificateId": certificate_id(child.store.slot(prepared["newSlot"]).certificate),
    }
    seen = child.survey()
    assert seen["slots"][prepared["newSlot"]]["whole"]
    assert seen["inUse"] == prepared["oldCertificateId"] != staged["certificateId"]
    assert child.stage(prepared)["event"] == "Staged", "a repeat is harmless"


def test_what_is_not_accepted_is_not_written(child: Child) -> None:
    """A certificate that is refused leaves the slot as it was; the reason is the answer."""
    prepared = child.prepared()
    before = content(child)
    other = ISSUER.issue_device_certificate(another_key().public_key())
    for pem, reason in (
        ("garbage", "certificate-garbage"),
        ("", "certificate-garbage"),
        ("x" * 1_000_000, "certificate-garbage"),
        (other, "certificate-other-key"),
    ):
        answer = child.stage(prepared, pem)
        assert (answer["step"], answer["reason"]) == ("Stage", reason)
    assert content(child) == before


def test_a_slot_without_the_key(child: Child) -> None:
    """A certificate for a key that the slot does not hold is found out when it is read back."""
    prepared = child.prepared()
    child.store.write_key(prepared["newSlot"], key_pair.key_pem(key_pair.generate("ECDSA-P256")))
    answer = child.stage(prepared)
    assert (answer["reason"], "read back" in answer["detail"]) == ("store-failed", True)


def test_the_slot_in_use_is_never_written(child: Child) -> None:
    """Nothing is staged into the slot that the nucleus reads."""
    prepared = child.prepared()
    before = content(child)
    answer = child.stage({**prepared, "newSlot": prepared["oldSlot"]})
    assert answer["event"] == "StepFailed"
    assert content(child) == before


@pytest.mark.parametrize(
    ("year", "event"), [(1971, "Staged"), (2048, "Staged"), (2051, "StepFailed")]
)
def test_a_clock_before_the_certificate_in_use(tmp_path: Path, year: int, event: str) -> None:
    """A clock that stands before the current certificate's notBefore is held against nothing."""
    now = datetime(year, 1, 1, tzinfo=UTC)
    child = Child(device(tmp_path), RotatingChild(now=lambda: now))
    assert child.stage(child.prepared())["event"] == event


# -- probe --------------------------------------------------------------------------


def test_nobody_answers(child: Child) -> None:
    """Each slot has a result, in the order asked for: a whole pair is unreachable here, and a
    slot that holds none would be let in by nobody."""
    prepared = child.prepared()
    slots = [prepared["newSlot"], prepared["oldSlot"]]
    results = child.ask("probe", slots=slots)["results"]
    assert [(one["slot"], one["verdict"]) for one in results] == [
        (prepared["newSlot"], "refused"),
        (prepared["oldSlot"], "unreachable"),
    ]


def test_whom_the_probe_asks(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the endpoints of the nucleus's configuration, with the files of that slot."""
    asked: list[Any] = []

    def note(target: probe.Target, *rest: object) -> probe.Probed:
        asked.append((target, *rest))
        return probe.Probed(probe.Verdict.ACCEPTED, "fine")

    monkeypatch.setattr(probe, "probe", note)
    prepared = child.prepared()
    answer = child.ask("probe", slots=[prepared["newSlot"]])
    assert answer == {
        "event": "Probed",
        "results": [{"slot": prepared["newSlot"], "verdict": "accepted", "detail": "fine"}],
    }
    files = child.store.slot(prepared["newSlot"])
    target = probe.Target("press-7", child.root.root_ca, "localhost:9", "Alias", "localhost:9")
    assert asked == [(target, files.certificate, files.private_key, 10.0)]


def test_a_probe_that_takes_for_ever(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that nobody answers about in time is unreachable; the answer does not wait for it."""
    ended = threading.Event()

    def wait(*_: object) -> probe.Probed:
        ended.wait(60)
        return probe.Probed(probe.Verdict.ACCEPTED, "late")

    monkeypatch.setattr(probe, "probe", wait)
    monkeypatch.setattr(rotation_steps, "PROBE_SECONDS", 0.1)
    child.prepared()
    results = child.ask("probe", slots=["a", "b"])["results"]
    ended.set()
    assert {one["verdict"] for one in results} == {"unreachable"}


def test_no_root_ca(tmp_path: Path) -> None:
    """Without a root CA no server is to be believed: the pair is unreachable, not refused."""
    child = Child(device(tmp_path))
    child.prepared()
    (tmp_path / "config" / "config.tlog").unlink()
    child.root.root_ca.unlink()
    child.survey()
    results = child.ask("probe", slots=["a"])["results"]
    assert [one["verdict"] for one in results] == ["unreachable"]


def test_no_slots(child: Child) -> None:
    """To try nothing gives no result."""
    child.survey()
    assert child.ask("probe", slots=[]) == {"event": "Probed", "results": []}


# -- activate, wipe -------------------------------------------------------------------


def test_there_and_back(child: Child) -> None:
    """Activation moves certificate and key at once, again is harmless, and back is the old pair."""
    prepared = child.prepared()
    staged = child.stage(prepared)
    for slot, wanted in (
        (prepared["newSlot"], staged["certificateId"]),
        (prepared["newSlot"], staged["certificateId"]),
        (prepared["oldSlot"], prepared["oldCertificateId"]),
    ):
        assert child.ask("activate", slot=slot) == {"event": "Activated", "slot": slot}
        seen = child.survey()
        assert (seen["current"], seen["inUse"]) == (slot, wanted)
        certificate = x509.read_certificates(child.root.certificate)[0]
        assert x509.is_pair(certificate, x509.load_private_key(child.root.key))


@pytest.mark.parametrize("fault", ["no certificate", "torn key", "another key"])
def test_half_a_pair_is_not_activated(child: Child, fault: str) -> None:
    """A slot that holds no whole pair is never what the nucleus reads."""
    prepared = child.prepared()
    if fault != "no certificate":
        child.stage(prepared)
        key = b"-----BEGIN PRIVATE KEY-----\n" if fault == "torn key" else pkcs8(another_key())
        child.store.slot(prepared["newSlot"]).private_key.write_bytes(key)
    answer = child.ask("activate", slot=prepared["newSlot"])
    assert (answer["step"], answer["reason"]) == ("Activate", "store-failed")
    assert child.survey()["current"] == prepared["oldSlot"]


def test_wipe(child: Child) -> None:
    """The spare pair is removed, twice is harmless, and the one in use is refused."""
    prepared = child.prepared()
    child.stage(prepared)
    for _ in range(2):
        answer = child.ask("wipe", slot=prepared["newSlot"])
        assert answer == {"event": "Wiped", "slot": prepared["newSlot"]}
    assert child.survey()["slots"][prepared["newSlot"]] == EMPTY
    assert child.ask("wipe", slot=prepared["oldSlot"])["event"] == "StepFailed"
    assert child.survey()["slots"][prepared["oldSlot"]]["whole"]


# -- the world beside the files -----------------------------------------------------------


def test_arm_and_disarm(child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arming takes the mark of an earlier rotation away and starts the timer; disarming puts the
    mark there first."""
    noted = commands(tmp_path, monkeypatch)
    child.prepared()
    child.store.mark_committed()
    mark = child.store.folder / "commit-mark"
    assert child.ask("arm", oldSlot="a", newSlot="b", seconds=900) == {"event": "Armed"}
    assert not mark.exists()
    assert "--on-active=900" in noted.read_text()
    assert child.ask("disarm") == {"event": "Disarmed"}
    assert mark.exists()
    assert "systemctl stop" in noted.read_text()


def test_a_switch_that_cannot_be_armed(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no timer is to be had, arming says so; disarming needs none but the mark."""
    commands(tmp_path, monkeypatch, "echo no bus >&2; exit 1")
    child.prepared()
    answer = child.ask("arm", oldSlot="a", newSlot="b", seconds=900)
    assert (answer["step"], answer["reason"]) == ("Arm", "dead-man-failed")
    assert child.ask("disarm") == {"event": "Disarmed"}
    assert (child.store.folder / "commit-mark").exists()


def test_a_switch_that_cannot_be_disarmed(child: Child) -> None:
    """Without the mark the switch is not off."""
    child.survey()
    answer = child.ask("disarm")
    assert (answer["step"], answer["reason"]) == ("Disarm", "store-failed")


def test_reconnect(child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classic is restarted, which ends the component too."""
    noted = commands(tmp_path, monkeypatch)
    child.survey()
    answer = child.ask("reconnect", strength=0)
    assert (answer["event"], answer["restartsUs"]) == ("Reconnected", True)
    assert "greengrass.service" in answer["means"]
    assert noted.read_text() == "systemctl --no-block restart greengrass.service\n"


def test_a_nucleus_that_cannot_be_restarted(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service manager says is the answer's detail."""
    commands(tmp_path, monkeypatch, "echo no such unit >&2; exit 5")
    child.survey()
    answer = child.ask("reconnect", strength=1)
    assert (answer["step"], answer["reason"]) == ("Reconnect", "reconnect-failed")
    assert "no such unit" in answer["detail"]


# -- the process --------------------------------------------------------------------


def _run(lines: list[Any], *, code: str = "") -> subprocess.CompletedProcess[bytes]:
    """The child as a process; ``code`` is run in it first."""
    start = "from certkeeper.__main__ import main; sys.exit(main(['rotate']))"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}\n{start}"],
        input=b"".join(json.dumps(line).encode() + b"\n" for line in lines),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )


def test_a_line_for_a_line(child: Child) -> None:
    """Each request has its answer on a line of its own; the end of the requests is the end."""
    survey = {
        "do": "survey",
        "root": str(child.root.folder),
        "thingName": "",
        "certificateFilePath": None,
        "privateKeyPath": None,
    }
    ran = _run([survey, {"do": "no such step"}, survey])
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["event"] for one in answers] == ["Surveyed", "StepFailed", "Surveyed"]
    assert answers[0] == child.survey()
    assert ran.stderr == b""


def test_only_answers_on_standard_output() -> None:
    """What a library prints, or a command writes, goes to standard error instead."""
    noisy = (
        "import os; from certkeeper.edge import rotating_child as r; "
        "r.RotatingChild.answer = lambda *_: print('NOISE', flush=True) or "
        "os.system('echo MORE') or {'event': 'Said'}"
    )
    ran = _run([{"do": "x"}], code=noisy)
    assert ran.stdout == b'{"event": "Said"}\n'
    assert {b"NOISE", b"MORE"} <= set(ran.stderr.splitlines())


@pytest.mark.parametrize("algorithm", ["RSA-2048", "ECDSA-P384"])
def test_no_byte_of_a_key_is_said(tmp_path: Path, algorithm: str) -> None:
    """In a whole rotation with every failure, no line of any key is in an answer or an error."""
    key = key_of(algorithm)
    root = device(tmp_path, key=key)
    survey = {
        "do": "survey",
        "root": str(root.folder),
        "thingName": "press-7",
        "certificateFilePath": None,
        "privateKeyPath": None,
    }
    prepare = {"do": "prepare", "keyAlgorithm": "same", "signingAlgorithm": "auto"}
    key_as_certificate = {
        "do": "stage",
        "slot": "b",
        "csr": key_pair.csr_pem(key, key_pair.subject_of(_certificate(root.certificate), "x")),
        "certificatePem": key_pair.key_pem(key).decode(),
    }
    steps = [
        *(survey, prepare, key_as_certificate),
        *({"do": "probe", "slots": ["a", "b"]}, {"do": "activate", "slot": "b"}),
        *({**survey, "certificateFilePath": str(root.key), "privateKeyPath": str(root.key)},),
        *(prepare, {"do": "wipe", "slot": "a"}),
    ]
    ran = _run(steps)
    assert len(ran.stdout.splitlines()) == len(steps)
    lines = key_lines(root)
    assert len(lines) >= 6
    said = (ran.stdout + ran.stderr).decode()
    assert [line for line in lines if line in said] == []


def _certificate(path: Path) -> x509.Certificate:
    return x509.read_certificates(path)[0]
