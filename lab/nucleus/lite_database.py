"""The database in which nucleus lite's ggconfigd keeps the device's configuration.

Written once, as it stands after provisioning; ``ggconfigd`` itself is not here.

Source: aws-greengrass-lite, ``modules/ggconfigd`` (create_db.sql, db_interface.c).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE keyTable (
  'keyid' INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE NOT NULL,
  'keyvalue' TEXT NOT NULL COLLATE BINARY
);
CREATE TABLE relationTable (
  'keyid' INT UNIQUE NOT NULL,
  'parentid' INT NOT NULL,
  PRIMARY KEY (keyid),
  FOREIGN KEY (keyid) REFERENCES keyTable (keyid),
  FOREIGN KEY (parentid) REFERENCES keyTable (keyid)
);
CREATE TABLE valueTable (
  'keyid' INT UNIQUE NOT NULL,
  'value' TEXT NOT NULL,
  'timeStamp' INTEGER NOT NULL,
  FOREIGN KEY (keyid) REFERENCES keyTable (keyid)
);
CREATE TABLE version ('version' TEXT DEFAULT '0.1');
INSERT INTO version (version) VALUES (0.1);
"""


def write_database(path: Path, configuration: Mapping[str, Any], at: int) -> None:
    """Make the database ``path`` hold a configuration; ``at`` is every value's timestamp."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        _insert(database, configuration, None, at)
        database.commit()


def _insert(
    database: sqlite3.Connection, node: Mapping[str, Any], parent: int | None, at: int
) -> None:
    """Keys form a tree by relations to their parents; only leaves have a value, in JSON."""
    for key, value in node.items():
        inserted = database.execute("INSERT INTO keyTable(keyvalue) VALUES (?)", (key,))
        identifier = inserted.lastrowid
        if parent is not None:
            database.execute("INSERT INTO relationTable VALUES (?, ?)", (identifier, parent))
        if isinstance(value, Mapping):
            _insert(database, value, identifier, at)
        else:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            database.execute("INSERT INTO valueTable VALUES (?, ?, ?)", (identifier, text, at))
