"""The source files of what ships, as syntax trees, and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SRC = PROJECT / "src"

#: What tools leave in the tree; .gitignore lists the same.
_NOT_OURS = {
    *(".git", ".venv", ".aws-sam", "__pycache__", "build", "greengrass-build"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"),
}


@dataclass(frozen=True)
class Module:
    """A module by its dotted name, with its file and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module


@cache
def shipped() -> tuple[Module, ...]:
    """Every module under src/."""
    return tuple(
        Module(_dotted(path, SRC), path, ast.parse(path.read_text("utf-8"), str(path)))
        for path in sorted(SRC.rglob("*.py"))
    )


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def project_files() -> Iterator[Path]:
    """Every file of the project, without what tools leave in the tree."""
    folders = [PROJECT]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            if path.name in _NOT_OURS or path.name.endswith(".egg-info"):
                continue
            if path.is_dir():
                folders.append(path)
            else:
                yield path


def imports(tree: ast.AST, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of whatever is imported anywhere in the tree.

    ``from a import b`` is ``a.b`` if that is one of the ``known`` modules, else ``a``.
    Relative imports keep their dots.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield node.lineno, name if name in known else module


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an expression that is one; what is not a name is a ``?``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"
