"""The one way to write a file: whole or not at all, through any crash or power cut.

A new file is written beside the old one, private from birth, forced to the disk, renamed
over it, and the folder forced to the disk. Whoever reads sees the old content or the new.
(POSIX rename(2), fsync(2); LWN 457667, "Ensuring data reaches disk".)
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make ``content`` the content of ``path``, with exactly this mode.

    One writer a file. Raises OSError: the file is as it was then, unless all that failed was to
    force its folder to the disk, which leaves the new one.
    """
    beside = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    try:
        descriptor = os.open(beside, _NEW, mode & 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
