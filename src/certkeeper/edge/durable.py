"""The one way to change a name on the disk: whole or not at all, through any crash or power cut.

A new file is written beside the old one, private from birth, forced to the disk, renamed
over it, and the folder forced to the disk. Whoever reads sees the old content or the new.
Links and folders are made in the same way. (POSIX rename(2), fsync(2); LWN 457667,
"Ensuring data reaches disk".)
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def beside(path: Path) -> Path:
    """Where the new ``path`` is made; whatever lies there was left by a crash."""
    return path.with_name(f".{path.name}.new")


def write(
    path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Make ``content`` the content of ``path``, with exactly this mode and owner (uid, gid; None:
    this process's). A link at ``path`` is replaced, not followed.

    One writer a file. Raises OSError: the file is as it was then, unless all that failed was to
    force its folder to the disk, which leaves the new one.
    """
    new = beside(path)
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        descriptor = os.open(new, _NEW, mode & 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:  # before the mode: it may open the file to the group
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)


def link(path: Path, target: str) -> None:
    """Make ``path`` a symbolic link to ``target``, in place of the file or link that it is.

    Raises OSError, as ``write`` does. (A link's text cannot be forced to the disk by itself; it
    is metadata, which file systems order with the rename.)
    """
    new = beside(path)
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        new.symlink_to(target)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a link, which need not be there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sync_folder(path.parent)


def make_folder(path: Path, mode: int, owner: tuple[int, int]) -> None:
    """Make a folder of this mode and owner (uid, gid); one that is there stays as it is.

    Raises OSError, also where there is something else.
    """
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotADirectoryError(20, "Not a directory", str(path))
    except FileNotFoundError:
        _make_folder(path, mode, owner)
    sync_folder(path.parent)


def _make_folder(path: Path, mode: int, owner: tuple[int, int]) -> None:
    new = beside(path)
    with contextlib.suppress(FileNotFoundError):
        new.rmdir()
    new.mkdir(0o700)
    descriptor = os.open(new, _FOLDER | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)


def remove_folder(path: Path) -> None:
    """Remove an empty folder, which need not be there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to the disk. Raises OSError."""
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
