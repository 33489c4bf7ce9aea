"""What ships parses as Python 3.9 and uses nothing of later ones that a parser lets through.

run_on_python39.sh, beside this file, runs it under a real Python 3.9.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.packaging.source import Module, dotted, shipped

#: Arguments of functions that Python 3.9 has without them.
_LATER_ARGUMENTS = {
    "dataclass": {"slots", "kw_only", "match_args", "weakref_slot"},
    "field": {"kw_only"},
    "zip": {"strict"},
}
_LATER_NAMES = {
    *("datetime.UTC", "enum.StrEnum", "types.NoneType", "types.UnionType", "typing.Self"),
    *("typing.TypeGuard", "typing.TypeAlias", "typing.ParamSpec", "typing.assert_never"),
    *("typing.override", "typing.Never", "itertools.pairwise", "contextlib.chdir"),
    *("dataclasses.KW_ONLY", "functools.Placeholder", "tomllib"),
}


def later(tree: ast.AST) -> Iterator[str]:
    """Each use of something that came after Python 3.9."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = dotted(node.func).rsplit(".", 1)[-1]
            for keyword in node.keywords:
                if keyword.arg in _LATER_ARGUMENTS.get(function, ()):
                    yield f"line {node.lineno}: {function}({keyword.arg}=)"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in _LATER_NAMES or node.module in _LATER_NAMES:
                    yield f"line {node.lineno}: {node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _LATER_NAMES:
                    yield f"line {node.lineno}: {alias.name}"
        elif isinstance(node, ast.Attribute) and dotted(node) in _LATER_NAMES:
            yield f"line {node.lineno}: {dotted(node)}"


@pytest.mark.parametrize("module", shipped(), ids=lambda module: module.name)
def test_it_is_python_39(module: Module) -> None:
    """The module parses with Python 3.9's grammar, and uses no later name or argument."""
    ast.parse(module.path.read_text("utf-8"), feature_version=(3, 9))
    assert list(later(module.tree)) == []


@pytest.mark.parametrize("module", shipped(), ids=lambda module: module.name)
def test_annotations_are_not_evaluated(module: Module) -> None:
    """A module with code begins with the future import that lets ``X | Y`` stand in 3.9."""
    code = [node for node in module.tree.body if not isinstance(node, (ast.Expr, ast.Assign))]
    if code:
        first = code[0]
        assert isinstance(first, ast.ImportFrom)
        assert (first.module, [alias.name for alias in first.names]) == (
            "__future__",
            ["annotations"],
        )


@pytest.mark.parametrize(
    "code",
    [
        "@dataclass(frozen=True, slots=True)\nclass A: ...",
        "@dataclasses.dataclass(kw_only=True)\nclass A: ...",
        "zip(a, b, strict=True)",
        "from datetime import UTC",
        "import datetime\ndatetime.UTC",
        "from enum import StrEnum",
        "import tomllib",
    ],
)
def test_later_things_are_found(code: str) -> None:
    """Each thing of a later Python is found."""
    assert list(later(ast.parse(code)))


@pytest.mark.parametrize("code", ["match x:\n    case 1: pass", "try: f()\nexcept* OSError: pass"])
def test_later_grammar_is_refused(code: str) -> None:
    """Grammar of a later Python does not parse."""
    with pytest.raises(SyntaxError):
        ast.parse(code, feature_version=(3, 9))
