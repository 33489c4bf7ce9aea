"""Where nucleus lite keeps its configuration: a database, seeded from files.

At each start its ggconfigd merges ``/etc/greengrass/config.yaml``, then every file of
``config.d``, into ``<root>/config.db``, where fleet provisioning also writes. So the
database says what is in force, and the files only what a first start will make of it.
Source: aws-greengrass-lite, modules/ggconfigd (ggconfigd.c, config_load.c, db_interface.c).
"""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from certkeeper.edge.nucleus_source import (
    DENIED,
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

if TYPE_CHECKING:
    import sqlite3

KEYS: Keys = {
    **SYSTEM_KEYS,
    **component_keys("aws.greengrass.nucleuslite"),
    (
        "services",
        "aws.greengrass.fleet_provisioning",
        "configuration",
        "claimcertpath",
    ): "claim_certificate_path",
}
DATABASE = "config.db"

# A write of ggconfigd takes milliseconds; one that was cut short it undoes when it restarts.
_ATTEMPTS = 3
_LOCK_TIMEOUT = 0.3
_PAUSE = 0.2

# Keys are a tree: a key without a relation is at the top. Case does not count: the column is
# NOCASE in some versions of lite, BINARY in others.
_TOP = (
    "SELECT keyid FROM keyTable WHERE keyvalue = ? COLLATE NOCASE"
    " AND keyid NOT IN (SELECT keyid FROM relationTable)"
)
_CHILD = (
    "SELECT k.keyid FROM keyTable k JOIN relationTable r ON r.keyid = k.keyid"
    " WHERE k.keyvalue = ? COLLATE NOCASE AND r.parentid = ?"
)
_VALUE = "SELECT value FROM valueTable WHERE keyid = ? AND length(value) < 8192"


def readings(root: Path, etc: Path) -> Iterator[Reading]:
    """What the database says, then what the files under ``etc`` say."""
    yield _database(root / DATABASE)
    yield _files(etc)


# -- the database -------------------------------------------------------------------


def _database(path: Path) -> Reading:
    try:
        return Reading(str(path), kept(_read_database(path)))
    except Unreadable as error:
        return Reading(str(path), problem=str(error))


def _read_database(path: Path) -> dict[str, str | None]:
    """Raises Unreadable. Locks no more than a reader must, and leaves no file behind."""
    import sqlite3  # here, because a classic device never needs to pay for it

    problem = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?{_mode(path)}",
                uri=True,
                timeout=_LOCK_TIMEOUT,
                isolation_level=None,
            )
            try:
                connection.text_factory = bytes
                connection.execute("BEGIN")  # one state of it, however many queries
                return {name: _value(connection, key) for key, name in KEYS.items()}
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            problem = str(error)  # locked, or to be rolled back by its owner: try again
        except sqlite3.DatabaseError as error:
            raise Unreadable(f"cannot be read as a database: {error}") from None
    raise Unreadable(f"cannot be read as a database, tried {_ATTEMPTS} times: {problem}")


def _mode(path: Path) -> str:
    """Read-only; and a database in WAL mode that nobody has open is read as a mere file.

    SQLite would create its -wal and -shm files for a reader too, even in mode=ro.
    """
    with open_regular(path) as stream:
        wal = stream.read(20)[18:] == b"\2\2"  # https://www.sqlite.org/fileformat.html, 1.3.3
    if not wal or path.with_name(path.name + "-shm").exists():
        return "mode=ro"
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise Unreadable(f"has changes in {log.name} that only the nucleus may merge")
    return "mode=ro&immutable=1"


def _value(connection: sqlite3.Connection, path: tuple[str, ...]) -> str | None:
    row = connection.execute(_TOP, path[:1]).fetchone()
    for name in path[1:]:
        if row is None:
            return None
        row = connection.execute(_CHILD, (name, row[0])).fetchone()
    value = row and connection.execute(_VALUE, row).fetchone()
    if not value:
        return None
    try:
        return text_of(json.loads(value[0]))
    except (ValueError, TypeError, RecursionError):
        return None


# -- the files that seed it ---------------------------------------------------------


def _files(etc: Path) -> Reading:
    """config.yaml, then config.d: of two that name the same key, the later one counts."""
    main, folder = etc / "config.yaml", etc / "config.d"
    place = f"{main} and {folder}"
    values: dict[str, str] = {}
    dropped_in: dict[str, str] = {}
    notes: list[str] = []
    problems: list[str] = []
    paths, problem = _regular_files(folder)
    if problem not in ("", MISSING):
        problems.append(f"{folder} {problem}")
    for path in (main, *paths):
        try:
            found = read_yaml(path, KEYS)
        except Unreadable as error:
            if str(error) != MISSING:
                problems.append(f"{path} {error}")
            continue
        values.update(found)
        if path == main:
            continue
        for name, value in found.items():
            if dropped_in.setdefault(name, value) != value:
                notes.append(f"files of {folder} differ in {name}; their order is not certain")
    if values:
        return Reading(place, kept(values), (*problems, *notes))
    if not problems:
        return Reading(place, problem=MISSING)
    denied = all(problem.endswith(DENIED) for problem in problems)
    return Reading(place, problem=DENIED if denied else "cannot be used: " + "; ".join(problems))


def _regular_files(folder: Path) -> tuple[list[Path], str]:
    """The files that nucleus lite takes, which leaves out links, and what was wrong if anything.

    It takes them as the folder lists them; by name is as good as any order.
    """
    try:
        found = [path for path in sorted(folder.iterdir()) if stat.S_ISREG(path.lstat().st_mode)]
    except FileNotFoundError:
        return [], MISSING
    except PermissionError:
        return [], DENIED
    except OSError as error:
        return [], f"cannot be read: {error.strerror}"
    return found, ""
