"""The device's clocks, and what the kernel says of the wall clock."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from certkeeper.edge import clock
from certkeeper.edge.clock import SystemClock


def test_now() -> None:
    """Now is the system's time, in UTC and whole seconds, with the monotonic clock beside it."""
    before, monotonic_before = int(time.time()), time.monotonic()
    moment = SystemClock().now()
    after, monotonic_after = time.time(), time.monotonic()
    assert moment.wall.tzinfo is not None
    assert moment.wall.utcoffset() == UTC.utcoffset(None)
    assert moment.wall.microsecond == 0
    assert before <= moment.wall.timestamp() <= after
    assert monotonic_before <= moment.monotonic <= monotonic_after


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (0.0, "1970-01-01T00:00:00"),
        (2.0**31, "2038-01-19T03:14:08"),
        (4102444799.9, "2099-12-31T23:59:59"),
        (9223372036.0, "2262-04-11T23:47:16"),
    ],
)
def test_wrong_clocks_are_told_as_they_are(
    monkeypatch: pytest.MonkeyPatch, seconds: float, moment: str
) -> None:
    """From 1970 to the end of Linux's own time, whatever the clock says is passed on."""
    monkeypatch.setattr(time, "time", lambda: seconds)
    assert SystemClock().now().wall == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_the_time_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever zone the device stands, now is in UTC."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert SystemClock().now().wall == datetime(1970, 1, 1, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_kernel_is_asked() -> None:
    """The real kernel answers yes, no, or that it cannot say, and nothing is changed by asking."""
    assert clock.synchronized() in (True, False, None)


@pytest.mark.parametrize(
    ("state", "said"),
    [(0, True), (1, True), (2, True), (3, True), (4, True), (5, False), (-1, None)],
)
def test_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, state: int, said: bool | None
) -> None:
    """TIME_ERROR is unsynchronized, a leap second under way is not; a refusal says nothing."""
    asked: list[bytes] = []

    def adjtimex(buffer: ctypes.Array[ctypes.c_char]) -> int:
        asked.append(buffer.raw)
        return state

    library = SimpleNamespace(adjtimex=adjtimex)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    assert clock.synchronized() is said
    # modes of 0 only reads (adjtimex(2)); struct timex has 208 bytes.
    assert set(asked[0]) == {0}
    assert len(asked[0]) >= 208


@pytest.mark.parametrize("error", [OSError("no library"), None])
def test_a_system_without_the_call(monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> None:
    """Where the C library or the call is not there, nothing is said."""

    def load(*_: object, **__: object) -> SimpleNamespace:
        if error is not None:
            raise error
        return SimpleNamespace()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert clock.synchronized() is None
