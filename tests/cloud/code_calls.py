"""Which AWS calls the code of a function can make, told from the code alone.

From the handler on, every function and method that is named is followed; mypy says what class a
method is called on. A method of a port is followed into every class that has all of the port's
methods: what those call on boto3's clients are the AWS calls (client_calls.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from mypy.build import build
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.plugin import MethodContext, Plugin
from mypy.types import Type

from tests.cloud.client_calls import AwsCall, client_calls, held_by
from tests.packaging.source import PROJECT

CLOUD = PROJECT / "cloud"
PORTS = "rotation_cloud.ports."
#: Where every client is made and handed over: it calls none.
_WIRING = "rotation_cloud.aws.cloud"


@dataclass
class Code:
    """A function or method: the full names in it, and the AWS calls that it makes itself."""

    names: set[str] = field(default_factory=set)
    calls: set[AwsCall] = field(default_factory=set)


@dataclass(frozen=True)
class Class:
    """Its own methods, and the full names of its bases."""

    methods: frozenset[str]
    bases: tuple[str, ...]


def calls_of(handler: str, unused: frozenset[str] = frozenset()) -> dict[AwsCall, set[str]]:
    """The AWS calls that can be reached from a handler, each with the functions that make it."""
    found: dict[AwsCall, set[str]] = {}
    for name in reached_from(handler, unused):
        for call in all_code().get(name, Code()).calls:
            found.setdefault(call, set()).add(name)
    return found


def reached_from(handler: str, unused: frozenset[str] = frozenset()) -> set[str]:
    """The full names of all that ``functions.create.handler.handler`` leads to.

    ``unused`` are classes that a deployment has no use for.
    """
    assert handler in all_code(), f"there is no {handler}"
    seen: set[str] = set()
    waiting = {handler}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        names = all_code().get(name, Code()).names
        met = {each for named in names for each in (named, *_defined(named))}
        waiting |= {each for each in met if each.rpartition(".")[0] not in unused} - seen
    return seen


@cache
def all_code() -> dict[str, Code]:
    """Every function and method of the cloud's code, by its full name."""
    codes: dict[str, Code] = {}
    places: dict[str, list[tuple[int, int, str]]] = {}
    for module, tree in _trees().items():
        known = _known(module, tree)
        for name, node, owner in _definitions(module, tree):
            held = held_by(owner) if owner else frozenset()
            calls = set() if name == _WIRING else set(client_calls(name, node, held))
            codes[name] = Code(set(_names(node, known)), calls)
            places.setdefault(module, []).append((node.lineno, node.end_lineno or 0, name))
    for module, line, method in _method_calls():
        for first, last, name in places.get(module, ()):
            if first <= line <= last:
                codes[name].names.add(method)
    return codes


@cache
def implementations(port: str) -> frozenset[str]:
    """The classes that have all methods of a port, by its name in ports.py."""
    wanted = _classes()[PORTS + port].methods
    return frozenset(
        name
        for name in _classes()
        if not name.startswith(PORTS) and wanted and wanted <= _methods(name)
    )


def _defined(name: str) -> set[str]:
    """Where a name is defined: a method in the class or a base, a port's in what stands for it."""
    owner, _, method = name.rpartition(".")
    if owner.startswith(PORTS) and method in _classes().get(owner, Class(frozenset(), ())).methods:
        each = implementations(owner.removeprefix(PORTS))
        return {defined for one in each for defined in _defined(f"{one}.{method}")}
    if name in all_code():
        return {name}
    bases = _classes()[owner].bases if owner in _classes() else ()
    return {defined for base in bases for defined in _defined(f"{base}.{method}")}


def _methods(name: str) -> frozenset[str]:
    """The methods of a class, its bases' among them."""
    if name not in _classes():
        return frozenset()
    known = _classes()[name]
    return known.methods.union(*(_methods(base) for base in known.bases))


# --- the code as it is written


@cache
def _paths() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(CLOUD).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("rotation_cloud", "functions")
        for path in sorted((CLOUD / package).rglob("*.py"))
    }


@cache
def _trees() -> dict[str, ast.Module]:
    return {module: ast.parse(path.read_text("utf-8")) for module, path in _paths().items()}


@cache
def _classes() -> dict[str, Class]:
    found = {}
    for module, tree in _trees().items():
        known = _known(module, tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                bases = (known.get(base.id) for base in node.bases if isinstance(base, ast.Name))
                found[f"{module}.{node.name}"] = Class(
                    frozenset(methods), tuple(base for base in bases if base)
                )
    return found


def _definitions(
    prefix: str, node: ast.Module | ast.ClassDef, owner: ast.ClassDef | None = None
) -> Iterator[tuple[str, ast.FunctionDef, ast.ClassDef | None]]:
    """Each function with its class. What is within another function belongs to that one."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            yield f"{prefix}.{each.name}", each, owner
        elif isinstance(each, ast.ClassDef):
            yield from _definitions(f"{prefix}.{each.name}", each, each)


def _known(module: str, tree: ast.Module) -> dict[str, str]:
    """The full names of what a module defines and imports."""
    defined = {
        each.name: f"{module}.{each.name}"
        for each in tree.body
        if isinstance(each, (ast.FunctionDef, ast.ClassDef))
    }
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return defined | imported


def _names(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """The full names of ``retire`` and of ``notices.tell``, called or handed on."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in known:
            yield known[each.id]
        elif isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            owner = known.get(each.value.id)
            if owner is not None:
                yield f"{owner}.{each.attr}"


# --- which method of which class


class _Watching(Plugin):
    """A plugin of mypy that sees which method of which class each call is of."""

    def __init__(self, options: Options, seen: set[tuple[str, int, str]]) -> None:
        super().__init__(options)
        self._seen = seen

    def get_method_hook(self, fullname: str) -> Any:
        return partial(self._note, fullname)

    def _note(self, fullname: str, context: MethodContext) -> Type:
        checker: Any = context.api
        self._seen.add((checker.tree.fullname, context.context.line, fullname))
        return context.default_return_type


def _method_calls() -> set[tuple[str, int, str]]:
    """Module and line of each method call, and the method's full name by its object's class."""
    options = Options()
    options.mypy_path = [str(CLOUD), str(PROJECT / "src")]
    # The libraries are not looked into: what they make of types is `make lint`'s affair.
    options.follow_imports = "skip"
    options.namespace_packages = options.explicit_package_bases = True
    options.incremental = False
    options.cache_dir = "/dev/null"
    seen: set[tuple[str, int, str]] = set()
    sources = [BuildSource(str(path), module) for module, path in _paths().items()]
    build(sources, options, extra_plugins=[_Watching(options, seen)])
    return seen
