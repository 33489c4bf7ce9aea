"""The component's own files as they are found after accidents; what every store does is in
tests/contract."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certkeeper.core.record import Message, Record
from certkeeper.edge import state_files
from certkeeper.edge.state_files import ConfigurationFile, RecordFile
from certkeeper.ports import StoreError
from tests.greengrass_root import open_folder, without_privilege

RECORD = Record(
    newest_seen=datetime(2026, 11, 22, tzinfo=UTC),
    alerted=(("ab|7", datetime(2026, 11, 21, tzinfo=UTC)),),
    waiting=(Message("ab|7", "greengrass/alerts/certificates", "{}"),),
)
DAMAGED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\0" * 512, id="NULs"),
    pytest.param(b'{"version": 1, "alerted": {', id="torn"),
    pytest.param(b"\xff\xfe\xff", id="not-UTF-8"),
    pytest.param(b"[]", id="a-list"),
    pytest.param(b"17", id="a-number"),
    pytest.param(b"[" * 100_000, id="deep"),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_told(tmp_path: Path, content: bytes) -> None:
    """A record that cannot be understood is an empty one, with the reason; never taken for new."""
    (tmp_path / "record.json").write_bytes(content)
    record, problem = RecordFile(tmp_path).load()
    assert record == Record()
    assert problem


def test_a_record_of_a_later_version_is_told(tmp_path: Path) -> None:
    """A record that a later version wrote is not guessed at."""
    (tmp_path / "record.json").write_text('{"version": 2}')
    assert RecordFile(tmp_path).load() == (Record(), "its version is 2, not 1")


def test_a_record_is_as_large_as_it_may_be(tmp_path: Path) -> None:
    """A file larger than any record is not read into memory."""
    (tmp_path / "record.json").write_bytes(b" " * (state_files.MAX_BYTES + 1))
    record, problem = RecordFile(tmp_path).load()
    assert record == Record()
    assert problem is not None
    assert f"larger than {state_files.MAX_BYTES} bytes" in problem


def test_a_record_that_may_not_be_read_is_told() -> None:
    """A record that this process may not read is not taken for a new device's."""
    with open_folder() as folder:
        RecordFile(folder).save(RECORD)
        folder.joinpath("record.json").chmod(0)
        with without_privilege():
            record, problem = RecordFile(folder).load()
    assert record == Record()
    assert problem is not None
    assert "Permission denied" in problem


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_configuration_is_none(tmp_path: Path, content: bytes) -> None:
    """A configuration that cannot be understood is as if there were none."""
    (tmp_path / "configuration.json").write_bytes(content)
    assert ConfigurationFile(tmp_path).load() is None


def test_a_damaged_configuration_is_replaced(tmp_path: Path) -> None:
    """The next configuration to be kept takes the damaged one's place."""
    (tmp_path / "configuration.json").write_bytes(b"{")
    ConfigurationFile(tmp_path).save({"maxAgeDays": 365})
    assert ConfigurationFile(tmp_path).load() == {"maxAgeDays": 365}


def test_the_same_configuration_is_not_written_again(tmp_path: Path) -> None:
    """Flash memory is spared: what is there already, whatever its order, is left alone."""
    file = ConfigurationFile(tmp_path)
    file.save({"maxAgeDays": 365, "watch": ["/a"]})
    before = file.path.stat()
    file.save({"watch": ["/a"], "maxAgeDays": 365, "accessControl": {"x": 1}})
    assert file.path.stat() == before
    file.save({"maxAgeDays": 365})
    assert file.path.stat().st_ino != before.st_ino
    assert json.loads(file.path.read_bytes()) == {"maxAgeDays": 365}


def test_both_files_are_private(tmp_path: Path) -> None:
    """Only the component's user may read what it keeps: a PKCS#11 URI may hold a PIN."""
    before = os.umask(0)
    try:
        RecordFile(tmp_path).save(RECORD)
        ConfigurationFile(tmp_path).save({"privateKeyPath": "pkcs11:object=k?pin-value=1234"})
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"record.json": 0o600, "configuration.json": 0o600}


def test_a_failure_names_the_file(tmp_path: Path) -> None:
    """A save that fails says which file it was, and why."""
    folder = tmp_path / "gone"
    with pytest.raises(StoreError, match=rf"{folder}/record.json: No such file"):
        RecordFile(folder).save(RECORD)
    with pytest.raises(StoreError, match=rf"{folder}/configuration.json: No such file"):
        ConfigurationFile(folder).save({"maxAgeDays": 1})
