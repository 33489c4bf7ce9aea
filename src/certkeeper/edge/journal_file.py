"""The journal of a rotation, in the store, beside the pair that it is about."""

from __future__ import annotations

from pathlib import Path

from certkeeper.core import journal
from certkeeper.core.journal import Journal
from certkeeper.edge import durable, file_store
from certkeeper.ports import StoreError

MAX_BYTES = 64 * 1024


class Journals:
    """See ports.JournalStore: the journal of a store that is yet to be found."""

    def __init__(self) -> None:
        self._file: JournalFile | None = None

    def keep_in(self, folder: str) -> None:
        """See ports.JournalStore."""
        self._file = JournalFile(Path(folder))

    def save(self, value: Journal) -> None:
        """See ports.JournalStore."""
        if self._file is None:
            raise StoreError("it is not known where the device's credentials are")
        self._file.save(value)


class JournalFile:
    """The journal in ``journal.json`` of this folder, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / file_store.JOURNAL

    def save(self, value: Journal) -> None:
        """Once this returns, the journal survives a power cut; a failure leaves the old one
        whole. Raises StoreError."""
        content = journal.encode(value)
        try:
            try:
                durable.write(self.path, content)
            except FileNotFoundError:
                file_store.make_folder_like_parent(self.path.parent)
                durable.write(self.path, content)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error

    def read(self) -> bytes | None:
        """What is in the file, None if there is none. What is too large or cannot be read comes
        back cut or empty, which is no journal either: core.journal.decode says so."""
        try:
            if not self.path.is_file() and self.path.exists():
                return b""  # opening a pipe would wait for ever
            with self.path.open("rb") as file:
                return file.read(MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError:
            return b""
