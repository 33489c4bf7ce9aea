"""The store's adoption of a pair: what it does to files, and what it refuses."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from certkeeper.edge.file_store import MAX_BYTES, FileStore
from rotation_protocol.reasons import FailureReason
from tests.edge.credentials import (
    LAYOUTS,
    NEW,
    OLD,
    adopted,
    behind_own_links,
    beside_each_other,
    everything,
    in_two_folders,
    pair_at,
    permissions,
    put,
    refused,
    stage,
    switch,
)
from tests.edge.disk import Disk

FAILED, FULL = FailureReason.STORE_FAILED, FailureReason.STORE_FULL
NOT_REPLACEABLE = FailureReason.STORE_NOT_REPLACEABLE
UNREADABLE = FailureReason.CREDENTIALS_UNREADABLE
SOMEBODY = (4321, 1234)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


# -- adoption -------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_adoption(layout: Callable[[Path], FileStore], tmp_path: Path) -> None:
    """Afterwards both configured paths lead to the same bytes as before, through ``current``."""
    store = layout(tmp_path)
    slot = store.adopt()
    assert store.look() == (True, slot)
    assert pair_at(store) == OLD
    files = store.slot(slot)
    assert (files.certificate.read_bytes(), files.private_key.read_bytes()) == (
        OLD.certificate,
        OLD.private_key,
    )
    before = everything(tmp_path)
    assert store.adopt() == slot
    assert everything(tmp_path) == before


def test_what_adoption_leaves(tmp_path: Path) -> None:
    """The files and links of the store are those that the docs name, and no others."""
    adopted(tmp_path)
    assert everything(tmp_path / "gg") == {
        "thingCert.crt": "certkeeper/current/certificate.pem",
        "privKey.key": "certkeeper/current/private.key",
        "certkeeper/current": "a",
        "certkeeper/a/certificate.pem": OLD.certificate,
        "certkeeper/a/private.key": OLD.private_key,
    }


def test_before_adoption(tmp_path: Path) -> None:
    """A pair of plain files is not adopted, and no slot is current."""
    store = beside_each_other(tmp_path)
    assert store.look() == (False, None)
    assert store.folder == tmp_path / "gg" / "certkeeper"
    assert everything(tmp_path / "gg").keys() == {"thingCert.crt", "privKey.key"}


def test_links_are_relative(tmp_path: Path) -> None:
    """The folders may be moved as one: no link says where they are."""
    store = in_two_folders(tmp_path)
    store.adopt()
    assert str(store.certificate.readlink()) == (
        "../../gg/private/certkeeper/current/certificate.pem"
    )
    (tmp_path / "gg").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "gg")
    assert pair_at(store) == OLD


def test_a_linked_folder(tmp_path: Path) -> None:
    """A Greengrass root that is itself a link works: links are seen from where they really are."""
    store = beside_each_other(tmp_path / "disk" / "one")
    (tmp_path / "v2").symlink_to("disk/one/gg")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "etc").symlink_to("../disk/one")
    through = FileStore(
        tmp_path / "deep" / "etc" / "gg" / "thingCert.crt", tmp_path / "v2" / "privKey.key"
    )
    through.adopt()
    assert through.look() == store.look() == (True, "a")
    assert pair_at(through) == OLD
    switch(through)
    assert pair_at(through) == pair_at(store) == NEW


def test_a_link_of_the_users_own(tmp_path: Path) -> None:
    """A configured path that is a link is replaced itself; what it led to is left as it is."""
    store = behind_own_links(tmp_path)
    store.certificate.unlink()
    store.certificate.symlink_to(tmp_path / "own" / "c")
    store.adopt()
    switch(store)
    assert pair_at(store) == NEW
    assert (tmp_path / "own" / "k").read_bytes() == OLD.private_key
    assert (tmp_path / "own" / "c").read_bytes() == OLD.certificate


@needs_root
def test_permissions_are_those_of_the_originals(tmp_path: Path) -> None:
    """Files in slots, now and later, have owner, group and mode of the configured ones; folders
    those of the key's folder, but none that others may write."""
    store = beside_each_other(tmp_path)
    folder = store.private_key.parent
    for path, mode in ((store.certificate, 0o664), (store.private_key, 0o640), (folder, 0o2775)):
        os.chown(path, *SOMEBODY)
        path.chmod(mode)
    store.adopt()
    stage(store, "b")
    for slot in ("a", "b"):
        assert permissions(store.slot(slot).certificate) == (0o664, *SOMEBODY)
        assert permissions(store.slot(slot).private_key) == (0o640, *SOMEBODY)
        assert permissions(store.slot(slot).folder) == (0o755, *SOMEBODY)
    assert permissions(store.folder) == (0o755, *SOMEBODY)
    store.activate("b")
    store.private_key.chmod(0o600)
    store.release()
    assert permissions(store.certificate) == (0o664, *SOMEBODY)
    assert permissions(store.private_key) == (0o600, *SOMEBODY)


def test_somebody_changes_a_file_meanwhile(tmp_path: Path) -> None:
    """A file that is replaced in the course of the adoption is not replaced in turn."""
    store = beside_each_other(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(tmp_path, patch, cutting=False)

        def watch() -> None:
            if disk.calls and disk.calls[-1].endswith(".current.new"):
                disk.watch = lambda: None
                store.certificate.write_bytes(b"mine")

        disk.watch = watch
        problem = refused(store.adopt)
    assert (problem.reason, "changed by somebody else" in problem.detail) == (FAILED, True)
    assert store.certificate.read_bytes() == b"mine"
    assert not store.certificate.is_symlink()


# -- what cannot be adopted -------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EBUSY, NOT_REPLACEABLE),
        (errno.EXDEV, NOT_REPLACEABLE),
        (errno.EPERM, NOT_REPLACEABLE),
        (errno.EROFS, NOT_REPLACEABLE),
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, FULL),
        (errno.EIO, FAILED),
    ],
)
@pytest.mark.parametrize("name", ["thingCert.crt", "privKey.key"])
def test_a_path_that_cannot_be_renamed_over(
    tmp_path: Path, name: str, code: int, reason: FailureReason
) -> None:
    """It says which path and why; what is read stays the same, and nothing can be switched."""
    store = beside_each_other(tmp_path)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        problem = refused(store.adopt)
        assert problem.reason is reason
        assert problem.detail == f"{tmp_path}/gg/{name}: {os.strerror(code)}"
    assert pair_at(store) == OLD
    assert not [path for path in (tmp_path / "gg").iterdir() if path.name.endswith(".new")]
    stage(store, "b")
    assert refused(lambda: store.activate("b")).reason is FAILED
    assert pair_at(store) == OLD
    assert store.adopt() == "b"
    assert pair_at(store) == OLD


def test_a_file_system_without_links(tmp_path: Path) -> None:
    """Where no link can be made, no pair is kept: it says so, and all stays as it was."""
    store = beside_each_other(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "symlink", refuse)
        assert refused(store.adopt).reason is NOT_REPLACEABLE
        assert refused(store.rehearse).reason is NOT_REPLACEABLE
    assert store.look() == (False, None)
    assert pair_at(store) == OLD


@pytest.mark.parametrize("content", [None, b"", b"x" * (MAX_BYTES + 1)])
@pytest.mark.parametrize("name", ["thingCert.crt", "privKey.key"])
def test_what_cannot_be_read(tmp_path: Path, name: str, content: bytes | None) -> None:
    """A file that is gone, empty or far too large is not taken into the store."""
    store = beside_each_other(tmp_path)
    path = tmp_path / "gg" / name
    path.unlink()
    if content is not None:
        put(path, content)
    problem = refused(store.adopt)
    assert problem.reason is UNREADABLE
    assert str(path) in problem.detail
    assert not store.folder.exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A configured path that is a pipe is refused, not opened."""
    store = beside_each_other(tmp_path)
    store.private_key.unlink()
    os.mkfifo(store.private_key)
    assert refused(store.adopt).reason is UNREADABLE


def test_one_file_for_both(tmp_path: Path) -> None:
    """A file that holds the certificate and the key has one name, which cannot lead to two."""
    both = put(tmp_path / "gg" / "both.pem", OLD.certificate + OLD.private_key, 0o600)
    store = FileStore(tmp_path / "gg" / ".." / "gg" / "both.pem", both)
    assert refused(store.adopt).reason is NOT_REPLACEABLE
    assert not store.folder.exists()


def test_an_access_control_list(tmp_path: Path) -> None:
    """A file whose readers a list names is left alone: a copy would lock them out."""
    store = beside_each_other(tmp_path)
    entry = struct.Struct("<HHI").pack
    nobody = 0xFFFFFFFF
    entries = ((1, 6, nobody), (2, 4, 1), (4, 4, nobody), (16, 4, nobody), (32, 0, nobody))
    try:
        value = struct.pack("<I", 2) + b"".join(entry(*one) for one in entries)
        os.setxattr(store.private_key, "system.posix_acl_access", value)
    except OSError:
        pytest.skip("this file system has no access control lists")
    problem = refused(store.adopt)
    assert problem.reason is NOT_REPLACEABLE
    assert "access control list" in problem.detail
    assert not store.private_key.is_symlink()


def test_something_else_in_place_of_the_folder(tmp_path: Path) -> None:
    """A file or a link to elsewhere with the store's name is not used, nor followed."""
    store = beside_each_other(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store.folder.symlink_to(elsewhere)
    assert refused(store.adopt).reason is FAILED
    store.folder.unlink()
    store.folder.write_bytes(b"a file")
    assert refused(store.adopt).reason is FAILED
    assert list(elsewhere.iterdir()) == []
    assert pair_at(store) == OLD
