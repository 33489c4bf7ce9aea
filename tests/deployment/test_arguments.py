"""The command line: what it takes, what it refuses, and that it is documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployment import progress
from deployment.arguments import options
from tests.packaging.markdown import coded, document, first_column, rows, section
from tests.packaging.source import PROJECT

SCRIPT = PROJECT / "deploy_component_version.py"


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, **environment},
        check=False,
    )


def test_defaults() -> None:
    """Version and group are enough."""
    asked = options(["0.1.0", "presses"])
    assert (asked.version, asked.group, asked.patience_minutes) == ("0.1.0", "presses", 30)
    assert (asked.create, asked.dry_run, asked.again, asked.rollback, asked.watch) == (False,) * 5


@pytest.mark.parametrize("option", ["--rollback", "--watch"])
def test_without_a_version(option: str) -> None:
    """To roll back or to watch there is only a group to be named."""
    asked = options([option, "presses"])
    assert (asked.version, asked.group) == (None, "presses")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "the following arguments are required: THING_GROUP"),
        ("presses", "VERSION and THING_GROUP are needed"),
        ("1.0 presses", "'1.0' is not a version"),
        ("v1.0.0 presses", "write 1.0.0"),
        ("presses 0.1.0", "'presses' is not a version"),
        ("--rollback 0.1.0 presses", "--rollback takes no VERSION"),
        ("--watch 0.1.0 presses", "--watch takes no VERSION"),
        ("--watch --rollback presses", "--rollback watches anyway"),
        ("--rollback --create presses", "--rollback does not go with --create"),
        ("--rollback --config x presses", "--rollback does not go with --config"),
        ("--watch --dry-run presses", "--watch does not go with --dry-run"),
        ("--watch --again presses", "--watch does not go with --again"),
        ("--patience 0 0.1.0 presses", "--patience must be more than 0"),
        ("--patience nan 0.1.0 presses", "--patience must be more than 0"),
        ("--patience soon 0.1.0 presses", "invalid float value"),
        ("--dry 0.1.0 presses", "unrecognized arguments: --dry"),
    ],
)
def test_usage(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be meant is refused with the usage, before anything is asked."""
    with pytest.raises(SystemExit) as ended:
        options(line.split())
    assert ended.value.code == progress.NOT_DEPLOYED
    assert said in capsys.readouterr().err


# -- documentation ------------------------------------------------------------------------


def the_help(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        options(["--help"])
    return capsys.readouterr().out


def test_options_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """operations.md names every option, and no other."""
    known = set(re.findall(r"(?<![\w-])--[a-z-]+", the_help(capsys))) - {"--help"}
    said = first_column(section(document("operations.md"), "Deploy a version"))
    assert {option.split()[0] for option in said} == known


def test_exit_codes_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """operations.md and --help have every exit code."""
    codes = {
        progress.SUCCEEDED,
        progress.UNSUCCESSFUL,
        progress.NOT_DEPLOYED,
        progress.NOT_SEEN_TO_ITS_END,
        progress.INTERRUPTED,
    }
    table = rows(section(document("operations.md"), "When it is done"))
    assert {int(row[0]) for row in table} == codes
    assert {int(code) for code in re.findall(r"^  (\d+) ", the_help(capsys), re.M)} == codes


def test_what_is_left_is_documented() -> None:
    """operations.md explains each sentence that is said of a device that failed."""
    said = {
        word
        for row in rows(section(document("operations.md"), "While it is watched"))
        for word in coded(row[0])
    }
    sentences = [*progress._LEFT_BEHIND.values(), *progress._WITHOUT_DETAILS.values()]
    explained = [any(sentence.startswith(word) for word in said) for sentence in sentences]
    assert [s for s, known in zip(sentences, explained, strict=True) if not known] == [
        progress._WITHOUT_DETAILS["REJECTED"],
        progress._WITHOUT_DETAILS["CANCELED"],
    ]


# -- the script itself --------------------------------------------------------------------


def test_help_from_anywhere() -> None:
    """The script finds its modules wherever it is called from."""
    ended = start("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "deploy_component_version.py [options] VERSION THING_GROUP" in ended.stdout


def test_packages_that_are_missing(tmp_path: Path) -> None:
    """Without its packages it says which are needed, and that nothing was deployed."""
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\")\n")
    ended = start("0.1.0", "presses", PYTHONPATH=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (progress.NOT_DEPLOYED, "")
    assert "No module named 'rich'" in ended.stderr
    assert "--require-hashes -r requirements/deploy.txt" in ended.stderr
    assert "Traceback" not in ended.stderr
