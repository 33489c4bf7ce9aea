"""What ships is a list of what may: nothing else gets into an artifact, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from component_build.contents import OTHERS, SCRIPTS, gather
from component_build.errors import BuildError
from tests.component_build.tree import PROJECT, copy_project
from tests.packaging.source import SRC, shipped

#: Left behind by people and by their tools.
PLANTED = (
    *("src/.env", "src/.env.py", "src/privKey.key", "src/notes.txt", "src/device.sh"),
    *("src/certkeeper/.env", "src/certkeeper/daemon.py~", "src/certkeeper/.daemon.py.swp"),
    *("src/certkeeper/#daemon.py#", "src/certkeeper/daemon.py.orig", "src/certkeeper/a b.py"),
    *("src/certkeeper/core/.#record.py", "src/certkeeper/Copy.py", "src/certkeeper/x.so"),
    *("src/certkeeper/scratch/try.py", "src/other_package/__init__.py"),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project."""
    return copy_project(tmp_path / "project")


def plant(project: Path, place: str) -> None:
    path = project / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("TOKEN = 'of somebody'\n")


def test_all_of_the_source_ships() -> None:
    """Every module of src/ is in the artifact, with scripts, licence and the list of packages."""
    modules = {module.path.relative_to(SRC).as_posix() for module in shipped()}
    contents = gather(PROJECT, "1.2.3")
    assert set(contents.files) == modules | {*SCRIPTS} | {*OTHERS.values()}
    assert contents.left_out == ()


@pytest.mark.parametrize("place", PLANTED)
def test_what_is_planted_stays_out(project: Path, place: str) -> None:
    """A file that is not on the list stays out, and is reported."""
    before = gather(project, "1.2.3")
    plant(project, place)
    after = gather(project, "1.2.3")
    assert after.files == before.files
    assert after.left_out == (place,)


@pytest.mark.parametrize("name", ["daemon.cpython-311.pyc", "daemon.py", "__init__.txt"])
def test_caches_of_python_stay_out(project: Path, name: str) -> None:
    """What is in a __pycache__ stays out; it is no news."""
    before = gather(project, "1.2.3")
    plant(project, f"src/certkeeper/core/__pycache__/{name}")
    assert gather(project, "1.2.3") == before


def test_links_stay_out(project: Path) -> None:
    """A link to a file or to a folder is not followed: it may lead anywhere."""
    before = gather(project, "1.2.3")
    secret = project / "secret.py"
    secret.write_text("TOKEN = 'of somebody'\n")
    (project / "src" / "certkeeper" / "linked.py").symlink_to(secret)
    (project / "src" / "certkeeper" / "elsewhere").symlink_to(project / "src" / "rotation_protocol")
    after = gather(project, "1.2.3")
    assert after.files == before.files
    assert after.left_out == ("src/certkeeper/elsewhere", "src/certkeeper/linked.py")


@pytest.mark.parametrize("place", ["src/install.sh", "requirements/device.txt", "LICENSE"])
def test_what_must_ship_is_missed(project: Path, place: str) -> None:
    """Without a file that has to ship there is no artifact, and the file is named."""
    (project / place).unlink()
    with pytest.raises(BuildError, match=place):
        gather(project, "1.2.3")


def test_a_script_is_a_file_of_its_own(project: Path) -> None:
    """A link in the place of a script is refused, not followed."""
    script = project / "src" / "run.sh"
    script.unlink()
    script.symlink_to(os.devnull)
    with pytest.raises(BuildError, match=r"run\.sh is a link"):
        gather(project, "1.2.3")


def test_half_a_project_is_none(project: Path) -> None:
    """Without the package itself the whole project is asked for."""
    (project / "src" / "certkeeper" / "__init__.py").unlink()
    with pytest.raises(BuildError, match="is this the whole project"):
        gather(project, "1.2.3")
