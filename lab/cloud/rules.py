"""The rules engine: each accepted publication that a rule's SQL selects invokes its function.

A rule that fails on a message is recorded (``rule-failed``), with its error action if it
has one, and the message is lost to it, as at AWS.
(AWS IoT Developer Guide, "Rules for AWS IoT", "Error handling".)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from lab.cloud.sql import EvaluationError, Query, SqlError
from lab.cloud.sql_parser import parse
from lab.iot_core.iot_core import IotCore, Message
from lab.timeline import Timeline


@dataclass(frozen=True)
class Rule:
    """A rule as the template has it; ``function`` is the logical id of what it invokes.

    ``error_action`` is the kind of its error action, such as ``Sqs``, if it has one.
    """

    name: str
    sql: str
    sql_version: str | None
    function: str
    error_action: str | None = None


class Rules:
    """Speaks as ``rules`` in the timeline; its callbacks run on the loop."""

    def __init__(
        self,
        iot_core: IotCore,
        timeline: Timeline,
        rules: Iterable[Rule],
        invoke: Callable[[str, Any], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin. ``invoke`` takes a function and its event, and must not block; ``clock`` is
        what ``timestamp()`` tells.

        Raises SqlError, which names the rule, with none of them begun.
        """
        self._timeline = timeline
        self._invoke = invoke
        self._clock = clock
        queries = [(rule, _parsed(rule)) for rule in rules]
        self._end = [
            iot_core.observe(query.topic_filter, self._observer(rule, query))
            for rule, query in queries
        ]

    def close(self) -> None:
        """Invoke nothing more."""
        while self._end:
            self._end.pop()()

    def _observer(self, rule: Rule, query: Query) -> Callable[[Message], None]:
        def observe(message: Message) -> None:
            try:
                event = query.evaluate(replace(message, at=self._clock()))
            except EvaluationError as error:
                self._timeline.record(
                    "rules",
                    "rule-failed",
                    rule=rule.name,
                    topic=message.topic,
                    error=str(error),
                    error_action=rule.error_action,
                )
                return
            if event is None:
                return
            self._timeline.record(
                "rules",
                "rule-matched",
                rule=rule.name,
                topic=message.topic,
                function=rule.function,
            )
            self._invoke(rule.function, event)

        return observe


def _parsed(rule: Rule) -> Query:
    try:
        return parse(rule.sql, rule.sql_version)
    except SqlError as error:
        raise SqlError(f"rule {rule.name}: {error}") from None
