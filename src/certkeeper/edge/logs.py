"""The log: one line an event, ``event key=value ...``, as LocalDebugConsole shows it.

The nucleus records what comes on the standard error as a warning, so WARN and ERROR go
there, and a person sees at a glance what matters. A line never breaks into two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TextIO

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
MAX_VALUE = 500


class LineLog:
    """Writes lines of ``level`` and above, each flushed at once."""

    def __init__(
        self,
        level: str = "INFO",
        out: TextIO | None = sys.stdout,  # None: it was closed before this process began
        err: TextIO | None = sys.stderr,
    ) -> None:
        self._least = LEVELS.index(level)
        self._out = out
        self._err = err

    def set_level(self, level: str) -> None:
        """Say lines of this level and above from now on."""
        self._least = LEVELS.index(level)

    def say(self, event: str, details: Mapping[str, object], level: str = "INFO") -> None:
        """Write one line; a log that cannot be written to stops nothing."""
        rank = LEVELS.index(level)
        if rank < self._least:
            return
        stream = self._err if rank >= LEVELS.index("WARN") else self._out
        if stream is None:
            return
        try:
            encoding = stream.encoding or "utf-8"
            text = line(event, details).encode(encoding, "backslashreplace").decode(encoding)
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            return


def line(event: str, details: Mapping[str, object]) -> str:
    """``event key=value key="two words"``, printable, on one line."""
    return " ".join([event, *(f"{key}={_text(value)}" for key, value in details.items())])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if len(text) > MAX_VALUE:
        text = text[: MAX_VALUE - 3] + "..."
    plain = text and text.isprintable() and not any(c in text for c in ' "=\\')
    return text if plain else json.dumps(text)
