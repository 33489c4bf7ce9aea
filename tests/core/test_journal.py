"""The journal survives its file whole, or is refused whole."""

from __future__ import annotations

import binascii
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.journal import Journal, JournalError, Phase, decode, encode
from rotation_protocol.reasons import FailureReason

UNDER_WAY = Journal(
    phase=Phase.PROVING,
    job_id="job-1",
    old_slot="a",
    new_slot="b",
    csr="-----BEGIN CERTIFICATE REQUEST-----\n",
    certificate_id="ab" * 32,
    session="5f3a",
    reconnects=1,
    starts=2,
    reason=FailureReason.PROVE_UNANSWERED,
    detail="ünder way",
)


def rewritten(**changes: Any) -> bytes:
    """The file of a journal with other fields, and the checksum that fits them."""
    fields = {**json.loads(encode(UNDER_WAY)), **changes}
    del fields["checksum"]
    checksum = binascii.crc32(json.dumps(fields).encode())
    return json.dumps({**fields, "checksum": checksum}).encode()


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_survives_the_file(phase: Phase) -> None:
    """What is written is read back, in every phase."""
    journal = replace(UNDER_WAY, phase=phase)
    assert decode(encode(journal)) == journal
    assert decode(encode(Journal())) == Journal()


def test_every_cut_is_noticed() -> None:
    """A file that is cut anywhere, as a power cut may leave one, is no journal."""
    content = encode(UNDER_WAY)
    for length in range(len(content)):
        with pytest.raises(JournalError):
            decode(content[:length])


def test_every_changed_byte_is_noticed() -> None:
    """A damaged phase or slot is never believed."""
    content = encode(UNDER_WAY)
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            read = decode(damaged)
        except JournalError:
            continue
        assert read == UNDER_WAY, f"byte {place}"  # white space between fields means nothing


@given(
    st.binary(max_size=100)
    | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_garbage_is_refused(content: bytes) -> None:
    """Nothing but a journal is one, and nothing but JournalError is raised."""
    with pytest.raises(JournalError, match="not a journal"):
        decode(content)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "its version is 2, not 1"),
        ({"phase": "resting"}, "not a journal"),
        ({"reason": "of tomorrow"}, "not a journal"),
        ({"more": 1}, "not a journal"),
        ({"csr": 7}, "where there should be text"),
        ({"detail": []}, "where there should be text"),
        ({"starts": "2"}, "where there should be a count"),
        ({"reconnects": -1}, "where there should be a count"),
        ({"reconnects": True}, "where there should be a count"),
        ({"old_slot": "c"}, "a slot that there is not"),
        ({"old_slot": "../a"}, "a slot that there is not"),
        ({"new_slot": "a"}, "are the same"),
        ({"job_id": None}, "is proving, but names no job"),
        ({"new_slot": None}, "does not name both slots"),
    ],
)
def test_what_we_never_wrote_is_refused(changes: dict[str, Any], why: str) -> None:
    """A checksum that fits does not make sense of nonsense."""
    with pytest.raises(JournalError, match=why):
        decode(rewritten(**changes))
