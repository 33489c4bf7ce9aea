"""What operations.md says of alerts and of the inventory is what the template and the code do."""

from __future__ import annotations

import re
from dataclasses import fields

from lab.cloud.intrinsics import load
from lab.cloud.template import TEMPLATE
from rotation_cloud.alerts import MOST_TOLD
from rotation_cloud.doubts import Doubt
from rotation_cloud.inventory import Entry
from tests.packaging.markdown import coded, document, first_column, rows, section

WATCH = section(document("operations.md"), "Watch the alerts")


def after(text: str, words: str) -> str:
    """The rest of the text behind these words."""
    assert words in text
    return text.partition(words)[2]


def test_parameters() -> None:
    """The parameters of the alerts, with the template's defaults."""
    declared = load(TEMPLATE.read_text())["Parameters"]
    said = {coded(row[0])[0]: row[1] for row in rows(WATCH)}
    assert {"AlertMaxDays", "AutoRotateBelowDays", "RequireSignedAlerts"} < set(said)
    for name, default in said.items():
        assert default == (str(declared[name]["Default"]) or "none")


def test_reasons() -> None:
    """Each reason for which a message is not believed, and no other."""
    said = after(WATCH, "**SECURITY** in a subject")
    assert first_column(said) == {doubt.value for doubt in Doubt}
    assert f"more than {MOST_TOLD} different alerts" in said


def test_fields_of_the_inventory() -> None:
    """Each field of an entry, and no other."""
    table = section(document("operations.md"), "The inventory")
    names = {re.sub(r"_(\w)", lambda m: m[1].upper(), field.name) for field in fields(Entry)}
    assert first_column(table) == names
