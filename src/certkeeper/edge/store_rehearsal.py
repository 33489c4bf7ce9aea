"""Whether a second pair could be kept beside the first one: tried out, and left as found.

Rotation needs to write, force to disk, link and rename in the folder of the private
key. All of it is done here with files of its own, before any job depends on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from certkeeper.edge import durable
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName

#: Two pairs, a journal and their temporary copies, generously.
WANTED_BYTES = 1024 * 1024
WANTED_FILES = 16
MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_CONTENT = b"rehearsal\n" * 800

_OK, _FAIL = CheckStatus.OK, CheckStatus.FAIL


def rehearse(folder: Path, credentials: tuple[Path, ...]) -> tuple[ReadinessCheck, ...]:
    """The checks of the store in ``folder``, which holds the files ``credentials``."""
    with _one_at_a_time(folder):
        return (_writable(folder), _space(folder), _links(folder, credentials))


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keeps a person's ``doctor`` and the component's own check out of each other's trials."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the trials will say what is wrong
        yield
        return
    try:
        with contextlib.suppress(OSError):  # not every file system locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _writable(folder: Path) -> ReadinessCheck:
    name = ReadinessCheckName.STORE_WRITABLE
    trial = folder / ".certkeeper-rehearsal"
    try:
        durable.write(trial, _CONTENT)
        intact = trial.read_bytes() == _CONTENT
        trial.unlink()
    except OSError as error:
        _remove(trial)
        return ReadinessCheck(
            name,
            _FAIL,
            f"{folder}: {error.strerror or error}",
            "mount it read-write, free space, and let the component run with RequiresPrivilege",
        )
    if not intact:
        return ReadinessCheck(name, _FAIL, f"{folder} gives back other bytes than were written")
    return ReadinessCheck(name, _OK, str(folder))


def _space(folder: Path) -> ReadinessCheck:
    name = ReadinessCheckName.STORE_SPACE
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return ReadinessCheck(name, CheckStatus.UNKNOWN, f"{folder}: {error.strerror or error}")
    free = disk.f_bavail * disk.f_frsize
    # Some file systems (btrfs) count no inodes.
    if free < WANTED_BYTES or (disk.f_files and disk.f_favail < WANTED_FILES):
        detail = f"{folder}: {free // 1024} KiB and {disk.f_favail} files left"
        return ReadinessCheck(name, _FAIL, detail, "free at least 1 MiB on that file system")
    return ReadinessCheck(name, _OK, f"{free // (1024 * 1024)} MiB free")


def _links(folder: Path, credentials: tuple[Path, ...]) -> ReadinessCheck:
    name = ReadinessCheckName.STORE_LINKS
    mounted = [path for path in credentials if _is_mount_point(path)]
    if mounted:
        detail = f"{mounted[0]} is a mount point of its own, and cannot be renamed over"
        remedy = "mount the folder instead of the file; until then no rotation is begun"
        return ReadinessCheck(name, _FAIL, detail, remedy)
    link, renamed = folder / ".certkeeper-link", folder / ".certkeeper-link.new"
    _remove(renamed)  # left by a rehearsal that was killed
    try:
        renamed.symlink_to("certkeeper-nowhere")
        renamed.replace(link)
        link.unlink()
    except OSError as error:
        _remove(link)
        _remove(renamed)
        detail = f"{folder}: {error.strerror or error}"
        remedy = "keep the credentials where links can be made; until then no rotation is begun"
        return ReadinessCheck(name, _FAIL, detail, remedy)
    return ReadinessCheck(name, _OK, "links can be made")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _is_mount_point(path: Path) -> bool:
    """As the kernel lists it (proc(5), mountinfo): os.path.ismount misses bind mounts of files."""
    try:
        lines = MOUNTINFO.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    listed = (line.split(" ")[4] for line in lines if line.count(" ") > 4)
    mount_points = {_OCTAL.sub(lambda code: chr(int(code[1], 8)), place) for place in listed}
    # The kernel follows links to a file's folder, and a rename does not follow the file's own.
    return str(Path(os.path.realpath(path.parent)) / path.name) in mount_points
