"""The recipe as each nucleus reads it: which manifest, which steps, which variables."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.nucleus.recipe import (
    LITE_RECIPE_LIMIT,
    Artifact,
    Recipe,
    RecipeError,
    Runtime,
    load_recipe,
)
from lab.nucleus.recipe_variables import with_variables

HEAD = """
RecipeFormatVersion: '2020-01-25'
ComponentName: com.example.Watcher
ComponentVersion: 1.2.3
ComponentConfiguration:
  DefaultConfiguration:
    interval: 60
    topic: alerts
"""

BOTH = (
    HEAD
    + """
Manifests:
  - Platform: {os: linux, runtime: '*'}
    Lifecycle:
      Setenv: {GREETING: hello, PORT: 8883}
      install:
        Script: echo install
        RequiresPrivilege: true
        Timeout: 30
      run:
        Script: exec python3 -m watcher --root {kernel:rootPath}
        Setenv: {GREETING: 'hi {iot:thingName}'}
"""
)

Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, runtime: Runtime = "classic", **options: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(textwrap.dedent(text))
        return load_recipe(path, runtime, **options)

    return loaded


def filled(recipe: Recipe, root: Path = Path("/greengrass/v2")) -> Recipe:
    configuration = {"interval": 60, "nested": {"a/b": ["zero", {"deep": True}]}, "topic": "alerts"}
    return with_variables(recipe, root=root, thing_name="press-7", configuration=configuration)


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_steps_come_with_script_privilege_timeout_and_environment(
    load: Load, runtime: Runtime
) -> None:
    """Both nuclei take the same steps, with the lifecycle's Setenv below the step's own."""
    recipe = load(BOTH, runtime)
    assert (recipe.name, recipe.version) == ("com.example.Watcher", "1.2.3")
    assert recipe.default_configuration == {"interval": 60, "topic": "alerts"}
    install, run = recipe.steps["install"], recipe.steps["run"]
    assert (install.script, install.requires_privilege, install.timeout) == (
        "echo install",
        True,
        30.0,
    )
    assert (run.requires_privilege, run.timeout, run.path) == (False, None, "run.Script")
    assert install.setenv == {"GREETING": "hello", "PORT": "8883"}
    assert run.setenv == {"GREETING": "hi {iot:thingName}", "PORT": "8883"}


def test_classic_reads_step_names_in_any_case(load: Load) -> None:
    """Classic folds the case of lifecycle keys, and remembers how they were spelled."""
    recipe = load(HEAD + "Manifests: [{Lifecycle: {RUN: {SCRIPT: echo, skipif: exists /x}}}]")
    assert recipe.steps["run"].path == "RUN.SCRIPT"
    assert recipe.steps["run"].skipif == "exists /x"


def test_lite_reads_step_names_only_in_lower_case(load: Load) -> None:
    """A step that lite cannot see for its spelling leaves no lifecycle, and is refused."""
    text = HEAD + "Manifests: [{Platform: {runtime: '*'}, Lifecycle: {Run: echo}}]"
    with pytest.raises(RecipeError, match=r"Lifecycle: no step; nucleus lite knows only"):
        load(text, "lite")


def test_lite_keys_within_a_step_are_case_sensitive(load: Load) -> None:
    """Lite does not find a script that is spelled in lower case."""
    text = HEAD + "Manifests: [{Platform: {runtime: '*'}, Lifecycle: {run: {script: echo}}}]"
    assert load(text).steps["run"].script == "echo"
    with pytest.raises(RecipeError, match=r"Lifecycle\.run\.Script: missing"):
        load(text, "lite")


@pytest.mark.parametrize(
    ("platform", "classic", "lite"),
    [
        ("{os: linux}", True, False),
        ("{os: linux, runtime: '*'}", True, True),
        ("{os: linux, runtime: aws_nucleus_lite}", False, True),
        ("{os: windows, runtime: '*'}", False, False),
        ("{os: all, runtime: '*'}", True, True),
        ("{os: any, runtime: '*'}", True, False),
        ("{os: /linux|darwin/, runtime: '*'}", True, False),
        ("{architecture: aarch64, runtime: '*'}", True, True),
        ("{architecture: amd64, runtime: '*'}", False, False),
        ("{color: green}", False, False),
        ("{}", True, False),
    ],
)
def test_the_first_manifest_that_fits_the_platform_is_taken(
    load: Load, platform: str, classic: bool, lite: bool
) -> None:
    """Each nucleus matches os, architecture and runtime by its own rules."""
    text = f"""{HEAD}
Manifests:
  - Platform: {platform}
    Lifecycle: {{run: first}}
  - Platform: {{runtime: '*'}}
    Lifecycle: {{run: second}}
"""
    runtimes: tuple[tuple[Runtime, bool], ...] = (("classic", classic), ("lite", lite))
    for runtime, fits in runtimes:
        recipe = load(text, runtime, architecture="aarch64")
        assert recipe.steps["run"].script == ("first" if fits else "second"), runtime


def test_a_platform_that_no_manifest_fits_is_refused(load: Load) -> None:
    """Without a manifest for the device the deployment fails."""
    text = HEAD + "Manifests: [{Platform: {os: windows}, Lifecycle: {run: echo}}]"
    with pytest.raises(RecipeError, match="Manifests: none fits linux amd64"):
        load(text, architecture="amd64")
    with pytest.raises(RecipeError, match="Manifests: none is for nucleus lite"):
        load(text, "lite")


def test_lite_refuses_a_manifest_without_platform(load: Load) -> None:
    """Lite stops at a manifest without a Platform, where classic takes it for any device."""
    text = HEAD + "Manifests: [{Lifecycle: {run: echo}}]"
    assert load(text).steps["run"].script == "echo"
    with pytest.raises(RecipeError, match=r"Manifests\[0\]\.Platform: missing"):
        load(text, "lite")


GLOBAL = (
    HEAD
    + """
Manifests:
  - Platform: {os: linux, runtime: '*'}
    Selections: [edge, linux]
  - Platform: {os: windows}
    Selections: [windows]
Lifecycle:
  linux: {install: echo linux, run: run linux}
  windows: {install: echo windows}
"""
)


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_a_manifest_without_lifecycle_selects_from_the_global_one(
    load: Load, runtime: Runtime
) -> None:
    """The manifest's selection keys choose the part of the global lifecycle."""
    steps = load(GLOBAL, runtime).steps
    assert {name: step.script for name, step in steps.items()} == {
        "install": "echo linux",
        "run": "run linux",
    }


def test_classic_selects_at_any_depth_of_the_global_lifecycle(load: Load) -> None:
    """Selection keys below a step choose its script; steps without keys are for all."""
    text = f"""{HEAD}
Manifests:
  - Platform: {{os: linux}}
    Selections: [linux]
  - Selections: [windows]
Lifecycle:
  install: {{linux: apt, windows: choco}}
  run: forever
"""
    steps = load(text).steps
    assert (steps["install"].script, steps["run"].script) == ("apt", "forever")


def test_classic_leaves_out_what_is_for_another_selection(load: Load) -> None:
    """Parts of the global lifecycle under the selection keys of other manifests are not there."""
    text = f"""{HEAD}
Manifests:
  - Platform: {{os: linux}}
  - Selections: [windows]
Lifecycle:
  run: {{Script: forever, Setenv: {{windows: {{DRIVE: C}}}}}}
"""
    run = load(text).steps["run"]
    assert (run.script, run.setenv) == ("forever", {})


def test_recipe_variables_are_filled_in_by_classic(load: Load) -> None:
    """Classic knows paths, thing and configuration, and leaves shell braces alone."""
    script = (
        "{iot:thingName} {work:path} {artifacts:path} {artifacts:decompressedPath} ${HOME:-x} "
        "{configuration:/interval} {configuration:/nested/a~1b/1} {configuration:/none} {a:b:c}"
    )
    text = HEAD + f"Manifests: [{{Lifecycle: {{run: '{script}'}}}}]"
    packages = "/greengrass/v2/packages"
    assert filled(load(text)).steps["run"].script == (
        "press-7 /greengrass/v2/work/com.example.Watcher "
        f"{packages}/artifacts/com.example.Watcher/1.2.3 "
        f"{packages}/artifacts-unarchived/com.example.Watcher/1.2.3 ${{HOME:-x}} "
        '60 {"deep":true} {configuration:/none} {a:b:c}'
    )


def test_recipe_variables_are_filled_in_by_lite(load: Load) -> None:
    """Lite fills in scripts and environment; its folders end with a slash."""
    steps = filled(load(BOTH, "lite"), Path("/var/lib/greengrass")).steps
    assert steps["run"].script == "exec python3 -m watcher --root /var/lib/greengrass"
    assert steps["run"].setenv["GREETING"] == "hi press-7"
    text = HEAD + "Manifests: [{Platform: {runtime: '*'}, Lifecycle: {run: 'ls {work:path}'}}]"
    run = filled(load(text, "lite"), Path("/var/lib/greengrass")).steps["run"]
    assert run.script == "ls /var/lib/greengrass/work/com.example.Watcher/"


@pytest.mark.parametrize(
    "script", ["echo ${HOME}", "f() { true; }", "{configuration:/topic}", "awk {", "{iot:region}"]
)
def test_lite_refuses_any_other_use_of_a_brace(load: Load, script: str) -> None:
    """Every brace in a script on lite begins a variable, so the shell's own are an error."""
    recipe = load(
        HEAD + f"Manifests: [{{Platform: {{runtime: '*'}}, Lifecycle: {{run: '{script}'}}}}]",
        "lite",
    )
    with pytest.raises(RecipeError, match=r"Lifecycle\.run: nucleus lite takes every '\{'"):
        filled(recipe)


def test_lite_refuses_a_recipe_larger_than_its_buffer(load: Load) -> None:
    """Lite reads 8196 bytes of recipe; classic has no such limit."""
    text = BOTH + "#" * LITE_RECIPE_LIMIT
    assert load(text).name == "com.example.Watcher"
    with pytest.raises(RecipeError, match="nucleus lite reads at most 8196"):
        load(text, "lite")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "recipe.yaml: not YAML"),
        ("- a", "recipe.yaml: must be a map"),
        ("RecipeFormatVersion: '2019'", "RecipeFormatVersion: must be 2020-01-25"),
        ("RecipeFormatVersion: 2020-01-25", "ComponentName: missing"),
        (HEAD.replace("com.example.Watcher", "'a b'"), "ComponentName: 1 to 128"),
        (HEAD.replace("1.2.3", "banana"), "ComponentVersion: not a semantic version: banana"),
        (HEAD.replace("1.2.3", "1.2"), "ComponentVersion: must be text"),
        (HEAD, "Manifests: must be a list"),
        (HEAD + "Manifests: [5]", r"Manifests\[0\]: must be a map"),
        (HEAD + "Manifests: [{Lifecycle: [run]}]", r"Manifests\[0\]\.Lifecycle: must be a map"),
        (HEAD + "Manifests: [{Lifecycle: {run: [a]}}]", r"Lifecycle\.run: must be a map"),
        (HEAD + "Manifests: [{Lifecycle: {run: {}}}]", r"Lifecycle\.run\.Script: missing"),
        (
            HEAD + "Manifests: [{Lifecycle: {run: {Script: a, Timeout: soon}}}]",
            r"Lifecycle\.run\.Timeout: must be a positive number of seconds: soon",
        ),
        (
            HEAD + "Manifests: [{Lifecycle: {run: {Script: a, RequiresPrivilege: maybe}}}]",
            r"Lifecycle\.run\.RequiresPrivilege: must be true or false",
        ),
        (
            HEAD + "Manifests: [{Lifecycle: {run: {Script: a, Skipif: never}}}]",
            r"Lifecycle\.run\.Skipif: must be",
        ),
        (
            HEAD + "Manifests: [{Lifecycle: {run: {Script: a, Setenv: {A-B: c}}}}]",
            r"Lifecycle\.run\.Setenv\.A-B: not a name",
        ),
        (
            HEAD + "Manifests: [{Platform: {os: /(/}, Lifecycle: {run: a}}]",
            r"Platform\.os: /\(/",
        ),
        (
            HEAD + "Manifests: [{Platform: {os: linux}, Selections: a}]",
            r"Manifests\[0\]\.Selections: must be a list",
        ),
    ],
)
def test_a_recipe_that_a_nucleus_refuses_says_what_and_where(
    load: Load, text: str, message: str
) -> None:
    """Every refusal names the place in the recipe and what is wrong with it."""
    with pytest.raises(RecipeError, match=message):
        load(text)


# -- artifacts ----------------------------------------------------------------------

BY_ARCHITECTURE = (
    HEAD
    + """
Manifests:
  - Platform: {os: linux, architecture: aarch64, runtime: '*'}
    Lifecycle: {run: a}
    Artifacts:
      - {Uri: 's3://b/n/1/arm.zip', Unarchive: ZIP}
      - {Uri: 's3://b/n/1/model.bin'}
  - Platform: {os: linux, runtime: '*'}
    Lifecycle: {run: b}
"""
)


@pytest.mark.parametrize("runtime", ["classic", "lite"])
def test_artifacts_are_those_of_the_manifest(load: Load, runtime: Runtime) -> None:
    """A device gets the artifacts of the manifest that its nucleus takes, and no others."""
    taken = load(BY_ARCHITECTURE, runtime, architecture="aarch64")
    assert taken.artifacts == (Artifact("arm.zip", True), Artifact("model.bin", False))
    assert load(BY_ARCHITECTURE, runtime, architecture="amd64").artifacts == ()


@pytest.mark.parametrize(
    "broken", ["Artifacts: 7", "Artifacts: [{Unarchive: ZIP}]", "Artifacts: [7]"]
)
def test_artifacts_that_are_none(load: Load, broken: str) -> None:
    """Artifacts are a list of mappings with a URI."""
    text = BY_ARCHITECTURE.replace("Lifecycle: {run: b}", "Lifecycle: {run: b}\n    " + broken)
    with pytest.raises(RecipeError, match="Artifacts"):
        load(text, architecture="amd64")


def test_another_kind_of_archive(load: Load) -> None:
    """Nuclei unpack ZIP, and nothing else."""
    with pytest.raises(RecipeError, match="must be NONE or ZIP"):
        load(BY_ARCHITECTURE.replace("ZIP", "TAR"), architecture="aarch64")
