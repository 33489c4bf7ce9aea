"""The recipe of a build: it has the manifests of what was built, and each device finds its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from component_build.build import Build, artifact_name, build, write
from component_build.errors import BuildError
from component_build.project import Project, load
from component_build.recipe import built
from component_build.version import NEXT_PATCH
from lab.nucleus.recipe import LITE_RECIPE_LIMIT, Runtime, load_recipe
from tests.component_build.tree import NAME, PROJECT

WHEELS = {
    "amd64": {"wheels/awscrt-1-cp39-abi3-manylinux2014_x86_64.whl": b"for x86_64"},
    "aarch64": {"wheels/awscrt-1-cp39-abi3-manylinux2014_aarch64.whl": b"for aarch64"},
}
#: Which artifact a device takes of a build with all wheels, by its architecture.
TAKEN = {
    "amd64": "certkeeper-amd64.zip",
    "aarch64": "certkeeper-aarch64.zip",
    "arm": "certkeeper.zip",
    "x86": "certkeeper.zip",
    "riscv64": "certkeeper.zip",
}


@pytest.fixture
def project() -> Project:
    """This project."""
    return load(PROJECT)


def recipe_of(made: Build) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(made.recipe)
    return loaded


def uris(recipe: dict[str, Any]) -> list[str]:
    return [a["Uri"] for manifest in recipe["Manifests"] for a in manifest["Artifacts"]]


@pytest.mark.parametrize("runtime", ["classic", "lite"])
@pytest.mark.parametrize("architecture", TAKEN)
def test_each_device_finds_its_artifact(
    project: Project, tmp_path: Path, architecture: str, runtime: Runtime
) -> None:
    """A device takes the artifact with its architecture's wheels, any other the one without."""
    path, _ = write(build(project, wheels=WHEELS), tmp_path)
    recipe = load_recipe(path, runtime, architecture=architecture)
    assert [artifact.name for artifact in recipe.artifacts] == [TAKEN[architecture]]
    folder = f"{{artifacts:decompressedPath}}/{Path(TAKEN[architecture]).stem}/"
    assert all(folder in step.script for step in recipe.steps.values())


@pytest.mark.parametrize("runtime", ["classic", "lite"])
@pytest.mark.parametrize("architecture", TAKEN)
def test_without_wheels_there_is_one_for_all(
    project: Project, tmp_path: Path, architecture: str, runtime: Runtime
) -> None:
    """A build without wheels is one artifact, which every device takes."""
    made = build(project)
    path, _ = write(made, tmp_path)
    recipe = load_recipe(path, runtime, architecture=architecture)
    assert [artifact.name for artifact in recipe.artifacts] == ["certkeeper.zip"]
    assert [artifact.name for artifact in made.artifacts] == ["certkeeper.zip"]


def test_each_artifact_has_its_own_wheels(project: Project) -> None:
    """Of the wheels an artifact carries those of its architecture, and all of the code."""
    code, *packed = build(project, wheels=WHEELS).artifacts
    for artifact, (architecture, wheels) in zip(packed, WHEELS.items(), strict=True):
        assert artifact.name == artifact_name(architecture)
        assert set(artifact.paths) == {*code.paths, *wheels}


@pytest.mark.parametrize("chosen", [(), ("amd64",), ("aarch64",), ("amd64", "aarch64")])
def test_manifests_are_those_of_what_was_built(project: Project, chosen: tuple[str, ...]) -> None:
    """A manifest whose artifact was not built is left out: gdk would publish a URI of nothing."""
    made = build(project, wheels={name: WHEELS[name] for name in chosen})
    folder = f"s3://BUCKET_NAME/{NAME}/{made.version}"
    assert sorted(uris(recipe_of(made))) == sorted(
        f"{folder}/{artifact.name}" for artifact in made.artifacts
    )


@pytest.mark.parametrize("version", ["2.5.0", "2.5.0-rc.1", NEXT_PATCH])
def test_version_and_publisher(project: Project, version: str) -> None:
    """Version and publisher of the build stand in the recipe and in every URI."""
    recipe = recipe_of(build(project, version=version, wheels=WHEELS))
    assert recipe["ComponentVersion"] == version
    assert recipe["ComponentPublisher"] == project.publisher
    assert {uri.split("/")[4] for uri in uris(recipe)} == {version}


def test_the_rest_is_the_projects(project: Project) -> None:
    """Whatever is not stamped is as recipe.yaml has it, in its order."""
    source = yaml.safe_load((PROJECT / "recipe.yaml").read_text())
    recipe = recipe_of(build(project, version=source["ComponentVersion"], wheels=WHEELS))
    assert list(recipe) == list(source)
    assert recipe["ComponentConfiguration"] == source["ComponentConfiguration"]
    for made, manifest in zip(recipe["Manifests"], source["Manifests"], strict=True):
        assert {**made, "Artifacts": ()} == {**manifest, "Artifacts": ()}


def test_sizes_on_lite(project: Project) -> None:
    """With every manifest there is room on lite, on the disk and in the cloud's words."""
    made = build(project, wheels=WHEELS)
    assert made.recipe_json < LITE_RECIPE_LIMIT
    assert len(made.recipe) < LITE_RECIPE_LIMIT


def test_a_recipe_without_an_artifact_of_ours(project: Project) -> None:
    """A recipe that names none of the artifacts has a message that says how they are called."""
    source = yaml.safe_load((PROJECT / "recipe.yaml").read_text())
    with pytest.raises(BuildError, match=r"\(other\.zip\)"):
        built(source, project, "1.0.0", ["other.zip"])
