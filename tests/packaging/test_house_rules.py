"""House rules that a reader could overlook: one way to write, one place that catches all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.packaging.source import Module, dotted, shipped

#: The one place that writes files (house rule 4).
WRITER = "certkeeper.edge.durable"
#: What another module may do all the same, and why.
ALLOWED = {
    # It tries out whether links can be made and renamed, with links of its own.
    "certkeeper.edge.store_rehearsal": {"symlink_to", "replace", "unlink"},
}

_CALLS = frozenset(
    {
        *("os.replace", "os.rename", "os.renames", "os.link", "os.symlink", "os.truncate"),
        *("os.ftruncate", "os.write", "os.writev", "os.pwrite", "os.pwritev", "os.sendfile"),
        *("os.copy_file_range", "os.mkfifo", "os.mknod", "os.mkdir", "os.makedirs"),
        *("os.unlink", "os.remove", "os.rmdir", "os.removedirs"),
        *("os.chmod", "os.fchmod", "os.lchmod", "os.chown", "os.fchown", "os.lchown"),
    }
)
_METHODS = frozenset(
    {
        *("rename", "write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "link_to"),
        *("unlink", "rmdir", "mkdir", "chmod", "lchmod"),
    }
)
_FLAGS = frozenset({"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"})
_MODULES = frozenset({"shutil", "tempfile", "fileinput", "dbm", "shelve"})
_BROAD = frozenset({"Exception", "BaseException"})


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that writes, renames, links or removes a file, or makes a
    folder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if _is_writer(dotted(node)):
                yield node.lineno, dotted(node)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if _is_writer(f"{node.module}.{alias.name}"):
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _MODULES and (alias.name != "shutil" or alias.asname):
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _is_writer(name: str) -> bool:
    first, last = name.split(".")[0], name.split(".")[-1]
    if name in _CALLS or last in _FLAGS:
        return True
    return first in _MODULES and name != "shutil.which"


def _call(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = dotted(node.func)
    method = name.rsplit(".", 1)[-1] if isinstance(node.func, ast.Attribute) else ""
    # Text has replace(old, new), a time or a record replace(name=value): one value is a Path's.
    of_path = method == "replace" and len(node.args) == 1 and not node.keywords
    if method in _METHODS or of_path:
        yield node.lineno, method
    elif (name == "open" or method in ("open", "fdopen")) and name != "os.open":
        modes = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        texts = [a.value for a in modes if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if not all(set(text) <= set("rbt") for text in texts if len(text) <= 3):
            yield node.lineno, name


def handlers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that catches every exception."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type
            if caught is None:
                yield node.lineno, "bare except"
                continue
            kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
            kinds = node.args
        else:
            continue
        for kind in kinds:
            if dotted(kind).rsplit(".", 1)[-1] in _BROAD:
                yield node.lineno, dotted(kind)


@pytest.mark.parametrize("module", shipped(), ids=lambda module: module.name)
def test_one_way_to_write(module: Module) -> None:
    """Only durable.py changes what is on the disk: all others hand their content to it."""
    if module.name == WRITER:
        assert {"os.O_CREAT", "replace"} <= {name for _, name in writes(module.tree)}
        return
    allowed = ALLOWED.get(module.name, set())
    assert [found for found in writes(module.tree) if found[1] not in allowed] == []


def test_what_is_allowed_is_used() -> None:
    """An exception from the rule that nobody needs any more is taken back."""
    for module in shipped():
        if module.name in ALLOWED:
            assert {name for _, name in writes(module.tree)} == ALLOWED[module.name]


def test_everything_is_caught_in_one_place() -> None:
    """``except Exception`` stands once, in the daemon's loop; nowhere is there a bare except."""
    found = [(module.name, name) for module in shipped() for _, name in handlers(module.tree)]
    assert found == [("certkeeper.daemon", "Exception")]


def test_no_assert_ships() -> None:
    """src/ asserts nothing: python -O would take it away."""
    found = [
        f"{module.name}:{node.lineno}"
        for module in shipped()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "os.replace(a, b)",
        "move = os.rename",
        "from os import replace",
        "import shutil as s",
        "import shutil\nshutil.copy(a, b)",
        "from shutil import move",
        "import tempfile",
        "path.replace(other)",
        "path.rename(other)",
        "path.write_text('x')",
        "path.write_bytes(b'x')",
        "path.touch()",
        "path.symlink_to('x')",
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, 'r+')",
        "path.open('wb')",
        "path.open(mode='x')",
        "io.open(path, 'w')",
        "os.fdopen(3, 'wb')",
        "os.open(path, os.O_WRONLY)",
        "from os import O_CREAT",
        "os.write(3, b'x')",
        "os.remove(path)",
        "os.makedirs(path)",
        "os.fchown(3, 0, 0)",
        "path.unlink(missing_ok=True)",
        "path.rmdir()",
        "path.mkdir()",
        "path.chmod(0o644)",
    ],
)
def test_the_rule_finds_writing(code: str) -> None:
    """Each way of writing a file is found."""
    assert list(writes(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "text.replace('a', 'b')",
        "moment.replace(microsecond=0)",
        "replace(record, waiting=())",
        "open(path)",
        "open(path, 'rb', opener=o)",
        "path.open('rb')",
        "path.open()",
        "os.open(path, os.O_RDONLY | os.O_DIRECTORY)",
        "import shutil\nshutil.which('ss')",
        "from shutil import which",
        "stream.write('x')",
        "items.remove('x')",
        "durable.remove(path)",
    ],
)
def test_the_rule_leaves_reading_alone(code: str) -> None:
    """What reads a file, or has only the name of writing one, is left alone."""
    assert not list(writes(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept: pass",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept BaseException as e: raise",
        "try: f()\nexcept (OSError, Exception): pass",
        "try: f()\nexcept builtins.Exception: pass",
        "with contextlib.suppress(Exception): f()",
        "with suppress(OSError, BaseException): f()",
    ],
)
def test_the_rule_finds_catching(code: str) -> None:
    """Each way of catching everything is found."""
    assert list(handlers(ast.parse(code)))
    assert not list(handlers(ast.parse("try: f()\nexcept (OSError, ValueError): pass")))
