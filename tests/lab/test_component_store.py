"""A built component on a device of the lab: laid out as a nucleus does, and what runs is that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import certkeeper
from component_build.build import build, write
from component_build.project import load
from lab.lab import Lab
from lab.nucleus.component_store import built, deliver, recipe_path
from lab.nucleus.core_device import PROJECT
from lab.nucleus.recipe import Runtime, load_recipe
from lab.nucleus.root_layout import RootLayout
from tests.packaging.source import SRC

NAME = certkeeper.COMPONENT_NAME
VERSION = "9.8.7-rc.1"


@pytest.fixture
def layout(tmp_path: Path) -> RootLayout:
    """An empty Greengrass root."""
    root = tmp_path / "root"
    return RootLayout("classic", root, *(root / name for name in ("cert", "key", "ca", "socket")))


def test_an_archive_is_unpacked_beside_its_download(tmp_path: Path, layout: RootLayout) -> None:
    """The archive lies where it was downloaded, and unpacked in a folder of its name."""
    folder = built(tmp_path / "build")
    deliver(folder, load_recipe(recipe_path(folder), "classic"), layout)
    archive = layout.artifacts_path(NAME, certkeeper.__version__) / "certkeeper.zip"
    assert archive.is_file()
    unpacked = layout.unarchived_path(NAME, certkeeper.__version__) / "certkeeper"
    assert (unpacked / "run.sh").read_bytes() == (SRC / "run.sh").read_bytes()
    assert (unpacked / "requirements.txt").is_file()


def test_an_artifact_that_was_not_built_is_missed(tmp_path: Path, layout: RootLayout) -> None:
    """A recipe that names an artifact that is not there is not deployed."""
    folder = built(tmp_path / "build")
    recipe = load_recipe(recipe_path(folder), "classic")
    (folder / "artifacts" / NAME / recipe.version / "certkeeper.zip").unlink()
    with pytest.raises(FileNotFoundError):
        deliver(folder, recipe, layout)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An account whose devices get a build of ours, of another version than the source's."""
    folder = tmp_path_factory.mktemp("build")
    write(build(load(PROJECT), version=VERSION), folder)
    with Lab(component=folder) as opened:
        yield opened


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_what_runs_is_the_artifact(lab: Lab, runtime: Runtime) -> None:
    """The component's process works in the artifact, and reports the version of the build."""
    mark = lab.timeline.mark()
    device, _ = lab.core_device(f"press-{runtime}", runtime=runtime)
    device.start()
    lab.timeline.wait_for("checked", source="component", after=mark)
    assert Path(f"/proc/{device.component_pid}/cwd").readlink() == device.artifact_path
    assert device.artifact_path.is_relative_to(device.layout.root)
    assert device.artifact_path.parent.name == VERSION
    started = lab.timeline.wait_until(
        lambda entry: str(entry.details.get("line", "")).startswith("started "),
        "the line that says which version was started",
        after=mark,
    )
    assert f" version={VERSION} " in str(started.details["line"])
    device.stop()
