"""A nucleus lite's database and configuration files, written for tests."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from certkeeper.edge.nucleus_config import NucleusConfig, discover

# As modules/ggconfigd of aws-greengrass-lite creates it.
SCHEMA = """
CREATE TABLE keyTable('keyid' INTEGER PRIMARY KEY AUTOINCREMENT unique not null,
  'keyvalue' TEXT NOT NULL COLLATE NOCASE);
CREATE TABLE relationTable('keyid' INT UNIQUE NOT NULL, 'parentid' INT NOT NULL,
  primary key (keyid),
  foreign key (keyid) references keyTable(keyid),
  foreign key (parentid) references keyTable(keyid));
CREATE TABLE valueTable('keyid' INT UNIQUE NOT NULL, 'value' TEXT NOT NULL,
  'timeStamp' TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  foreign key(keyid) references keyTable(keyid));
CREATE TABLE version('version' TEXT DEFAULT '0.1');
INSERT INTO version(version) VALUES (0.1);
"""
SYSTEM = {"certificateFilePath": "/db.crt", "privateKeyPath": "/db.key", "thingName": "press-7"}
Tree = dict[str, Any]


def create(root: Path) -> sqlite3.Connection:
    """ggconfigd's own connection to a new database that holds SYSTEM."""
    connection = sqlite3.connect(root / "config.db", isolation_level=None)
    connection.executescript(SCHEMA)
    store(connection, {"system": SYSTEM})
    return connection


def store(connection: sqlite3.Connection, tree: Tree, parent: int | None = None) -> None:
    """Keys as rows that name their parent, values as JSON text."""
    for name, value in tree.items():
        key = connection.execute("INSERT INTO keyTable(keyvalue) VALUES (?)", (name,)).lastrowid
        if parent is not None:
            connection.execute("INSERT INTO relationTable VALUES (?,?)", (key, parent))
        if isinstance(value, dict):
            store(connection, value, key)
        else:
            text = value if isinstance(value, bytes) else json.dumps(value)
            insert = "INSERT INTO valueTable(keyid,value) VALUES (?, CAST(? AS TEXT))"
            connection.execute(insert, (key, text))


def write(path: Path, **system: str) -> None:
    path.write_text("system:\n" + "".join(f"  {key}: {value}\n" for key, value in system.items()))


def seed(etc: Path) -> None:
    write(etc / "config.yaml", certificateFilePath="/etc.crt", privateKeyPath="/etc.key")


def find(root: Path, etc: Path) -> NucleusConfig:
    return discover(str(root), lite_etc=str(etc))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
