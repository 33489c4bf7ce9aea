"""A disk that is watched: what is done below a folder, and what a power cut would leave of it.

The real files are changed by the real calls. Beside them a model is kept of what is sure to
be on the disk: the content of a file once it has been forced there, the names in a folder
once that has been. Of the changes of a folder that have not been, a power cut leaves any
beginning, independently of other folders; of a file that has not been, it leaves nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Union

import pytest

#: Every call by which durable.py changes something on the disk.
CALLS = (
    *("open", "fchown", "fchmod", "fsync", "replace"),
    *("symlink", "unlink", "mkdir", "rmdir"),
)
#: A folder as a value: its names, each with the content of a file, the text of a link
#: (which is a str), or a folder.
Tree = tuple[tuple[str, Union[bytes, str, "Tree"]], ...]


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


@dataclass(eq=False)
class File:
    """What of it is on the disk."""

    kept: bytes = b""


@dataclass(eq=False)
class Link:
    """Its text."""

    text: str


@dataclass(eq=False)
class Folder:
    """What its names were since it was last forced to the disk, the latest last."""

    states: list[dict[str, Node]] = field(default_factory=lambda: [{}])

    def change(self, name: str, node: Node | None, gone: str = "") -> None:
        """One change, which happens as a whole or not at all."""
        names = {other: there for other, there in self.states[-1].items() if other != gone}
        names.pop(name, None)
        if node is not None:
            names[name] = node
        self.states.append(names)


Node = File | Link | Folder


class Disk:
    """The folder ``root``, watched for as long as ``patch`` lasts. Nothing is really forced to the
    disk, which is slow: only the model can tell the difference.

    ``stop_at``: before the call of this number ``stop`` is raised. ``watch`` is called before and
    after each. ``calls`` says what was called so far, ``cuts`` (unless ``cutting`` is off) what
    power cuts could have left.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, cutting: bool = True) -> None:
        patch.setattr(os, "fsync", lambda _: None)
        self.root = root
        self.calls: list[str] = []
        self.stop_at: int | None = None
        self.stop: BaseException = Killed()
        self.watch: Callable[[], None] = lambda: None
        self.cuts: set[Tree] = set()
        self._cutting = cutting
        self._tree = _read(root)
        self._open: dict[int, Node] = {}
        self._real = {name: getattr(os, name) for name in CALLS}
        for name in CALLS:
            patch.setattr(os, name, self._hook(name))

    def cuts_now(self) -> list[Tree]:
        """What a power cut at this instant may leave; the last is what is lost the least of."""
        return list(_cuts(self._tree))

    def _hook(self, name: str) -> Callable[..., Any]:
        def called(first: Any, *rest: Any, **named: Any) -> Any:
            # A link's own path is its second argument.
            about = rest[0] if name == "symlink" else first
            if not self._is_ours(about):
                return self._real[name](first, *rest, **named)
            self._see()
            if len(self.calls) == self.stop_at:
                self.stop_at = None
                raise self.stop
            label = f"{name} {about if isinstance(about, int) else Path(about).name}"
            result = self._real[name](first, *rest, **named)
            self.calls.append(label)
            getattr(self, f"_after_{name}", lambda *_: None)(result, first, *rest)
            self._see()
            return result

        return called

    def _is_ours(self, about: Any) -> bool:
        if isinstance(about, int):
            return about in self._open
        return Path(about) == self.root or self.root in Path(about).parents

    def _see(self) -> None:
        self.watch()
        if self._cutting:
            self.cuts.update(_cuts(self._tree))

    def _folder(self, path: Any) -> Folder:
        node: Node = self._tree
        for part in Path(path).relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.states[-1][part]
        assert isinstance(node, Folder)
        return node

    def _parent(self, path: Any) -> Folder:
        return self._folder(Path(path).parent)

    def _change(self, path: Any, node: Node | None) -> None:
        self._parent(path).change(Path(path).name, node)

    # -- the calls, after they were made ------------------------------------------------

    def _after_open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        if flags & os.O_CREAT:
            node: Node = File()
            self._change(path, node)
        else:
            node = self._folder(path)
        self._open[descriptor] = node

    def _after_fsync(self, _: None, descriptor: int) -> None:
        node = self._open[descriptor]
        if isinstance(node, File):
            node.kept = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        elif isinstance(node, Folder):
            node.states = node.states[-1:]

    def _after_replace(self, _: None, source: Any, target: Any) -> None:
        folder = self._parent(source)
        assert folder is self._parent(target)
        node = folder.states[-1][Path(source).name]
        folder.change(Path(target).name, node, gone=Path(source).name)

    def _after_symlink(self, _: None, text: str, path: Any, *__: Any) -> None:
        self._change(path, Link(str(text)))

    def _after_unlink(self, _: None, path: Any) -> None:
        self._change(path, None)

    def _after_mkdir(self, _: None, path: Any, *__: Any) -> None:
        self._change(path, Folder())

    _after_rmdir = _after_unlink


def _read(folder: Path) -> Folder:
    names: dict[str, Node] = {}
    for path in folder.iterdir():
        if path.is_symlink():
            names[path.name] = Link(str(path.readlink()))
        else:
            names[path.name] = _read(path) if path.is_dir() else File(path.read_bytes())
    return Folder([names])


def _cuts(folder: Folder) -> Iterator[Tree]:
    """Everything that a power cut may leave of a folder."""
    for names in folder.states:
        choices: list[list[tuple[str, bytes | str | Tree]]] = []
        for name, node in sorted(names.items()):
            if isinstance(node, Folder):
                choices.append([(name, tree) for tree in _cuts(node)])
            else:
                choices.append([(name, node.kept if isinstance(node, File) else node.text)])
        yield from itertools.product(*choices)


def lay_out(tree: Tree, folder: Path) -> Path:
    """The folder, made anew with that in it."""
    folder.mkdir()
    for name, value in tree:
        if isinstance(value, bytes):
            (folder / name).write_bytes(value)
        elif isinstance(value, str):
            (folder / name).symlink_to(value)
        else:
            lay_out(value, folder / name)
    return folder


def content(tree: Tree, path: PurePosixPath, links: int = 0) -> bytes:
    """What is read there, links followed; the path is one below the folder."""
    assert links < 10, path
    node: bytes | str | Tree = tree
    for depth, part in enumerate(path.parts, 1):
        if part == "..":
            return content(tree, PurePosixPath(*path.parts[: depth - 2], *path.parts[depth:]))
        assert isinstance(node, tuple), path
        found = dict(node)
        if part not in found:
            raise FileNotFoundError(2, f"no {path}")
        node = found[part]
        if isinstance(node, str):
            led = PurePosixPath(*path.parts[: depth - 1], node, *path.parts[depth:])
            return content(tree, led, links + 1)
    assert isinstance(node, bytes), path
    return node
