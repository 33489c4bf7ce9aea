"""A state machine's definition: read, checked, and refused where it asks for more than is played.

(Amazon States Language, https://states-language.net/spec.html; AWS Step Functions Developer
Guide, "Using Amazon States Language to define Step Functions workflows".)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.states.expressions import ExpressionError, check

INVOKE = "arn:aws:states:::lambda:invoke"
WAIT_FOR_TOKEN = f"{INVOKE}.waitForTaskToken"

_TOP = {"Comment", "QueryLanguage", "StartAt", "States"}
_EVERY = {"Type", "Comment"}
_WORKING = _EVERY | {"Next", "End", "Output", "Assign"}
#: What a state of each type may say here.
_FIELDS = {
    "Task": _WORKING | {"Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch"},
    "Choice": _EVERY | {"Choices", "Default", "Output", "Assign"},
    "Wait": _WORKING | {"Seconds", "Timestamp"},
    "Pass": _WORKING,
    "Succeed": _EVERY | {"Output"},
    "Fail": _EVERY | {"Error", "Cause"},
}
_RULE = {"Comment", "Condition", "Next", "Output", "Assign"}
_RETRIER = {
    *("Comment", "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate"),
    *("MaxDelaySeconds", "JitterStrategy"),
}
_CATCHER = {"Comment", "ErrorEquals", "Next", "Output", "Assign"}
_ARGUMENTS = {"FunctionName", "Payload"}


class DefinitionError(ValueError):
    """The definition is wrong, or asks for what is not played here; names the state."""


@dataclass(frozen=True)
class Retrier:
    """Which errors are tried again, how often, and after how many seconds."""

    errors: tuple[str, ...]
    interval: float
    most: int
    rate: float
    longest: float | None

    def delay(self, tries: int) -> float:
        """Seconds before the next try, ``tries`` having been made before it as tries again.

        Jitter is not played: the longest that it may be.
        """
        delay = self.interval * self.rate**tries
        return delay if self.longest is None else min(delay, self.longest)


@dataclass(frozen=True)
class Branch:
    """Where it goes on, and what is assigned and handed over on the way; see the States Language.

    ``condition`` is of a Choice's rule, ``errors`` are of a catcher.
    """

    next: str | None
    assign: Mapping[str, Any] = field(default_factory=dict)
    output: Any = None
    has_output: bool = False
    condition: Any = True
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """One state; ``fields`` are its own, ``onward`` is the way on where nothing special happens."""

    name: str
    kind: str
    fields: Mapping[str, Any]
    onward: Branch
    rules: tuple[Branch, ...] = ()
    retriers: tuple[Retrier, ...] = ()
    catchers: tuple[Branch, ...] = ()

    @property
    def waits_for_token(self) -> bool:
        return self.fields.get("Resource") == WAIT_FOR_TOKEN


@dataclass(frozen=True)
class Definition:
    """A state machine."""

    start_at: str
    states: Mapping[str, State]


def parse(text: str) -> Definition:
    """The definition in this JSON. Raises DefinitionError."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise DefinitionError(f"no JSON: {error}") from None
    if not isinstance(given, dict):
        raise DefinitionError("no JSON object")
    _only(given, _TOP, "the state machine")
    if given.get("QueryLanguage") != "JSONata":
        raise DefinitionError("QueryLanguage: only JSONata is played here")
    states = {name: _state(name, one) for name, one in dict(given.get("States") or {}).items()}
    definition = Definition(str(given.get("StartAt")), states)
    _check_ways(definition)
    return definition


def _state(name: str, given: Any) -> State:
    kind = given.get("Type")
    if kind not in _FIELDS:
        raise DefinitionError(f"{name}: a state of type {kind} is not played here")
    _only(given, _FIELDS[kind], name)
    try:
        check(given)
    except ExpressionError as error:
        raise DefinitionError(f"{name}: {error}") from None
    if kind == "Task":
        _check_task(name, given)
    if kind == "Wait" and ("Seconds" in given) == ("Timestamp" in given):
        raise DefinitionError(f"{name}: a Wait has either Seconds or Timestamp")
    if kind in ("Task", "Wait", "Pass") and ("Next" in given) == ("End" in given):
        raise DefinitionError(f"{name}: either Next or End")
    if kind == "Choice" and not given.get("Choices"):
        raise DefinitionError(f"{name}: a Choice without Choices")
    onward = _branch(given, given.get("Default" if kind == "Choice" else "Next"))
    return State(
        name,
        kind,
        given,
        onward,
        tuple(_rule(name, one) for one in given.get("Choices", ())),
        tuple(_retrier(name, one) for one in given.get("Retry", ())),
        tuple(_catcher(name, one) for one in given.get("Catch", ())),
    )


def _check_task(name: str, given: Mapping[str, Any]) -> None:
    if given.get("Resource") not in (INVOKE, WAIT_FOR_TOKEN):
        raise DefinitionError(f"{name}: the task {given.get('Resource')} is not played here")
    arguments = given.get("Arguments")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("FunctionName"), str):
        raise DefinitionError(f"{name}: Arguments without a FunctionName")
    _only(arguments, _ARGUMENTS, f"{name}, Arguments")


def _branch(given: Mapping[str, Any], following: str | None, **more: Any) -> Branch:
    return Branch(
        following, given.get("Assign", {}), given.get("Output"), "Output" in given, **more
    )


def _rule(name: str, given: Mapping[str, Any]) -> Branch:
    _only(given, _RULE, f"{name}, Choices")
    return _branch(given, given["Next"], condition=given["Condition"])


def _catcher(name: str, given: Mapping[str, Any]) -> Branch:
    _only(given, _CATCHER, f"{name}, Catch")
    return _branch(given, given["Next"], errors=tuple(given["ErrorEquals"]))


def _retrier(name: str, given: Mapping[str, Any]) -> Retrier:
    _only(given, _RETRIER, f"{name}, Retry")
    return Retrier(
        tuple(given["ErrorEquals"]),
        float(given.get("IntervalSeconds", 1)),
        int(given.get("MaxAttempts", 3)),
        float(given.get("BackoffRate", 2.0)),
        given.get("MaxDelaySeconds"),
    )


def _only(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise DefinitionError(f"{where}: {', '.join(unknown)} is not played here")


def _check_ways(definition: Definition) -> None:
    """Every state that is named is there, and every state that is there can be reached."""
    reached: set[str] = set()
    ahead = [definition.start_at]
    while ahead:
        name = ahead.pop()
        if name not in definition.states:
            raise DefinitionError(f"there is no state {name}")
        if name in reached:
            continue
        reached.add(name)
        state = definition.states[name]
        branches = (state.onward, *state.rules, *state.catchers)
        ahead.extend(branch.next for branch in branches if branch.next is not None)
    unreached = sorted(set(definition.states) - reached)
    if unreached:
        raise DefinitionError(f"nothing leads to {', '.join(unreached)}")
