"""durable.write: whole or not at all, private from birth, whatever goes wrong on the way."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certkeeper.edge import durable
from tests.greengrass_root import NOBODY, open_folder, without_privilege

OLD, NEW = b"old\n" * 3000, b"new\n" * 5000
#: Every call by which durable.write changes something on the disk.
CALLS = ("open", "unlink", "fchmod", "fsync", "replace")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the old content."""
    file = tmp_path / "record.json"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What durable.write asks of the kernel, in order, each call with what it was about."""
    seen: list[str] = []
    names: dict[int, str] = {}

    def spy(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def called(first: Any, *rest: Any, **named: Any) -> Any:
            about = names[first] if isinstance(first, int) else Path(first).name
            if name == "fsync" and stat.S_ISREG(os.fstat(first).st_mode):
                about += f" of {os.fstat(first).st_size} bytes"
            if name == "replace":
                about += f" by {Path(rest[0]).name}"
            result = real(first, *rest, **named)
            seen.append(f"{name} {about}")
            if name == "open":
                names[result] = about
            return result

        return called

    for name in CALLS:
        monkeypatch.setattr(os, name, spy(name))
    return seen


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """The process's umask, for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# -- what is written ----------------------------------------------------------------


def test_content_and_nothing_beside_it(path: Path) -> None:
    """The file has the new content, and no other file is left."""
    durable.write(path, NEW)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file(tmp_path: Path) -> None:
    """A file that was not there is made."""
    durable.write(tmp_path / "new", b"")
    assert (tmp_path / "new").read_bytes() == b""


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400, 0o640])
def test_mode_is_exact_whatever_the_umask(path: Path, mode: int, mask: int) -> None:
    """The mode is the one asked for, neither narrowed by the umask nor that of the old file."""
    with umask(mask):
        durable.write(path, NEW, mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_private_from_birth(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may read the new file before all of it is there, even with umask 0."""
    modes: list[int] = []
    real = os.fchmod

    def fchmod(descriptor: int, mode: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    with umask(0):
        durable.write(path, NEW, 0o644)
    assert modes == [0o600]


@pytest.mark.parametrize("content", [NEW, b"small", b""], ids=["large", "small", "empty"])
def test_order_on_the_disk(path: Path, calls: list[str], content: bytes) -> None:
    """The whole content and its mode are forced to the disk before the rename, the name after."""
    durable.write(path, content)
    assert calls == [
        "open .record.json.new",
        "fchmod .record.json.new",
        f"fsync .record.json.new of {len(content)} bytes",
        "replace .record.json.new by record.json",
        f"open {path.parent.name}",
        f"fsync {path.parent.name}",
    ]


# -- who reads meanwhile ------------------------------------------------------------


def test_a_reader_sees_the_old_content_or_the_new(path: Path) -> None:
    """Whoever reads while it is written over and over sees one whole content or the other."""
    stop = threading.Event()
    seen: set[bytes] = set()
    failures: list[OSError] = []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(path.read_bytes())
            except OSError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(100):
            durable.write(path, NEW)
            durable.write(path, OLD)
    finally:
        stop.set()
        reader.join()
    assert failures == []
    assert seen <= {OLD, NEW}


KILLED = f"""
import os, sys
from pathlib import Path
from certkeeper.edge import durable

left = int(sys.argv[2])

def cut(real):
    def called(*arguments, **named):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return real(*arguments, **named)
    return called

for name in {CALLS!r}:
    setattr(os, name, cut(getattr(os, name)))
durable.write(Path(sys.argv[1]), sys.stdin.buffer.read())
"""


def test_killed_before_each_call(path: Path) -> None:
    """Killed anywhere, it leaves the old content or the new, and the next write works."""
    contents = []
    for after in range(20):
        path.write_bytes(OLD)
        command = [sys.executable, "-c", KILLED, str(path), str(after)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(command, input=NEW, env=environment, check=False)
        contents.append(path.read_bytes())
        if ended.returncode == 0:
            break
        assert ended.returncode == 9
    assert contents[-1] == NEW
    assert set(contents) == {OLD, NEW}
    assert len(contents) > len(CALLS)
    path.write_bytes(OLD)
    durable.write(path, NEW)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


# -- what lies in its way -----------------------------------------------------------


def test_what_a_crash_left_is_replaced(path: Path) -> None:
    """A half-written file of an earlier write, open to all, is no hindrance, and is not reused."""
    left = path.with_name(".record.json.new")
    left.write_bytes(b"torn")
    left.chmod(0o666)
    durable.write(path, NEW)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_planted_link_is_not_written_through(
    path: Path, tmp_path_factory: pytest.TempPathFactory, link: Callable[[Path, Path], None]
) -> None:
    """A link to somebody's file in place of the new one leaves that file as it was."""
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    victim.write_bytes(b"mine")
    victim.chmod(0o644)
    link(path.with_name(".record.json.new"), victim)
    durable.write(path, NEW)
    assert path.read_bytes() == NEW
    assert victim.read_bytes() == b"mine"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert not path.is_symlink()


def test_a_link_planted_at_the_last_instant_is_refused(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a link that appears just before the file is made is not followed."""
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    real, beside = os.unlink, path.with_name(".record.json.new")

    def unlink_and_plant(target: str, **named: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            real(target, **named)
        with contextlib.suppress(FileExistsError):
            beside.symlink_to(victim)
        monkeypatch.setattr(os, "unlink", real)

    beside.touch()
    monkeypatch.setattr(os, "unlink", unlink_and_plant)
    with pytest.raises(FileExistsError):
        durable.write(path, NEW)
    assert not victim.exists()
    assert path.read_bytes() == OLD


# -- what fails ---------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["open", "fchmod", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file(
    path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the kernel refuses a step, the old file is as it was, and nothing lies beside it."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write(path, NEW)
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_forced_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all that fails is to force the folder to the disk, the new file stays, and it raises."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write(path, NEW)
    assert path.read_bytes() == NEW
    assert list(path.parent.iterdir()) == [path]


def test_no_room_for_the_content(path: Path) -> None:
    """A disk that takes only a part of the content leaves the old file, and no part of the new."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) // 2, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            durable.write(path, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == OLD
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_may_not_be_written() -> None:
    """A folder that may not be written gives PermissionError, and keeps the old file."""
    with open_folder() as folder:
        file = folder / "record.json"
        file.write_bytes(OLD)
        file.chmod(0o644)
        if os.geteuid() == 0:
            os.chown(file, NOBODY, NOBODY)
        folder.chmod(0o555)
        with without_privilege():
            with pytest.raises(PermissionError):
                durable.write(file, NEW)
            assert file.read_bytes() == OLD
        folder.chmod(0o755)


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder that is not there is FileNotFoundError: none is made."""
    with pytest.raises(FileNotFoundError):
        durable.write(tmp_path / "gone" / "record.json", NEW)
    assert list(tmp_path.iterdir()) == []


def test_no_descriptor_is_left_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither success nor failure leaves a file open."""
    before = set(Path("/proc/self/fd").iterdir())
    durable.write(path, NEW)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "no")))
        with pytest.raises(OSError, match="no"):
            durable.write(path, NEW)
        with pytest.raises(OSError, match="no"):
            durable.sync_folder(path.parent)
    assert set(Path("/proc/self/fd").iterdir()) == before
