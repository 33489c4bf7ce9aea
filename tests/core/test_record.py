"""The record on disk: read as it was written, or refused; never misread, never a surprise."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.record import MAX_WAITING, Message, Record, RecordError, decode, encode
from tests.core.strategies import any_json, any_text, examples, times
from tests.core.world import DAY, NOW

records = st.builds(
    Record,
    newest_seen=st.none() | times(),
    alerted=st.dictionaries(any_text, times(), max_size=5).map(lambda found: tuple(found.items())),
    waiting=st.lists(st.builds(Message, any_text, any_text, any_text), max_size=4).map(tuple),
    last_health=st.none() | any_text,
)
RECORD = Record(
    newest_seen=NOW,
    alerted=(("ab|30", NOW - DAY), ("ab|15", NOW)),
    waiting=(
        Message("ab|15", "greengrass/alerts/certificates", '{"critical":false,"daysRemaining":14}'),
        Message("health", "greengrass/health/certificates", '{"thingName":"Preß-7"}'),
    ),
    last_health='{"thingName":"Preß-7"}',
)


def same_or_refused(content: bytes) -> None:
    """Whatever became of the file: the record that was written, or RecordError."""
    with contextlib.suppress(RecordError):
        assert decode(content) == RECORD


@examples(100)
@given(records)
def test_record_is_read_as_it_was_written(record: Record) -> None:
    """Any text and any second there is, in the same order."""
    found = decode(encode(record))
    assert found == record
    assert list(found.memory.items()) == list(record.alerted)


def test_empty_record() -> None:
    """That of a first start: nothing seen, nothing alerted, nothing waiting."""
    assert decode(encode(Record())) == Record()
    assert Record().memory == {}


def test_record_is_ascii_json_that_a_person_can_read() -> None:
    """It can be looked at on the device, with nothing but a pager."""
    content = encode(RECORD)
    assert content.isascii()
    assert b"\n" in content
    assert isinstance(json.loads(content), dict)


def test_truncated_at_each_byte() -> None:
    """A file that ends early is refused, wherever it ends."""
    content = encode(RECORD)
    for length in range(len(content)):
        same_or_refused(content[:length])


def test_each_bit_flipped() -> None:
    """A file with one bit changed is refused, or says the same: no alert is sent that was
    never raised, and none is forgotten."""
    content = encode(RECORD)
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            same_or_refused(bytes(flipped))


@examples(100)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """A piece overwritten, zeroed, repeated or torn out is refused, or changes nothing."""
    content = encode(RECORD)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    instead = data.draw(st.sampled_from([b"", bytes(end - start), b"0", content[start:end] * 2]))
    same_or_refused(content[:start] + instead + content[end:])


@examples(100)
@given(st.binary(max_size=50) | any_json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused(content: bytes) -> None:
    """What is no record is a RecordError that says so, and no other exception."""
    with pytest.raises(RecordError):
        decode(content)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"[" * 100_000, b"{}", b"null", b"[1]"])
def test_files_that_power_cuts_leave(content: bytes) -> None:
    """Empty, zeroed, or nonsense."""
    with pytest.raises(RecordError):
        decode(content)


def test_other_version_is_refused_by_number() -> None:
    """A record of a later release is not guessed at."""
    fields: dict[str, Any] = json.loads(encode(RECORD))
    fields["version"] = 2
    with pytest.raises(RecordError, match="version is 2"):
        decode(json.dumps(fields).encode())


def test_full_record_stays_small() -> None:
    """With every place in the outbox taken by the largest messages it is still quick to save."""
    full = Record().with_waiting(*(Message(str(n), "t", "x" * 6000) for n in range(MAX_WAITING)))
    assert len(encode(full)) < 4 * 1024 * 1024


def test_record_is_a_value() -> None:
    """Adding and removing give new records; the old one stays what it was."""
    before = Record(newest_seen=NOW)
    after = before.with_waiting(Message("k", "t", "p"))
    assert before.waiting == ()
    assert after.without(Message("k", "t", "p")) == before
    assert after.newest_seen == NOW < NOW + timedelta(seconds=1)
