"""What the places that a nucleus keeps its configuration in have in common.

A place is read into a Reading, which keeps only the few values that CertKeeper wants. A
place that cannot be read is a Reading too, that says why: nothing found on a disk raises.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any, BinaryIO

from certkeeper.edge.location import without_pin
from rotation_protocol.values import dataclass

#: Where a value stands in a configuration (names in lower case), and what NucleusConfig calls it.
Keys = Mapping[tuple[str, ...], str]

#: system.*, which is the same on the classic nucleus and on nucleus lite.
SYSTEM_KEYS: Keys = {
    ("system", "thingname"): "thing_name",
    ("system", "certificatefilepath"): "certificate_uri",
    ("system", "privatekeypath"): "private_key_uri",
    ("system", "rootcapath"): "root_ca_path",
}

MISSING = "is not there"
DENIED = "cannot be read: permission denied"

#: Far more than any configuration seen; what is longer is not one.
_MAX_YAML = 1024 * 1024
_MAX_VALUE = 4096


def component_keys(nucleus: str) -> Keys:
    """The keys of the nucleus's own component, whose name differs between classic and lite."""
    prefix = ("services", nucleus, "configuration")
    return {
        (*prefix, "awsregion"): "aws_region",
        (*prefix, "iotcredendpoint"): "iot_cred_endpoint",
        (*prefix, "iotdataendpoint"): "iot_data_endpoint",
        (*prefix, "iotrolealias"): "iot_role_alias",
    }


@dataclass(frozen=True)
class Reading:
    """What one place says: values by their names in NucleusConfig, none of them empty.

    ``problem`` is why the place says nothing at all, as the end of a sentence about it.
    """

    place: str
    values: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str = ""


class Unreadable(Exception):
    """A file cannot be used; the message is the end of a sentence about it."""


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """The file, opened for reading in binary; never waits, as a pipe in its place would make it.

    Raises Unreadable, also for what goes wrong inside the ``with`` block while reading.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise Unreadable("is not a file")
            yield stream
    except FileNotFoundError:
        raise Unreadable(MISSING) from None
    except PermissionError:
        raise Unreadable(DENIED) from None
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise Unreadable("is not a file") from None
        raise Unreadable(f"cannot be read: {error.strerror}") from None


def read_yaml(path: Path, keys: Keys) -> dict[str, str]:
    """The values of a YAML file, by name; ``""`` where it says so. Raises Unreadable."""
    with open_regular(path) as stream:
        content = stream.read(_MAX_YAML + 1)
    if len(content) > _MAX_YAML:
        raise Unreadable(f"is longer than {_MAX_YAML} bytes and was not read")
    if not content.strip(b"\0 \t\r\n"):
        raise Unreadable("is empty")
    import yaml  # here, because a healthy classic device never needs to pay for it

    # The base loader makes every scalar text: "thingName: 0017" stays as it was written. The
    # C parser is not used, because deep nesting makes it overrun the stack of the process.
    try:
        loader = yaml.BaseLoader(content)
        try:
            tree = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" from line {mark.line + 1} on"
        raise Unreadable(f"is not YAML{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Unreadable("is not YAML") from None
    if not isinstance(tree, dict):
        raise Unreadable("is not a YAML mapping")
    found = {name: _at(tree, path_) for path_, name in keys.items()}
    # To the base loader a null is the word itself.
    return {
        name: "" if value in ("null", "~") else value
        for name, value in found.items()
        if value is not None
    }


def text_of(value: Any) -> str | None:
    """A value of a configuration as text, None if it is none: a thing may be named 17."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and len(value) <= _MAX_VALUE else None


def kept(values: Mapping[str, str | None]) -> dict[str, str]:
    """The values that say something, fit to be shown."""
    return {name: without_pin(value) for name, value in values.items() if value}


def _at(tree: Mapping[Any, Any], path: tuple[str, ...]) -> str | None:
    node: Any = tree
    for wanted in path:
        if not isinstance(node, dict):
            return None
        node = next((node[name] for name in node if str(name).lower() == wanted), None)
    return text_of(node)
