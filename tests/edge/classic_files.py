"""A classic nucleus's configuration files, written for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CERTIFICATE = ["system", "certificateFilePath"]
KEY = ["system", "privateKeyPath"]
NUCLEUS = ["services", "aws.greengrass.Nucleus", "configuration"]

Line = dict[str, Any] | bytes


def changed(path: list[str], value: Any, when: int = 10) -> dict[str, Any]:
    return {"TS": when, "TP": path, "W": "changed", "V": value}


def removed(path: list[str], when: int = 10) -> dict[str, Any]:
    return {"TS": when, "TP": path, "W": "removed"}


def touched(path: list[str], when: int) -> dict[str, Any]:
    return {"TS": when, "TP": path, "W": "timestampUpdated"}


def pair(name: str, when: int = 10) -> list[dict[str, Any]]:
    """The entries for /<name>.crt and /<name>.key."""
    return [changed(CERTIFICATE, f"/{name}.crt", when), changed(KEY, f"/{name}.key", when)]


def log(root: Path, entries: Iterable[Line], name: str = "config.tlog") -> None:
    """A transaction log of these entries; bytes are written as they are."""
    (root / "config").mkdir(exist_ok=True)
    lines = (e if isinstance(e, bytes) else json.dumps(e).encode() + b"\n" for e in entries)
    (root / "config" / name).write_bytes(b"".join(lines))


def output(root: Path, certificate: str, key: str, name: str = "effectiveConfig.yaml") -> None:
    """The file that the nucleus writes for people to look at."""
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / name).write_text(
        f'---\nsystem:\n  certificateFilePath: "{certificate}"\n  privateKeyPath: "{key}"\n'
        f'  rootpath: "{root}"\n  thingName: "press-7"\nservices:\n  main:\n    version: "0.0.0"\n'
    )


def install(root: Path) -> None:
    """The files that the installer leaves in the root."""
    (root / "thingCert.crt").touch()
    (root / "privKey.key").touch()
