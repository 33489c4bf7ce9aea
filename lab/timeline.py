"""What happened in the lab, in order: one line an event, from every part of it.

Every part of the lab records here what it did or saw, and whoever watches (the
demo, a scenario's verdict, a test) waits here for what should follow. Waiting
wakes on each new entry, so nothing in the lab sleeps for luck.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class NotSeen(AssertionError):
    """What was waited for did not happen in time; the message holds the last events."""


@dataclass(frozen=True)
class Entry:
    """One event: seconds since the lab started, who says it, what, and its details."""

    at: float
    source: str
    event: str
    details: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        details = "".join(f" {key}={_short(value)}" for key, value in self.details.items())
        return f"{self.at:8.3f}s  {self.source:<12} {self.event}{details}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."


class Timeline:
    """A thread-safe record of entries that can be waited upon.

    ``listener`` is called with each entry as it is recorded, one at a time.
    """

    def __init__(self, listener: Callable[[Entry], None] | None = None) -> None:
        self._entries: list[Entry] = []
        self._changed = threading.Condition()
        self._listener = listener
        self._started = time.monotonic()

    def record(self, source: str, event: str, /, **details: object) -> Entry:
        """Append an event now and wake whoever waits."""
        with self._changed:
            entry = Entry(time.monotonic() - self._started, source, event, details)
            self._entries.append(entry)
            if self._listener is not None:
                self._listener(entry)
            self._changed.notify_all()
        return entry

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything recorded so far."""
        with self._changed:
            return tuple(self._entries)

    def mark(self) -> int:
        """A position to pass as ``after``, so that only later entries count."""
        with self._changed:
            return len(self._entries)

    def find(
        self, event: str, *, source: str | None = None, after: int = 0, **details: object
    ) -> list[Entry]:
        """The entries recorded since ``after`` that bear this event, source and details."""
        return [e for e in self.entries[after:] if _matches(e, event, source, details)]

    def wait_for(
        self,
        event: str,
        *,
        source: str | None = None,
        after: int = 0,
        timeout: float = 30.0,
        **details: object,
    ) -> Entry:
        """The first such entry since ``after``, waiting up to ``timeout`` seconds for it.

        Raises NotSeen, with the last twenty entries, if it does not come.
        """
        wanted = " ".join([event, *(f"{key}={value}" for key, value in details.items())])
        return self.wait_until(
            lambda entry: _matches(entry, event, source, details),
            wanted,
            after=after,
            timeout=timeout,
        )

    def wait_until(
        self,
        matches: Callable[[Entry], bool],
        wanted: str,
        *,
        after: int = 0,
        timeout: float = 30.0,
    ) -> Entry:
        """The first entry since ``after`` for which ``matches``, waiting for it.

        Raises NotSeen, which says what was ``wanted``.
        """
        deadline = time.monotonic() + timeout
        position = after
        with self._changed:
            while True:
                for entry in self._entries[position:]:
                    if matches(entry):
                        return entry
                position = max(position, len(self._entries))
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    raise NotSeen(self._not_seen(wanted, timeout))

    def poll(self, holds: Callable[[], bool], wanted: str, timeout: float = 30.0) -> None:
        """Wait until something holds that has no entry of its own; looked at after each entry,
        and ten times a second. Raises NotSeen."""
        deadline = time.monotonic() + timeout
        while not holds():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise NotSeen(self._not_seen(wanted, timeout))
            with self._changed:
                self._changed.wait(min(0.1, remaining))

    def _not_seen(self, wanted: str, timeout: float) -> str:
        with self._changed:
            last = "\n".join(str(entry) for entry in self._entries[-20:])
        return f"not seen within {timeout:g} s: {wanted}; the last events:\n{last}"


def _matches(entry: Entry, event: str, source: str | None, details: Mapping[str, object]) -> bool:
    return (
        entry.event == event
        and (source is None or entry.source == source)
        and all(
            key in entry.details and entry.details[key] == value for key, value in details.items()
        )
    )
