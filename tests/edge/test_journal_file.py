"""The journal's file: whole or not at all, and never taken for none when it cannot be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from certkeeper.core.journal import Journal, JournalError, Phase, decode
from certkeeper.edge.file_store import FileStore
from certkeeper.edge.journal_file import MAX_BYTES, JournalFile
from certkeeper.ports import StoreError
from tests.edge.disk import Disk, Killed, lay_out
from tests.greengrass_root import open_folder, without_privilege

FIRST = Journal(Phase.CLAIMING, job_id="job-1")
NEXT = Journal(Phase.SWITCHING, job_id="job-1", old_slot="a", new_slot="b", csr="CSR")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store would be."""
    (tmp_path / "gg").mkdir()
    return tmp_path / "gg" / "certkeeper"


def kept(folder: Path) -> Journal | None:
    content = JournalFile(folder).read()
    return None if content is None else decode(content)


def test_none_yet(folder: Path) -> None:
    """Where there is no file, or no folder, there is no journal; reading makes none."""
    assert kept(folder) is None
    assert not folder.exists()
    folder.mkdir()
    assert kept(folder) is None


def test_what_was_saved_is_read(folder: Path) -> None:
    """The journal that was saved last is the one that is read, and only the owner reads it."""
    for journal in (FIRST, NEXT):
        JournalFile(folder).save(journal)
        assert kept(folder) == journal
    assert stat.S_IMODE((folder / "journal.json").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["journal.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("mode", "made"), [(0o777, 0o755), (0o700, 0o700), (0o2750, 0o750)])
def test_the_folder_that_it_makes(folder: Path, mode: int, made: int) -> None:
    """The folder has the owner of the credentials' folder, and its mode but for others' writing."""
    os.chown(folder.parent, 4321, 1234)
    folder.parent.chmod(mode)
    JournalFile(folder).save(FIRST)
    found = folder.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (made, 4321, 1234)


@pytest.mark.parametrize("old", [None, FIRST])
def test_stopped_at_every_call(tmp_path: Path, old: Journal | None) -> None:
    """Killed anywhere, or the power cut, the old journal or the new one is read; and it is saved
    the next time."""
    number, stopped = 0, True
    while stopped:
        folder = tmp_path / str(number) / "gg" / "certkeeper"
        folder.parent.mkdir(parents=True)
        if old:
            JournalFile(folder).save(old)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(tmp_path / str(number), patch)
            disk.stop_at, stopped = number, False
            try:
                JournalFile(folder).save(NEXT)
            except Killed:
                stopped = True
        assert kept(folder) in ((old, NEXT) if stopped else (NEXT,))
        for cut, tree in enumerate(disk.cuts):
            left = lay_out(tree, tmp_path / f"{number} cut {cut}") / "gg" / "certkeeper"
            assert kept(left) in (old, NEXT)
            JournalFile(left).save(NEXT)
            assert kept(left) == NEXT
        JournalFile(folder).save(NEXT)
        assert kept(folder) == NEXT
        number += 1
    assert number > 6


@pytest.mark.parametrize("code", [5, 28])
def test_what_cannot_be_saved(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is told with the file and the reason, and leaves the old journal."""
    JournalFile(folder).save(FIRST)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match=rf"journal\.json: {os.strerror(code)}"):
            JournalFile(folder).save(NEXT)
    assert kept(folder) == FIRST


def test_no_folder_for_the_folder(tmp_path: Path) -> None:
    """Where even the credentials' folder is gone, it is a StoreError."""
    with pytest.raises(StoreError, match="No such file"):
        JournalFile(tmp_path / "gone" / "certkeeper").save(FIRST)


def test_a_large_file(folder: Path) -> None:
    """Of a file that is far too large, only so much is read that it is no journal."""
    JournalFile(folder).save(FIRST)
    content = (folder / "journal.json").read_bytes()
    (folder / "journal.json").write_bytes(b" " * MAX_BYTES + content)
    assert JournalFile(folder).read() == b" " * MAX_BYTES
    with pytest.raises(JournalError):
        kept(folder)


@pytest.mark.parametrize("kind", ["folder", "pipe", "folder-is-a-file", "loop"])
def test_what_is_no_file(folder: Path, kind: str) -> None:
    """Something else in its place is a journal that cannot be understood, not none."""
    path = folder / "journal.json"
    if kind == "folder-is-a-file":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(JournalError):
        kept(folder)


def test_a_file_that_may_not_be_read() -> None:
    """A journal that may not be read is not taken for none."""
    with open_folder() as folder:
        JournalFile(folder).save(FIRST)
        with without_privilege():
            if os.access(folder / "journal.json", os.R_OK, effective_ids=True):
                pytest.skip("this user may read it")
            with pytest.raises(JournalError):
                kept(folder)


def test_it_lies_in_the_store(tmp_path: Path) -> None:
    """A release of the store takes the journal with it."""
    (tmp_path / "thingCert.crt").write_bytes(b"certificate")
    (tmp_path / "privKey.key").write_bytes(b"key")
    store = FileStore(tmp_path / "thingCert.crt", tmp_path / "privKey.key")
    JournalFile(store.folder).save(FIRST)
    store.adopt()
    assert kept(store.folder) == FIRST
    store.release()
    assert kept(store.folder) is None
