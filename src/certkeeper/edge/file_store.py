"""The store: two slots beside the credentials, and the link that says which one is in use.

::

    <folder of the private key>/certkeeper/
        a/  b/      certificate.pem and private.key each
        current     a link to one of them

Adoption turns the two configured paths into links through ``current``; from then on one
rename moves both. A pair is never replaced file by file: between two renames it would not
match, so where no link can replace a configured path, the store refuses.

Whatever this file does may be cut off anywhere and done again. It therefore forces to the
disk what an earlier, killed attempt may have left in memory, before it builds on it. It
decides nothing: whether a pair matches, or may be removed, is the caller's to know.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from certkeeper.core.store import SLOTS, other
from certkeeper.edge import durable, store_rehearsal
from rotation_protocol.reasons import CheckStatus, FailureReason, ReadinessCheckName
from rotation_protocol.values import dataclass

FOLDER, CURRENT, COMMIT_MARK = "certkeeper", "current", "commit-mark"
JOURNAL, DEAD_MAN, DEAD_MAN_LINK = "journal.json", "dead-man.sh", ".dead-man.link"
CERTIFICATE, PRIVATE_KEY = "certificate.pem", "private.key"
#: As much as is read of a certificate or a key; a bundle of many certificates is smaller.
MAX_BYTES = 1024 * 1024

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What a rename over a configured path, or a link, says where it is not to be had: a mount
#: point, an immutable file, a read-only disk, a file system without links.
_NOT_REPLACEABLE = frozenset(
    {errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP, errno.ENOSYS}
)
_ACCESS_LIST = "system.posix_acl_access"


class StoreProblem(Exception):
    """The store could not do it, and nothing is lost: for which of the known reasons."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class SlotFiles:
    """The files of one slot, whether they are there or not."""

    certificate: Path
    private_key: Path

    @property
    def folder(self) -> Path:
        """The slot's folder."""
        return self.private_key.parent


def make_folder_like_parent(folder: Path) -> None:
    """A folder for the store: its parent's owner and mode, and written by the owner alone.

    Raises OSError.
    """
    parent = folder.parent.stat()
    durable.make_folder(folder, parent.st_mode & 0o755, (parent.st_uid, parent.st_gid))


class FileStore:
    """The store of the pair that is configured at these two paths.

    A configured path that is a link of the user's own is replaced itself: what it led to stays
    where it is, with what was in it, and is looked at no more.
    """

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self.certificate = certificate
        self.private_key = private_key
        self.folder = private_key.parent / FOLDER
        self._names = {CERTIFICATE: certificate, PRIVATE_KEY: private_key}

    # -- what there is ----------------------------------------------------------------

    def look(self) -> tuple[bool, str | None]:
        """Whether both configured paths lead through ``current``; and the slot it names, if any."""
        adopted = all(self._leads_through(path, name) for name, path in self._names.items())
        return adopted, self._current()

    def slot(self, name: str) -> SlotFiles:
        """The files of that slot. Raises ValueError for what is none."""
        if name not in SLOTS:
            raise ValueError(f"{name!r} is no slot")
        folder = self.folder / name
        return SlotFiles(folder / CERTIFICATE, folder / PRIVATE_KEY)

    def rehearse(self) -> None:
        """Try out whether a second pair can be kept and activated. Raises StoreProblem."""
        tried = store_rehearsal.rehearse(self.folder.parent, (self.private_key, self.certificate))
        checks = {check.name: check for check in tried}
        for name, reason in (
            (ReadinessCheckName.STORE_SPACE, FailureReason.STORE_FULL),
            (ReadinessCheckName.STORE_WRITABLE, FailureReason.STORE_FAILED),
            (ReadinessCheckName.STORE_LINKS, FailureReason.STORE_NOT_REPLACEABLE),
        ):
            if checks[name].status in (CheckStatus.FAIL, CheckStatus.WARN):
                raise StoreProblem(reason, checks[name].detail)

    # -- what is changed --------------------------------------------------------------

    def adopt(self) -> str:
        """Make both configured paths lead through ``current``; gives the slot it names.

        The caller has seen that the pair matches, and that no rotation is under way. Whoever
        reads the configured paths finds the same bytes all the while. Raises StoreProblem.
        """
        adopted, current = self.look()
        if adopted and current is not None:
            with _told():
                self._sync_credentials()
            return current
        if self._place(self.certificate) == self._place(self.private_key):
            detail = f"{self.private_key} holds both the certificate and the private key"
            raise StoreProblem(FailureReason.STORE_NOT_REPLACEABLE, detail)
        contents = {name: _content(path) for name, path in self._names.items()}
        slot = SLOTS[0] if current is None else other(current)
        with _told():
            for name, content in contents.items():
                self._write(slot, name, content)
        with _told(_NOT_REPLACEABLE):
            durable.link(self.folder / CURRENT, slot)
            for name, path in self._names.items():
                if _content(path) != contents[name]:
                    detail = f"{path} was changed by somebody else meanwhile"
                    raise StoreProblem(FailureReason.STORE_FAILED, detail)
                if not self._leads_through(path, name):
                    durable.link(path, self._target(path, name))
        return slot

    def write_key(self, slot: str, pem: bytes) -> None:
        """Keep a private key in a slot that is not in use. Raises StoreProblem."""
        self._refuse_in_use(slot)
        with _told():
            self._write(slot, PRIVATE_KEY, pem)

    def write_certificate(self, slot: str, pem: bytes) -> None:
        """Keep a certificate in a slot that is not in use. Raises StoreProblem."""
        self._refuse_in_use(slot)
        with _told():
            self._write(slot, CERTIFICATE, pem)

    def activate(self, slot: str) -> None:
        """Make the configured paths lead to this slot, both at once. Raises StoreProblem.

        Refuses a slot that is not complete, and while not both paths lead through ``current``:
        a switch would move one file of the pair only.
        """
        files = self.slot(slot)
        adopted, current = self.look()
        if not adopted:
            detail = f"{self.certificate} and {self.private_key} do not both lead to the store"
            raise StoreProblem(FailureReason.STORE_FAILED, detail)
        for path in (files.certificate, files.private_key):
            if not _is_filled(path):
                raise StoreProblem(FailureReason.STORE_FAILED, f"{path} is not complete")
        with _told(_NOT_REPLACEABLE):
            for folder in (files.folder, self.folder):
                durable.sync_folder(folder)
            self._sync_credentials()
            if current != slot:
                durable.link(self.folder / CURRENT, slot)

    def wipe(self, slot: str) -> None:
        """Remove whatever is in a slot that is not in use. Raises StoreProblem."""
        files = self.slot(slot)
        self._refuse_in_use(slot)
        with _told(), contextlib.suppress(FileNotFoundError):
            # A switch away from this slot must not be undone by a power cut after the removal.
            durable.sync_folder(self.folder)
            _empty(files.folder)

    def release(self) -> None:
        """Turn links into plain files again, and remove the store. Raises StoreProblem.

        The caller has seen that no rotation is under way. Whoever reads the configured paths
        finds the same bytes all the while. A file in the store that is not ours stays, and is a
        StoreProblem in the end.
        """
        with _told():
            with contextlib.suppress(FileNotFoundError):
                durable.remove(self.folder / DEAD_MAN)  # nothing moves ``current`` from here on
            for name, path in self._names.items():
                if self._leads_through(path, name):
                    mode, owner = _permissions(path)
                    durable.write(path, _content(path), mode, owner)
            for path in self._names.values():  # also if a killed attempt wrote them
                durable.remove(durable.beside(path))
            if self.folder.is_dir():
                self._remove_folder()
            durable.remove_folder(durable.beside(self.folder))

    def mark_committed(self) -> None:
        """Say, durably, that the pair in use is committed. Raises StoreProblem."""
        with _told():
            durable.write(self.folder / COMMIT_MARK, b"committed\n")

    def clear_mark(self) -> None:
        """Take that back. Raises StoreProblem."""
        with _told():
            durable.remove(self.folder / COMMIT_MARK)

    # -- parts ------------------------------------------------------------------------

    def _current(self) -> str | None:
        try:
            name = os.readlink(self.folder / CURRENT)  # noqa: PTH115  # Path would hide "a/"
        except OSError:
            return None
        return name if name in SLOTS else None

    def _leads_through(self, path: Path, name: str) -> bool:
        try:
            target = self._place(path).parent / os.readlink(path)  # noqa: PTH115
        except OSError:
            return False
        through = target.parent
        if (through.name, target.name) != (CURRENT, name):
            return False
        return os.path.realpath(through.parent) == os.path.realpath(self.folder)

    def _target(self, path: Path, name: str) -> str:
        """What a link at the path says; relative, so that the folders may be moved as one."""
        store = os.path.relpath(os.path.realpath(self.folder), self._place(path).parent)
        return str(Path(store, CURRENT, name))

    @staticmethod
    def _place(path: Path) -> Path:
        """Where the name itself is, whatever it leads to."""
        return Path(os.path.realpath(path.parent)) / path.name

    def _write(self, slot: str, name: str, content: bytes) -> None:
        """With the permissions of what the configured path leads to."""
        mode, owner = _permissions(self._names[name])
        for folder in (self.folder, self.slot(slot).folder):
            make_folder_like_parent(folder)
        durable.write(self.folder / slot / name, content, mode, owner)

    def _refuse_in_use(self, slot: str) -> None:
        _, current = self.look()
        unclear = current is None and os.path.lexists(self.folder / CURRENT)
        if slot == current or unclear:
            detail = f"{self.slot(slot).folder} {'may be' if unclear else 'is'} in use"
            raise StoreProblem(FailureReason.STORE_FAILED, detail)

    def _sync_credentials(self) -> None:
        for path in self._names.values():
            durable.sync_folder(path.parent)

    def _remove_folder(self) -> None:
        for slot in SLOTS:
            with contextlib.suppress(FileNotFoundError):
                _empty(self.folder / slot)
            durable.remove_folder(self.folder / slot)
            durable.remove_folder(durable.beside(self.folder / slot))
        for name in (CURRENT, COMMIT_MARK, JOURNAL, DEAD_MAN, DEAD_MAN_LINK):
            durable.remove(self.folder / name)
            durable.remove(durable.beside(self.folder / name))
        durable.remove_folder(self.folder)


def _empty(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        durable.remove(path)
    durable.sync_folder(folder)


def _content(path: Path) -> bytes:
    """What a nucleus reads there. Raises StoreProblem."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise FileNotFoundError(errno.ENOENT, "there is no such file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        detail = f"{path}: {error.strerror or error}"
        raise StoreProblem(FailureReason.CREDENTIALS_UNREADABLE, detail) from error
    if not 0 < len(content) <= MAX_BYTES:
        detail = f"{path} {'is too large' if content else 'is empty'}"
        raise StoreProblem(FailureReason.CREDENTIALS_UNREADABLE, detail)
    return content


def _permissions(path: Path) -> tuple[int, tuple[int, int]]:
    """Mode and owner of what is at the path, links followed. Raises OSError, StoreProblem."""
    found = path.stat()
    attributes: list[str] = []
    with contextlib.suppress(OSError):  # not every file system has any
        attributes = os.listxattr(path)
    if _ACCESS_LIST in attributes:
        detail = f"{path} has an access control list, which a new file would not have"
        raise StoreProblem(FailureReason.STORE_NOT_REPLACEABLE, detail)
    return stat.S_IMODE(found.st_mode) & 0o777, (found.st_uid, found.st_gid)


def _is_filled(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


@contextlib.contextmanager
def _told(not_replaceable: frozenset[int] = frozenset()) -> Iterator[None]:
    """Tells an OSError as a StoreProblem."""
    try:
        yield
    except OSError as error:
        reason = FailureReason.STORE_FAILED
        if error.errno in _FULL:
            reason = FailureReason.STORE_FULL
        elif error.errno in not_replaceable:
            reason = FailureReason.STORE_NOT_REPLACEABLE
        place = error.filename2 or error.filename
        detail = error.strerror or str(error)
        raise StoreProblem(reason, f"{place}: {detail}" if place else detail) from error
