"""gdk_build.py as people and gdk run it: one hash, gdk's folders, errors that say what to do."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from component_build.version import NEXT_PATCH
from lab.nucleus.recipe import Runtime, load_recipe
from tests.component_build.tree import NAME, PROJECT, artifacts, copy_project, run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project."""
    return copy_project(tmp_path / "project")


def recipe_of(project: Path) -> dict[str, Any]:
    path = project / "greengrass-build" / "recipes" / "recipe.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def configure(project: Path, **changes: Any) -> None:
    """Change what gdk-config.json says of the component."""
    path = project / "gdk-config.json"
    document = json.loads(path.read_text())
    document["component"][NAME].update(changes)
    path.write_text(json.dumps(document))


# -- one hash -----------------------------------------------------------------------


def test_two_builds_have_one_hash(tmp_path: Path) -> None:
    """Wherever, whenever and by whomever it is built, the artifact is the same, to the byte."""
    first = copy_project(tmp_path / "first")
    second = copy_project(tmp_path / "a second one")
    for path in (second / "src").rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o755 if path.is_dir() else 0o600)
    (second / "src" / ".env").write_text("TOKEN=of somebody")
    (second / "src" / "certkeeper" / "daemon.py~").write_text("old")
    other = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    said = run(first)
    assert (said.returncode, said.stderr) == (0, "")
    assert run(second, environment=other, umask=0o077).returncode == 0
    assert artifacts(first) == artifacts(second)
    assert artifacts(first)["certkeeper.zip"] in said.stdout
    recipes = [
        (tree / "greengrass-build" / "recipes" / "recipe.yaml").read_bytes()
        for tree in (first, second)
    ]
    assert recipes[0] == recipes[1]


def test_another_byte_is_another_hash(project: Path) -> None:
    """The hash follows the content: a changed file is seen in it."""
    run(project)
    before = artifacts(project)
    with (project / "src" / "run.sh").open("a") as script:
        script.write("# changed\n")
    run(project)
    assert artifacts(project) != before


def test_the_archive_is_plain(project: Path) -> None:
    """Sorted, uncompressed, without folders or links, and nothing in it leads out of it."""
    run(project)
    folder = project / "greengrass-build" / "artifacts" / NAME / "0.1.0"
    with zipfile.ZipFile(folder / "certkeeper.zip") as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert [name for name in names if name.startswith("/") or ".." in name] == []


# -- as gdk runs it -----------------------------------------------------------------


def gdk_component_build(project: Path) -> None:
    """What ``gdk component build`` does with a custom build system (BuildCommand of the GDK CLI).

    It empties greengrass-build, makes its folders, and runs the command with ``python3`` from
    the path; it reads nothing of what comes of it.
    """
    [(name, component)] = json.loads((project / "gdk-config.json").read_text())["component"].items()
    build = project / "greengrass-build"
    (build / "recipes").mkdir(parents=True)
    (build / "artifacts" / name / component["version"]).mkdir(parents=True)
    python = Path(sys.executable)
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    assert (python.parent / "python3").exists()
    assert component["build"]["build_system"] == "custom"
    command = component["build"]["custom_build_command"]
    subprocess.run(command, cwd=project, env={**os.environ, "PATH": path}, check=True)


def gdk_component_publish(project: Path, bucket: str, number: str) -> dict[str, Any]:
    """What ``gdk component publish`` makes of it (PublishRecipeTransformer, S3Client): the recipe.

    It uploads every file in the artifacts' folder, and points a URI there if its file is one of
    them.
    """
    [(name, component)] = json.loads((project / "gdk-config.json").read_text())["component"].items()
    uploaded = [*(project / "greengrass-build/artifacts" / name / component["version"]).iterdir()]
    assert all(path.is_file() for path in uploaded)
    recipe = recipe_of(project)
    assert recipe["ComponentName"] == name
    recipe["ComponentVersion"] = number
    for manifest in recipe["Manifests"]:
        for artifact in manifest["Artifacts"]:
            file = artifact["Uri"].rpartition("/")[2]
            assert file in {path.name for path in uploaded}
            artifact["Uri"] = f"s3://{bucket}/{name}/{number}/{file}"
    return recipe


@pytest.mark.parametrize("runtime", ["classic", "lite"])
@pytest.mark.parametrize(("version", "number"), [("0.1.0", "0.1.0"), (NEXT_PATCH, "1.0.7")])
def test_gdk_builds_and_publishes_it(
    project: Path, tmp_path: Path, version: str, number: str, runtime: Runtime
) -> None:
    """Run by the configuration's own command, it leaves what gdk publishes, for both nuclei."""
    configure(project, version=version)
    gdk_component_build(project)
    published = tmp_path / "recipe.yaml"
    published.write_text(yaml.safe_dump(gdk_component_publish(project, "a-bucket", number)))
    recipe = load_recipe(published, runtime)
    assert (recipe.name, recipe.version) == (NAME, number)
    assert [artifact.name for artifact in recipe.artifacts] == ["certkeeper.zip"]


def test_the_configuration_is_gdks() -> None:
    """gdk-config.json has what gdk asks for; bucket and region are its own placeholders."""
    document = json.loads((PROJECT / "gdk-config.json").read_text())
    assert set(document) == {"component", "gdk_version"}
    [(name, component)] = document["component"].items()
    assert name == NAME
    assert component["build"]["custom_build_command"] == ["python3", "gdk_build.py"]
    assert component["publish"] == {
        "bucket": "<PLACEHOLDER_BUCKET>",
        "region": "<PLACEHOLDER_REGION>",
    }


# -- alone --------------------------------------------------------------------------


def test_it_says_what_it_did(project: Path) -> None:
    """Recipe and artifact with size and hash, and what stayed behind."""
    (project / "src" / ".env").write_text("TOKEN=of somebody")
    said = run(project)
    folder = project / "greengrass-build" / "artifacts" / NAME / "0.1.0"
    lines = {tuple(line.split()[:2]) for line in said.stdout.splitlines()}
    assert ("component", NAME) in lines
    assert ("recipe", "greengrass-build/recipes/recipe.yaml") in lines
    assert ("artifact", str((folder / "certkeeper.zip").relative_to(project))) in lines
    assert ("sha256", artifacts(project)["certkeeper.zip"]) in lines
    assert "left out   src/.env\n" in said.stdout


def test_bucket(project: Path) -> None:
    """A bucket that is given stands in the URIs, for those who publish without gdk."""
    assert run(project, "--bucket", "our-components").returncode == 0
    [manifest] = recipe_of(project)["Manifests"]
    assert manifest["Artifacts"][0]["Uri"] == f"s3://our-components/{NAME}/0.1.0/certkeeper.zip"
    refused = run(project, "--bucket", "Not_A_Bucket")
    assert refused.returncode == 2
    assert "cannot be the name of an S3 bucket" in refused.stderr


def test_what_an_earlier_build_left_is_gone(project: Path) -> None:
    """gdk publishes every file that it finds: an artifact of an earlier build is removed."""
    run(project)
    folder = project / "greengrass-build" / "artifacts" / NAME
    (folder / "0.1.0" / "certkeeper-amd64.zip").write_bytes(b"of an earlier build")
    (folder / "0.0.9").mkdir()
    run(project)
    assert artifacts(project).keys() == {"certkeeper.zip"}
    assert [path.name for path in folder.iterdir()] == ["0.1.0"]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: (p / "recipe.yaml").write_text("a: [1"), "recipe.yaml is not YAML"),
        (lambda p: (p / "recipe.yaml").write_text("a: 1\nb: 2\na: 3\n"), "a twice"),
        (lambda p: (p / "recipe.yaml").write_text("- 1\n"), "must be a mapping"),
        (lambda p: (p / "recipe.yaml").unlink(), "recipe.yaml cannot be read"),
        (lambda p: (p / "gdk-config.json").write_text("{"), "gdk-config.json is not JSON"),
        (lambda p: (p / "gdk-config.json").unlink(), "gdk-config.json cannot be read"),
        (lambda p: configure(p, version="1.2"), "is no semantic version"),
        (lambda p: configure(p, author=7), "author must be a text"),
        (lambda p: (p / "src" / "install.sh").unlink(), "install.sh cannot be read"),
    ],
)
def test_a_build_that_fails_leaves_the_one_before(project: Path, break_it: Any, said: str) -> None:
    """What is wrong is said in a line, and the last good build lies where it was."""
    run(project)
    before = artifacts(project)
    break_it(project)
    ended = run(project)
    assert ended.returncode == 1
    assert ended.stderr.startswith("gdk_build.py: nothing was built: ")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert artifacts(project) == before


def test_every_problem_of_a_recipe_is_said_at_once(project: Path) -> None:
    """A recipe with two faults is not mended one after the other."""
    path = project / "recipe.yaml"
    text = path.read_text().replace("      run:", "      Run:").replace("ZIP", "zip")
    path.write_text(text)
    ended = run(project)
    assert ended.returncode == 1
    assert "Lifecycle.Run: spell it run" in ended.stderr
    assert "Unarchive: must be ZIP or NONE" in ended.stderr


def test_two_names_are_refused(project: Path) -> None:
    """Recipe and configuration of different components do not make one."""
    path = project / "recipe.yaml"
    path.write_text(path.read_text().replace(f"ComponentName: {NAME}", "ComponentName: com.other"))
    ended = run(project)
    assert ended.returncode == 1
    assert "give both the same name" in ended.stderr


def test_a_place_that_cannot_be_written(project: Path) -> None:
    """An output folder that is a file is said to be in the way."""
    ended = run(project, "--output", "LICENSE")
    assert ended.returncode == 1
    assert "LICENSE cannot be written" in ended.stderr


def test_an_old_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the Python of an old system it says which one is needed, not a syntax error."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed"):
        runpy.run_path(str(PROJECT / "gdk_build.py"), run_name="__main__")


def test_a_missing_module_is_named(project: Path) -> None:
    """Without PyYAML it says how to get it."""
    ended = subprocess.run(
        [sys.executable, "-S", "gdk_build.py"],
        cwd=project,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "no module" in ended.stderr
    assert "requirements/build.txt" in ended.stderr
