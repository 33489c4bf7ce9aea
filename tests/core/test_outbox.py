"""The line of waiting messages, and the pace at which they are handed over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.outbox import ANSWER_TIMEOUT, Outbox
from certkeeper.core.record import MAX_WAITING, Message, Record
from tests.core.strategies import examples

A, B, C = (Message(name, "t", f"payload {name}") for name in "abc")


def test_full_outbox_drops_the_oldest() -> None:
    """Beyond MAX_WAITING the oldest messages go, and the newest stay, in order."""
    messages = [Message(str(n), "t", "p") for n in range(MAX_WAITING + 50)]
    full = Record()
    for message in messages:
        full = full.with_waiting(message)
    assert full.waiting == tuple(messages[50:])
    assert Record().with_waiting(*messages).waiting == tuple(messages[50:])


def test_newer_message_takes_the_place_of_the_older_at_the_end() -> None:
    """One message a key: the newer one, last in line."""
    newer = replace(A, payload="newer")
    line = Record().with_waiting(A, B).with_waiting(newer, C)
    assert line.waiting == (B, newer, C)
    assert line.without(A) == line, "an answer to the older one does not remove the newer"


@examples(100)
@given(st.lists(st.sampled_from("abcdef"), max_size=30))
def test_line_holds_each_key_once_in_order_of_last_arrival(keys: list[str]) -> None:
    """Whatever arrives, the line is what came last for each key, in that order."""
    line = Record()
    for n, key in enumerate(keys):
        line = line.with_waiting(Message(key, "t", str(n)))
    last = {key: n for n, key in enumerate(keys)}
    expected = [key for key, _ in sorted(last.items(), key=lambda item: item[1])]
    assert [message.key for message in line.waiting] == expected


def test_one_message_at_a_time() -> None:
    """While one is on its way, no other begins; after it, the next does at once."""
    outbox, first = Outbox().opened(10.0).begin((A, B), 10.0)
    assert first == A
    assert outbox.begin((A, B), 11.0) == (outbox, None)
    outbox, second = outbox.delivered(A, 12.0).begin((B,), 12.0)
    assert second == B


def test_pace_starts_afresh_with_a_connection() -> None:
    """After failures, a new connection is tried at once, and counts from one again."""
    outbox = Outbox().opened(0.0)
    for _ in range(10):
        outbox, _ = outbox.begin((A,), outbox.send_at)
        outbox, wait = outbox.failed(outbox.send_at, "press-7")
    assert wait > timedelta(minutes=5).total_seconds()
    outbox, message = outbox.closed().opened(100.0).begin((A,), 100.0)
    assert message == A
    assert outbox.failed(100.0, "press-7")[1] <= 5


def test_waking() -> None:
    """It wakes for an answer that does not come and for a waiting message, else not at all."""
    opened = Outbox().opened(10.0)
    assert opened.wake_at(()) is None
    assert Outbox().wake_at((A,)) is None
    assert opened.wake_at((A,)) == 10.0
    sending, _ = opened.begin((A,), 20.0)
    assert sending.wake_at((A,)) == 20.0 + ANSWER_TIMEOUT
    assert sending.wake_at(()) == 20.0 + ANSWER_TIMEOUT
    assert not sending.is_unanswered(20.0 + ANSWER_TIMEOUT - 0.1)
    assert sending.is_unanswered(20.0 + ANSWER_TIMEOUT)
