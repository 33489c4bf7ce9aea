"""AWS IoT policies: may this principal do this to that resource?

Deny wins over Allow, and what nobody allows is denied. Understood: actions and resources
with ``*`` and ``?``, the policy variables in VARIABLES, and conditions with the operators
in _OPERATORS on those variables. A statement that says anything else (NotAction, another
operator, another variable) denies what it may be about, with a reason that names it, so
that no policy is read more generously here than by AWS.
(AWS IoT Developer Guide, "AWS IoT Core policies" and "AWS IoT Core policy variables".)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VARIABLES = (
    "iot:ClientId",
    "iot:CertificateId",
    "iot:Certificate.Subject.CommonName",
    "iot:Connection.Thing.ThingName",
    "iot:Connection.Thing.IsAttached",
)

# operator: (whether it is a negation, whether * and ? are wildcards in its values)
_OPERATORS = {
    "StringEquals": (False, False),
    "StringNotEquals": (True, False),
    "StringLike": (False, True),
    "StringNotLike": (True, True),
    "Bool": (False, False),
}
_KEYS = {"Sid", "Effect", "Action", "Resource", "Condition"}
_SPECIAL = re.compile(r"\$\{([^}]*)\}|[*?]")

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class Decision:
    """Whether it is allowed, and why or why not."""

    allowed: bool
    why: str


class _NotUnderstoodError(Exception):
    """A policy says something that this module does not implement, or that no policy may say."""


def evaluate(
    documents: Iterable[Mapping[str, Any]], action: str, resource: str, values: Values
) -> Decision:
    """Decide on one action, such as ``iot:Publish``, on one resource, an ARN.

    ``values`` gives each of VARIABLES its value on this connection; None means that it
    has none, and then nothing that names it matches.
    """
    verdict = Decision(False, f"no statement allows {action}")
    try:
        for document in documents:
            for statement in _statements(document):
                if not _applies(statement, action, resource, values):
                    continue
                if statement["Effect"] == "Deny":
                    return Decision(False, f"a statement denies {action}")
                verdict = Decision(True, f"a statement allows {action}")
    except _NotUnderstoodError as fault:
        return Decision(False, f"policy not supported: {fault}")
    return verdict


def _statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if document.get("Version") != "2012-10-17":
        raise _NotUnderstoodError(f"Version {document.get('Version')}")
    statements = _several(document.get("Statement"))
    for statement in statements:
        if not isinstance(statement, Mapping):
            raise _NotUnderstoodError("a statement that is not an object")
        unknown = sorted(set(statement) - _KEYS)
        if unknown:
            raise _NotUnderstoodError(", ".join(unknown))
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise _NotUnderstoodError(f"Effect {statement.get('Effect')}")
    return statements


def _applies(statement: Mapping[str, Any], action: str, resource: str, values: Values) -> bool:
    return (
        any(
            _matches(pattern.lower(), action.lower(), {})
            for pattern in _texts("Action", statement.get("Action"))
        )
        and any(
            _matches(pattern, resource, values)
            for pattern in _texts("Resource", statement.get("Resource"))
        )
        and _holds(statement.get("Condition", {}), values)
    )


def _holds(condition: Any, values: Values) -> bool:
    """Every operator holds for every one of its keys, with any of the key's values."""
    if not isinstance(condition, Mapping):
        raise _NotUnderstoodError("a Condition that is not an object")
    for operator, keys in condition.items():
        if operator not in _OPERATORS or not isinstance(keys, Mapping):
            raise _NotUnderstoodError(f"condition operator {operator}")
        negated, wildcards = _OPERATORS[operator]
        for key, wanted in keys.items():
            if key not in VARIABLES:
                raise _NotUnderstoodError(f"condition key {key}")
            value = values[key]
            held = value is not None and any(
                _matches(text, value, values, wildcards=wildcards)
                for text in _texts(f"condition {key}", wanted)
            )
            if held is negated:
                return False
    return True


def _matches(pattern: str, text: str, values: Values, *, wildcards: bool = True) -> bool:
    """Whether the text is what the pattern describes, its policy variables replaced.

    What a variable stands for is taken literally: a client id of ``*`` opens nothing.
    """
    expression = ""
    end = 0
    for special in _SPECIAL.finditer(pattern):
        expression += re.escape(pattern[end : special.start()])
        end = special.end()
        name = special[1]
        if name is None:
            star = ".*" if special[0] == "*" else "."
            expression += star if wildcards else re.escape(special[0])
        elif name in ("*", "?", "$"):
            expression += re.escape(name)
        elif name not in values:
            raise _NotUnderstoodError(f"policy variable {special[0]}")
        else:
            value = values[name]
            if value is None:
                return False
            expression += re.escape(value)
    return re.fullmatch(expression + re.escape(pattern[end:]), text, re.DOTALL) is not None


def _texts(name: str, value: Any) -> list[str]:
    texts = _several(value)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _NotUnderstoodError(f"{name} that is neither a string nor a list of strings")
    return texts


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
