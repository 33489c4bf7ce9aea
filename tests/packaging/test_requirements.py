"""What is installed is pinned and hashed, and the device gets no more than it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from tests.packaging.source import PROJECT

FOLDER = PROJECT / "requirements"
LISTS = ("device", "installer", "build", "lab", "deploy", "dev")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z0-9,_-]+\])?==(?P<version>[0-9][\w.!+]*)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
#: A name in an .in file, with extras and perhaps a version.
NAMED = re.compile(r"([A-Za-z0-9._-]+)")
#: The AWS SDK for Python takes some 15 MB of memory, and a device needs none of it.
NOT_ON_DEVICES = {"boto3", "botocore", "s3transfer", "moto", "requests", "pytest"}


@dataclass
class Pinned:
    """One package of a list: its version, when it is wanted, and how many hashes it has."""

    name: str
    version: str
    marker: str = ""
    hashes: int = 0
    odd: list[str] = field(default_factory=list)


def pinned(which: str) -> list[Pinned]:
    """Every package of a list; whatever is neither a pin nor a hash of it is ``odd``."""
    found: list[Pinned] = []
    text = (FOLDER / f"{which}.txt").read_text("utf-8")
    for entry in text.replace("\\\n", " ").splitlines():
        content = entry.split(" #")[0].strip()
        if not content or content.startswith("#"):
            continue
        head, *rest = content.split(" --hash=")
        requirement, _, marker = (part.strip() for part in head.partition(";"))
        pin = PIN.fullmatch(requirement)
        assert pin is not None, f"{which}.txt: {requirement} is not pinned"
        package = Pinned(pin["name"], pin["version"], marker)
        for each in rest:
            package.hashes += 1
            if not HASH.fullmatch(f"--hash={each.strip()}"):
                package.odd.append(each)
        found.append(package)
    return found


@pytest.mark.parametrize("which", LISTS)
def test_every_package_is_pinned_and_hashed(which: str) -> None:
    """Each line of a list is one version, with at least one SHA-256, and nothing else."""
    packages = pinned(which)
    assert packages
    assert [p for p in packages if p.hashes == 0 or p.odd] == []


@pytest.mark.parametrize("which", LISTS)
def test_no_package_is_pinned_twice(which: str) -> None:
    """A package stands twice only if it is never wanted twice."""
    seen: dict[str, list[str]] = {}
    for package in pinned(which):
        seen.setdefault(package.name, []).append(package.marker)
    for name, markers in seen.items():
        assert len(set(markers)) == len(markers), name
        assert len(markers) == 1 or all(markers), name


@pytest.mark.parametrize("which", LISTS)
def test_what_is_named_is_pinned(which: str) -> None:
    """Whatever an .in file names is in the list beside it, in the version that it names."""
    versions = {package.name: package.version for package in pinned(which)}
    for line in (FOLDER / f"{which}.in").read_text("utf-8").splitlines():
        wanted = line.split("#")[0].strip()
        if not wanted or wanted.startswith("-r "):
            continue
        name = NAMED.match(wanted)
        assert name is not None
        package = name[1].lower().replace("_", "-")
        assert package in versions, f"{which}.txt has no {package}: run make lock"
        _, _, version = wanted.partition("==")
        assert version in ("", versions[package])


def test_the_device_gets_little() -> None:
    """On the device there is no AWS SDK and no tool for tests."""
    names = {package.name for package in pinned("device")}
    assert names & NOT_ON_DEVICES == set()
    assert names >= {"awsiotsdk", "awscrt", "cryptography", "cronsim", "pyyaml"}


def test_deploying_is_tested_with_what_operators_install() -> None:
    """What an operator installs to deploy is what the tests run with, to the version."""
    names = {package.name: package.version for package in pinned("deploy")}
    assert names.items() <= {package.name: package.version for package in pinned("dev")}.items()
    assert names.keys() >= {"boto3", "pyyaml", "rich"}


@pytest.mark.parametrize("which", ["lab", "dev"])
def test_the_component_is_tested_with_what_it_ships_with(which: str) -> None:
    """What the device gets is what the lab and the tests run with, to the version."""
    device = {package.name: package.version for package in pinned("device") if not package.marker}
    here = {package.name: package.version for package in pinned(which)}
    assert device.items() <= here.items()
