"""Which files ship to devices: a list of what may, so that nothing else can.

Of ``src/`` the scripts that the recipe runs, and the modules of the two packages; of
``requirements/`` the list of packages; the licence. A file that is none of these stays
out whatever its name is, and is reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from component_build.errors import BuildError
from component_build.version import stamped

SCRIPTS = ("find_python.sh", "install.sh", "run.sh")
PACKAGES = ("certkeeper", "rotation_protocol")
#: What ships from elsewhere, and what it is called in the artifact.
OTHERS = {"LICENSE": "LICENSE", "requirements/device.txt": "requirements.txt"}
VERSIONED = "certkeeper/__init__.py"

_MODULE = re.compile(r"[a-z_][a-z0-9_]*\.py")


@dataclass(frozen=True)
class Contents:
    """What ships: contents by their paths in the artifact, and the paths that stayed behind.

    ``left_out`` are files and folders of ``src/`` that do not ship, caches of Python's not
    counted.
    """

    files: dict[str, bytes]
    left_out: tuple[str, ...]


def gather(project: Path, version: str) -> Contents:
    """What ships of the project in this folder, stamped with the version.

    Raises BuildError if something of it is missing or cannot be read.
    """
    source = project / "src"
    shipped = {name: source / name for name in SCRIPTS}
    shipped |= {name: project / place for place, name in OTHERS.items()}
    for package in PACKAGES:
        if not (source / package / "__init__.py").is_file():
            raise BuildError(f"{source / package} is no package: is this the whole project?")
        modules = _modules(source / package)
        shipped |= {path.relative_to(source).as_posix(): path for path in modules}
    files = {name: _read(path) for name, path in sorted(shipped.items())}
    files[VERSIONED] = stamped(files[VERSIONED].decode(), version).encode()
    return Contents(files, tuple(_others(source, set(shipped))))


def _modules(package: Path) -> Iterator[Path]:
    """The modules of a package and of the packages in it; no link is followed."""
    for path in sorted(package.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            if (path / "__init__.py").is_file():
                yield from _modules(path)
        elif path.is_file() and _MODULE.fullmatch(path.name):
            yield path


def _read(path: Path) -> bytes:
    if path.is_symlink():
        raise BuildError(f"{path} is a link: put the file itself there")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path} cannot be read: {error.strerror}") from error


def _others(source: Path, shipped: set[str]) -> Iterator[str]:
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            path = (Path(folder) / name).relative_to(source).as_posix()
            if path not in shipped:
                yield f"src/{path}"
