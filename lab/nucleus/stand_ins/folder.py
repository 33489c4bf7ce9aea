"""Puts the stand-ins on a device's PATH, and keeps the real commands off it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

COMMANDS = frozenset({"systemctl", "systemd-run", "ss"})
_CLIENT = Path(__file__).with_name("client.py")


class StandIns:
    """The stand-ins of one device, which ask whoever listens on ``socket``.

    What is made in ``folder``, where nothing is yet: ``bin`` with the stand-ins, and for
    each folder of this machine that has such a command a way to it that can be closed.
    ``python`` is the folder of the Python that the device has; the lab's own unless given.
    """

    def __init__(self, folder: Path, socket: Path, python: Path | None = None) -> None:
        self._socket = socket
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        self._path = [self._bin]
        self._real: dict[Path, Path] = {}
        for number, real in enumerate(_search_path(python or Path(sys.executable).parent)):
            if any((real / name).exists() for name in COMMANDS):
                way = folder / str(number)
                way.symlink_to(real)
                self._real[way] = real
                self._path.append(way)
            else:
                self._path.append(real)
        self.remove(frozenset())

    @property
    def path(self) -> str:
        """The PATH of the device's processes, on which no real ``systemctl`` is found."""
        return os.pathsep.join(map(str, self._path))

    def remove(self, names: frozenset[str]) -> None:
        """From now on the device lacks these commands, and no others."""
        if unknown := names - COMMANDS:
            raise ValueError(f"no stand-ins: {', '.join(sorted(unknown))}")
        if names:
            self._close_ways()
        for name in COMMANDS:
            path = self._bin / name
            if name in names:
                path.unlink(missing_ok=True)
            elif not path.exists():
                path.write_text(_script(self._socket, name))
                path.chmod(0o755)

    def _close_ways(self) -> None:
        """Behind the stand-ins are the real commands: let each way lead past them."""
        while self._real:
            way, real = self._real.popitem()
            copy = way.with_name(f"{way.name}.without")
            copy.mkdir()
            for entry in real.iterdir():
                if entry.name not in COMMANDS:
                    (copy / entry.name).symlink_to(entry)
            new = way.with_name(f"{way.name}.new")
            new.symlink_to(copy)
            new.replace(way)


def _search_path(python: Path) -> list[Path]:
    """The folder of a Python, and those of the lab's own PATH, each once."""
    folders: dict[Path, Path] = {}
    for folder in (python, *map(Path, os.get_exec_path())):
        if folder.is_dir():
            folders.setdefault(folder.resolve(), folder.absolute())
    return list(folders.values())


def _script(socket: Path, name: str) -> str:
    words = (sys.executable, "-IS", str(_CLIENT), str(socket), name)
    return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
