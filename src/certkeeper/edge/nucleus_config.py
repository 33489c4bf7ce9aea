"""Finds the core device's certificate and private key, and what the nucleus says of itself.

It asks each place where a nucleus keeps its configuration, in the order in which they are
to be believed, and takes certificate and key from the first that names both: never one
from here and one from there. Whether the files exist, and match, is for others to check.
"""

from __future__ import annotations

from pathlib import Path

from certkeeper.edge import nucleus_classic, nucleus_lite
from certkeeper.edge.location import Location, LocationError, Pkcs11, resolve, without_pin
from certkeeper.edge.nucleus_source import DENIED, MISSING
from rotation_protocol.values import dataclass

__all__ = [
    "CredentialsNotFound",
    "Location",
    "LocationError",
    "NucleusConfig",
    "Pkcs11",
    "discover",
    "resolve",
]

_LABELS = {"certificate_uri": "certificate", "private_key_uri": "private key"}
_OVERRIDE = "the component's configuration"


@dataclass(frozen=True)
class NucleusConfig:
    """What a nucleus says of itself. A URI is as ``resolve`` takes it, and holds no PIN.

    ``source`` says where certificate and key were found; ``notes`` what was odd on the way.
    """

    runtime: str  # "classic" or "lite"
    root: str
    thing_name: str | None
    certificate_uri: str
    private_key_uri: str
    root_ca_path: str | None
    source: str
    notes: tuple[str, ...]
    aws_region: str | None = None
    iot_cred_endpoint: str | None = None
    iot_data_endpoint: str | None = None
    iot_role_alias: str | None = None
    claim_certificate_path: str | None = None


class CredentialsNotFound(Exception):
    """No place names a certificate and a key; the message says each place, its fault, a remedy."""


def discover(
    root: str,
    *,
    certificate_override: str | None = None,
    private_key_override: str | None = None,
    lite_etc: str = "/etc/greengrass",
) -> NucleusConfig:
    """The configuration of the nucleus whose root folder is ``root``.

    An override, if not empty, stands in for what the nucleus says; for the other of the two,
    the first place that names it counts. Raises CredentialsNotFound.
    """
    if "\0" in root or not Path(root).is_absolute():
        raise CredentialsNotFound(f"{root!r} is not the absolute path of a Greengrass root folder")
    runtime, notes = _runtime(Path(root), Path(lite_etc))
    overrides = {
        "certificate_uri": without_pin(certificate_override or ""),
        "private_key_uri": without_pin(private_key_override or ""),
    }
    credentials = {name: uri for name, uri in overrides.items() if uri}
    wanted = [name for name in overrides if not overrides[name]]
    sources = [_OVERRIDE] if credentials else []
    facts: dict[str, str] = {}
    looked: list[str] = []
    if runtime == "lite":
        readings = nucleus_lite.readings(Path(root), Path(lite_etc))
    else:
        readings = nucleus_classic.readings(Path(root))
    for reading in readings:
        notes.extend(reading.notes)
        if reading.problem:
            looked.append(f"{reading.place} {reading.problem}")
            if reading.problem != MISSING:
                notes.append(looked[-1])
            continue
        facts = {**reading.values, **facts}
        lacking = [_LABELS[name] for name in wanted if name not in reading.values]
        if not lacking:
            credentials.update((name, reading.values[name]) for name in wanted)
            sources.extend([reading.place] if wanted else [])
            break
        notes.append(f"{reading.place} names no {' and no '.join(lacking)}")
        why = f" ({'; '.join(reading.notes)})" if reading.notes else ""
        looked.append(notes[-1] + why)
    if len(credentials) < len(overrides):
        raise CredentialsNotFound(_not_found(root, runtime, looked))
    return NucleusConfig(
        runtime=runtime,
        root=root,
        thing_name=facts.get("thing_name"),
        certificate_uri=credentials["certificate_uri"],
        private_key_uri=credentials["private_key_uri"],
        root_ca_path=facts.get("root_ca_path"),
        source=" and ".join(sources),
        notes=tuple(notes),
        aws_region=facts.get("aws_region"),
        iot_cred_endpoint=facts.get("iot_cred_endpoint"),
        iot_data_endpoint=facts.get("iot_data_endpoint"),
        iot_role_alias=facts.get("iot_role_alias"),
        claim_certificate_path=facts.get("claim_certificate_path"),
    )


def _runtime(root: Path, etc: Path) -> tuple[str, list[str]]:
    """Which nucleus it is, told by what it keeps under its root.

    Lite keeps ``config.db`` there, classic the folders ``config`` and ``alts``. Where both are
    (the device went from one to the other in place), the store that was written last is in use.
    Where neither is: lite if it has been configured under ``etc`` at least, else classic.
    """
    database, log = root / nucleus_lite.DATABASE, root / "config" / "config.tlog"
    lite, classic = _exists(database), any(_exists(root / name) for name in ("config", "alts"))
    if lite and classic:
        runtime = "lite" if _modified(database) >= _modified(log) else "classic"
        note = f"{root} is a root of nucleus classic and lite; {runtime} wrote to it last"
        return runtime, [note]
    if not lite and not classic:
        lite = any(_exists(etc / name) for name in ("config.yaml", "config.d"))
    return ("lite" if lite else "classic"), []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that may not be looked into
        return False


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _not_found(root: str, runtime: str, looked: list[str]) -> str:
    if any(DENIED in place for place in looked):
        remedy = "let the component run with RequiresPrivilege, or run this as root"
    elif not Path(root).is_dir():
        remedy = f"{root} is no folder: give the Greengrass root folder"
    else:
        remedy = (
            "provision the device, or set certificateFilePath and privateKeyPath"
            " in the component's configuration"
        )
    places = "; ".join(looked)
    return f"no certificate and key found ({runtime} nucleus): {places}. What to do: {remedy}"
