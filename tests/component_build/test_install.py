"""install.sh with wheels beside it: no network, no pip of the device's own, nothing half done.

The packages are tiny ones here; ``python -m lab offline`` and ``make bench`` do it with the real
ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.offline import OfflineFailed, cut_off, require_a_namespace
from tests.component_build.tree import PROJECT
from tests.component_build.wheel_index import copy_pip, pinned, tiny

#: A Python that has none of the packages: the one that this environment is made of.
PYTHON = Path(sys.base_prefix) / "bin"


class Device:
    """An unpacked artifact, and the work folder of its component."""

    def __init__(self, folder: Path) -> None:
        self.artifact = folder / "my artifact"
        self.work = folder / "work dir"
        self.wheels = self.artifact / "wheels"
        self.wheels.mkdir(parents=True)
        self.work.mkdir()
        for script in (PROJECT / "src").glob("*.sh"):
            shutil.copy(script, self.artifact)
        copy_pip(self.wheels)
        (self.wheels / "FOR").write_text("CPython 3.11 on x86_64\n")
        self.pin(tiny(self.wheels))

    def pin(self, *wheels: Path) -> None:
        """What requirements.txt asks for."""
        (self.artifact / "requirements.txt").write_text(pinned(*wheels))

    def install(
        self, *, offline: bool = False, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run install.sh, where there is no index to be asked."""
        path = os.pathsep.join([str(PYTHON), "/usr/bin", "/bin"])
        command = ["sh", str(self.artifact / "install.sh"), str(self.work)]
        return subprocess.run(
            cut_off(command) if offline else command,
            env={"PATH": path, "PIP_NO_INDEX": "1", **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def version(self) -> str:
        """The version of the package that the component's Python has."""
        python = (self.work / "python").read_text().strip()
        asked = [python, "-c", "import tiny; print(tiny.version)"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device on which nothing is installed."""
    return Device(tmp_path)


def packages(ended: subprocess.CompletedProcess[str]) -> str:
    """Where the packages are said to be from."""
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1].rpartition("packages=")[2]


def test_from_the_wheels(device: Device) -> None:
    """The pip that comes with the wheels installs them, into an environment without one."""
    ended = device.install()
    assert packages(ended) == "wheels"
    assert ended.stderr == ""
    assert device.version() == "1.0"
    assert not list(device.work.glob("venv/**/pip"))
    assert sorted(path.name for path in device.work.iterdir()) == ["python", "venv"]


def test_with_the_network_cut_off(device: Device) -> None:
    """Where there is no network at all it is the same."""
    try:
        require_a_namespace()
    except OfflineFailed as failure:
        pytest.skip(str(failure))
    assert packages(device.install(offline=True)) == "wheels"
    assert device.version() == "1.0"


def test_what_is_there_is_kept(device: Device) -> None:
    """At a later start of the nucleus nothing is made anew, even if the wheels are gone."""
    device.install()
    before = (device.work / "venv").stat().st_ino
    shutil.rmtree(device.wheels)
    assert packages(device.install()) == "kept"
    assert (device.work / "venv").stat().st_ino == before
    assert device.version() == "1.0"


def test_half_an_environment_is_not_kept(device: Device) -> None:
    """What a power cut left, in whatever state, is made anew."""
    device.install()
    (device.work / "venv" / "requirements.txt").unlink()
    (device.work / "venv.new" / "lib").mkdir(parents=True)
    assert packages(device.install()) == "wheels"
    assert not (device.work / "venv.new").exists()
    assert device.version() == "1.0"


def test_an_environment_of_another_python_is_not_kept(device: Device) -> None:
    """After an upgrade of the system the packages are not where Python looks: made anew."""
    device.install()
    [library] = device.work.glob("venv/lib/python*")
    library.rename(library.with_name("python3.1"))
    assert packages(device.install()) == "wheels"


def test_an_update_takes_the_new_packages(device: Device) -> None:
    """Another list of packages is another environment."""
    device.install()
    device.pin(tiny(device.wheels, "2.0"))
    assert packages(device.install()) == "wheels"
    assert device.version() == "2.0"


@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_wheels_that_do_not_do(device: Device, fault: str) -> None:
    """A wheel that was changed, or is not there, is not installed; the index is asked; and if that
    fails too, what to do is said, and what was installed before stays."""
    device.install()
    wheel = tiny(device.wheels, "2.0")
    device.pin(wheel)
    if fault == "changed":
        wheel.write_bytes(wheel.read_bytes() + b"more")
    else:
        wheel.unlink()
    ended = device.install()
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("install-")]
    assert said[0].startswith("install-fallback reason=")
    assert 'packed="CPython 3.11 on x86_64"' in said[0]
    assert said[1].startswith("install-failed reason=")
    assert "gdk_build.py --wheels" in said[1]
    assert device.version() == "1.0"
    assert not (device.work / "venv.new").exists()


def test_a_list_without_hashes_is_not_installed(device: Device) -> None:
    """What nothing vouches for is installed neither from the wheels nor from the index."""
    (device.artifact / "requirements.txt").write_text("tiny==1.0\n")
    assert device.install().returncode == 1
    assert list(device.work.iterdir()) == []


def test_the_index_is_asked_if_the_wheels_do_not_do(device: Device, tmp_path: Path) -> None:
    """Wheels for other devices cost nothing but a line in the log, where there is an index."""
    elsewhere = tiny(tmp_path / "index", "2.0")
    device.pin(elsewhere)
    ended = device.install(environment={"PIP_FIND_LINKS": str(elsewhere.parent)})
    assert packages(ended) == "index"
    assert "install-fallback " in ended.stderr
    assert device.version() == "2.0"


def test_the_devices_own_pip_has_no_say(device: Device, tmp_path: Path) -> None:
    """Whatever pip is set up for on the device, the wheels are installed as they are pinned."""
    constraints, configuration = tmp_path / "constraints.txt", tmp_path / "pip.conf"
    constraints.write_text("tiny==9.9\n")
    configuration.write_text(f"[global]\nconstraint = {constraints}\n")
    ended = device.install(
        environment={"PIP_CONSTRAINT": str(constraints), "PIP_CONFIG_FILE": str(configuration)}
    )
    assert packages(ended) == "wheels"
    assert ended.stderr == ""
