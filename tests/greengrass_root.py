"""A Greengrass root of plain files, as the classic installer leaves it; real keys, real X.509."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from certkeeper import COMPONENT_NAME
from lab.account.authority import (
    Authority,
    PrivateKey,
    common_name,
    generate_private_key,
    private_key_pem,
)

NOBODY = 65534
#: A text that stands in key files, and may stand nowhere else.
SECRET = "MARKER0of0a0private0key0that0nobody0may0see"

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
#: Half a day over, so that whole days are the same however fast or slow a test is.
DAYS_LEFT, AGE_DAYS = 400.5, 30.5


@functools.cache
def key_of(algorithm: str = "ECDSA-P256") -> PrivateKey:
    """The tests' one key of that algorithm: making an RSA key takes long."""
    return generate_private_key(algorithm)


@functools.cache
def another_key() -> PrivateKey:
    """A key that is nobody's."""
    return generate_private_key("ECDSA-P256")


@functools.cache
def authority() -> Authority:
    """The CA of the tests' device certificates."""
    return Authority.create("Device CA")


def certificate_pem(
    key: PrivateKey,
    days_left: float = DAYS_LEFT,
    age_days: float = AGE_DAYS,
    issuer: Authority | None = None,
) -> str:
    """A device certificate for the key, issued ``age_days`` ago; it ends ``days_left`` from now."""
    return (issuer or authority()).issue_device_certificate(
        key.public_key(),
        common_name("press-7"),
        not_before=NOW - age_days * DAY,
        not_after=NOW + days_left * DAY,
    )


def pkcs8(key: PrivateKey, password: bytes | None = None) -> bytes:
    """The key as PKCS#8 PEM, encrypted if there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def written(folder: Path, content: str | bytes, name: str = "file.pem") -> Path:
    """The path of a new file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@dataclass(frozen=True)
class GreengrassRoot:
    """The folder and the paths in it."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """thingCert.crt"""
        return self.folder / "thingCert.crt"

    @property
    def key(self) -> Path:
        """privKey.key"""
        return self.folder / "privKey.key"

    @property
    def root_ca(self) -> Path:
        """rootCA.pem"""
        return self.folder / "rootCA.pem"

    @property
    def work(self) -> Path:
        """The component's own folder."""
        return self.folder / "work" / COMPONENT_NAME

    def write_key(self, content: bytes, mode: int = 0o600) -> None:
        """Put another content into the key file."""
        self.key.write_bytes(content)
        self.key.chmod(mode)


def install(
    folder: Path,
    *,
    days_left: float = DAYS_LEFT,
    age_days: float = AGE_DAYS,
    key: PrivateKey | None = None,
    root_cas: Sequence[str] | None = None,
) -> GreengrassRoot:
    """What the installer leaves in ``folder``: certificate, key and root CAs, nothing else."""
    root, key = GreengrassRoot(folder), key or key_of()
    root.certificate.write_text(certificate_pem(key, days_left, age_days))
    root.write_key(private_key_pem(key).encode())
    cas = [authority().certificate_pem] if root_cas is None else root_cas
    root.root_ca.write_text("".join(cas))
    root.work.mkdir(parents=True)
    return root


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may look into, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="certkeeper-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def without_privilege() -> Iterator[None]:
    """As a user whom permissions stop, which they do not stop root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
