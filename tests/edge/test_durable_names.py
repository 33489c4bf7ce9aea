"""durable.py's links, folders, owners and removals: as whole and as private as its writing."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from certkeeper.edge import durable
from tests.edge.disk import Disk

SOMEBODY = (4321, 1234)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def permissions(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def myself() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The folder of the test, watched."""
    return Disk(tmp_path, monkeypatch, cutting=False)


# -- owners -----------------------------------------------------------------------------


@needs_root
def test_the_owner_before_the_mode(tmp_path: Path, disk: Disk) -> None:
    """A file is given away while it is private, opened up only then, and all of it before anybody
    finds it."""
    durable.write(tmp_path / "file", b"content", 0o640, SOMEBODY)
    assert permissions(tmp_path / "file") == (0o640, *SOMEBODY)
    names = [call.split()[0] for call in disk.calls]
    assert names == ["open", "fchown", "fchmod", "fsync", "replace", "open", "fsync"]


def test_no_owner_asked_for(tmp_path: Path, disk: Disk) -> None:
    """Without an owner the file is this process's, and nothing is given away."""
    durable.write(tmp_path / "file", b"content")
    assert permissions(tmp_path / "file") == (0o600, *myself())
    assert not [call for call in disk.calls if call.startswith("fchown")]


def test_an_owner_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be given away is not there afterwards, and the old one still is."""
    (tmp_path / "file").write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(PermissionError):
        durable.write(tmp_path / "file", b"new", 0o600, SOMEBODY)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# -- links ------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [None, "file", "link", "dangling", "link-to-folder"])
def test_a_link(tmp_path: Path, there: str | None) -> None:
    """A link is made, or takes the place of the file or link that is there; nothing is followed."""
    path, folder = tmp_path / "link", tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "other").write_bytes(b"other")
    targets = {"link": "other", "dangling": "nowhere", "link-to-folder": "folder"}
    if there == "file":
        path.write_bytes(b"old")
    elif there is not None:
        path.symlink_to(targets[there])
    durable.beside(path).symlink_to("left by a crash")
    durable.link(path, "a/b")
    assert str(path.readlink()) == "a/b"
    assert (tmp_path / "other").read_bytes() == b"other"
    assert list(folder.iterdir()) == []
    assert not durable.beside(path).is_symlink()


def test_a_link_is_renamed_and_then_forced(tmp_path: Path, disk: Disk) -> None:
    """The link is made beside, renamed over, and its folder forced to the disk."""
    durable.link(tmp_path / "link", "a")
    names = [call.split()[0] for call in disk.calls]
    assert names == ["symlink", "replace", "open", "fsync"]


def test_a_link_over_a_folder(tmp_path: Path) -> None:
    """A folder is not replaced by a link, and nothing is left beside it."""
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        durable.link(tmp_path / "folder", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# -- folders ----------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("mask", [0, 0o077])
def test_a_folder(tmp_path: Path, disk: Disk, mask: int) -> None:
    """A folder has its owner and mode from the instant that it has its name."""
    seen: list[tuple[int, int, int]] = []
    path = tmp_path / "folder"
    disk.watch = lambda: seen.append(permissions(path)) if path.exists() else None
    before = os.umask(mask)
    try:
        durable.make_folder(path, 0o755, SOMEBODY)
    finally:
        os.umask(before)
    assert set(seen) == {(0o755, *SOMEBODY)}
    assert disk.calls[-1].startswith("fsync")


def test_a_folder_that_is_there(tmp_path: Path, disk: Disk) -> None:
    """A folder that is there stays as it is, but is sure to be on the disk."""
    path = tmp_path / "folder"
    path.mkdir(0o700)
    (path / "file").write_bytes(b"")
    durable.make_folder(path, 0o755, SOMEBODY)
    assert permissions(path) == (0o700, *myself())
    assert [call.split()[0] for call in disk.calls[1:]] == ["open", "fsync"]
    assert (path / "file").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_in_place_of_something_else(tmp_path: Path, kind: str) -> None:
    """A file, or a link to a folder, is not taken for the folder."""
    path = tmp_path / "folder"
    if kind == "file":
        path.write_bytes(b"")
    else:
        (tmp_path / "other").mkdir()
        path.symlink_to("other")
    with pytest.raises(NotADirectoryError):
        durable.make_folder(path, 0o755, myself())


def test_what_a_crash_left_of_a_folder(tmp_path: Path) -> None:
    """A folder that was never finished is made anew."""
    path = tmp_path / "folder"
    durable.beside(path).mkdir(0o777)
    durable.make_folder(path, 0o700, myself())
    assert permissions(path) == (0o700, *myself())
    assert [found.name for found in tmp_path.iterdir()] == ["folder"]


# -- removals ---------------------------------------------------------------------------


def test_removing(tmp_path: Path, disk: Disk) -> None:
    """A file, a link or an empty folder goes, and is sure to be gone; gone already is fine too."""
    file, link, folder = (tmp_path / name for name in ("file", "link", "folder"))
    file.write_bytes(b"content")
    link.symlink_to("file")
    folder.mkdir()
    for _ in range(2):
        durable.remove(link)
        assert disk.calls[-1].startswith("fsync")

        durable.remove(file)
        durable.remove_folder(folder)
        assert disk.calls[-1].startswith("fsync")
        assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it(tmp_path: Path) -> None:
    """A folder that is not empty stays, with what is in it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"content")
    with pytest.raises(OSError, match="not empty"):
        durable.remove_folder(tmp_path / "folder")
    assert (tmp_path / "folder" / "file").exists()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Neither success nor failure leaves a file open."""
    before = set(Path("/proc/self/fd").iterdir())
    durable.make_folder(tmp_path / "folder", 0o700, myself())
    durable.link(tmp_path / "link", "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "no")))
        with pytest.raises(OSError, match="no"):
            durable.make_folder(tmp_path / "second", 0o700, myself())
        with pytest.raises(OSError, match="no"):
            durable.remove(tmp_path / "link")
    assert set(Path("/proc/self/fd").iterdir()) == before
