"""Text as it goes into a message: no longer than agreed, and always Unicode.

Subjects, paths and error texts come from outside: a certificate may name anybody at any
length, and a path on Linux need not be Unicode. None of them may keep a message back.
"""

from __future__ import annotations

from rotation_protocol.codec import canonical


def shortened(text: str, most: int) -> str:
    """``text`` in at most ``most`` bytes of JSON, its quotes not counted; ends in ... if cut.

    What is no Unicode (a lone surrogate, from a path's undecodable byte) becomes a ``?``.
    """
    kept = text[: most + 1].encode("utf-8", "replace").decode("utf-8")
    if _size(kept) <= most:
        return kept
    kept = kept[:most]
    while _size(kept) > most - 3:
        kept = kept[:-1]
    return kept + "..."


def _size(text: str) -> int:
    return len(canonical(text)) - 2
