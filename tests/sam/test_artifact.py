"""What `sam build` makes of each function: all that it needs, for Lambda's machine, and no more.

Needs SAM's command line and a package index: `make lint-cloud` runs it.
"""

from __future__ import annotations

import filecmp
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import boto3
import pytest

from tests.cloud.deployment import FUNCTIONS, deployed
from tests.packaging.source import PROJECT

CLOUD = PROJECT / "cloud"
SAM = os.environ.get("CERTKEEPER_SAM", "")
OURS = {
    "functions": CLOUD / "functions",
    "rotation_cloud": CLOUD / "rotation_cloud",
    "rotation_protocol": PROJECT / "src" / "rotation_protocol",
}
#: What Lambda's runtime has beside Python itself.
RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
#: e_machine of an ELF file (System V ABI), by the names of template.yaml's Architectures.
MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}

pytestmark = pytest.mark.timeout(600)
if not SAM:
    pytest.skip("make lint-cloud runs it, with SAM", allow_module_level=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of every function's artifact, by SAM as an operator runs it."""
    folder = tmp_path_factory.mktemp("build")
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    run([SAM, "build", "--build-dir", str(folder)], environment)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact for this machine and this Python, by the same Makefile."""
    folder = tmp_path_factory.mktemp("here")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = (f"LAMBDA_MACHINE={platform.machine()}", f"LAMBDA_PYTHON={version}")
    run(["make", f"build-{FUNCTIONS[0]}", f"PYTHON={sys.executable}", *wanted], artifacts(folder))
    return folder


def artifacts(folder: Path) -> dict[str, str]:
    return {**os.environ, "ARTIFACTS_DIR": str(folder)}


def run(
    command: list[str], environment: dict[str, str], cwd: Path = CLOUD
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def packaged(folder: Path) -> set[Path]:
    """What the installed packages say that they consist of."""
    return {
        folder / str(file)
        for metadata in folder.glob("*.dist-info")
        for file in PathDistribution(metadata).files or ()
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_left_out_and_nothing_is_too_much(built: Path, function: str) -> None:
    """An artifact is our three packages as they are, and what requirements/cloud.txt names."""
    folder = built / function
    names = {path.name.partition("-")[0] for path in folder.glob("*.dist-info")}
    wanted = (PROJECT / "requirements" / "cloud.txt").read_text("utf-8")
    assert names == set(re.findall(r"^([a-z]+)==", wanted, re.M))
    for name, source in OURS.items():
        there = sorted(path.relative_to(source) for path in files(source) if path.suffix == ".py")
        assert there
        assert sorted(path.relative_to(folder / name) for path in files(folder / name)) == there
        same, _, _ = filecmp.cmpfiles(source, folder / name, map(str, there), shallow=False)
        assert len(same) == len(there)
    ours = {path for name in OURS for path in files(folder / name)}
    assert set(files(folder)) - ours <= packaged(folder)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_for_lambdas_machine(built: Path, function: str) -> None:
    """Every library in it is for the architecture and the Python that the template names."""
    runtime, architecture = deployed().runtime(function)
    libraries = [path for path in files(built / function) if path.suffix == ".so"]
    assert libraries
    for library in libraries:
        head = library.read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == MACHINES[architecture]
        tag = runtime.replace("python", "cpython-").replace(".", "")
        assert tag in library.name or "abi3" in library.name


def test_it_is_uploaded_once(built: Path) -> None:
    """Every function has the same artifact, so that one is uploaded for all of them."""
    contents = [
        {str(path.relative_to(built / each)): path.read_bytes() for path in files(built / each)}
        for each in FUNCTIONS
    ]
    assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_its_handler_can_be_imported(here: Path, tmp_path: Path, function: str) -> None:
    """With Python's own library, Lambda's and the artifact, each handler is found and loads."""
    site = Path(boto3.__file__).parents[1]
    for name in RUNTIME:
        (tmp_path / name).symlink_to(site / name)
    module, _, name = deployed().handler(function).rpartition(".")
    code = (
        f"import sys; sys.path += [{str(here)!r}, {str(tmp_path)!r}]\n"
        f"import {module} as found, cryptography, rotation_cloud\n"
        f"assert callable(found.{name})\n"
        f"for each in (found, cryptography, rotation_cloud): print(each.__file__)\n"
    )
    # -S: nothing of this environment's own packages.
    done = run([sys.executable, "-I", "-S", "-B", "-c", code], {}, tmp_path)
    assert all(line.startswith(str(here)) for line in done.stdout.splitlines())


def test_elsewhere_it_says_what_to_do(tmp_path: Path) -> None:
    """Built in a copy of the folder, as SAM does unless it is told, it fails and says why."""
    (tmp_path / "Makefile").write_bytes((CLOUD / "Makefile").read_bytes())
    done = subprocess.run(
        ["make", "build-CreateFunction"],
        cwd=tmp_path,
        env=artifacts(tmp_path / "out"),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "samconfig.toml" in done.stderr
