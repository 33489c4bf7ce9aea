"""Canonical JSON (RFC 8785), against the reference library; times and signatures over it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from rotation_protocol.codec import canonical
from rotation_protocol.fields import WireError, parse_time, time_text
from tests.core.strategies import examples, times

MAX = 2**53 - 1
ascii_names = st.text(st.characters(max_codepoint=127), max_size=8)
#: The values our messages are made of.
domain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX, MAX) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ascii_names, inner, max_size=5),
    max_leaves=20,
)


@examples(300)
@given(domain)
def test_equals_the_reference(value: Any) -> None:
    """For every value of its domain it gives the bytes that the rfc8785 library gives."""
    assert canonical(value) == rfc8785.dumps(value)


@examples(100)
@given(domain)
def test_is_json_of_the_same_value(value: Any) -> None:
    """What it writes is read as what it was, and writing that again gives the same bytes."""
    written = canonical(value)
    assert json.loads(written) == value
    assert canonical(json.loads(written)) == written


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F, 0x80, 0x2028, 0xFEFF, 0x1F512])
def test_every_special_character(code: int) -> None:
    """Escapes are those of RFC 8785 section 3.2.2.2, and nothing else is escaped."""
    assert canonical(chr(code)) == rfc8785.dumps(chr(code))


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        MAX + 1,
        -MAX - 1,
        {"ü": 1},
        {1: 2},
        {None: 1},
        b"bytes",
        (1, 2),
        {1, 2},
        datetime(2026, 1, 1, tzinfo=UTC),
        "\ud800",
        ["\udfff"],
        {"key": "\ud83d"},
        {"\ud800": 1},
        object(),
    ],
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": {"b": [v]}}])
def test_what_has_no_canonical_form_is_refused(value: object, wrap: Any) -> None:
    """Floats, unsafe integers, other types and lone surrogates, however deep: WireError."""
    with pytest.raises(WireError):
        canonical(wrap(value))


@examples(100)
@given(times())
def test_times_are_read_as_written(moment: datetime) -> None:
    """From year 1 to 9999, in seconds, always with four digits of year and a Z."""
    text = time_text(moment)
    assert len(text) == 20
    assert parse_time(text) == moment


def test_time_is_written_in_utc_without_fractions() -> None:
    """Another zone is converted, and what is less than a second is cut off."""
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 11, 22, 3, 30, 59, 999999, tzinfo=elsewhere)
    assert time_text(moment) == "2026-11-21T22:00:59Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00:00.000Z",
        "2026-11-22T10:00:00+00:00",
        "2026-11-22 10:00:00Z",
        "2026-11-22t10:00:00z",
        " 2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z\n",
        "2026-1-2T3:4:5Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-06-30T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "٢٠٢٦-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z" * 1000,
    ],
)
def test_only_one_form_of_time(text: str) -> None:
    """Any other form, also another way to write the same time, is a ValueError."""
    with pytest.raises(ValueError, match=r"form|match|range|remains|must be"):
        parse_time(text)
