"""A copy of what a build reads, to plant things in, and what was built of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NAME = "community.greengrass.CertificateKeeper"

_FILES = ("LICENSE", "gdk-config.json", "gdk_build.py", "recipe.yaml")
_FOLDERS = ("component_build", "requirements", "src")


def copy_project(folder: Path) -> Path:
    """What a build reads of the project, in a new folder."""
    folder.mkdir()
    for name in _FILES:
        shutil.copy(PROJECT / name, folder)
    for name in _FOLDERS:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(
    project: Path, *arguments: str, environment: Mapping[str, str] | None = None, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    """``python gdk_build.py`` in that folder, by this Python."""
    return subprocess.run(
        [sys.executable, "gdk_build.py", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        umask=umask,
        check=False,
    )


def artifacts(project: Path, version: str = "0.1.0") -> dict[str, str]:
    """The hash of each artifact in the project's greengrass-build, by file name."""
    folder = project / "greengrass-build" / "artifacts" / NAME / version
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def unpack(artifact: Path, folder: Path) -> Path:
    """The artifact unpacked as a nucleus does it: in a folder called as it is."""
    with zipfile.ZipFile(artifact) as archive:
        archive.extractall(folder / artifact.stem)
    return folder / artifact.stem
