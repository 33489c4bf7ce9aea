"""``python -m certkeeper`` as a person or a script runs it: a process and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.greengrass_root import GreengrassRoot

FINE, CROSSED, CANNOT_TELL = 0, 1, 2


@dataclass(frozen=True)
class Answer:
    """What the command printed, and the exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of the standard output."""
        return self.out.splitlines()


def certkeeper(
    *arguments: object,
    cwd: Path | None = None,
    interpreter: tuple[str, ...] = ("-m", "certkeeper"),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Run the command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, *interpreter, *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )
    return Answer(ended.returncode, ended.stdout.decode("utf-8"), ended.stderr.decode("utf-8"))


def check(root: GreengrassRoot, *arguments: object, **environment: str) -> Answer:
    """``check`` of that root."""
    return certkeeper("check", "--root", root.folder, *arguments, environment=environment)


def configuration(folder: Path, values: object) -> Path:
    """A file to give to ``--config``."""
    path = folder / "try.json"
    path.write_text(json.dumps(values))
    return path


def cells(line: str) -> list[str]:
    """The cells of a table's row: two blanks or more stand between them."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]
