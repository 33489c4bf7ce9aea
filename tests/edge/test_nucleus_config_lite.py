"""The credentials of nucleus lite: its database, in any state, and the files that seed it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from certkeeper.edge import nucleus_lite
from certkeeper.edge.nucleus_config import CredentialsNotFound, NucleusConfig, discover
from tests.edge.lite_files import SCHEMA, SYSTEM, create, find, names, seed, store


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nucleus_lite, "_PAUSE", 0)
    monkeypatch.setattr(nucleus_lite, "_LOCK_TIMEOUT", 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc" / "config.d").mkdir(parents=True)
    return tmp_path / "etc"


@pytest.fixture
def database(root: Path) -> Iterator[sqlite3.Connection]:
    """ggconfigd's own connection to a database that holds SYSTEM."""
    connection = create(root)
    yield connection
    connection.close()


# -- the database -----------------------------------------------------------------------


def test_a_provisioned_device_tells_all_that_is_asked(
    root: Path, etc: Path, database: sqlite3.Connection
) -> None:
    """Every field comes from the database, which is named as the source, and nothing is odd."""
    configuration = {"awsRegion": "eu-central-1", "iotCredEndpoint": "c", "iotDataEndpoint": "d"}
    provisioning = {"configuration": {"claimCertPath": "/claim.pem", "iotDataEndpoint": "other"}}
    store(
        database,
        {
            "services": {
                "aws.greengrass.NucleusLite": {
                    "configuration": {**configuration, "iotRoleAlias": "alias"}
                },
                "aws.greengrass.fleet_provisioning": provisioning,
                # The same names elsewhere are other keys.
                "system": {"certificateFilePath": "/wrong.crt"},
            },
        },
    )
    seed(etc)
    assert find(root, etc) == NucleusConfig(
        runtime="lite",
        root=str(root),
        thing_name="press-7",
        certificate_uri="/db.crt",
        private_key_uri="/db.key",
        root_ca_path=None,
        source=str(root / "config.db"),
        notes=(),
        aws_region="eu-central-1",
        iot_cred_endpoint="c",
        iot_data_endpoint="d",
        iot_role_alias="alias",
        claim_certificate_path="/claim.pem",
    )


def test_names_are_the_same_in_any_case(root: Path, etc: Path) -> None:
    """As in the database's own collation."""
    with sqlite3.connect(root / "config.db") as connection:
        connection.executescript(SCHEMA)
        store(connection, {"System": {"CERTIFICATEFILEPATH": "/a.crt", "privatekeypath": "/a.key"}})
    connection.close()
    assert find(root, etc).certificate_uri == "/a.crt"


def test_the_same_names_elsewhere_in_the_tree_are_other_keys(root: Path, etc: Path) -> None:
    """Only system at the top, and only its own children: whatever was stored before them."""
    wrong = {"certificateFilePath": "/wrong.crt", "privateKeyPath": "/wrong.key"}
    connection = sqlite3.connect(root / "config.db", isolation_level=None)
    connection.executescript(SCHEMA)
    store(connection, {"services": {"system": wrong, **wrong}, **wrong, "system": SYSTEM})
    connection.close()
    config = find(root, etc)
    assert (config.certificate_uri, config.private_key_uri) == ("/db.crt", "/db.key")


def test_looking_leaves_no_trace(root: Path, etc: Path, database: sqlite3.Connection) -> None:
    """No journal appears beside the database, and its bytes are the same."""
    content = (root / "config.db").read_bytes()
    find(root, etc)
    assert names(root) == {"config.db"}
    assert (root / "config.db").read_bytes() == content


def test_a_write_under_way_shows_the_state_before_it(
    root: Path, etc: Path, database: sqlite3.Connection
) -> None:
    """A reader beside ggconfigd's open transaction sees what was committed."""
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE valueTable SET value = '\"/uncommitted\"'")
    config = find(root, etc)
    assert (config.certificate_uri, config.notes) == ("/db.crt", ())


def test_a_lock_that_goes_away_is_waited_for(
    root: Path, etc: Path, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit takes milliseconds: the second attempt succeeds, and nothing is odd."""
    database.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("time.sleep", lambda _: database.execute("ROLLBACK"))
    config = find(root, etc)
    assert (config.certificate_uri, config.notes) == ("/db.crt", ())


def test_a_lock_that_stays_is_given_up(root: Path, etc: Path, database: sqlite3.Connection) -> None:
    """After a few attempts the files are asked, and the note says why."""
    database.execute("BEGIN EXCLUSIVE")
    seed(etc)
    config = find(root, etc)
    assert config.certificate_uri == "/etc.crt"
    assert config.notes == (
        f"{root}/config.db cannot be read as a database, tried 3 times: database is locked",
    )


def test_a_write_cut_short_by_a_power_cut_is_not_undone_here(
    root: Path, etc: Path, database: sqlite3.Connection
) -> None:
    """Rolling back is for ggconfigd: until it has, the database is not read, nor touched."""
    database.execute("PRAGMA cache_size = 1")
    database.execute("BEGIN IMMEDIATE")
    for number in range(500):
        store(database, {f"key-{number}": "x" * 500})
    after_the_cut = root.parent / "after"
    shutil.copytree(root, after_the_cut)
    before = {path.name: path.read_bytes() for path in after_the_cut.iterdir()}
    assert "config.db-journal" in before
    with pytest.raises(CredentialsNotFound, match=r"config\.db cannot be read as a database"):
        find(after_the_cut, etc)
    assert {path.name: path.read_bytes() for path in after_the_cut.iterdir()} == before


def test_a_closed_database_in_wal_mode_is_read_without_a_trace(root: Path, etc: Path) -> None:
    """SQLite would create -wal and -shm files for a mere reader; they must not appear."""
    connection = sqlite3.connect(root / "config.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    store(connection, {"system": SYSTEM})
    assert find(root, etc).certificate_uri == "/db.crt"  # while its owner has it open
    after_the_cut = root.parent / "after"
    after_the_cut.mkdir()
    for name in ("config.db", "config.db-wal"):
        shutil.copy(root / name, after_the_cut)
    connection.close()
    assert find(root, etc).certificate_uri == "/db.crt"
    assert names(root) == {"config.db"}
    with pytest.raises(CredentialsNotFound, match=r"changes in config\.db-wal that only"):
        find(after_the_cut, etc)
    assert names(after_the_cut) == {"config.db", "config.db-wal"}


def test_a_root_with_signs_in_its_name_is_read(tmp_path: Path, etc: Path) -> None:
    """The path is quoted in the database's URI."""
    root = tmp_path / "a?b#c%20 d"
    root.mkdir()
    connection = sqlite3.connect(root / "config.db")
    connection.executescript(SCHEMA)
    store(connection, {"system": SYSTEM})
    connection.commit()
    connection.close()
    assert find(root, etc).certificate_uri == "/db.crt"


ODD_DATABASES: dict[str, bytes] = {
    "empty": b"",
    "NUL bytes": b"\0" * 8192,
    "text": b"system:\n  certificateFilePath: /x\n",
    "cut off": b"SQLite format 3\0" + b"\x10\0\1\1\0",
}


@pytest.mark.parametrize("kind", ODD_DATABASES)
def test_what_is_no_database_is_passed_over(root: Path, etc: Path, kind: str) -> None:
    """The files are asked, and a note says that the database was no use."""
    (root / "config.db").write_bytes(ODD_DATABASES[kind])
    seed(etc)
    config = find(root, etc)
    assert config.certificate_uri == "/etc.crt"
    assert f"{root}/config.db cannot be read as a database" in config.notes[0]


def test_a_truncated_database_is_passed_over(
    root: Path, etc: Path, database: sqlite3.Connection
) -> None:
    """Half of a real database raises nothing else."""
    database.close()
    with (root / "config.db").open("r+b") as stream:
        stream.truncate(9000)
    seed(etc)
    assert find(root, etc).certificate_uri == "/etc.crt"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_passed_over(root: Path, etc: Path, kind: str) -> None:
    """A folder or a pipe in place of the database does not stop the search."""
    if kind == "folder":
        (root / "config.db").mkdir()
    else:
        os.mkfifo(root / "config.db")
    seed(etc)
    config = find(root, etc)
    assert (config.runtime, config.certificate_uri) == ("lite", "/etc.crt")
    assert config.notes == (f"{root}/config.db is not a file",)


NO_PATHS: list[Any] = [
    b"\xff\xfe",
    b"/no/json",
    b"[" * 8000,
    None,
    ["/a"],
    {},
    "",
    True,
    "x" * 9000,
]


@pytest.mark.parametrize("value", NO_PATHS)
def test_a_value_that_is_no_path_counts_as_missing(
    root: Path, etc: Path, database: sqlite3.Connection, value: Any
) -> None:
    """Before fleet provisioning the path is empty or not there; damage is treated alike."""
    database.execute("DELETE FROM valueTable")
    database.execute("DELETE FROM relationTable")
    database.execute("DELETE FROM keyTable")
    store(database, {"system": {"certificateFilePath": value, "privateKeyPath": "/db.key"}})
    with pytest.raises(CredentialsNotFound, match=r"config\.db names no certificate"):
        find(root, etc)


def test_a_value_of_any_size_takes_little_memory(
    root: Path, etc: Path, database: sqlite3.Connection
) -> None:
    """What is too long to be a path is not taken out of the database at all."""
    database.execute("UPDATE valueTable SET value = ?", (json.dumps("x" * 20_000_000),))
    with pytest.raises(CredentialsNotFound):  # and what is loaded only once is loaded
        find(root, etc)
    tracemalloc.start()
    try:
        with pytest.raises(CredentialsNotFound):
            find(root, etc)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_case_sensitive_key_column(root: Path, etc: Path) -> None:
    """Versions of lite whose key column is BINARY are read like those where it is NOCASE."""
    with closing(sqlite3.connect(root / "config.db", isolation_level=None)) as connection:
        connection.executescript(SCHEMA.replace("NOCASE", "BINARY"))
        store(connection, {"system": SYSTEM})
    assert discover(str(root), lite_etc=str(etc)).certificate_uri == "/db.crt"
