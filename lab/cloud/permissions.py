"""What a role's policies allow, as IAM evaluates them.

A call is allowed if a statement allows it and none denies it. What is not understood here
(conditions, NotResource, managed policies, policy variables) is refused when the template is
read, and never taken for a permission.
(AWS Identity and Access Management User Guide, "Policy evaluation logic", "IAM JSON policy
elements reference".)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lab.cloud.intrinsics import TemplateError

_PARTS = {"Sid", "Effect", "Action", "Resource"}


@dataclass(frozen=True)
class Statement:
    """One statement: actions and resources may have the wildcards ``*`` and ``?``."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def is_about(self, action: str, resource: str) -> bool:
        """Whether it says something of this action (``iot:AttachPolicy``) on this ARN."""
        return any(
            _pattern(each.lower()).fullmatch(action.lower()) for each in self.actions
        ) and any(_pattern(each).fullmatch(resource) for each in self.resources)


@dataclass(frozen=True)
class Permissions:
    """The statements of one role, together."""

    statements: tuple[Statement, ...]

    def allow(self, action: str, resource: str) -> bool:
        """``resource`` is an ARN, or ``*`` for an action that knows no resources."""
        about = [each for each in self.statements if each.is_about(action, resource)]
        return bool(about) and all(each.allows for each in about)


NONE = Permissions(())


def permissions(function: str, policies: Any) -> Permissions:
    """Of a function's resolved ``Policies`` (AWS SAM Developer Guide). Raises TemplateError."""
    return Permissions(
        tuple(_statement(function, each) for document in _list(policies) for each in _of(document))
    )


def _of(document: Any) -> Iterator[Any]:
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise TemplateError(f"policy {document}: only statements are understood")
    yield from _list(document["Statement"])


def _statement(function: str, given: Any) -> Statement:
    if (
        not isinstance(given, Mapping)
        or not {"Effect", "Action", "Resource"} <= set(given) <= _PARTS
    ):
        raise TemplateError(f"{function}: statement {given} is not understood")
    actions, resources = _texts(given["Action"]), _texts(given["Resource"])
    if given["Effect"] not in ("Allow", "Deny") or any("${" in each for each in resources):
        raise TemplateError(f"{function}: statement {given} is not understood")
    return Statement(given["Effect"] == "Allow", actions, resources)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in _list(value))


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else [value]


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
