"""The wheels that go with an artifact: exactly what the list pins, for other machines than this."""

from __future__ import annotations

from pathlib import Path

import pytest

from component_build.errors import BuildError
from component_build.wheels import DEVICE, INSTALLER, PYTHONS, USUAL_PYTHONS, fetch, requirements
from tests.component_build.tree import PROJECT
from tests.component_build.wheel_index import copy_pip, pinned, tiny

LIST = (PROJECT / DEVICE).read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose packages are in a folder here: pip asks no index."""
    index, folder = tmp_path / "index", tmp_path / "project"
    (folder / "requirements").mkdir(parents=True)
    wheels = [
        tiny(index),
        tiny(index, name="binary", tag="cp39-abi3-manylinux2014_x86_64"),
        tiny(index, name="binary", tag="cp39-abi3-manylinux_2_17_aarch64"),
        tiny(index, "1.0", "old"),
        tiny(index, "2.0", "old"),
    ]
    lines = pinned(wheels[0])
    binary = [pinned(wheel).split("\n")[1] for wheel in wheels[1:3]]
    lines += "binary==1.0 \\\n" + " \\\n".join(binary) + "\n"
    for wheel, marker in zip(wheels[3:], ("< '3.10'", ">= '3.10'"), strict=True):
        pin, digest = pinned(wheel).strip().split(" \\\n")
        lines += f"{pin} ; python_full_version {marker} \\\n{digest}\n"
    (folder / DEVICE).write_text(lines)
    (folder / INSTALLER).write_text(pinned(copy_pip(index)))
    for name, value in (
        ("NO_INDEX", "1"),
        ("FIND_LINKS", str(index)),
        ("CONFIG_FILE", "/dev/null"),
    ):
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def names(wheels: dict[str, bytes]) -> set[str]:
    return {path.rpartition("/")[2] for path in wheels if not path.startswith("wheels/pip-")}


def test_for_other_machines(project: Path) -> None:
    """For each architecture and Python the wheels that fit it, whatever this machine is."""
    told: list[str] = []
    fetched = fetch(project, ["amd64", "aarch64"], ["3.9", "3.13"], told.append)
    olds = {"old-1.0-py3-none-any.whl", "old-2.0-py3-none-any.whl"}
    common = {"tiny-1.0-py3-none-any.whl", "FOR", *olds}
    assert {architecture: names(wheels) for architecture, wheels in fetched.items()} == {
        "amd64": common | {"binary-1.0-cp39-abi3-manylinux2014_x86_64.whl"},
        "aarch64": common | {"binary-1.0-cp39-abi3-manylinux_2_17_aarch64.whl"},
    }
    assert all(path.startswith("wheels/") for wheels in fetched.values() for path in wheels)
    assert fetched["aarch64"]["wheels/FOR"] == (
        b"CPython 3.9 3.13 on aarch64 with glibc 2.17 or newer\n"
    )
    assert [line.split("(")[0].strip() for line in told[1:]] == [
        f"fetching   {architecture}, Python {python}"
        for architecture in ("amd64", "aarch64")
        for python in ("3.9", "3.13")
    ]


def test_pip_goes_with_them(project: Path) -> None:
    """pip's wheel is there, so that a device needs none of its own."""
    wheels = fetch(project, ["amd64"], ["3.13"], lambda _: None)["amd64"]
    assert len([path for path in wheels if path.startswith("wheels/pip-")]) == 1


def test_a_wheel_that_was_changed_is_refused(project: Path, tmp_path: Path) -> None:
    """A wheel that does not have the pinned hash is not packed."""
    path = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BuildError, match="DO NOT MATCH THE HASHES"):
        fetch(project, ["amd64"], ["3.13"], lambda _: None)


def test_a_list_without_hashes_is_refused(project: Path) -> None:
    """What nothing vouches for is not packed."""
    (project / DEVICE).write_text("tiny==1.0\n")
    with pytest.raises(BuildError, match="hash"):
        fetch(project, ["amd64"], ["3.13"], lambda _: None)


def test_what_cannot_be_had_is_named(project: Path, tmp_path: Path) -> None:
    """Without a wheel for a machine the message names package and machine, and what to do."""
    (tmp_path / "index" / "binary-1.0-cp39-abi3-manylinux_2_17_aarch64.whl").unlink()
    with pytest.raises(BuildError) as failure:
        fetch(project, ["aarch64"], ["3.13"], lambda _: None)
    said = str(failure.value)
    assert said.startswith("the packages for aarch64 and Python 3.13 could not be fetched")
    assert "binary==1.0" in said
    assert "--architecture" in said


def test_the_installer_is_pip(project: Path) -> None:
    """A list that pins something else in its place is refused."""
    (project / INSTALLER).write_text((project / DEVICE).read_text().partition("\nbinary")[0] + "\n")
    with pytest.raises(BuildError, match="must pin pip and nothing else"):
        fetch(project, ["amd64"], ["3.13"], lambda _: None)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_once_for_a_python(python: str) -> None:
    """Of the real list every package is there once, with its hashes and without a marker."""
    lines = list(requirements(LIST, python))
    packages = [line.partition("==")[0] for line in lines]
    assert len(packages) == len(set(packages))
    assert {"awscrt", "awsiotsdk", "cffi", "cronsim", "cryptography", "pyyaml"} <= {*packages}
    assert [line for line in lines if ";" in line or " --hash=sha256:" not in line] == []
    assert ("typing-extensions" in packages) == (python in ("3.9", "3.10"))


def test_markers_are_those_of_the_device() -> None:
    """What a marker decides is decided for the device's Python, not for this one."""
    versions = {
        python: {line.split(" ")[0] for line in requirements(LIST, python)} for python in PYTHONS
    }
    assert versions["3.9"] - versions["3.10"]
    assert versions["3.10"] - versions["3.11"]
    assert versions["3.11"] == versions["3.14"]


def test_a_line_that_is_none() -> None:
    """A line that pins nothing is said to be none."""
    with pytest.raises(BuildError, match="is no requirement"):
        list(requirements("-r other.txt\n", "3.11"))


def test_the_usual_ones_can_be_chosen() -> None:
    """What is packed unless something is chosen can be chosen too."""
    assert set(USUAL_PYTHONS) <= set(PYTHONS)
