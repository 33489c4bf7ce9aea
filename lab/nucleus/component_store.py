"""Puts a built component where a nucleus puts what a deployment brings.

Each artifact that the recipe's manifest names goes to ``packages/artifacts``, and an archive
is unpacked into ``packages/artifacts-unarchived``, in a folder called as the archive is
without ``.zip``. Left out: the download and its digest, modes and owners, and the copy of the
recipe.

Sources: ``Unarchiver`` and ``NucleusPaths`` of the classic nucleus, ``ggdeploymentd`` of lite;
the folders of a build are those of the GDK CLI.
"""

from __future__ import annotations

import functools
import shutil
import zipfile
from pathlib import Path

import certkeeper
from component_build.build import Build, build, write
from component_build.project import load
from lab.nucleus.recipe import Recipe
from lab.nucleus.root_layout import RootLayout

_PROJECT = Path(__file__).resolve().parents[2]


def built(folder: Path) -> Path:
    """Build the component of the project as it stands, without wheels, into ``folder``."""
    write(_of_this_project(), folder)
    return folder


@functools.cache
def _of_this_project() -> Build:
    """Once for each process: the project does not change under a lab that is up."""
    return build(load(_PROJECT), version=certkeeper.__version__)


def recipe_path(folder: Path) -> Path:
    """The recipe in a folder that ``gdk_build.py`` wrote."""
    return folder / "recipes" / "recipe.yaml"


def deliver(folder: Path, recipe: Recipe, layout: RootLayout) -> None:
    """Lay out the artifacts of the build in ``folder`` on the device that ``layout`` describes.

    Raises FileNotFoundError for an artifact that the recipe names and the build has not got.
    """
    published = folder / "artifacts" / recipe.name / recipe.version
    artifacts = layout.artifacts_path(recipe.name, recipe.version)
    unarchived = layout.unarchived_path(recipe.name, recipe.version)
    artifacts.mkdir(parents=True)
    for artifact in recipe.artifacts:
        downloaded = artifacts / artifact.name
        shutil.copyfile(published / artifact.name, downloaded)
        if artifact.unarchive:
            with zipfile.ZipFile(downloaded) as archive:
                archive.extractall(unarchived / downloaded.stem)
