"""The shell scripts that ship: plain POSIX, and what they do where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.source import PROJECT, project_files

SCRIPTS = sorted(path for path in project_files() if path.suffix == ".sh")
#: /bin/sh is another program on each system; those that are here are all asked.
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def test_the_scripts_are_found() -> None:
    """The scripts that the recipe runs are among those that are looked at."""
    names = {path.name for path in SCRIPTS if path.parent == PROJECT / "src"}
    assert {"install.sh", "run.sh"} <= names


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_syntax(script: Path, shell: str) -> None:
    """Every shell at hand takes the script's syntax."""
    command = [shell, "sh"] if shell == "busybox" else [shell]
    checked = subprocess.run([*command, "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_plain_text(script: Path) -> None:
    """Scripts are ASCII with Unix line ends, whatever edited them."""
    content = script.read_bytes()
    assert content.isascii()
    assert b"\r" not in content
    assert content.endswith(b"\n")


# -- what they do -------------------------------------------------------------------


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """The unpacked artifact, in a folder whose name has a blank, as far as the scripts need it."""
    folder = tmp_path / "my artifact"
    folder.mkdir()
    for script in (PROJECT / "src").glob("*.sh"):
        shutil.copy(script, folder)
    shutil.copy(PROJECT / "requirements" / "device.txt", folder / "requirements.txt")
    (folder / "work dir").mkdir()
    (folder / "bin").mkdir()
    for command in ("cmp", "cp", "dirname", "mv", "rm", "sh", "sync", "uname"):
        found = shutil.which(command)
        assert found is not None
        (folder / "bin" / command).symlink_to(found)
    return folder


def stub(path: Path, script: str) -> Path:
    """A program that is this shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def run(artifact: Path, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts, with only the artifact's own programs on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        ["sh", str(artifact / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment, "PATH": str(artifact / "bin")},
        check=False,
    )


def test_no_python(artifact: Path) -> None:
    """Where there is no Python at all, install fails with a reason and a remedy."""
    ended = run(artifact, "install.sh", artifact / "work dir")
    assert ended.returncode == 1
    assert ended.stderr.startswith("install-failed ")
    assert "remedy=" in ended.stderr


def test_a_python_that_is_too_old(artifact: Path) -> None:
    """A Python that is too old is passed over, even if it is the one called python3."""
    stub(artifact / "bin" / "python3", "exit 1")
    assert run(artifact, "install.sh", artifact / "work dir").returncode == 1
    stub(artifact / "bin" / "python3.9", 'case "$1" in -) cat >/dev/null;; esac; exit 0')
    found = shutil.which("cat")
    assert found is not None
    (artifact / "bin" / "cat").symlink_to(found)
    ended = run(artifact, "install.sh", artifact / "work dir")
    assert ended.returncode == 0
    assert f"python={artifact}/bin/python3.9 packages=system" in ended.stdout


@pytest.mark.parametrize("failing", ["venv", "pip"])
def test_an_install_that_fails_leaves_nothing(artifact: Path, failing: str) -> None:
    """Where the packages cannot be had, install says so, and no half an environment is left."""
    inner = "exit 1" if failing == "pip" else "exit 0"
    stub(
        artifact / "bin" / "python3",
        f"""case "$1" in
        -c) exit 0 ;;
        -V) echo "Python 3.11.7"; exit 0 ;;
        -) while read -r line; do :; done; exit 1 ;;
        esac
        [ {failing} = venv ] && exit 1
        /bin/mkdir -p "$3/bin"
        printf '#!/bin/sh\\n{inner}\\n' > "$3/bin/python"
        /bin/chmod 755 "$3/bin/python" """,
    )
    ended = run(artifact, "install.sh", artifact / "work dir")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("install-failed ")
    assert list((artifact / "work dir").iterdir()) == []


def test_run_becomes_the_program(artifact: Path) -> None:
    """The program gets its arguments whole, and its exit code is the script's."""
    program = stub(
        artifact / "work dir" / "venv" / "bin" / "python",
        'for argument; do echo "[$argument]"; done; echo "$PYTHONPATH"; exit 7',
    )
    (artifact / "work dir" / "python").write_text(f"{program}\n")
    ended = run(artifact, "run.sh", "/gg root", artifact / "work dir")
    assert ended.stdout.splitlines() == [
        *("[-m]", "[certkeeper]", "[run]", "[--root]", "[/gg root]", "[--work]"),
        f"[{artifact / 'work dir'}]",
        str(artifact),
    ]
    assert ended.returncode == 7


@pytest.mark.parametrize("arguments", [(), ("/gg",)])
def test_run_wants_its_arguments(artifact: Path, arguments: tuple[str, ...]) -> None:
    """Without root or work folder nothing is started, and the usage is said."""
    ended = run(artifact, "run.sh", *arguments)
    assert ended.returncode != 0
    assert "usage: run.sh" in ended.stderr
