"""JSONata in a state machine: any text that begins with ``{%`` and ends with ``%}``.

An expression that cannot be evaluated, or gives nothing, is a QueryEvaluationError, as at AWS.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata

#: What JSONata has and Step Functions has not.
_NOT_THERE = ("$eval",)


class ExpressionError(ValueError):
    """What stands between ``{%`` and ``%}`` is no expression; says why."""


class QueryEvaluationError(Exception):
    """An expression gave nothing, or could not be evaluated; says which and why."""


def check(value: Any) -> None:
    """Every expression within a JSON value can be parsed. Raises ExpressionError."""
    for text in _texts(value):
        source = _source(text)
        if source is None:
            continue
        if any(name in source for name in _NOT_THERE):
            raise ExpressionError(f"{text}: Step Functions has no $eval")
        try:
            Jsonata(source)
        except JException as error:
            raise ExpressionError(f"{text}: {error}") from None


def evaluate(value: Any, variables: Mapping[str, Any]) -> Any:
    """A JSON value with every expression in it evaluated, ``variables`` by name without ``$``.

    Raises QueryEvaluationError.
    """
    if isinstance(value, dict):
        return {name: evaluate(one, variables) for name, one in value.items()}
    if isinstance(value, list):
        return [evaluate(one, variables) for one in value]
    if not isinstance(value, str):
        return value
    source = _source(value)
    return value if source is None else _evaluated(source, variables)


def _evaluated(source: str, variables: Mapping[str, Any]) -> Any:
    result = _result(source, variables)
    # Nothing and null both are None here, and only one of them is a result.
    if result is None and not _result(f"$exists(({source}))", variables):
        raise QueryEvaluationError(f"{source} gives nothing")
    try:
        return json.loads(json.dumps(result))  # the library's lists are of a kind of their own
    except TypeError:
        raise QueryEvaluationError(f"{source} gives what is no JSON") from None


def _result(source: str, variables: Mapping[str, Any]) -> Any:
    try:
        expression = _parsed(source)
        frame = expression.create_frame()
        for name, value in variables.items():
            frame.bind(name, value)
        return expression.evaluate(None, frame)
    except JException as error:
        raise QueryEvaluationError(f"{source}: {error}") from error


@lru_cache(maxsize=512)
def _parsed(source: str) -> Jsonata:
    """For one thread at a time, as the service's queue has it."""
    return Jsonata(source)


def _source(text: str) -> str | None:
    if not (text.startswith("{%") and text.endswith("%}")):
        return None
    return text[2:-2].strip()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
