"""Who may know whom in ``deployment/``: one file with boto3, one with rich, and pure decisions."""

from __future__ import annotations

import ast
import sys

import pytest

from tests.packaging.source import PROJECT, imports
from tests.packaging.test_dependencies import KNOWN, PURE, impurities

FILES = sorted((PROJECT / "deployment").glob("*.py"))
#: The packages of requirements/deploy.in, and the files that know each.
OUTSIDE = {
    "boto3": {"account"},
    "botocore": {"account", "aws_errors"},
    "yaml": {"configuration"},
    "rich": {"screen"},
}
#: What of the component is used here: nothing that needs a device.
OF_THE_COMPONENT = {
    "certkeeper",
    "certkeeper.core.settings",
    "certkeeper.core.backoff",
    "certkeeper.edge.schedule",
}
DECIDE = {"plan", "difference", "progress", "ports"}
#: Files in the order in which they may know each other: each only those before it.
ORDER = (
    *("__init__", "ports", "plan", "difference", "configuration", "progress", "arguments"),
    *("checks", "watching", "screen", "aws_errors", "account", "deploying"),
)


def tree(path: object) -> ast.Module:
    return ast.parse((PROJECT / "deployment" / f"{path}.py").read_text("utf-8"))


def known_by(name: str) -> set[str]:
    """What a file imports, as dotted names; a module of ours in full."""
    ours = frozenset(f"deployment.{other}" for other in ORDER)
    return {imported for _, imported in imports(tree(name), ours | KNOWN)}


def test_every_file_is_in_order() -> None:
    """The order names every file."""
    assert sorted(ORDER) == [path.stem for path in FILES]


@pytest.mark.parametrize("name", ORDER)
def test_who_knows_whom(name: str) -> None:
    """A file knows the standard library, files before it, and what it alone is to know."""
    for imported in known_by(name):
        top = imported.split(".")[0]
        if top == "deployment":
            other = imported.partition(".")[2] or "__init__"
            assert ORDER.index(other) < ORDER.index(name), imported
        elif top == "certkeeper":
            assert imported in OF_THE_COMPONENT
        elif top.startswith("mypy_boto3"):
            assert name == "account"
        else:
            assert top in sys.stdlib_module_names or name in OUTSIDE[top], imported


@pytest.mark.parametrize("name", sorted(DECIDE))
def test_decisions_are_pure(name: str) -> None:
    """What decides asks neither the clock nor the disk, and tells nobody."""
    worldly = {top for i in known_by(name) if (top := i.split(".")[0]) in sys.stdlib_module_names}
    assert worldly <= PURE
    assert list(impurities(tree(name))) == []


def test_nothing_is_caught_that_is_not_known() -> None:
    """No file catches every exception: what is not foreseen is to be seen."""
    caught = {
        ast.unparse(node.type) if node.type else "all"
        for path in [*FILES, PROJECT / "deploy_component_version.py"]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
    }
    assert not caught & {"all", "Exception", "BaseException"}
