"""The resources of IPC policies: which are valid, and what each of them covers.

``*`` is any text, ``/`` included; ``${*}``, ``${?}`` and ``${$}`` stand for the
character itself. MQTT's wildcards are added for the MQTT proxy, on each nucleus in its
own way. Sources: ``WildcardTrie`` and ``AuthorizationModule`` of the classic nucleus;
``policy_validation.c``, ``ipc_authz.c`` and ``mqttproxy.c`` of lite.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\$\{(.)\}")


def invalid_resource(resource: str) -> str | None:
    """Why a nucleus refuses this resource of a policy, or None. Both have the same rule."""
    if not resource:
        return "Resource cannot be empty"
    at = 0
    while at < len(resource):
        if resource.startswith("${", at):
            escape = _ESCAPE.match(resource, at)
            if escape is None or escape[1] not in "*?$":
                return "Resource contains an invalid escape sequence. Use ${*}, ${$}, or ${?}"
            at = escape.end()
            continue
        if resource[at] == "?":
            return "Resource contains invalid character: '?'. Use an escape sequence: ${?}"
        at += 1
    return None


def glob(resource: str) -> re.Pattern[str]:
    """``*`` is any text, ``${x}`` is x, and everything else is itself."""
    return _joined([_literal(piece) for piece in _pieces(resource)])


def classic_topic_pattern(resource: str) -> re.Pattern[str]:
    """A glob in which ``+`` and ``#``, as whole levels, are MQTT's wildcards: classic."""
    pieces = _pieces(resource)
    parts: list[str | None] = []
    for at, piece in enumerate(pieces):
        begins = at == 0 or pieces[at - 1] == "/"
        last = at == len(pieces) - 1
        if piece == "+" and begins and (last or pieces[at + 1] == "/"):
            parts.append("[^/]*")
        elif piece == "#" and begins and last:
            # a/# covers a as well.
            parts[-1:] = ["(?:/.*)?"] if parts else [".*"]
        else:
            parts.append(_literal(piece))
    return _joined(parts)


def _pieces(resource: str) -> list[str]:
    return re.findall(r"\$\{.\}|.", resource, re.DOTALL)


def _literal(piece: str) -> str | None:
    """The expression for a character or an escape; None for ``*``."""
    if piece == "*":
        return None
    return re.escape(piece[2] if len(piece) > 1 else piece)


def _joined(parts: list[str | None]) -> re.Pattern[str]:
    """One expression; what follows a ``*`` is taken where it first fits, never elsewhere.

    That loses no match, and keeps the search linear however long the resource is.
    """
    segments = [""]
    for part in parts:
        if part is None:
            segments.append("")
        else:
            segments[-1] += part
    first, *middle = segments
    if middle:
        last = middle.pop()
        first += "".join(f"(?>.*?{segment})" for segment in middle if segment) + ".*" + last
    return re.compile(first, re.DOTALL)


def lite_topic_pattern(text: str) -> re.Pattern[str]:
    """``+`` swallows up to the next ``/`` (nothing, too) and never gives back, ``#`` the rest.

    Lite tries this besides the glob; with ``*`` or an escape it covers nothing.
    """
    if "*" in text or "${" in text:
        return re.compile(r"(?!)")
    before, wildcard, _ = text.partition("#")
    pattern = "".join("[^/]*+" if c == "+" else re.escape(c) for c in before)
    return re.compile(pattern + (".*" if wildcard else ""), re.DOTALL)
