"""Reads the command line of systemd-run, as far as it makes a transient timer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TAKEN = ("--collect", "-G", "--no-ask-password", "--no-block", "--system")
# systemd.time(7), as far as a timer of ours may say it.
_SECONDS = {"": 1, "s": 1, "sec": 1, "ms": 0.001, "m": 60, "min": 60, "h": 3600, "hr": 3600}
_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


class Usage(Exception):
    """systemd-run refuses the command line; the message is what it prints."""


@dataclass(frozen=True)
class TimerRequest:
    """What is to run, as which unit (without suffix), and after how many seconds."""

    unit: str
    seconds: float
    command: tuple[str, ...]
    quiet: bool


def parse(arguments: Sequence[str]) -> TimerRequest:
    """Raises Usage for what systemd-run, or the lab, does not take."""
    rest = list(arguments)
    unit, seconds, quiet = "", None, False
    while rest and rest[0].startswith("-"):
        option, equals, value = rest.pop(0).partition("=")
        if option == "--":
            break
        if option in ("--quiet", "-q"):
            quiet = True
        elif option in _TAKEN:
            continue
        elif option in ("--unit", "--on-active", "--timer-property", "--property", "--description"):
            if not equals:
                if not rest:
                    raise Usage(f"systemd-run: option '{option}' requires an argument")
                value = rest.pop(0)
            if option == "--unit":
                unit = value.removesuffix(".timer").removesuffix(".service")
            elif option == "--on-active":
                seconds = _time_span(value)
            elif option.endswith("property") and "=" not in value:
                raise Usage(f"Unknown assignment: {value}")
        else:
            raise Usage(f"systemd-run: unrecognized option '{option}'")
    if not rest:
        raise Usage("Command line to execute required.")
    if seconds is None or not unit:
        raise Usage("The lab runs transient timers only: --unit= and --on-active= are needed.")
    # systemd puts variables into the command line; two dollars stand for one.
    return TimerRequest(unit, seconds, tuple(word.replace("$$", "$") for word in rest), quiet)


def _time_span(text: str) -> float:
    total, position = 0.0, 0
    while position < len(text):
        part = _SPAN.match(text, position)
        if part is None or part[2] not in _SECONDS:
            break
        total += float(part[1]) * _SECONDS[part[2]]
        position = part.end()
    if not text or position < len(text):
        raise Usage(f"Failed to parse timer value: {text}")
    return total
