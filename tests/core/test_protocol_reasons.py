"""The closed lists of codes: each once, each with its sentence."""

from __future__ import annotations

import re
from enum import Enum

from rotation_protocol import reasons
from rotation_protocol.reasons import SENTENCES

LISTS: list[type[Enum]] = [
    value
    for value in vars(reasons).values()
    if isinstance(value, type) and issubclass(value, Enum) and value is not Enum
]
CODES: list[object] = [code for each in LISTS for code in each]
TEXTS: list[str] = [code.value for each in LISTS for code in each]


def test_every_code_has_one_sentence() -> None:
    """A code without a sentence says nothing to a person, and there is none for no code."""
    assert len(LISTS) >= 5
    assert set(SENTENCES) == set(CODES)
    assert len(SENTENCES) == len(CODES), "two codes of the same text share a sentence"


def test_codes_are_unique_over_all_lists() -> None:
    """The same word never means two things."""
    assert len(set(TEXTS)) == len(TEXTS)


def test_sentences_are_sentences() -> None:
    """One line, with a full stop at its end; no two codes say the same."""
    for code, sentence in SENTENCES.items():
        assert re.fullmatch(r"[A-Za-z][^\n]+[^.]\.", sentence), code
    assert len(set(SENTENCES.values())) == len(SENTENCES)


def test_codes_are_plain() -> None:
    """Lowercase words joined by - or . , as they stand in messages and in the log."""
    for text in TEXTS:
        assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", text)
