"""A device on a stage for rotations: a real root, a CA that issues, commands that only note."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes

from certkeeper.core.store import other
from certkeeper.edge.file_store import FileStore
from certkeeper.edge.rotating_child import RotatingChild
from lab.account.authority import Authority
from tests.edge import classic_files
from tests.greengrass_root import GreengrassRoot, install

ISSUER = Authority.create("Issuer")


def device(folder: Path, **named: Any) -> GreengrassRoot:
    """A classic core device whose configuration names its endpoints; nobody answers there."""
    root = install(folder, **named)
    changed, nucleus = classic_files.changed, classic_files.NUCLEUS
    classic_files.log(
        folder,
        [
            changed(classic_files.CERTIFICATE, str(root.certificate)),
            changed(classic_files.KEY, str(root.key)),
            changed(["system", "rootCaPath"], str(root.root_ca)),
            changed(["system", "thingName"], "press-7"),
            changed([*nucleus, "iotCredEndpoint"], "localhost:9"),
            changed([*nucleus, "iotDataEndpoint"], "localhost:9"),
            changed([*nucleus, "iotRoleAlias"], "Alias"),
        ],
    )
    return root


def issue(csr: str) -> str:
    """What the cloud answers to the request."""
    return ISSUER.issue_device_certificate_from_csr(csr)


def certificate_id(path: Path) -> str:
    """The id of the certificate in a file, by another way than ours."""
    return library.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()


def key_lines(root: GreengrassRoot) -> list[str]:
    """Every line of every private key that is anywhere under the root."""
    texts = [
        path.read_text()
        for path in root.folder.rglob("*")
        if path.is_file() and path.suffix == ".key"
    ]
    return [line for text in texts for line in text.splitlines() if line and "-----" not in line]


def stand_in(folder: Path, name: str, script: str = "exit 0") -> Path:
    """A command on the path that notes its words in ``folder/commands``."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/commands\n{script}\n')
    path.chmod(0o755)
    return folder / "commands"


def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str = "exit 0") -> Path:
    """``systemctl`` and ``systemd-run`` that do nothing; the file in which they note it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "systemd-run"):
        noted = stand_in(folder, name, script)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return noted


@dataclass
class Child:
    """The child's side without the process: requests as keywords, answers, and all it ever said."""

    root: GreengrassRoot
    child: RotatingChild = field(default_factory=RotatingChild)
    said: list[str] = field(default_factory=list)

    @property
    def store(self) -> FileStore:
        return FileStore(self.root.certificate, self.root.key)

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        answer = self.child.answer(json.dumps({"do": do, **fields}).encode())
        self.said.append(json.dumps(answer))
        return answer

    def survey(self, **fields: Any) -> dict[str, Any]:
        default: Mapping[str, Any] = {
            "root": str(self.root.folder),
            "thingName": "press-7",
            "certificateFilePath": None,
            "privateKeyPath": None,
        }
        return self.ask("survey", **{**default, **fields})

    def prepare(self, key: str = "same", signing: str = "auto") -> dict[str, Any]:
        return self.ask("prepare", keyAlgorithm=key, signingAlgorithm=signing)

    def prepared(self, **chosen: str) -> dict[str, Any]:
        self.survey()
        answer = self.prepare(**chosen)
        assert answer["event"] == "Prepared", answer
        assert answer["newSlot"] == other(answer["oldSlot"])
        return answer

    def stage(self, prepared: Mapping[str, Any], pem: str | None = None) -> dict[str, Any]:
        csr = prepared["csr"]
        pem = issue(csr) if pem is None else pem
        return self.ask("stage", slot=prepared["newSlot"], csr=csr, certificatePem=pem)
