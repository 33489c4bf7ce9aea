"""Calls of a port that are written down, and disturbed: they fail, or something else comes first.

A disturbance before a call keeps it from being done; one after it loses its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rotation_cloud.ports import AwsError

Hook = Callable[[str, int], None]


class Calls(Protocol):
    """What was called so far, by name, and what is to come before and after each call."""

    calls: list[str]
    before: Hook
    after: Hook


class Watched:
    """A port whose calls are counted and, before and after they are done, disturbed."""

    def __init__(self, calls: Calls, name: str, real: object) -> None:
        self._calls = calls
        self._name = name
        self._real = real

    def __getattr__(self, method: str) -> Callable[..., Any]:
        real = getattr(self._real, method)

        def call(*arguments: Any) -> Any:
            name = f"{self._name}.{method}"
            self._calls.calls.append(name)
            number = self._calls.calls.count(name)
            self._calls.before(name, number)
            answer = real(*arguments)
            self._calls.after(name, number)
            return answer

        return call


def quiet(_name: str, _number: int) -> None:
    """Disturbs nothing."""


def failing(call: str, numbers: range | None = None, error: type[Exception] = AwsError) -> Hook:
    """Fails the calls of this name: those of these numbers, or all."""

    def hook(name: str, number: int) -> None:
        if name == call and (numbers is None or number in numbers):
            raise error(f"{name} failed")

    return hook
