"""``status`` prints store and journal; ``release`` refuses while a rotation is under way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from certkeeper.core import journal
from certkeeper.core.journal import Journal, Phase
from certkeeper.edge.file_store import FileStore
from tests.commands.command_line import CANNOT_TELL, CROSSED, FINE, certkeeper
from tests.greengrass_root import GreengrassRoot, install


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it."""
    return install(tmp_path)


def store(root: GreengrassRoot) -> FileStore:
    return FileStore(root.certificate, root.key)


def test_before_the_first_rotation(root: GreengrassRoot) -> None:
    """Nothing is adopted, nothing is under way, and both slots are empty."""
    answer = certkeeper("status", "--root", root.folder)
    assert answer.code == FINE
    assert "not adopted" in answer.lines[0]
    assert answer.lines[2] == "rotation  no rotation is under way"
    assert [line.split()[:2] for line in answer.lines[5:]] == [["a", "empty"], ["b", "empty"]]


def test_under_way(root: GreengrassRoot) -> None:
    """Phase and job are told, the slot in use is marked, and release is refused."""
    store(root).adopt()
    path = store(root).folder / "journal.json"
    path.write_bytes(journal.encode(Journal(Phase.REQUESTING, "job-1")))
    answer = certkeeper("status", "--root", root.folder)
    assert answer.code == CROSSED
    assert "rotation  requesting, job job-1" in answer.lines
    assert "in use, whole" in answer.out
    refused = certkeeper("release", "--root", root.folder)
    assert refused.code == CANNOT_TELL
    assert "let it end, or cancel its job" in refused.err
    assert root.key.is_symlink()


def test_for_scripts(root: GreengrassRoot) -> None:
    """As JSON; a journal that cannot be read is no answer."""
    store(root).adopt()
    (store(root).folder / "journal.json").write_text("{")
    answer = certkeeper("status", "--root", root.folder, "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["exitCode"]) == (CANNOT_TELL, CANNOT_TELL)
    assert (told["adopted"], told["current"]) == (True, "a")
    assert told["journalProblem"]


def test_released(root: GreengrassRoot) -> None:
    """The links become plain files of the same bytes, and the store is gone."""
    before = root.key.read_bytes()
    store(root).adopt()
    answer = certkeeper("release", "--root", root.folder)
    assert answer.code == FINE
    assert not root.key.is_symlink()
    assert root.key.read_bytes() == before
    assert not store(root).folder.exists()
    assert "nothing to release" in certkeeper("release", "--root", root.folder).out
