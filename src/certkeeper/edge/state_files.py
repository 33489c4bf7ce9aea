"""The component's own files, in its work folder: the record and the configuration in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from certkeeper.core import record
from certkeeper.core.record import Record, RecordError
from certkeeper.edge import durable
from certkeeper.ports import StoreError

MAX_BYTES = 4 * 1024 * 1024


class RecordFile:
    """The record in ``record.json``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "record.json"

    def load(self) -> tuple[Record, str | None]:
        """See ports.RecordStore."""
        try:
            return record.decode(_read(self.path)), None
        except FileNotFoundError:
            return Record(), None
        except (OSError, RecordError) as error:
            return Record(), str(error)

    def save(self, value: Record) -> None:
        """See ports.RecordStore."""
        _write(self.path, record.encode(value))


class ConfigurationFile:
    """The configuration in ``configuration.json``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "configuration.json"

    def load(self) -> Mapping[str, Any] | None:
        """See ports.ConfigurationStore."""
        try:
            values = json.loads(_read(self.path))
        except (OSError, ValueError, RecursionError):
            return None
        return values if isinstance(values, dict) else None

    def save(self, values: Mapping[str, Any]) -> None:
        """See ports.ConfigurationStore."""
        kept = {key: value for key, value in values.items() if key != "accessControl"}
        if self.load() != kept:
            _write(self.path, json.dumps(kept, indent=1, sort_keys=True).encode())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(f"{path} is larger than {MAX_BYTES} bytes")
    return content


def _write(path: Path, content: bytes) -> None:
    try:
        durable.write(path, content)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
