"""What every record and configuration store does: in memory, and in files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certkeeper.core.record import Message, Record
from certkeeper.edge.state_files import ConfigurationFile, RecordFile
from certkeeper.ports import ConfigurationStore, RecordStore, StoreError
from tests.fakes import MemoryConfigurations, MemoryRecords

RECORD = Record(
    newest_seen=datetime(2026, 11, 22, tzinfo=UTC),
    alerted=(("ab|7", datetime(2026, 11, 21, tzinfo=UTC)),),
    waiting=(Message("ab|7", "greengrass/alerts/certificates", '{"thingName":"Prässe"}'),),
)


@dataclass
class Stores:
    """Both stores, how to open them again as the next process does, and how to fill the disk."""

    records: RecordStore
    configurations: ConfigurationStore
    reopen: Callable[[], tuple[RecordStore, ConfigurationStore]]
    fill_the_disk: Callable[[], object]


@contextmanager
def _in_memory() -> Iterator[Stores]:
    records, configurations = MemoryRecords(), MemoryConfigurations()

    def fill() -> None:
        records.full = configurations.full = True

    yield Stores(records, configurations, lambda: (records, configurations), fill)


@contextmanager
def _in_files(folder: Path) -> Iterator[Stores]:
    with pytest.MonkeyPatch.context() as patch:

        def fill() -> None:
            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", full)

        yield Stores(
            RecordFile(folder),
            ConfigurationFile(folder),
            lambda: (RecordFile(folder), ConfigurationFile(folder)),
            fill,
        )


@pytest.fixture(params=["memory", "files"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Each implementation in turn."""
    with _in_memory() if request.param == "memory" else _in_files(tmp_path) as one:
        yield one


def test_empty_before_the_first_save(stores: Stores) -> None:
    """A new device has an empty record and no configuration."""
    assert stores.records.load() == (Record(), None)
    assert stores.configurations.load() is None


def test_saved_is_found_by_the_next_process(stores: Stores) -> None:
    """What was saved is what the next process loads."""
    stores.records.save(RECORD)
    stores.configurations.save({"maxAgeDays": 365, "watch": ["/a"]})
    records, configurations = stores.reopen()
    assert records.load() == (RECORD, None)
    assert configurations.load() == {"maxAgeDays": 365, "watch": ["/a"]}


def test_access_control_is_not_kept(stores: Stores) -> None:
    """accessControl is the nucleus's business, and is not kept."""
    stores.configurations.save({"maxAgeDays": 365, "accessControl": {"x": {}}})
    assert stores.configurations.load() == {"maxAgeDays": 365}


def test_full_disk_is_a_store_error_and_keeps_the_old(stores: Stores) -> None:
    """A save that fails says so, and what was there before stays whole."""
    stores.records.save(RECORD)
    stores.configurations.save({"maxAgeDays": 365})
    stores.fill_the_disk()
    with pytest.raises(StoreError, match="No space"):
        stores.records.save(Record())
    with pytest.raises(StoreError, match="No space"):
        stores.configurations.save({"maxAgeDays": 1})
    records, configurations = stores.reopen()
    assert records.load() == (RECORD, None)
    assert configurations.load() == {"maxAgeDays": 365}
