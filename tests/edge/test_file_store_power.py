"""The store through crashes and power cuts: the pair that a nucleus reads is always a whole one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from certkeeper.core.store import other
from certkeeper.edge import durable
from certkeeper.edge.file_store import FileStore, StoreProblem
from tests.edge.credentials import (
    LAYOUTS,
    NEW,
    OLD,
    Pair,
    adopted,
    beside_each_other,
    moved,
    pair_at,
    stage,
    switch,
)
from tests.edge.disk import Disk, Killed, Tree, content, lay_out

Layout = Callable[[Path], FileStore]
Action = Callable[[FileStore], object]

every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is really forced to the disk here: the model is what tells the difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def staged(root: Path) -> FileStore:
    """Adopted, and the new pair in slot b."""
    store = adopted(root)
    stage(store, "b")
    return store


def switched(root: Path) -> FileStore:
    """The new pair in use, the old one still there."""
    store = staged(root)
    store.activate("b")
    return store


def released(store: FileStore) -> None:
    store.release()


ACTIONS: list[tuple[Layout, Action, set[str]]] = [
    *((layout, FileStore.adopt, {"old"}) for layout in LAYOUTS),
    *((layout, released, {"old"}) for layout in LAYOUTS),
    (staged, released, {"old"}),
    (switched, released, {"new"}),
    (adopted, lambda store: stage(store, "b"), {"old"}),
    (staged, lambda store: store.activate("b"), {"old", "new"}),
    (switched, lambda store: store.activate("a"), {"old", "new"}),
    (switched, lambda store: store.wipe("a"), {"new"}),
    (staged, lambda store: store.wipe("b"), {"old"}),
    (staged, FileStore.mark_committed, {"old"}),
]
PAIRS = {"old": OLD, "new": NEW}
every_action = pytest.mark.parametrize(
    ("layout", "action", "may_be"),
    [pytest.param(*case, id=f"{case[0].__name__}-{number}") for number, case in enumerate(ACTIONS)],
)


def good(may_be: set[str]) -> set[Pair]:
    return {PAIRS[name] for name in may_be}


# -- stopped or refused at every call --------------------------------------------------


@every_action
@pytest.mark.parametrize("stop", [Killed(), OSError(28, "No space left on device")])
def test_stopped_at_every_call(
    layout: Layout, action: Action, may_be: set[str], stop: BaseException, tmp_path: Path
) -> None:
    """Stopped before any call to the kernel, a whole pair is read; done again, it finishes."""
    for number in itertools.count():
        root = tmp_path / str(number)
        root.mkdir()
        store = layout(root)
        stopped = False
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(root, patch, cutting=False)
            disk.stop_at, disk.stop = number, stop
            try:
                action(store)
            except (Killed, StoreProblem):
                stopped = True
        see(store, may_be)
        action(store)
        see(store, may_be)
        if not stopped and disk.stop_at is not None:
            break
    assert number >= 3


def see(store: FileStore, may_be: set[str]) -> None:
    """One instant: the pair that is read, and who may read a key."""
    assert pair_at(store) in good(may_be)
    for path in store.folder.parent.rglob("*"):
        if path.is_file() and b"KEY" in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path


@every_action
def test_every_instant(layout: Layout, action: Action, may_be: set[str], tmp_path: Path) -> None:
    """Before and after any call to the kernel a whole pair is read, and no key by others, whatever
    the umask."""
    store = layout(tmp_path)
    instants = 0

    def watch() -> None:
        nonlocal instants
        instants += 1
        see(store, may_be)

    before = os.umask(0)
    try:
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(tmp_path, patch, cutting=False)
            disk.watch = watch
            action(store)
    finally:
        os.umask(before)
    assert instants > 3


# -- the power is cut at every call -----------------------------------------------------


def after_every_cut(
    root: Path, store: FileStore, action: Action, tmp_path: Path
) -> Iterator[FileStore]:
    """The store as each power cut in the course of the action may leave it."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        action(store)
    for number, tree in enumerate(disk.cuts):
        left = lay_out(tree, tmp_path / f"cut {number}")
        yield moved(store, root, left)


@every_action
def test_power_cut_at_every_call(
    layout: Layout, action: Action, may_be: set[str], tmp_path: Path
) -> None:
    """Whatever was on its way to the disk is lost or not: a whole pair is read, and going on
    works."""
    root = tmp_path / "root"
    root.mkdir()
    store = layout(root)
    seen = 0
    for left in after_every_cut(root, store, action, tmp_path):
        assert pair_at(left) in good(may_be)
        action(left)
        assert pair_at(left) in good(may_be)
        left.adopt()
        assert pair_at(left) in good(may_be)
        seen += 1
    assert seen >= 1


def test_power_cut_in_a_whole_rotation(tmp_path: Path) -> None:
    """From the installer's files to the new pair alone: at no instant does a cut lose the pair."""
    root = tmp_path / "root"
    root.mkdir()
    store = beside_each_other(root)
    pairs = [pair_at(left) for left in after_every_cut(root, store, switch, tmp_path)]
    assert set(pairs) == {OLD, NEW}


def test_once_committed_no_cut_goes_back(tmp_path: Path) -> None:
    """After the commit mark is written, no power cut brings the old pair back."""
    root = tmp_path / "root"
    root.mkdir()
    store = staged(root)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        store.activate("b")
        store.mark_committed()
        disk.cuts.clear()
        store.wipe("a")
    assert {pair_in(tree, store, root) for tree in disk.cuts} == {NEW}


@pytest.mark.parametrize("forward", [True, False], ids=["to-the-new", "back-to-the-old"])
def test_a_switch_done_again_is_on_the_disk(tmp_path: Path, forward: bool) -> None:
    """Killed anywhere in a switch and done again, no power cut takes it back any more."""
    for number in itertools.count():
        root = tmp_path / str(number)
        root.mkdir()
        store = staged(root) if forward else switched(root)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(root, patch)
            disk.stop_at, killed = number, False
            for _ in range(2):
                try:
                    store.activate("b" if forward else "a")
                except Killed:
                    killed = True
            left = {pair_in(tree, store, root) for tree in disk.cuts_now()}
        assert left == {NEW if forward else OLD}
        if not killed:
            break
    assert number > 6


def pair_in(tree: Tree, store: FileStore, root: Path) -> Pair:
    """What a nucleus reads at the configured paths if this is what is on the disk."""
    paths = (store.certificate.relative_to(root), store.private_key.relative_to(root))
    return Pair(*(content(tree, PurePosixPath(path)) for path in paths))


class Rotation:
    """A rotation as far as files go, step by step, and the store's release after it."""

    def __init__(self, store: FileStore) -> None:
        self.store = store
        self.old, self.new = "", ""
        self.steps: list[Callable[[], object]] = [
            self.adopt,
            lambda: store.wipe(self.new),
            lambda: store.write_key(self.new, NEW.private_key),
            lambda: store.write_certificate(self.new, NEW.certificate),
            lambda: store.activate(self.new),
            lambda: store.wipe(self.old),
            store.release,
        ]

    def adopt(self) -> None:
        self.old = self.store.adopt()
        self.new = other(self.old)

    def seems_done(self, step: int) -> bool:
        """Whether a survey would say that the step needs no doing."""
        certificate = self.store.slot(self.new or "b").certificate
        if step == 3:
            return certificate.exists() and certificate.read_bytes() == NEW.certificate
        return step == 4 and self.store.look()[1] == self.new


@pytest.mark.parametrize("layout", LAYOUTS[:2], ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("repeat", [True, False], ids=["step-done-again", "seen-to-be-done"])
def test_killed_then_resumed_then_the_power_is_cut(
    layout: Layout, repeat: bool, tmp_path: Path
) -> None:
    """What a killed process left in memory only is not built upon: after another process has gone
    on from there, a power cut finds a whole pair at every instant.

    The other process does the step again, or, where a look says that it is done, goes on.
    """
    tried: set[Tree] = set()
    for number in itertools.count():
        root = tmp_path / str(number)
        root.mkdir()
        store = layout(root)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(root, patch)
            disk.stop_at = number
            rotation, step = Rotation(store), 0
            while step < len(rotation.steps):
                try:
                    rotation.steps[step]()
                except Killed:
                    if repeat or not rotation.seems_done(step):
                        continue
                step += 1
        for tree in disk.cuts - tried:
            assert pair_in(tree, store, root) in {OLD, NEW}, disk.calls
        tried |= disk.cuts
        if disk.stop_at is not None:
            break
    assert number > 50


# -- the model itself -------------------------------------------------------------------


@every_layout
def test_the_model_is_the_disk(layout: Layout, tmp_path: Path) -> None:
    """When all is forced to the disk, the model says what is really there."""
    root = tmp_path / "root"
    root.mkdir()
    store = layout(root)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        switch(store)
        modelled = disk.cuts_now()
    with pytest.MonkeyPatch.context() as patch:
        assert modelled == Disk(root, patch).cuts_now()


def test_the_model_loses_what_is_not_forced(tmp_path: Path) -> None:
    """A file that is renamed before its content is forced to the disk may come back empty."""
    root = tmp_path / "root"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        patch.setattr(os, "fsync", lambda _: None)
        durable.write(root / "file", b"content")
        assert disk.cuts == {(), ((".file.new", b""),), (("file", b""),)}
