"""The rehearsal of the store: what it finds out, and that it leaves the folder as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from certkeeper.edge import durable, store_rehearsal
from certkeeper.edge.store_rehearsal import rehearse
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName
from tests.greengrass_root import open_folder, without_privilege

OK, FAIL, UNKNOWN = CheckStatus.OK, CheckStatus.FAIL, CheckStatus.UNKNOWN
WRITABLE = ReadinessCheckName.STORE_WRITABLE
SPACE = ReadinessCheckName.STORE_SPACE
LINKS = ReadinessCheckName.STORE_LINKS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pair in it."""
    folder = tmp_path / "gg root"
    folder.mkdir()
    (folder / "privKey.key").write_bytes(b"key")
    (folder / "thingCert.crt").write_bytes(b"certificate")
    return folder


def pair(folder: Path) -> tuple[Path, Path]:
    return folder / "privKey.key", folder / "thingCert.crt"


def found(folder: Path) -> dict[ReadinessCheckName, ReadinessCheck]:
    return {check.name: check for check in rehearse(folder, pair(folder))}


def contents(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file with its inode, its time of change and its content."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


def test_a_good_store(folder: Path) -> None:
    """In an ordinary folder everything works, and nothing in it is another than before."""
    before = contents(folder)
    checks = found(folder)
    assert {name: check.status for name, check in checks.items()} == {
        WRITABLE: OK,
        SPACE: OK,
        LINKS: OK,
    }
    assert contents(folder) == before


def test_what_a_killed_rehearsal_left_is_no_hindrance(folder: Path) -> None:
    """Files of a rehearsal that was killed are used up by the next one, which finds no fault."""
    before = contents(folder)
    for name in (".certkeeper-rehearsal", "..certkeeper-rehearsal.new"):
        (folder / name).write_bytes(b"left")
    for name in (".certkeeper-link", ".certkeeper-link.new"):
        (folder / name).symlink_to("nowhere")
    assert {check.status for check in found(folder).values()} == {OK}
    assert contents(folder) == before


def test_two_rehearsals_at_once(folder: Path) -> None:
    """A person's doctor and the component's own check do not take each other for a fault."""
    statuses: list[CheckStatus] = []

    def often() -> None:
        for _ in range(40):
            statuses.extend(check.status for check in rehearse(folder, pair(folder)))

    threads = [threading.Thread(target=often) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {OK}
    assert len(statuses) == 2 * 40 * 3


def test_a_folder_that_may_not_be_written() -> None:
    """Where nothing may be written, it says so with the folder, the reason and what to do."""
    with open_folder() as folder:
        folder.chmod(0o555)
        with without_privilege():
            checks = {check.name: check for check in rehearse(folder, ())}
        folder.chmod(0o755)
        assert list(folder.iterdir()) == []
    assert checks[WRITABLE].status is FAIL
    assert checks[WRITABLE].detail == f"{folder}: Permission denied"
    assert "RequiresPrivilege" in (checks[WRITABLE].remedy or "")
    assert checks[LINKS].status is FAIL
    assert checks[SPACE].status is OK


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that is gone is told by every check; none raises."""
    checks = {check.name: check for check in rehearse(tmp_path / "gone", ())}
    assert [checks[name].status for name in (WRITABLE, SPACE, LINKS)] == [FAIL, UNKNOWN, FAIL]
    assert all("No such file" in check.detail for check in checks.values())


def test_other_bytes_than_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives back other bytes fails, though nothing raised; nothing is left on it."""
    before = contents(folder)
    real = durable.write
    monkeypatch.setattr(durable, "write", lambda path, content: real(path, content[:-1] + b"?"))
    checks = found(folder)
    assert checks[WRITABLE].status is FAIL
    assert "other bytes" in checks[WRITABLE].detail
    assert contents(folder) == before


def test_a_disk_that_cannot_be_read_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails when it is read back fails the check, and nothing is left on it."""
    before = contents(folder)

    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        checks = found(folder)
    assert checks[WRITABLE].status is FAIL
    assert "Input/output error" in checks[WRITABLE].detail
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("free_kib", "files", "free_files", "status"),
    [
        pytest.param(1024, 1000, 16, OK, id="just-enough"),
        pytest.param(1020, 1000, 16, FAIL, id="too-few-bytes"),
        pytest.param(1024, 1000, 15, FAIL, id="too-few-files"),
        pytest.param(1024, 0, 0, OK, id="btrfs-counts-no-files"),
    ],
)
def test_room(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_kib: int,
    files: int,
    free_files: int,
    status: CheckStatus,
) -> None:
    """A megabyte and sixteen files are wanted; a file system that counts no files passes."""
    disk = SimpleNamespace(
        f_bavail=free_kib // 4, f_frsize=4096, f_files=files, f_favail=free_files
    )
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    check = found(folder)[SPACE]
    assert check.status is status
    assert (check.remedy is not None) == (status is FAIL)


def test_a_file_system_without_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without links (FAT) it warns that nothing is rotated, and leaves nothing."""
    before = contents(folder)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    check = found(folder)[LINKS]
    assert (check.status, check.detail) == (FAIL, f"{folder}: Operation not permitted")
    assert check.remedy == (
        "keep the credentials where links can be made; until then no rotation is begun"
    )
    assert contents(folder) == before


def test_a_link_that_cannot_be_renamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a link can be made and not renamed, it warns, and takes the link away."""
    before = contents(folder)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(source).is_symlink():
            raise OSError(22, "Invalid argument")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    check = found(folder)[LINKS]
    assert (check.status, check.detail) == (FAIL, f"{folder}: Invalid argument")
    assert contents(folder) == before


# -- files that are mounted one by one ----------------------------------------------


def mountinfo(path: Path, *mount_points: str) -> Path:
    """As proc(5) writes it; in a mount point a blank is \\040, and so on."""
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for number, mount_point in enumerate(mount_points, 30):
        escaped = mount_point.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
        lines.append(f"{number} 22 8:1 /a {escaped} rw,relatime - ext4 /dev/sda1 rw")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", ["gg root", "a\\b", "tab\there", "plain"])
def test_a_mounted_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that is a mount point of its own cannot be renamed over: it says which."""
    folder = tmp_path / name
    folder.mkdir()
    key, certificate = pair(folder)
    listed = mountinfo(tmp_path / "mountinfo", str(certificate))
    monkeypatch.setattr(store_rehearsal, "MOUNTINFO", listed)
    (_, _, check) = rehearse(folder, (key, certificate))
    assert check.status is FAIL
    assert check.detail.startswith(f"{certificate} is a mount point of its own")
    assert check.remedy
    assert list(folder.iterdir()) == []


def test_a_mounted_file_in_a_linked_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Greengrass root that is a link to another disk does not hide a mounted file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    (tmp_path / "v2").symlink_to("disk")
    listed = mountinfo(tmp_path / "mountinfo", str(folder / "privKey.key"))
    monkeypatch.setattr(store_rehearsal, "MOUNTINFO", listed)
    (_, _, check) = rehearse(tmp_path / "v2", (tmp_path / "v2" / "privKey.key",))
    assert check.status is FAIL


def test_a_mounted_folder_is_fine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is a mount point is no hindrance to renames inside it."""
    listed = mountinfo(folder.parent / "mountinfo", str(folder))
    monkeypatch.setattr(store_rehearsal, "MOUNTINFO", listed)
    assert found(folder)[LINKS].status is OK


def test_no_list_of_mounts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel lists no mounts, links are tried all the same."""
    monkeypatch.setattr(store_rehearsal, "MOUNTINFO", folder / "gone")
    assert found(folder)[LINKS].status is OK


REAL = """
import sys
from pathlib import Path
from certkeeper.edge.store_rehearsal import rehearse

folder = Path(sys.argv[1])
for check in rehearse(folder, (folder / "privKey.key", folder / "thingCert.crt")):
    print(check.name.value, check.status.value, check.detail)
"""


def in_own_mounts(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script with mounts that nobody else sees; $1 is the folder."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-euc", script, "sh", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def own_mounts(folder: Path) -> None:
    """Skips where this user may not mount; the tests above say the same without it."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command here")
    if in_own_mounts('mount -t tmpfs none "$1"', folder).returncode != 0:
        pytest.skip("this user may not mount here")


@pytest.mark.usefixtures("own_mounts")
def test_a_really_mounted_file(folder: Path) -> None:
    """A certificate that really is bind-mounted is seen, as a container mounts a secret."""
    script = f"""mount --bind "$1/privKey.key" "$1/thingCert.crt"
    "$PYTHON" -c '{REAL}' "$1" """
    said = in_own_mounts(script, folder)
    assert said.stderr == ""
    assert f"store-links fail {folder}/thingCert.crt is a mount point of its own" in said.stdout


@pytest.mark.usefixtures("own_mounts")
def test_a_really_full_disk(folder: Path) -> None:
    """A file system that is full fails to be written and has no room; links may still work."""
    script = f"""mount -t tmpfs -o size=64k none "$1"
    head -c 65536 /dev/zero > "$1/full" || true
    "$PYTHON" -c '{REAL}' "$1"
    ls -A "$1" """
    said = in_own_mounts(script, folder)
    assert f"store-writable fail {folder}: No space left on device" in said.stdout
    assert f"store-space fail {folder}: 0 KiB" in said.stdout
    assert said.stdout.splitlines()[-1] == "full"


@pytest.mark.usefixtures("own_mounts")
def test_a_really_read_only_disk(folder: Path) -> None:
    """A file system that is mounted read-only fails, root or not."""
    script = f"""mount -t tmpfs -o ro none "$1"
    "$PYTHON" -c '{REAL}' "$1" """
    said = in_own_mounts(script, folder)
    assert f"store-writable fail {folder}: Read-only file system" in said.stdout
    assert f"store-links fail {folder}: Read-only file system" in said.stdout
