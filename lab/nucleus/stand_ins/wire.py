"""What a stand-in asks and is answered."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """What the command does: its exit code, and what it prints."""

    code: int = 0
    output: str = ""
    errors: str = ""


def decode_question(question: bytes) -> list[str]:
    """The command and its arguments."""
    return question.decode(errors="surrogateescape").split("\0")


def encode_answer(answer: Answer) -> bytes:
    """As ``client`` reads it."""
    return "\0".join((str(answer.code), answer.output, answer.errors)).encode()
