"""One build: contents, wheels and recipe put together, checked, and written where gdk looks.

Everything is made and checked in memory first, so that a build that fails leaves the one
before as it was. The layout is gdk's: ``recipes/recipe.yaml``, and the artifacts in
``artifacts/NAME/VERSION``, with VERSION as gdk-config.json has it. ``gdk component publish``
uploads every file that it finds there, so nothing of an earlier build may stay.

Source: ``BuildCommand`` and ``PublishRecipeTransformer`` of the GDK CLI.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from component_build import recipe as recipes
from component_build import version as versions
from component_build.archive import archived
from component_build.contents import gather
from component_build.errors import BuildError
from component_build.project import RECIPE, Project
from component_build.recipe_check import deployed_size, problems

#: Without wheels, for every device; the recipe's manifests name the artifacts so.
GENERIC = "certkeeper.zip"


@dataclass(frozen=True)
class Artifact:
    """An archive: its file name, its content, and the paths in it."""

    name: str
    content: bytes
    paths: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash of the archive, in hexadecimal."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Build:
    """What was built. ``recipe_json`` is the recipe's size on a device of nucleus lite."""

    component: str
    version: str
    recipe: bytes
    recipe_json: int
    artifacts: tuple[Artifact, ...]
    left_out: tuple[str, ...]


def artifact_name(architecture: str) -> str:
    """The file name of the artifact with the wheels for an architecture."""
    return f"certkeeper-{architecture}.zip"


def build(
    project: Project,
    *,
    version: str | None = None,
    wheels: Mapping[str, Mapping[str, bytes]] | None = None,
    bucket: str = recipes.BUCKET,
) -> Build:
    """Build the component; nothing is written.

    ``version`` is that of gdk-config.json unless given. ``wheels`` are by architecture, as
    ``wheels.fetch`` gives them: each makes an artifact more. Raises BuildError, with every
    problem of the recipe if it has some.
    """
    version = project.version if version is None else version
    if (problem := versions.problem(version)) is not None:
        raise BuildError(f"version {problem}")
    contents = gather(project.folder, version)
    archives = {GENERIC: contents.files}
    for architecture, packed in (wheels or {}).items():
        archives[artifact_name(architecture)] = {**contents.files, **packed}
    source = recipes.load(project.folder / RECIPE)
    recipe = recipes.built(source, project, version, archives.keys(), bucket)
    rendered = recipes.rendered(recipe)
    if found := problems(recipe, archives, rendered):
        raise BuildError("recipe.yaml is wrong:" + "".join(f"\n  {each}" for each in found))
    return Build(
        component=project.name,
        version=version,
        recipe=rendered,
        recipe_json=deployed_size(recipe),
        artifacts=tuple(
            Artifact(name, archived(files), tuple(sorted(files)))
            for name, files in archives.items()
        ),
        left_out=contents.left_out,
    )


def write(built: Build, folder: Path) -> tuple[Path, list[Path]]:
    """Write a build into gdk's folder; the paths of the recipe and of the artifacts.

    What an earlier build of the component left there is removed. Raises OSError.
    """
    recipe = folder / "recipes" / RECIPE
    component = folder / "artifacts" / built.component
    shutil.rmtree(component, ignore_errors=True)
    for place in (recipe.parent, component / built.version):
        place.mkdir(parents=True, exist_ok=True)
    recipe.write_bytes(built.recipe)
    artifacts = []
    for artifact in built.artifacts:
        path = component / built.version / artifact.name
        path.write_bytes(artifact.content)
        artifacts.append(path)
    return recipe, artifacts
