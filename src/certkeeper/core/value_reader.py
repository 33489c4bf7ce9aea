"""Takes the values of a configuration object by key and type, and gathers what is wrong.

It stops at nothing, so that one answer names every key at fault. What a value may be
is said here; which keys there are, and what they mean, is settings.py's.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Callable, Optional

from certkeeper.core.threshold import Threshold, parse_threshold
from rotation_protocol import topics
from rotation_protocol.values import dataclass

#: Given a schedule expression, says in words why it is not one; None if it is.
ScheduleProblem = Callable[[str], Optional[str]]

_SHORT = reprlib.Repr()
_SHORT.maxstring = 60

MAX_THRESHOLDS = 20
MAX_WATCHED = 50
#: AWS IoT, CreateThing.
MAX_THING_NAME = 128


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value of one key."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key} {self.message}"


@dataclass(frozen=True)
class RotateWindow:
    """When rotation may start by itself: from each time of ``cron``, for ``minutes``."""

    cron: str
    minutes: int


class ValueReader:
    """Takes values by key, and gathers what is wrong instead of stopping at the first."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._known: dict[str, None] = {"accessControl": None}
        self.problems: list[Problem] = []

    def unknown(self) -> tuple[str, ...]:
        from difflib import get_close_matches  # rarely needed, and slow to load

        notes = []
        for key in sorted(set(self._values) - set(self._known)):
            near = get_close_matches(key, self._known, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            notes.append(f"{_shown(key)} is not a key of this component{meant}")
        return tuple(notes)

    def _take(self, key: str) -> Any:
        """The value, None if it is absent or, as a deployment's reset leaves it, empty."""
        self._known[key] = None
        value = self._values.get(key)
        return None if value == "" else value

    def wrong(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        value = self._take(key)
        if value is None:
            return default
        number = _as_whole(value)
        if number is None or not least <= number <= most:
            self.wrong(key, f"must be a whole number from {least} to {most}, not {_shown(value)}")
            return default
        return number

    def boolean(self, key: str, default: bool) -> bool:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(key, f"must be true or false, not {_shown(value)}")
            return default
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            self.wrong(key, f"must be one of {', '.join(choices)}, not {_shown(value)}")
            return default
        return value

    def schedule(self, key: str, default: str, problem_of: ScheduleProblem) -> str:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.wrong(key, f"must be rate(...) or cron(...), not {_shown(value)}")
            return default
        problem = problem_of(value)
        if problem is not None:
            self.wrong(key, f"is not a schedule: {problem}")
            return default
        return value

    def window(self, key: str, problem_of: ScheduleProblem) -> RotateWindow | None:
        value = self._take(key)
        if value is None or value == {}:
            return None
        if not isinstance(value, Mapping) or set(value) != {"cron", "minutes"}:
            self.wrong(key, 'must be {"cron": "cron(...)", "minutes": 1 to 1440}')
            return None
        inner = ValueReader({f"{key}.{name}": item for name, item in value.items()})
        cron = inner.schedule(f"{key}.cron", "", problem_of)
        minutes = inner.whole(f"{key}.minutes", 0, 1, 1440)
        if not inner.problems and not cron.startswith("cron("):
            inner.wrong(f"{key}.cron", f"must be cron(...), not {_shown(cron)}")
        if not inner.problems and minutes == 0:
            inner.wrong(f"{key}.minutes", "is missing")
        self.problems.extend(inner.problems)
        return None if inner.problems else RotateWindow(cron, minutes)

    def thresholds(self, key: str, default: tuple[Threshold, ...]) -> tuple[Threshold, ...]:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_THRESHOLDS:
            self.wrong(
                key, f"must be a list of 1 to {MAX_THRESHOLDS} thresholds, not {_shown(value)}"
            )
            return default
        found: dict[Threshold, None] = {}
        for item in value:
            threshold = parse_threshold(item)
            if threshold is None:
                self.wrong(
                    key,
                    f"must hold whole numbers of days (1 to 3650) or shares of the lifetime such "
                    f'as "20%", not {_shown(item)}',
                )
                return default
            found[threshold] = None
        return tuple(found)

    def topic(self, key: str, default: str) -> str:
        value = self._take(key)
        if value is None:
            return default
        problem = topics.topic_problem(value) if isinstance(value, str) else "is not text"
        if problem is not None:
            self.wrong(key, f"{problem}: {_shown(value)}")
            return default
        return str(value)

    def prefix(self, key: str, default: str) -> str:
        value = self._take(key)
        if value is None:
            return default
        problem = "is not text"
        if isinstance(value, str):
            # The longest topic that is made of it; it has five slashes of its own.
            longest = f"{value}/things/{'T' * MAX_THING_NAME}/certificate/request/accepted"
            problem = topics.topic_problem(longest) or ""
            if value.startswith("/") or value.endswith("/"):
                problem = "begins or ends with a slash"
            elif len(value) > 64:
                problem = "is longer than 64 characters"
        if problem:
            self.wrong(key, f"{problem}: {_shown(value)}")
            return default
        return str(value)

    def location(self, key: str) -> str | None:
        value = self._take(key)
        if value is None:
            return None
        problem = location_problem(value)
        if problem is not None:
            self.wrong(key, problem)
            return None
        return str(value)

    def paths(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > MAX_WATCHED:
            # Not repeated: it may be a pkcs11 URI with a PIN.
            self.wrong(key, f"must be a list of at most {MAX_WATCHED} paths or URIs")
            return ()
        for item in value:
            problem = location_problem(item)
            if problem is not None:
                self.wrong(key, f"holds an entry that {problem}")
                return ()
        return tuple(dict.fromkeys(value))


def location_problem(value: object) -> str | None:
    """Why ``value`` cannot say where a certificate is; None for a path, file: or pkcs11: URI.

    A pkcs11 URI may hold a PIN, so the value itself is not repeated.
    """
    if not isinstance(value, str):
        return "must be text: an absolute path, a file: URI or a pkcs11: URI"
    if len(value) > 4096 or not value.isprintable():
        return "must be printable text of at most 4096 characters"
    if not value.startswith(("/", "file:", "pkcs11:")):
        return "must be an absolute path, a file: URI or a pkcs11: URI"
    return None


def _as_whole(value: object) -> int | None:
    """The integer in a JSON number; the classic nucleus may hand 30 back as 30.0."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def _shown(value: object) -> str:
    # reprlib: a value may be nested so deep that repr itself gives up.
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
