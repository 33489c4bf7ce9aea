"""The later steps of the rotating child, on real files: what is issued, tried, activated."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certkeeper.edge import key_pair, probe, rotation_steps, x509
from certkeeper.edge.rotating_child import RotatingChild
from tests.edge.rotation_stage import (
    ISSUER,
    Child,
    certificate_id,
    commands,
    device,
)
from tests.greengrass_root import (
    another_key,
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
