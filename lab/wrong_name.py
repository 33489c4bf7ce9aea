"""What is said to whoever asks for something by a name that there is not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def wrong_name(what: str, name: str, known: Iterable[str], listing: str) -> str:
    """One line; ``listing`` is the command that prints the names."""
    near = get_close_matches(name, known, 1)
    hint = f"; do you mean {near[0]}?" if near else ""
    return f"there is no {what} {name!r}{hint} ({listing})"
