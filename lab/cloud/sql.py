"""AWS IoT SQL 2016-03-23, as much of it as the rules of the template say.

``parse`` refuses whatever else is written, by name, so that no rule runs here that would
do something different at AWS. ``Query.evaluate`` gives the event or None. As at AWS a
comparison or a logical operator with something undefined is undefined, and only what is
true matches; an item of SELECT that is undefined is left out, so a field of that name in
the payload shows through ``*``.
(AWS IoT Developer Guide, "AWS IoT SQL reference".)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

VERSION = "2016-03-23"


class SqlError(ValueError):
    """A statement says something that is not played here; names what."""


class EvaluationError(Exception):
    """The rule fails on this message, which AWS hands to the error action; says why."""


class Undefined:
    """The value of what is not there."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class Published(Protocol):
    """A message as a rule sees it: see iot_core's Message."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def client_id(self) -> str | None: ...
    @property
    def principal(self) -> str | None: ...
    @property
    def at(self) -> float: ...


class Occasion:
    """One message while a statement is evaluated; its payload is parsed when it is needed."""

    def __init__(self, message: Published) -> None:
        self.message = message
        self._parsed: Any = UNDEFINED

    def payload(self) -> Any:
        """The payload's JSON value. Raises EvaluationError if it is none."""
        if self._parsed is UNDEFINED:
            try:
                self._parsed = json.loads(self.message.payload)
            except (ValueError, RecursionError):
                raise EvaluationError("the payload is not JSON") from None
        return self._parsed


Expression = Callable[[Occasion], Any]


@dataclass(frozen=True)
class Item:
    """One expression of SELECT and the name of its value."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Query:
    """A statement that has been understood. ``whole`` says that SELECT has ``*``."""

    whole: bool
    items: tuple[Item, ...]
    topic_filter: str
    where: Expression | None

    def evaluate(self, message: Published) -> Any | None:
        """The event (a JSON value), or None if WHERE does not hold. Raises EvaluationError."""
        occasion = Occasion(message)
        if self.where is not None and self.where(occasion) is not True:
            return None
        if self.whole and not self.items:
            return occasion.payload()
        event: dict[str, Any] = {}
        if self.whole:
            payload = occasion.payload()
            if not isinstance(payload, dict):
                raise EvaluationError("SELECT *, ... of a payload that is no object")
            event.update(payload)
        for item in self.items:
            value = item.value(occasion)
            if value is not UNDEFINED:
                event[item.name] = value
        return event


# --- functions and operators, as sql_parser puts them together


def literal(value: Any) -> Expression:
    """The same for every message."""
    return lambda _: value


def attribute(path: tuple[str, ...]) -> Expression:
    """A path into the payload, undefined where it leads nowhere."""

    def value(occasion: Occasion) -> Any:
        found = occasion.payload()
        for name in path:
            if not isinstance(found, Mapping) or name not in found:
                return UNDEFINED
            found = found[name]
        return found

    return value


def topic_level(level: int) -> Expression:
    """``topic(n)``, counted from 1."""

    def value(occasion: Occasion) -> Any:
        levels = occasion.message.topic.split("/")
        return levels[level - 1] if level <= len(levels) else UNDEFINED

    return value


def is_undefined(of: Expression) -> Expression:
    """``isUndefined(expression)``."""
    return lambda occasion: of(occasion) is UNDEFINED


def starts_with(whole: Expression, beginning: Expression) -> Expression:
    """``startswith(text, text)``, undefined unless both are texts."""

    def value(occasion: Occasion) -> Any:
        first, second = whole(occasion), beginning(occasion)
        if not (isinstance(first, str) and isinstance(second, str)):
            return UNDEFINED
        return first.startswith(second)

    return value


#: The functions without arguments.
PLAIN_FUNCTIONS: Mapping[str, Expression] = {
    "topic": lambda occasion: occasion.message.topic,
    "clientid": lambda occasion: occasion.message.client_id or "n/a",
    "principal": lambda occasion: occasion.message.principal or UNDEFINED,
    "timestamp": lambda occasion: round(occasion.message.at * 1000),
}


def encoded_payload(occasion: Occasion) -> Any:
    """``encode(*, 'base64')``: of the bytes, which need not be JSON."""
    return base64.b64encode(occasion.message.payload).decode("ascii")


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def comparison(operator: str, left: Expression, right: Expression) -> Expression:
    """Of two numbers or two texts; ``=`` and ``<>`` of any two values of one kind."""
    compare = _COMPARISONS[operator]

    def value(occasion: Occasion) -> Any:
        first, second = left(occasion), right(occasion)
        if UNDEFINED in (first, second):
            return UNDEFINED
        kinds = _kind(first), _kind(second)
        if "text" in kinds and "number" in kinds:
            # AWS converts the text, by rules of its own.
            raise EvaluationError(f"{operator} between text and a number is not played here")
        if operator in ("=", "<>"):
            return compare(first, second) if kinds[0] == kinds[1] else operator == "<>"
        if kinds[0] != kinds[1] or kinds[0] not in ("text", "number"):
            return UNDEFINED
        return compare(first, second)

    return value


def both(left: Expression, right: Expression) -> Expression:
    """AND, undefined unless both sides are true or false."""

    def value(occasion: Occasion) -> Any:
        first, second = _truth(left(occasion)), _truth(right(occasion))
        return UNDEFINED if UNDEFINED in (first, second) else first and second

    return value


def either(left: Expression, right: Expression) -> Expression:
    """OR, undefined unless both sides are true or false."""

    def value(occasion: Occasion) -> Any:
        first, second = _truth(left(occasion)), _truth(right(occasion))
        return UNDEFINED if UNDEFINED in (first, second) else first or second

    return value


def chosen(
    of: Expression, cases: Sequence[tuple[Expression, Expression]], otherwise: Expression
) -> Expression:
    """CASE: what follows the first WHEN that equals ``of``, else ELSE; undefined if ``of`` is.

    https://docs.aws.amazon.com/iot/latest/developerguide/iot-sql-case.html
    """
    matching = [(comparison("=", of, when), then) for when, then in cases]

    def value(occasion: Occasion) -> Any:
        if of(occasion) is UNDEFINED:
            return UNDEFINED
        for matches, then in matching:
            if matches(occasion) is True:
                return then(occasion)
        return otherwise(occasion)

    return value


def negated(of: Expression) -> Expression:
    """NOT, undefined unless that is true or false."""

    def value(occasion: Occasion) -> Any:
        truth = _truth(of(occasion))
        return UNDEFINED if truth is UNDEFINED else not truth

    return value


def _truth(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value if isinstance(value, bool) else UNDEFINED


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, Mapping) else "array"
