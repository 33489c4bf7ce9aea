"""The store's slots: what a switch and a release do to files, and what they refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from certkeeper.edge import store_rehearsal
from certkeeper.edge.file_store import FileStore
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, FailureReason, ReadinessCheckName
from tests.edge.credentials import (
    LAYOUTS,
    NEW,
    OLD,
    adopted,
    beside_each_other,
    everything,
    pair_at,
    permissions,
    put,
    refused,
    stage,
    switch,
)

FAILED, FULL = FailureReason.STORE_FAILED, FailureReason.STORE_FULL
NOT_REPLACEABLE = FailureReason.STORE_NOT_REPLACEABLE
UNREADABLE = FailureReason.CREDENTIALS_UNREADABLE


# -- slots ------------------------------------------------------------------------------


def test_a_switch_and_back(tmp_path: Path) -> None:
    """Both paths lead to the other slot, and back; doing it again changes nothing."""
    store = adopted(tmp_path)
    stage(store, "b")
    for slot, pair in (("b", NEW), ("b", NEW), ("a", OLD), ("a", OLD)):
        store.activate(slot)
        assert (store.look(), pair_at(store)) == ((True, slot), pair)


@pytest.mark.parametrize("name", ["certificate.pem", "private.key"])
@pytest.mark.parametrize("content", [None, b""])
def test_an_incomplete_slot_is_not_activated(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    """A slot that lacks one of its files, or has an empty one, stays out of use."""
    store = adopted(tmp_path)
    stage(store, "b")
    (store.folder / "b" / name).unlink()
    if content is not None:
        put(store.folder / "b" / name, content)
    problem = refused(lambda: store.activate("b"))
    assert problem.reason is FAILED
    assert f"b/{name} is not complete" in problem.detail
    assert (store.look(), pair_at(store)) == ((True, "a"), OLD)


def test_the_slot_in_use_is_not_touched(tmp_path: Path) -> None:
    """Nothing is written into the slot in use, and it is not wiped."""
    store = adopted(tmp_path)
    for action in (
        lambda: store.write_key("a", NEW.private_key),
        lambda: store.write_certificate("a", NEW.certificate),
        lambda: store.wipe("a"),
    ):
        assert refused(action).reason is FAILED
    assert pair_at(store) == OLD


@pytest.mark.parametrize("text", ["./a", "a/", "c", "../certkeeper/a"])
def test_a_link_that_is_not_ours_protects_both_slots(tmp_path: Path, text: str) -> None:
    """If ``current`` says something else than a slot's name, either slot may be the one in use;
    adopting makes it say which."""
    store = adopted(tmp_path)
    (store.folder / "current").unlink()
    (store.folder / "current").symlink_to(text)
    assert store.look() == (True, None)
    for slot in ("a", "b"):
        assert refused(lambda slot=slot: store.wipe(slot)).reason is FAILED  # type: ignore[misc]
        assert refused(lambda slot=slot: store.write_key(slot, b"x")).reason is FAILED  # type: ignore[misc]
    if text != "c":
        assert store.adopt() == "a"
        assert pair_at(store) == OLD


def test_a_lost_link_is_restored_by_activating(tmp_path: Path) -> None:
    """If ``current`` is gone, both paths lead nowhere: activating a whole slot mends that."""
    store = adopted(tmp_path)
    (store.folder / "current").unlink()
    assert refused(store.adopt).reason is UNREADABLE
    store.activate("a")
    assert pair_at(store) == OLD


def test_wiping(tmp_path: Path) -> None:
    """A wiped slot holds nothing, not even what a crash left of a key; wiping again is harmless."""
    store = adopted(tmp_path)
    stage(store, "b")
    put(store.folder / "b" / ".private.key.new", b"torn")
    for _ in range(2):
        store.wipe("b")
        assert list((store.folder / "b").iterdir()) == []
    assert pair_at(store) == OLD


def test_wiping_where_there_is_no_store(tmp_path: Path) -> None:
    """Without a store there is nothing to wipe, and none is made."""
    store = beside_each_other(tmp_path)
    store.wipe("b")
    assert not store.folder.exists()


def test_no_such_slot(tmp_path: Path) -> None:
    """A slot is "a" or "b"; nothing else names a folder."""
    store = adopted(tmp_path)
    for name in ("c", "", "..", "a/../b"):
        with pytest.raises(ValueError, match="is no slot"):
            store.slot(name)
        with pytest.raises(ValueError, match="is no slot"):
            store.activate(name)


def test_the_commit_mark(tmp_path: Path) -> None:
    """The mark is made and taken back, each more than once."""
    store = adopted(tmp_path)
    for _ in range(2):
        store.mark_committed()
        assert (store.folder / "commit-mark").exists()
    for _ in range(2):
        store.clear_mark()
        assert not (store.folder / "commit-mark").exists()


# -- release ----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_release(layout: Callable[[Path], FileStore], tmp_path: Path) -> None:
    """Links are plain files again, with the pair that was in use, and no trace is left."""
    store = layout(tmp_path)
    switch(store)
    for name in ("journal.json", "dead-man.sh", ".dead-man.link", ".journal.json.new"):
        put(store.folder / name, b"left")
    put(store.private_key.with_name(f".{store.private_key.name}.new"), b"KEY", 0o600)
    (store.folder / ".b.new").mkdir()
    before = permissions(store.private_key)
    for _ in range(2):
        store.release()
        assert pair_at(store) == NEW
        assert permissions(store.private_key) == before
        for path in (store.certificate, store.private_key):
            assert path.is_file()
            assert not path.is_symlink()
        assert store.look() == (False, None)
        assert not store.folder.exists()
        assert not list(tmp_path.rglob("*.new"))


def test_somebody_elses_file_in_the_store(tmp_path: Path) -> None:
    """A file that is not ours is kept, and told of; the paths are released all the same."""
    store = adopted(tmp_path)
    put(store.folder / "backup.key", b"mine")
    problem = refused(store.release)
    assert problem.reason is FAILED
    assert everything(tmp_path / "gg") == {
        "thingCert.crt": OLD.certificate,
        "privKey.key": OLD.private_key,
        "certkeeper/backup.key": b"mine",
    }


def test_nothing_is_removed_while_a_path_needs_it(tmp_path: Path) -> None:
    """If a path cannot be made a plain file, the store stays."""
    store = adopted(tmp_path)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == "privKey.key":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        assert refused(store.release).reason is FULL
    assert pair_at(store) == OLD
    assert store.private_key.is_symlink()


# -- rehearsal --------------------------------------------------------------------------


def test_a_rehearsal_that_goes_well(tmp_path: Path) -> None:
    """An ordinary folder passes, before adoption and after it, and is left as it was."""
    for store in (beside_each_other(tmp_path), adopted(tmp_path)):
        before = everything(tmp_path)
        store.rehearse()
        assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ({"store-space", "store-writable"}, FULL),
        ({"store-writable", "store-links"}, FAILED),
        ({"store-links"}, NOT_REPLACEABLE),
    ],
)
def test_a_rehearsal_that_fails(
    failing: set[str], reason: FailureReason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in a rehearsal is told as the reason that it would fail for later."""

    def rehearse(_: Path, __: tuple[Path, ...]) -> tuple[ReadinessCheck, ...]:
        names = ("store-writable", "store-space", "store-links")
        return tuple(
            ReadinessCheck(
                ReadinessCheckName(name),
                CheckStatus.WARN if name in failing else CheckStatus.OK,
                name,
            )
            for name in names
        )

    monkeypatch.setattr(store_rehearsal, "rehearse", rehearse)
    problem = refused(beside_each_other(tmp_path).rehearse)
    assert (problem.reason, problem.detail in failing) == (reason, True)
