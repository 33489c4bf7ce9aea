"""Fetches the packages of requirements/device.txt as wheels, for other machines than this one.

For each architecture and Python of the fleet, pip downloads exactly what the list pins, each
file checked against its hash; nothing is built from source. The wheels are those for glibc
2.17 and newer. pip's own wheel goes with them, so that a device needs neither pip nor
``ensurepip``. It is pinned in requirements/installer.txt, and downloads the others too:
another pip might choose other files.

Left out: musl (Alpine) and 32-bit ARM, for which a device asks its index.

Sources: PEP 427, PEP 508, PEP 600; "pip download" in pip's documentation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from component_build.errors import BuildError

#: Greengrass's words for an architecture, and Python's.
ARCHITECTURES = {"amd64": "x86_64", "aarch64": "aarch64"}
#: Versions of Python that wheels can be chosen for, and for each the first that counts: the
#: list does without 3.9.0 and 3.9.1.
PYTHONS = {
    "3.9": "3.9.2",
    "3.10": "3.10.0",
    "3.11": "3.11.0",
    "3.12": "3.12.0",
    "3.13": "3.13.0",
    "3.14": "3.14.0",
}
USUAL_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
#: The wheels' folder in an artifact, and the file in it that says for whom they are.
FOLDER = "wheels"
FOR = "FOR"

DEVICE = Path("requirements", "device.txt")
INSTALLER = Path("requirements", "installer.txt")
_TAGS = ("manylinux2014", "manylinux_2_17")


def fetch(
    project: Path,
    architectures: Sequence[str],
    pythons: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, dict[str, bytes]]:
    """The wheels for each architecture: contents by their paths in the artifact.

    ``architectures`` are keys of ARCHITECTURES, ``pythons`` of PYTHONS; ``say`` is told of
    each step. Where pip looks is its own configuration's affair. Raises BuildError if
    something cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="certkeeper-wheels-") as scratch:
        folder = Path(scratch)
        pip = _installer(project, folder / "installer", say)
        fetched = {}
        steps = len(architectures) * len(pythons)
        for architecture in architectures:
            target = folder / architecture
            for python in pythons:
                steps -= 1
                say(f"fetching   {architecture}, Python {python} ({steps} more to come)")
                _download(project, pip, target, architecture, python)
            files = {path.name: path.read_bytes() for path in sorted(target.iterdir())}
            files[pip.name] = pip.read_bytes()
            files[FOR] = _for(architecture, pythons).encode()
            fetched[architecture] = {f"{FOLDER}/{name}": data for name, data in files.items()}
        return fetched


def requirements(text: str, python: str) -> Iterator[str]:
    """The lines of a list with hashes that hold on Linux with this Python, markers resolved.

    pip resolves markers by the Python that it runs on, also when it downloads for another.
    Raises BuildError for a line that is no pinned requirement.
    """
    full = PYTHONS[python]
    environment = {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "python_version": python,
        "python_full_version": full,
    }
    for line in text.replace("\\\n", " ").splitlines():
        content = line.split(" #")[0].strip()
        if not content or content.startswith("#"):
            continue
        named, *hashes = content.split(" --hash=")
        try:
            requirement = Requirement(named)
        except InvalidRequirement as error:
            raise BuildError(f"{DEVICE}: {named!r} is no requirement: {error}") from error
        if requirement.marker is None or requirement.marker.evaluate(environment):
            plain = f"{requirement.name}{requirement.specifier}"
            yield " ".join([plain, *(f"--hash={each.strip()}" for each in hashes)])


def _installer(project: Path, folder: Path, say: Callable[[str], None]) -> Path:
    say("fetching   pip, which goes with the wheels")
    command = (sys.executable, "-m", "pip")
    _pip(command, folder, ["--requirement", str(project / INSTALLER)], "pip itself")
    found = sorted(folder.glob("pip-*.whl"))
    if len(found) != 1:
        raise BuildError(f"{INSTALLER} must pin pip and nothing else")
    return found[0]


def _download(project: Path, pip: Path, target: Path, architecture: str, python: str) -> None:
    wanted = requirements((project / DEVICE).read_text("utf-8"), python)
    chosen = pip.with_name("requirements.txt")
    chosen.write_text("".join(f"{line}\n" for line in wanted))
    machine = ARCHITECTURES[architecture]
    arguments = ["--requirement", str(chosen), "--implementation", "cp"]
    arguments += ["--python-version", PYTHONS[python]]
    for tag in _TAGS:
        arguments += ["--platform", f"{tag}_{machine}"]
    what = f"the packages for {architecture} and Python {python}"
    _pip((sys.executable, str(pip / "pip")), target, arguments, what)


def _pip(command: Sequence[str], target: Path, arguments: Sequence[str], what: str) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-input")
    how = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--dest", str(target))
    target.mkdir(exist_ok=True)
    ended = subprocess.run(  # noqa: S603  # this Python, with arguments of our own
        [*command, "download", *options, *how, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    if ended.returncode != 0:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        raise BuildError(
            f"{what} could not be fetched. pip says:\n"
            + "\n".join(f"  {line[:400]}" for line in said or ended.stderr.splitlines()[-3:])
            + "\nLet this machine reach its package index, or choose others with --python and "
            "--architecture."
        )


def _for(architecture: str, pythons: Sequence[str]) -> str:
    machine = ARCHITECTURES[architecture]
    return f"CPython {' '.join(pythons)} on {machine} with glibc 2.17 or newer\n"
