"""Where the classic nucleus keeps its configuration, in the order in which it is to be believed.

The authority is the transaction log ``config/config.tlog``: the nucleus reads it at its
start and appends every change. ``effectiveConfig.yaml`` is an output, and often stale.
Source: aws-greengrass-nucleus, ConfigurationReader, Topic and Node (the replay),
KernelLifecycle.initConfigAndTlog (the order), ConfigurationWriter.truncateTlog (``.old``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from certkeeper.edge.nucleus_source import (
    MISSING,
    SYSTEM_KEYS,
    Keys,
    Reading,
    Unreadable,
    component_keys,
    kept,
    open_regular,
    read_yaml,
    text_of,
)

KEYS: Keys = {
    **SYSTEM_KEYS,
    **component_keys("aws.greengrass.nucleus"),
    (
        "services",
        "aws.greengrass.fleetprovisioningbyclaim",
        "configuration",
        "claimcertificatepath",
    ): "claim_certificate_path",
}
#: What the nucleus falls back to, in its order, when it refuses config.tlog at its start.
_BACKUPS = ("config.tlog~", "bootstrap.tlog", "bootstrap.tlog~")
#: What the installer and the fleet provisioning plugin call the files.
_CERTIFICATE, _PRIVATE_KEY, _ROOT_CA = "thingCert.crt", "privKey.key", "rootCA.pem"

#: The nucleus compacts its log every 15,000 lines; one that is longer than this is not one.
_MAX_LOG = 256 * 1024 * 1024
#: A longer line holds a component's configuration, nothing that is wanted here.
_MAX_LINE = 1024 * 1024


def readings(root: Path) -> Iterator[Reading]:
    """What each place under the Greengrass root says; lazily, since the first mostly suffices."""
    config = root / "config"
    yield from _current_log(config)
    for name in _BACKUPS:
        yield _backup(config / name)
    for name in ("effectiveConfig.yaml", "effectiveConfig.yaml~"):
        try:
            yield Reading(str(config / name), kept(read_yaml(config / name, KEYS)))
        except Unreadable as error:
            yield Reading(str(config / name), problem=str(error))
    yield _installed_files(root)


def _current_log(config: Path) -> Iterator[Reading]:
    """config.tlog, preceded by config.tlog.old if there is one.

    Compaction renames the log to ``.old``, writes a new one, and removes the old. Cut short,
    ``.old`` is what the nucleus puts back and reads at its next start, whatever config.tlog is.
    """
    for _ in range(2):  # between the two steps of a compaction neither may be seen: look again
        old, current = _log(config / "config.tlog.old"), _log(config / "config.tlog")
        if old.problem != MISSING or current.problem != MISSING:
            break
    if old.problem != MISSING:
        yield old.reading("config.tlog.old is left of a compaction; the nucleus starts from it")
    yield current.reading(*_next_start(config, current))


def _next_start(config: Path, current: _Log) -> Iterator[str]:
    """A running nucleus lives with a damaged log; at its next start it reads another file."""
    if not current.damaged or not current.values:
        return
    for name in _BACKUPS:
        backup = _log(config / name)
        if not backup.problem and not backup.damaged and not backup.torn:
            same = all(
                backup.values.get(key) == current.values.get(key)
                for key in ("certificate_uri", "private_key_uri")
            )
            which = "the same" if same else "NOT the same"
            yield (
                f"config.tlog is damaged: at its next start the nucleus reads {name} in its place,"
                f" which names {which} certificate and private key"
            )
            return
    yield "config.tlog is damaged, and the nucleus finds no backup of it at its next start"


def _backup(path: Path) -> Reading:
    """A backup as the nucleus takes it: whole, or not at all."""
    log = _log(path)
    if log.damaged or log.torn:
        return Reading(log.place, problem="is damaged: " + "; ".join(log.damage()))
    return log.reading()


def _installed_files(root: Path) -> Reading:
    certificate, key, root_ca = root / _CERTIFICATE, root / _PRIVATE_KEY, root / _ROOT_CA
    place = f"{certificate} and {_PRIVATE_KEY}"
    try:
        if not (certificate.is_file() and key.is_file()):
            return Reading(place, problem="are not both there")
        values = {"certificate_uri": str(certificate), "private_key_uri": str(key)}
        if root_ca.is_file():
            values["root_ca_path"] = str(root_ca)
    except OSError as error:
        return Reading(place, problem=f"cannot be looked for: {error.strerror}")
    return Reading(place, values)


# -- the transaction log ------------------------------------------------------------


@dataclass
class _Log:
    """A transaction log after its replay, and what was wrong with it."""

    place: str
    values: dict[str, str]
    lines: int = 0
    damaged: int = 0
    first_damaged: int = 0
    torn: int = 0  # the number of an unparsable last line that has no end, 0 if there is none
    longest: int = 0  # the number of a line that is too long to be looked at
    problem: str = ""

    def reading(self, *notes: str) -> Reading:
        return Reading(self.place, self.values, (*self.damage(), *notes), self.problem)

    def damage(self) -> list[str]:
        name = Path(self.place).name
        said = []
        if self.damaged == 1:
            said.append(f"{name} line {self.first_damaged} is damaged and was skipped")
        elif self.damaged:
            said.append(
                f"{name}: {self.damaged} lines are damaged and were skipped,"
                f" the first is line {self.first_damaged}"
            )
        if self.torn:
            said.append(f"{name} line {self.torn} is torn and was skipped")
        if self.longest:
            said.append(f"{name} line {self.longest} is too long and was skipped")
        return said


def _log(path: Path) -> _Log:
    log = _Log(str(path), {})
    replay = _Replay()
    try:
        with open_regular(path) as stream:
            for number, line in _lines(stream):
                log.lines = number
                if line is None:
                    log.longest = number
                    continue
                try:
                    replay.apply(_entry(line))
                except (ValueError, RecursionError):
                    if not line.endswith(b"\n"):
                        log.torn = number
                        continue
                    log.damaged += 1
                    log.first_damaged = log.first_damaged or number
    except Unreadable as error:
        log.problem = str(error)
        return log
    if log.lines == 0:
        log.problem = "is empty"
    elif not replay.applied:
        log.problem = "holds no line that can be read"
    log.values = replay.values()
    return log


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines with their numbers; None for a line that is too long to be one of ours."""
    number = size = 0
    while True:
        line = stream.readline(_MAX_LINE)
        if not line:
            return
        number += 1
        size += len(line)
        whole = len(line) < _MAX_LINE or line.endswith(b"\n")
        while not whole:
            rest = stream.readline(_MAX_LINE)
            size += len(rest)
            whole = not rest or rest.endswith(b"\n")
            line = b""
        if size > _MAX_LOG:
            raise Unreadable(f"is longer than {_MAX_LOG} bytes and was not read")
        yield number, line or None


@dataclass(frozen=True)
class _Entry:
    """One line: when (epoch milliseconds), which node (names in lower case), what happened."""

    when: int
    path: tuple[str, ...]
    what: str | None
    value: Any


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# What follows the object on its line is ignored, as Jackson ignores it for the nucleus.
_first_json = json.JSONDecoder(parse_constant=_no_constant).raw_decode
_HAPPENINGS = (
    *("changed", "removed", "timestampUpdated", "interiorAdded"),
    *("initialized", "childChanged", "childRemoved", None),
)


def _entry(line: bytes) -> _Entry:
    """The line's entry. Raises ValueError or RecursionError where the nucleus cannot parse it."""
    entry, _ = _first_json(line.decode("utf-8").strip())
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    when, path, what = entry.get("TS", 0), entry.get("TP"), entry.get("W")
    if not isinstance(when, int) or isinstance(when, bool) or abs(when) >= 1 << 63:
        raise ValueError("TS is not a time")
    if not isinstance(path, list) or not path or not all(isinstance(n, str) for n in path):
        raise ValueError("TP is not a path")
    if what not in _HAPPENINGS:
        raise ValueError("W is not known")
    return _Entry(when, tuple(name.lower() for name in path), what, entry.get("V"))


class _Replay:
    """Applies entries in the order of the file, keeping only the leaves of KEYS.

    The nucleus's rules: a change counts if it is not older than the leaf, and is no change
    (nor newer) if the value is equal; removing a node removes all below it, and forgets how
    old it was; names are the same in upper and lower case.
    """

    def __init__(self) -> None:
        self.applied = 0
        self._leaves: dict[tuple[str, ...], tuple[int, Any]] = {}

    def apply(self, entry: _Entry) -> None:
        self.applied += 1
        if entry.what == "removed":
            self._remove(entry)
        elif entry.path not in KEYS:
            return
        elif entry.what == "changed":
            when, value = self._leaves.setdefault(entry.path, (entry.when, None))
            if value != entry.value and entry.when >= when:
                self._leaves[entry.path] = (entry.when, entry.value)
        elif entry.what == "timestampUpdated":
            when, value = self._leaves.get(entry.path, (0, None))
            self._leaves[entry.path] = (max(when, entry.when), value)

    def _remove(self, entry: _Entry) -> None:
        depth = len(entry.path)
        below = [path for path in self._leaves if path[:depth] == entry.path]
        if all(entry.when >= self._leaves[path][0] for path in below):
            for path in below:
                del self._leaves[path]

    def values(self) -> dict[str, str]:
        return kept({KEYS[path]: text_of(value) for path, (_, value) in self._leaves.items()})
