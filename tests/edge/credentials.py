"""Pairs in the places where a nucleus is told to look for them. A pair is two texts that say
which belong together: the store does not look into them."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from certkeeper.core.store import other
from certkeeper.edge.file_store import FileStore, StoreProblem


@dataclass(frozen=True)
class Pair:
    """A certificate and the private key that belongs to it."""

    certificate: bytes
    private_key: bytes


OLD = Pair(b"certificate one\n", b"KEY of one\n")
NEW = Pair(b"certificate two\n", b"KEY of two\n")


def pair_at(store: FileStore) -> Pair:
    """What a nucleus reads at the configured paths."""
    return Pair(store.certificate.read_bytes(), store.private_key.read_bytes())


def put(path: Path, content: bytes, mode: int = 0o644) -> Path:
    """The path of a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def stage(store: FileStore, slot: str, pair: Pair = NEW) -> None:
    """Put a pair into a slot that is not in use."""
    store.write_key(slot, pair.private_key)
    store.write_certificate(slot, pair.certificate)


def switch(store: FileStore) -> None:
    """A whole rotation, as far as files go."""
    old = store.adopt()
    stage(store, other(old))
    store.activate(other(old))
    store.mark_committed()
    store.wipe(old)


# -- where the pair is ----------------------------------------------------------------


def beside_each_other(root: Path) -> FileStore:
    """As the installer of nucleus classic leaves it."""
    put(root / "gg" / "privKey.key", OLD.private_key, 0o600)
    put(root / "gg" / "thingCert.crt", OLD.certificate)
    return at(root)


def in_two_folders(root: Path) -> FileStore:
    """The certificate elsewhere."""
    key = put(root / "gg" / "private" / "device.key", OLD.private_key, 0o600)
    return FileStore(put(root / "etc" / "pki" / "device.pem", OLD.certificate), key)


def behind_own_links(root: Path) -> FileStore:
    """Both configured paths are links of the user's own."""
    put(root / "own" / "k", OLD.private_key, 0o600)
    put(root / "own" / "c", OLD.certificate)
    (root / "gg").mkdir()
    (root / "gg" / "privKey.key").symlink_to("../own/k")
    (root / "gg" / "thingCert.crt").symlink_to("../own/c")
    return at(root)


def certificate_put_anew(root: Path) -> FileStore:
    """Adopted; then somebody replaced the certificate by a plain file of the same key."""
    store = beside_each_other(root)
    put(root / "gg" / "thingCert.crt", b"an earlier certificate one\n")
    store.adopt()
    store.certificate.unlink()
    put(store.certificate, OLD.certificate)
    return store


def pair_put_anew(root: Path) -> FileStore:
    """Adopted, with leftovers in both slots; then somebody replaced both by plain files."""
    store = beside_each_other(root)
    store.adopt()
    stage(store, "b", Pair(b"left", b"KEY left"))
    for path, content, mode in (
        (store.certificate, OLD.certificate, 0o644),
        (store.private_key, OLD.private_key, 0o600),
    ):
        path.unlink()
        put(path, content, mode)
    return store


def adopted(root: Path) -> FileStore:
    """In the store already."""
    store = beside_each_other(root)
    store.adopt()
    return store


def at(root: Path) -> FileStore:
    """The store of the pair beside each other."""
    return FileStore(root / "gg" / "thingCert.crt", root / "gg" / "privKey.key")


#: Each makes the files below a folder, and gives the store of the configured paths.
LAYOUTS: tuple[Callable[[Path], FileStore], ...] = (
    beside_each_other,
    in_two_folders,
    behind_own_links,
    certificate_put_anew,
    pair_put_anew,
    adopted,
)


def moved(store: FileStore, old: Path, new: Path) -> FileStore:
    """The same store where its files lie below another folder."""
    return FileStore(
        new / store.certificate.relative_to(old), new / store.private_key.relative_to(old)
    )


# -- what becomes of it ----------------------------------------------------------------


def refused(action: Callable[[], object]) -> StoreProblem:
    """The problem that the action ends with."""
    with pytest.raises(StoreProblem) as caught:
        action()
    return caught.value


def permissions(path: Path) -> tuple[int, int, int]:
    """Mode, user and group of what is there, links followed."""
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def everything(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
