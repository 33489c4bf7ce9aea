"""A scenario by its name: what befalls a device, and a verdict that is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.nucleus.recipe import Runtime

if TYPE_CHECKING:
    from lab.scenarios.stage import Stage

BOTH: tuple[Runtime, ...] = ("classic", "lite")

SCENARIOS: dict[str, Scenario] = {}


class VerdictFailed(AssertionError):
    """Something that the scenario promises does not hold; says what."""


@dataclass(frozen=True)
class Scenario:
    """``sentence`` says what is survived; ``device`` is how the core device is made, see
    Lab.core_device, ``backend`` the parameters of the template, ``stage`` whatever else is
    special; ``root``: only root can play it, since it mounts things or changes owners."""

    name: str
    section: str
    sentence: str
    play: Callable[[Stage], None]
    runtimes: tuple[Runtime, ...] = BOTH
    device: Mapping[str, Any] = field(default_factory=dict)
    backend: Mapping[str, str] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)
    root: bool = False


def scenario(
    section: str,
    *,
    name: str | None = None,
    runtimes: tuple[Runtime, ...] = BOTH,
    device: Mapping[str, Any] | None = None,
    backend: Mapping[str, str] | None = None,
    stage: Mapping[str, Any] | None = None,
    root: bool = False,
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Registers the function, whose docstring is the scenario's sentence."""

    def register(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
        called = name or play.__name__.replace("_", "-")
        if called in SCENARIOS:
            raise ValueError(f"there are two scenarios called {called}")
        sentence = (play.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")
        SCENARIOS[called] = Scenario(
            called,
            section,
            sentence,
            play,
            runtimes,
            device or {},
            backend or {},
            stage or {},
            root,
        )
        return play

    return register


def require(holds: bool, failure: str) -> None:
    """Raises VerdictFailed unless it holds."""
    if not holds:
        raise VerdictFailed(failure)
