"""Puts the stand-ins on a device's PATH, and keeps the real commands off it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path

COMMANDS = frozenset({"systemctl", "systemd-run", "ss"})
_CLIENT = Path(__file__).with_name("client.py")


class StandIns:
    """The stand-ins of one device, in ``folder``; they ask whoever listens on ``socket``.

    ``image`` is a folder for the other commands of this machine, which several devices may
    share. Each is made if it is not there.
    """

    def __init__(self, folder: Path, socket: Path, image: Path) -> None:
        self._folder = folder
        self._socket = socket
        self._image = image
        folder.mkdir(exist_ok=True)
        self.remove(frozenset())
        _make_image(image)

    @property
    def path(self) -> str:
        """The PATH of the device's processes. No real ``systemctl`` can be found on it."""
        folders = [self._folder, self._image]
        # A virtual environment is known by where its Python was started from.
        python = Path(sys.executable).parent
        if not any((python / name).exists() for name in COMMANDS):
            folders.insert(1, python)
        return os.pathsep.join(map(str, folders))

    def remove(self, names: frozenset[str]) -> None:
        """From now on the device lacks these commands, and no others."""
        if unknown := names - COMMANDS:
            raise ValueError(f"no stand-ins: {', '.join(sorted(unknown))}")
        for name in COMMANDS:
            path = self._folder / name
            if name in names:
                path.unlink(missing_ok=True)
            elif not path.exists():
                path.write_text(_script(self._socket, name))
                path.chmod(0o755)


def _script(socket: Path, name: str) -> str:
    words = (sys.executable, "-IS", str(_CLIENT), str(socket), name)
    return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'


def _make_image(image: Path) -> None:
    """Link what is on the lab's own PATH, the first of each name, into one folder."""
    if image.exists():
        return
    image.mkdir()
    for folder in os.get_exec_path():
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in COMMANDS and entry.is_file():
                    with contextlib.suppress(FileExistsError):
                        (image / entry.name).symlink_to(Path(folder).absolute() / entry.name)
