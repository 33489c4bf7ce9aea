"""Versions: which are taken, and how the package learns its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from component_build.errors import BuildError
from component_build.version import NEXT_PATCH, problem, stamped
from tests.component_build.tree import NAME, artifacts, copy_project, run, unpack

SOURCE = '"""Docs."""\n\n__version__ = "0.1.0"\nOTHER = "0.1.0"\n'


@pytest.mark.parametrize(
    "version",
    [
        *("0.1.0", "1.2.3", "10.20.30", "1.0.0-rc.1", "1.0.0-0", "1.0.0-x-y.7.z", "1.0.0+build.5"),
        *("1.0.0-alpha+001", "1.0.0--", NEXT_PATCH),
    ],
)
def test_versions(version: str) -> None:
    """Semantic versions are taken, and gdk's word for the next one."""
    assert problem(version) is None


@pytest.mark.parametrize(
    "version",
    [
        *("", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "01.2.3", "1.02.3", "1.2.03", " 1.2.3"),
        *(
            "1.2.3\n",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+",
            "1.2.3 ",
            "1.2.3-ä",
            "next_patch",
        ),
        *("1.2.3/..", "\u0661.2.3", "1.2.3-" + "a" * 60),
    ],
)
def test_what_is_none(version: str) -> None:
    """Whatever the rules of semantic versions do not know is refused."""
    assert problem(version) is not None


def test_stamped() -> None:
    """The version is put where the package sets it, and nowhere else."""
    assert stamped(SOURCE, "1.2.3") == SOURCE.replace(
        '__version__ = "0.1.0"', '__version__ = "1.2.3"'
    )


@pytest.mark.parametrize("source", ["", SOURCE + '__version__ = "2"\n', "__version__ = version()"])
def test_a_package_sets_its_version_once(source: str) -> None:
    """A package that sets it never, or twice, is not guessed at."""
    with pytest.raises(BuildError, match="__version__"):
        stamped(source, "1.2.3")


def version_on_a_device(project: Path, version: str, deployed: str, folder: Path) -> str:
    """What the component says of itself, from the folder that a nucleus unpacks it into."""
    built = project / "greengrass-build" / "artifacts" / NAME / version / "certkeeper.zip"
    unpacked = unpack(built, folder / "packages" / "artifacts-unarchived" / NAME / deployed)
    said = subprocess.run(
        [sys.executable, "-c", "import certkeeper; print(certkeeper.__version__)"],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip()


def test_the_component_knows_its_version(tmp_path: Path) -> None:
    """The version that a build is given is what the component reports."""
    project = copy_project(tmp_path / "project")
    assert run(project, "--version", "3.1.4-rc.1").returncode == 0
    assert version_on_a_device(project, "3.1.4-rc.1", "3.1.4-rc.1", tmp_path) == "3.1.4-rc.1"


def test_next_patch_is_known_on_the_device(tmp_path: Path) -> None:
    """With NEXT_PATCH gdk gives the number when it publishes, and the component reports that."""
    project = copy_project(tmp_path / "project")
    assert run(project, "--version", NEXT_PATCH).returncode == 0
    assert artifacts(project, NEXT_PATCH).keys() == {"certkeeper.zip"}
    assert version_on_a_device(project, NEXT_PATCH, "1.0.7", tmp_path) == "1.0.7"
