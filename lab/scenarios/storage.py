"""Storage: disks that are full, fixed, cut off or full of other things (power.py: no power)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.account.authority import generate_private_key, private_key_pem
from lab.nucleus.recipe import Runtime
from lab.scenarios.by_hand import give_new_pair, remove
from lab.scenarios.endings import FIRST, hold
from lab.scenarios.scenario import BOTH, require, scenario
from lab.scenarios.stage import Stage

STORAGE = "Storage"


# -- no space, and no way to write ---------------------------------------------------------


class Filler:
    """Takes all the space there is left on the device's disk, which is a small one."""

    def __init__(self, stage: Stage) -> None:
        self._path = stage.device.layout.root / "filler"

    def fill(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = 1 << 20
            while size:
                try:
                    os.write(descriptor, b"\0" * size)
                except OSError:
                    size //= 2
        finally:
            os.close(descriptor)

    def free(self) -> None:
        self._path.unlink()


SMALL_DISK = {"disk_bytes": 24 * 1024 * 1024}


@scenario(STORAGE, stage=SMALL_DISK, root=True)
def disk_full(stage: Stage) -> None:
    """The disk is full when the job comes: it fails with nothing changed, and the next works."""
    stage.start()
    stage.wait_for_line("checked ")
    filler = Filler(stage)
    filler.fill()
    job = stage.create_job()
    stage.wait_for_end(job, "failed")
    filler.free()
    stage.verdict(rotated=False, job=job)
    stage.verdict(rotated=True, job=stage.rotate(), told=1)


def _full_while(phase: str) -> None:
    def play(stage: Stage) -> None:
        stage.start()
        stage.wait_for_line("checked ")
        let_go_on = hold(stage, phase)
        filler = Filler(stage)
        filler.fill()
        let_go_on()
        stage.wait_for_line("not-saved what=journal ")
        stage.wait_for_end(FIRST, "failed", timeout=90)
        filler.free()
        stage.verdict(rotated=False, job=FIRST, reason="journal-failed")

    play.__doc__ = f"The disk is full while the device is {phase}: the old pair stays in use."
    # On classic a rollback restarts the nucleus: one that cannot be written down is not repeated
    # for a quarter of an hour, so that a full disk is no loop of restarts.
    runtimes: tuple[Runtime, ...] = ("lite",) if phase == "proving" else BOTH
    scenario(
        STORAGE,
        name=f"disk-full-while-{phase}",
        runtimes=runtimes,
        stage=SMALL_DISK,
        root=True,
    )(play)


for _phase in ("requesting", "probing", "proving"):
    _full_while(_phase)


@scenario(STORAGE, stage=SMALL_DISK, root=True)
def disk_full_while_committing(stage: Stage) -> None:
    """The disk is full when the commit should go out: it goes out once there is room."""
    stage.start()
    stage.wait_for_line("checked ")
    let_go_on = hold(stage, "committing")
    filler = Filler(stage)
    filler.fill()
    mark = stage.timeline.mark()
    let_go_on()
    stage.wait_for_line("asked-again phase=committing", after=mark)
    filler.free()
    stage.wait_for_end(FIRST, "succeeded", timeout=120)
    stage.verdict(rotated=True, job=FIRST)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A file that nobody may change, rename or remove (chattr(1))."""
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    """Something mounted over the last argument."""
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


@scenario(STORAGE, root=True)
def immutable_key(stage: Stage) -> None:
    """The private key's file may not be changed: refused, and nothing is lost."""
    stage.start()
    with immutable(stage.device.layout.private_key_path):
        job = stage.create_job()
        stage.wait_for_end(job, "failed")
    stage.verdict(rotated=False, job=job, reason="store-not-replaceable")
    stage.verdict(rotated=True, job=stage.rotate(), told=1)


@scenario(STORAGE, root=True)
def credentials_bind_mounted(stage: Stage) -> None:
    """Key and certificate are mount points, which nothing can be renamed over: refused."""
    layout = stage.device.layout
    key, certificate = layout.private_key_path, layout.certificate_path
    stage.start()
    with mounted("--bind", key, key), mounted("--bind", certificate, certificate):
        job = stage.create_job()
        stage.wait_for_end(job, "failed")
        stage.verdict(rotated=False, job=job, reason="store-not-replaceable")


@scenario(STORAGE, runtimes=("lite",), root=True)
def read_only_folder(stage: Stage) -> None:
    """The folder of the credentials is mounted read-only: refused, and nothing is lost."""
    folder = stage.device.layout.private_key_path.parent
    stage.start()
    with mounted("--bind", folder, folder):
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        job = stage.create_job()
        stage.wait_for_end(job, "failed")
    stage.verdict(rotated=False, job=job, reason="journal-failed")


# -- what lies about --------------------------------------------------------------------------


def _damaged(name: str, sentence: str, damage: Callable[[Stage], None]) -> None:
    def play(stage: Stage) -> None:
        layout = stage.device.layout
        kept = {p: p.read_bytes() for p in (layout.certificate_path, layout.private_key_path)}
        stage.start()
        damage(stage)
        job = stage.create_job()
        stage.wait_for_end(job, "failed")
        for path, content in kept.items():
            path.write_bytes(content)
        stage.verdict(rotated=False, job=job, reason="credentials-unreadable")

    play.__doc__ = sentence
    scenario(STORAGE, name=name)(play)


_damaged(
    "corrupt-certificate",
    "The certificate's file is damaged: nothing is built upon it.",
    lambda stage: _overwrite(stage.device.layout.certificate_path, b"garbage"),
)
_damaged(
    "empty-key",
    "The private key's file is empty: nothing is built upon it.",
    lambda stage: _overwrite(stage.device.layout.private_key_path, b""),
)
_damaged(
    "key-of-another-certificate",
    "The private key is another certificate's: nothing is built upon it.",
    lambda stage: _overwrite(
        stage.device.layout.private_key_path,
        private_key_pem(generate_private_key("ECDSA-P256")).encode(),
    ),
)


def _overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@scenario(STORAGE)
def stale_files_in_slots(stage: Stage) -> None:
    """Both slots are full of other things, and the link leads nowhere: all is made anew."""
    for slot in ("a", "b"):
        folder = stage.store / slot
        folder.mkdir(parents=True)
        (folder / "private.key").write_text("an old key")
        (folder / "certificate.pem").write_text("")
    (stage.store / ".journal.json.new").write_text("half a journal")
    (stage.store / "current").symlink_to("c")
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(STORAGE, root=True)
def owner_and_mode_kept(stage: Stage) -> None:
    """Owner, group and mode of both files are those that they had."""
    layout = stage.device.layout
    certificate, key = layout.certificate_path, layout.private_key_path
    os.chown(certificate, 1234, 2345)
    certificate.chmod(0o640)
    os.chown(key, 1234, 2345)
    key.chmod(0o600)
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())
    for path, mode in ((certificate, 0o640), (key, 0o600)):
        found = path.stat()
        kept = (found.st_uid, found.st_gid, found.st_mode & 0o777)
        require(kept == (1234, 2345, mode), f"{path.name} is {kept}")


@scenario(STORAGE)
def released(stage: Stage) -> None:
    """``release`` makes plain files of the links; the device lives on, and is adopted anew."""
    stage.start()
    stage.rotate()
    stage.wait_for_idle()
    layout = stage.device.layout
    before = layout.private_key_path.read_bytes()
    stage.device.stop()
    ended = subprocess.run(
        [sys.executable, "-m", "certkeeper", "release", "--root", layout.root],
        cwd=stage.device.artifact_path,
        env={**os.environ, "PYTHONPATH": str(stage.device.artifact_path)},
        capture_output=True,
        check=False,
    )
    require(ended.returncode == 0, f"release: {ended.stderr!r}")
    require(not layout.private_key_path.is_symlink(), "the key is still a link")
    require(layout.private_key_path.read_bytes() == before, "the key is another one")
    require(not stage.store.exists(), "the store is still there")
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(STORAGE)
def component_removed_after_adoption(stage: Stage) -> None:
    """The component's folders are gone: the nucleus still finds its pair."""
    stage.start()
    job = stage.rotate()
    stage.verdict(rotated=True, job=job)
    stage.device.stop()
    shutil.rmtree(stage.device.work_path)
    shutil.rmtree(stage.device.layout.root / "packages")
    stage.device.start()
    stage.verdict(rotated=True, job=job)


@scenario(STORAGE)
def new_pair_by_hand(stage: Stage) -> None:
    """The pair is lost, and a person gives the device a new one: it is watched, and rotated."""
    stage.start()
    stage.rotate()
    stage.wait_for_idle()
    stage.pass_grace()
    stage.device.stop()
    lost, layout = stage.certificate_on_disk(), stage.device.layout
    policies = stage.policies()
    for path in (layout.certificate_path, layout.private_key_path):
        path.write_text("")
    give_new_pair(stage, policies)
    mark = stage.timeline.mark()
    stage.start()
    stage.deactivate(lost)
    stage.wait_for_line("certificate role=core-device state=ok ", after=mark)
    stage.take_for_old()
    job = stage.rotate()
    stage.wait_for_idle()
    remove(stage, lost, policies)
    stage.verdict(rotated=True, job=job)
