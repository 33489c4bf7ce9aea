"""Commands of the system, played by shell scripts that write down how they were called."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest


class FakeCommands:
    """The first folder on PATH; what it has not is found in the others."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, alone: bool = False) -> None:
        self.folder = folder
        self._log = folder / "log"
        folder.mkdir()
        others = [] if alone else [os.environ["PATH"]]
        patch.setenv("PATH", os.pathsep.join([str(folder), *others]))

    def add(self, name: str, script: str = "") -> None:
        """A command that notes its arguments and then runs this POSIX shell script."""
        log = shlex.quote(str(self._log))
        lines = (
            "#!/bin/sh",
            f"printf '%s\\037' {name} \"$@\" >> {log}",
            f"printf '\\036' >> {log}",
            script,
        )
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)

    def link(self, *names: str) -> None:
        """These commands as they really are."""
        for name in names:
            found = next(
                folder
                for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
                if (Path(folder) / name).exists()
            )
            (self.folder / name).symlink_to(Path(found) / name)

    def called(self) -> list[list[str]]:
        """The calls since the last time that this was asked."""
        text = self._log.read_text() if self._log.exists() else ""
        self._log.unlink(missing_ok=True)
        return [call.split("\037")[:-1] for call in text.split("\036")[:-1]]
