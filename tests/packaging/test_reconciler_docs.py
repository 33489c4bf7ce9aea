"""What docs/operations.md says of the reconciler is what it finds and takes."""

from __future__ import annotations

import re

import pytest

from rotation_cloud.findings import Kind
from rotation_cloud.reconciler import Orders
from rotation_protocol.fields import WireError
from tests.packaging.source import PROJECT

OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()
SECTION = OPERATIONS.partition("\n## The reconciler\n")[2].partition("\n## ")[0]


def first_column(header: str) -> list[str]:
    """The names in a table's first column."""
    table = SECTION.partition(f"| {header} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def test_every_finding_is_described() -> None:
    """One row for each."""
    found = first_column("finding")
    assert sorted(found) == sorted(kind.value for kind in Kind)


def test_every_option_is_described() -> None:
    """One row for each option, and no other option is taken."""
    options = first_column("option")
    for option in options:
        value = {"dryRun": True, "maxRepairs": 1}.get(option, "press-7")
        assert Orders.of({option: value}, 50, 30) != Orders(50, 30)
    with pytest.raises(WireError) as raised:
        Orders.of({"?": 1}, 50, 30)
    assert all(option in str(raised.value) for option in options)
    assert len(options) == 4
