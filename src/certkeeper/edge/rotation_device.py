"""The device as the rotating child finds it: the pair in use, the store beside it, the journal.

It looks, and changes nothing; what it cannot find out is a StepProblem. The X.509 library and
the parsers of the nucleus's files are imported when something is first looked for.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certkeeper.core.store import SLOTS
from rotation_protocol.reasons import FailureReason
from rotation_protocol.values import dataclass

if TYPE_CHECKING:
    from certkeeper.edge.file_store import FileStore, SlotFiles
    from certkeeper.edge.nucleus_config import NucleusConfig
    from certkeeper.edge.x509 import Certificate, PrivateKey

Request = Mapping[str, Any]
Answer = dict[str, Any]


class StepProblem(Exception):
    """A step cannot be done; says why, from the closed list and in words."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Device:
    """What the last survey found: the nucleus's word, the configured paths, the store."""

    config: NucleusConfig
    thing_name: str
    certificate: Path
    private_key: Path
    store: FileStore


@contextlib.contextmanager
def store_problems() -> Iterator[None]:
    """Says what the store raises as a StepProblem."""
    from certkeeper.edge.file_store import StoreProblem

    try:
        yield
    except StoreProblem as problem:
        raise StepProblem(problem.reason, problem.detail) from None
    except OSError as error:
        detail = f"{error.filename or 'the store'}: {error.strerror or type(error).__name__}"
        raise StepProblem(FailureReason.STORE_FAILED, detail) from None


def find(request: Request) -> Device:
    """The device's pair, in the places where the nucleus looks for it."""
    from certkeeper.edge import nucleus_config
    from certkeeper.edge.file_store import FileStore

    try:
        config = nucleus_config.discover(
            request["root"],
            certificate_override=request["certificateFilePath"],
            private_key_override=request["privateKeyPath"],
        )
        certificate, private_key = (
            nucleus_config.resolve(uri) for uri in (config.certificate_uri, config.private_key_uri)
        )
    except (nucleus_config.CredentialsNotFound, nucleus_config.LocationError) as error:
        raise StepProblem(FailureReason.CREDENTIALS_UNREADABLE, str(error)) from None
    if not isinstance(certificate, Path) or not isinstance(private_key, Path):
        detail = "certificate or key is in a PKCS#11 token: such a device is watched, not rotated"
        raise StepProblem(FailureReason.KEY_NOT_SUPPORTED, detail)
    store = FileStore(certificate, private_key)
    thing_name = request["thingName"] or config.thing_name or ""
    return Device(config, thing_name, certificate, private_key, store)


def look(device: Device) -> Answer:
    """The store as it is (core.store.Store), its journal in base64."""
    from certkeeper.edge.journal_file import JournalFile

    adopted, current = device.store.look()
    journal = JournalFile(device.store.folder).read()
    return {
        "folder": str(device.store.folder),
        "runtime": device.config.runtime,
        "adopted": adopted,
        "current": current,
        "slots": {slot: look_into(device.store.slot(slot)) for slot in SLOTS},
        "inUse": _certificate_id(device.certificate),
        "journal": None if journal is None else base64.b64encode(journal).decode(),
    }


def look_into(files: SlotFiles) -> Answer:
    """One slot as it is (core.store.Slot)."""
    try:
        read_pair(files.certificate, files.private_key)
        whole = True
    except StepProblem:
        whole = False
    return {
        "hasKey": files.private_key.exists(),
        "certificateId": _certificate_id(files.certificate),
        "whole": whole,
    }


def _certificate_id(path: Path) -> str | None:
    from certkeeper.edge import x509

    try:
        return x509.certificate_id(x509.read_certificates(path)[0])
    except x509.CertificateError:
        return None


def read_pair(certificate_path: Path, key_path: Path) -> tuple[Certificate, PrivateKey]:
    """A certificate and its own key."""
    from certkeeper.edge import x509

    try:
        certificate = x509.read_certificates(certificate_path)[0]
        key = x509.load_private_key(key_path)
    except x509.CertificateError as error:
        raise StepProblem(FailureReason.CREDENTIALS_UNREADABLE, error.detail) from None
    except x509.PrivateKeyError as error:
        raise StepProblem(FailureReason.CREDENTIALS_UNREADABLE, str(error)) from None
    if not x509.is_pair(certificate, key):
        detail = f"{key_path} is not the key of {certificate_path}"
        raise StepProblem(FailureReason.CREDENTIALS_UNREADABLE, detail)
    return certificate, key
