"""Writes docs/rotation-states.md from the table: ``python -m tests.core.state_diagram``."""

from __future__ import annotations

from pathlib import Path

from certkeeper.core.journal import Phase
from certkeeper.core.rotation import TABLE

PATH = Path(__file__).resolve().parents[2] / "docs" / "rotation-states.md"
_HEAD = """\
# The states of a rotation

Made from the table in `src/certkeeper/core/rotation.py` by `python -m tests.core.state_diagram`;
a test holds the two equal. What happens after a crash is in `src/certkeeper/core/recovery.py`.

"""


def text() -> str:
    """The page."""
    return _HEAD + _diagram() + "\n" + _table()


def _diagram() -> str:
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for signal, row in TABLE.items():
        for phase, rule in row.rules.items():
            for then in rule.to:
                if then is not phase:
                    arrows.setdefault((phase, then), []).append(signal.name)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> IDLE"]
    order = list(Phase)
    for (phase, then), names in sorted(
        arrows.items(), key=lambda item: (order.index(item[0][0]), order.index(item[0][1]))
    ):
        lines.append(f"    {phase.name} --> {then.name}: {', '.join(names)}")
    return "\n".join([*lines, "```", ""])


def _table() -> str:
    lines = [
        "| signal | what it says | phase | may be followed by |",
        "|---|---|---|---|",
    ]
    for signal, row in TABLE.items():
        first = f"`{signal.name}` | {signal.value}"
        for phase, rule in row.rules.items():
            then = ", ".join(f"`{one.name}`" for one in rule.to)
            lines.append(f"| {first} | `{phase.name}` | {then} |")
            first = " | "
        if len(row.rules) < len(Phase):
            lines.append(f"| {first} | any other | nothing: {row.otherwise} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
