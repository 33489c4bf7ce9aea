"""Lays out the Greengrass root of a core device, as an installation leaves it on disk.

Classic: folders with the nucleus's modes, credentials, the transaction log
``config/config.tlog`` that the nucleus believes, and ``effectiveConfig.yaml``, which it
only writes. Lite: credentials, and the database ``config.db``. Left out: the nucleus
itself, ownership (all is the lab's own user's), and what a running nucleus changes.

Sources: ``NucleusPaths``, ``Permissions``, ``ConfigurationWriter`` and
``DeviceProvisioningHelper`` of the classic nucleus, ``fleet-provisioning`` of lite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from lab.nucleus.lite_database import write_database
from lab.nucleus.recipe import Runtime

Provisioning = Literal["automatic", "fleet"]

# Milliseconds: when the configuration was first written, and when the values came.
_INITIALIZED, _PROVISIONED = 1_690_000_000_000, 1_690_000_004_711

_CLASSIC_FOLDERS = {
    "alts": 0o700,
    "bin": 0o755,
    "cli_ipc_info": 0o755,
    "config": 0o700,
    "deployments": 0o700,
    "logs": 0o700,
    "packages": 0o755,
    "packages/artifacts": 0o755,
    "packages/artifacts-unarchived": 0o755,
    "packages/recipes": 0o700,
    "plugins": 0o700,
    "telemetry": 0o700,
    "work": 0o755,
}
# Lite has no logs of its own (its components print into the journal); the lab keeps them here.
_LITE_FOLDERS = {
    "credentials": 0o700,
    "logs": 0o700,
    "packages": 0o755,
    "packages/artifacts": 0o755,
    "packages/artifacts-unarchived": 0o755,
    "packages/recipes": 0o755,
    "work": 0o755,
}


@dataclass(frozen=True)
class CoreIdentity:
    """Who a core device is: its thing, its pair and root CA (PEM), and its account's endpoints."""

    thing_name: str
    certificate_pem: str
    private_key_pem: str = field(repr=False)
    root_ca_pem: str
    region: str
    data_endpoint: str
    credential_endpoint: str
    role_alias: str = "GreengrassV2TokenExchangeRoleAlias"


@dataclass(frozen=True)
class RootLayout:
    """Where things are under a Greengrass root."""

    runtime: Runtime
    root: Path
    certificate_path: Path
    private_key_path: Path
    root_ca_path: Path
    ipc_socket: Path

    def work_path(self, component: str) -> Path:
        """The component's work folder, made with the nucleus's mode if it is not there."""
        path = self.root / "work" / component
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def log_path(self, component: str) -> Path:
        """The component's log."""
        return self.root / "logs" / f"{component}.log"

    def artifacts_path(self, component: str, version: str) -> Path:
        """Where a component version's artifacts lie as they were downloaded."""
        return self.root / "packages" / "artifacts" / component / version

    def unarchived_path(self, component: str, version: str) -> Path:
        """Where a component version's archives lie unpacked, one folder for each."""
        return self.root / "packages" / "artifacts-unarchived" / component / version


def lay_out_classic(
    root: Path,
    identity: CoreIdentity,
    *,
    provisioning: Provisioning = "automatic",
    nucleus_configuration: Mapping[str, Any] | None = None,
    services: Mapping[str, Mapping[str, Any]] | None = None,
) -> RootLayout:
    """Make the root of a classic nucleus in ``root``, which does not exist or is empty.

    A device provisioned by ``fleet`` got its values after effectiveConfig.yaml was written:
    there that file has empty paths. ``nucleus_configuration`` is laid over the nucleus's
    own; ``services`` adds configuration by component name.
    """
    _folders(root, _CLASSIC_FOLDERS)
    layout = RootLayout(
        runtime="classic",
        root=root,
        certificate_path=root / "thingCert.crt",
        private_key_path=root / "privKey.key",
        root_ca_path=root / "rootCA.pem",
        ipc_socket=root / "ipc.socket",
    )
    # The fleet provisioning plugin keeps the certificate to the owner, the installer does not.
    _credentials(layout, identity, 0o600 if provisioning == "fleet" else 0o644)
    system = {
        "certificateFilePath": str(layout.certificate_path),
        "privateKeyPath": str(layout.private_key_path),
        "rootCaPath": str(layout.root_ca_path),
        "rootpath": str(root),
        "thingName": identity.thing_name,
    }
    nucleus = {
        "awsRegion": identity.region,
        "componentStoreMaxSizeBytes": "10000000000",
        "deploymentPollingFrequencySeconds": "15",
        "envStage": "prod",
        "iotCredEndpoint": identity.credential_endpoint,
        "iotDataEndpoint": identity.data_endpoint,
        "iotRoleAlias": identity.role_alias,
        "mqtt": {"spooler": {}},
        "networkProxy": {"proxy": {}},
        "runWithDefault": {"posixUser": "ggc_user:ggc_group"},
        "telemetry": {},
        **(nucleus_configuration or {}),
    }
    configuration = {
        "services": {
            "aws.greengrass.Nucleus": {
                "componentType": "NUCLEUS",
                "configuration": nucleus,
                "dependencies": [],
                "version": "2.18.0",
            },
            "main": {"dependencies": ["aws.greengrass.Nucleus"], "lifecycle": {}},
            **(services or {}),
        },
        "system": system,
    }
    before = configuration if provisioning == "automatic" else _unprovisioned(configuration)
    log = "".join(_tlog(before, _INITIALIZED))
    if before is not configuration:
        changed = dict(_leaves(before))
        later = {path: value for path, value in _leaves(configuration) if changed[path] != value}
        log += "".join(_tlog_line(_PROVISIONED, path, value) for path, value in later.items())
    _write(root / "config" / "config.tlog", log, 0o644)
    effective = yaml.safe_dump(before, explicit_start=True)
    _write(root / "config" / "effectiveConfig.yaml", effective, 0o644)
    return layout


def lay_out_lite(
    root: Path,
    identity: CoreIdentity,
    *,
    nucleus_configuration: Mapping[str, Any] | None = None,
    services: Mapping[str, Mapping[str, Any]] | None = None,
) -> RootLayout:
    """Make the root of nucleus lite in ``root``, which does not exist or is empty.

    The credentials are where, and called what, lite's fleet provisioning calls them.
    """
    _folders(root, _LITE_FOLDERS)
    credentials = root / "credentials"
    layout = RootLayout(
        runtime="lite",
        root=root,
        certificate_path=credentials / "certificate.pem",
        private_key_path=credentials / "priv_key",
        root_ca_path=credentials / "AmazonRootCA.pem",
        ipc_socket=root / "gg-ipc.socket",
    )
    _credentials(layout, identity, 0o644)
    nucleus = {
        "awsRegion": identity.region,
        "greengrassDataPlanePort": "8443",
        "iotCredEndpoint": identity.credential_endpoint,
        "iotDataEndpoint": identity.data_endpoint,
        "iotRoleAlias": identity.role_alias,
        "platformOverride": {},
        "runWithDefault": {"posixUser": "gg_component:gg_component"},
        **(nucleus_configuration or {}),
    }
    configuration = {
        "system": {
            "certificateFilePath": str(layout.certificate_path),
            "privateKeyPath": str(layout.private_key_path),
            "rootCaPath": str(layout.root_ca_path),
            "rootPath": str(root),
            "thingName": identity.thing_name,
        },
        "services": {
            "aws.greengrass.NucleusLite": {"componentType": "NUCLEUS", "configuration": nucleus},
            **(services or {}),
        },
    }
    write_database(root / "config.db", configuration, _PROVISIONED)
    return layout


def _folders(root: Path, modes: Mapping[str, int]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"a Greengrass root is laid out in an empty folder: {root}")
    root.chmod(0o755)
    for name, mode in modes.items():
        folder = root / name
        folder.mkdir()
        folder.chmod(mode)


def _credentials(layout: RootLayout, identity: CoreIdentity, certificate_mode: int) -> None:
    _write(layout.private_key_path, identity.private_key_pem, 0o600)
    _write(layout.certificate_path, identity.certificate_pem, certificate_mode)
    _write(layout.root_ca_path, identity.root_ca_pem, 0o644)


def _write(path: Path, content: str, mode: int) -> None:
    """Create a file that nobody whom ``mode`` shuts out could read at any instant."""
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8"
    ) as file:
        file.write(content)


def _unprovisioned(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration before fleet provisioning: what only the cloud can say is empty."""
    unknown = {"certificateFilePath", "privateKeyPath", "rootCaPath", "thingName"}
    unknown |= {"iotCredEndpoint", "iotDataEndpoint"}
    return {
        key: _unprovisioned(value)
        if isinstance(value, Mapping)
        else ("" if key in unknown else value)
        for key, value in configuration.items()
    }


def _leaves(
    node: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value below ``node`` with the keys that lead there, maps without keys left out."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _empty_maps(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _empty_maps(value, (*path, key)) if value else [(*path, key)]


def _tlog(configuration: Mapping[str, Any], at: int) -> Iterator[str]:
    """The log as the nucleus writes it when it starts one: every value, then the empty maps."""
    for path, value in _leaves(configuration):
        yield _tlog_line(at, path, value)
    for path in _empty_maps(configuration):
        yield json.dumps({"TS": at, "TP": path, "W": "interiorAdded"}, separators=(",", ":")) + "\n"


def _tlog_line(at: int, path: tuple[str, ...], value: object) -> str:
    line = {"TS": at, "TP": path, "W": "changed", "V": value}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n"
