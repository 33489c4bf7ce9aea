"""Dependencies run one way (design, section 3): a rule over the syntax trees of src/."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.packaging.source import PROJECT, Module, imports, project_files, shipped

#: Which rooms the modules of a room may import besides their own.
ROOMS: dict[str, frozenset[str]] = {
    "rotation_protocol": frozenset(),
    "certkeeper": frozenset(),
    "certkeeper.core": frozenset({"rotation_protocol"}),
    "certkeeper.ports": frozenset({"rotation_protocol", "certkeeper.core"}),
    "certkeeper.edge": frozenset({"rotation_protocol", "certkeeper.core", "certkeeper.ports"}),
    "certkeeper.daemon": frozenset({"rotation_protocol", "certkeeper.core", "certkeeper.ports"}),
    "certkeeper.wiring": frozenset(
        {
            *("rotation_protocol", "certkeeper", "certkeeper.core", "certkeeper.ports"),
            *("certkeeper.edge", "certkeeper.daemon"),
        }
    ),
    "certkeeper.commands": frozenset(
        {
            *("rotation_protocol", "certkeeper", "certkeeper.core", "certkeeper.ports"),
            "certkeeper.edge",
        }
    ),
    "certkeeper.store_commands": frozenset(
        {
            *("rotation_protocol", "certkeeper", "certkeeper.core", "certkeeper.ports"),
            *("certkeeper.edge", "certkeeper.commands"),
        }
    ),
    "certkeeper.__main__": frozenset(
        {
            *("certkeeper", "certkeeper.edge", "certkeeper.wiring", "certkeeper.commands"),
            "certkeeper.store_commands",
        }
    ),
}

#: The packages of requirements/device.in, and the one file that knows each.
OUTSIDE = {
    "awscrt": {"certkeeper.edge.greengrass"},
    "awsiot": {"certkeeper.edge.ipc_sdk"},
    "cronsim": {"certkeeper.edge.schedule"},
    "cryptography": {
        *("certkeeper.edge.x509", "certkeeper.edge.key_pair", "certkeeper.edge.acceptance"),
    },
    "yaml": {"certkeeper.edge.nucleus_source"},
}

#: Of the standard library, what touches no disk, network, clock, thread, chance or log.
PURE = frozenset(
    {
        *("__future__", "abc", "base64", "binascii", "bisect", "collections", "copy"),
        *("dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "itertools"),
        *("json", "math", "operator", "re", "reprlib", "string", "textwrap", "types", "typing"),
        "unicodedata",
    }
)
PURE_ROOMS = ("rotation_protocol", "certkeeper.core")

#: Names by which a pure module would reach for the clock or the disk all the same.
CLOCKS = {"now", "utcnow", "today"}
WORLDLY = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}


def room_of(module: str) -> str:
    """The room that a module of ours is in."""
    return max((room for room in ROOMS if within(module, room)), key=len)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def is_ours(module: str) -> bool:
    return any(within(module, top) for top in ("certkeeper", "rotation_protocol"))


def forbidden(name: str, tree: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """Each import in the module ``name`` that it may not have, with its line."""
    room = room_of(name)
    for line, imported in imports(tree, known):
        top = imported.split(".")[0]
        if imported.startswith("."):
            yield f"{name}:{line} imports {imported}: write it in full"
        elif is_ours(imported):
            theirs = room_of(imported)
            if theirs != room and theirs not in ROOMS[room]:
                yield f"{name}:{line} imports {imported}"
        elif top in sys.stdlib_module_names:
            if room in PURE_ROOMS and top not in PURE:
                yield f"{name}:{line} imports {imported}, which is not pure"
        elif name not in OUTSIDE.get(top, ()):
            yield f"{name}:{line} imports {imported}"


def impurities(tree: ast.AST) -> Iterator[str]:
    """Each use of the clock, the disk or the console that needs no import to be had."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            of = node.value
            called = of.id if isinstance(of, ast.Name) else getattr(of, "attr", "")
            if called in ("datetime", "date"):
                yield f"line {node.lineno}: {called}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in WORLDLY:
            yield f"line {node.lineno}: {node.id}"


KNOWN = frozenset(module.name for module in shipped())


@pytest.mark.parametrize("module", shipped(), ids=lambda module: module.name)
def test_imports_run_one_way(module: Module) -> None:
    """A module imports its own room, the rooms below it, and what it alone is to know."""
    assert list(forbidden(module.name, module.tree, KNOWN)) == []


@pytest.mark.parametrize(
    "module",
    [module for module in shipped() if room_of(module.name) in PURE_ROOMS],
    ids=lambda module: module.name,
)
def test_core_is_pure(module: Module) -> None:
    """core and the protocol ask neither the clock nor the disk, nor talk to the console."""
    assert list(impurities(module.tree)) == []


def test_every_room_is_there() -> None:
    """The table of rooms is that of the house, and every outside package has its one place."""
    assert {room_of(module.name) for module in shipped()} == set(ROOMS)
    used = {
        (imported.split(".")[0], module.name)
        for module in shipped()
        for _, imported in imports(module.tree, KNOWN)
        if imported.split(".")[0] in OUTSIDE
    }
    assert used == {(top, name) for top, names in OUTSIDE.items() for name in names}


def test_nobody_imports_lab_or_tests() -> None:
    """lab and tests may import anything, and nobody imports them; but for them and src only
    deployment knows src (what it may know: tests/deployment/test_rooms.py)."""
    found = []
    for path in project_files():
        place = path.relative_to(PROJECT)
        if path.suffix != ".py" or place.parts[0] in ("lab", "tests"):
            continue
        for line, imported in imports(ast.parse(path.read_text("utf-8")), frozenset()):
            top = imported.split(".")[0]
            if top in ("lab", "tests") or (
                top == "certkeeper" and place.parts[0] not in ("src", "deployment")
            ):
                found.append(f"{place}:{line} imports {imported}")
    assert found == []


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("certkeeper.core.rotation", "import os"),
        ("certkeeper.core.rotation", "import os.path as p"),
        ("certkeeper.core.rotation", "from time import monotonic"),
        ("certkeeper.core.rotation", "def f():\n    import random"),
        ("certkeeper.core.rotation", "from pathlib import Path"),
        ("certkeeper.core.rotation", "import logging, json"),
        ("certkeeper.core.rotation", "import secrets"),
        ("certkeeper.core.rotation", "import uuid"),
        ("certkeeper.core.rotation", "from certkeeper import ports"),
        ("certkeeper.core.rotation", "from certkeeper.ports import Clock"),
        ("certkeeper.core.rotation", "from certkeeper.edge.durable import write"),
        ("certkeeper.core.rotation", "from . import deadline"),
        ("certkeeper.core.rotation", "import cryptography"),
        ("certkeeper.core.rotation", "if TYPE_CHECKING:\n    from certkeeper.daemon import Daemon"),
        ("rotation_protocol.codec", "from certkeeper.core import events"),
        ("rotation_protocol.codec", "import socket"),
        ("certkeeper.ports", "from certkeeper.edge import durable"),
        ("certkeeper.edge.probe", "from certkeeper.daemon import Daemon"),
        ("certkeeper.edge.probe", "from certkeeper import wiring"),
        ("certkeeper.edge.probe", "from cryptography import x509"),
        ("certkeeper.edge.probe", "import boto3"),
        ("certkeeper.edge.probe", "from lab.lab import Lab"),
        ("certkeeper.edge.x509", "import awscrt.io"),
        ("certkeeper.daemon", "from certkeeper.edge.logs import LineLog"),
        ("certkeeper.daemon", "from certkeeper import wiring"),
        ("certkeeper.commands", "from certkeeper import wiring"),
        ("certkeeper.wiring", "from certkeeper import commands"),
        ("certkeeper.wiring", "import certkeeper.__main__"),
    ],
)
def test_the_rule_finds(module: str, code: str) -> None:
    """An import against the direction is found, however it is written."""
    assert list(forbidden(module, ast.parse(code), KNOWN))


@pytest.mark.parametrize(
    "code",
    [
        "datetime.now()",
        "datetime.datetime.now(UTC)",
        "f = datetime.utcnow",
        "date.today()",
        "open('x')",
        "print(1)",
        "__import__('os')",
    ],
)
def test_the_rule_finds_what_needs_no_import(code: str) -> None:
    """The clock and the disk are found where no import gives them away; other nows are fine."""
    assert list(impurities(ast.parse(code)))
    assert not list(impurities(ast.parse("clock.now(), context.now, datetime.min, self.open()")))
