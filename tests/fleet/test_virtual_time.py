"""Time that passes as fast as the processor allows."""

from __future__ import annotations

import pytest

from lab.fleet.virtual_time import VirtualTime


def test_what_is_to_happen_happens_in_order() -> None:
    """By its time, and of one instant in the order in which it was asked for."""
    time, seen = VirtualTime(100.0), list[tuple[float, str]]()
    for seconds, name in ((2.0, "later"), (1.0, "first"), (1.0, "second"), (0.0, "now")):
        time.after(seconds, lambda name=name: seen.append((time.now, name)))  # type: ignore[misc]
    time.run(101.5)
    assert seen == [(100.0, "now"), (101.0, "first"), (101.0, "second")]
    assert time.now == 101.5
    time.run(103.0)
    assert seen[-1] == (102.0, "later")


def test_tasks_give_way_where_they_sleep() -> None:
    """Two pieces of plain code take turns, each at its own times."""
    time, seen = VirtualTime(0.0), list[tuple[float, str]]()

    def work(name: str, seconds: float) -> None:
        for _ in range(3):
            time.sleep(seconds)
            seen.append((time.now, name))

    time.begin(lambda: work("slow", 3.0))
    time.begin(lambda: work("quick", 2.0))
    time.run(100.0)
    assert seen == [
        *((2.0, "quick"), (3.0, "slow"), (4.0, "quick")),
        *((6.0, "slow"), (6.0, "quick"), (9.0, "slow")),
    ]


def test_task_begun_by_a_task() -> None:
    """It runs on its own, and its end is not the end of the one that began it."""
    time, seen = VirtualTime(0.0), list[str]()

    def child() -> None:
        time.sleep(1.0)
        seen.append("child")

    def parent() -> None:
        time.begin(child)
        time.sleep(5.0)
        seen.append("parent")

    time.begin(parent)
    time.run(10.0)
    assert seen == ["child", "parent"]


def test_sleep_does_not_pass_the_end_of_a_run() -> None:
    """Who lets time pass until an instant finds the sleeper asleep, and may wake it later."""
    time, seen = VirtualTime(0.0), list[float]()

    def work() -> None:
        time.sleep(10.0)
        seen.append(time.now)

    time.begin(work)
    time.run(5.0)
    assert (seen, time.now) == ([], 5.0)
    time.run(20.0)
    assert seen == [10.0]


def test_what_a_task_raises_is_raised() -> None:
    """A fault in simulated code ends the run, and is not lost."""
    time = VirtualTime(0.0)

    def work() -> None:
        time.sleep(1.0)
        raise LookupError("as the test has it")

    time.begin(work)
    with pytest.raises(LookupError):
        time.run(10.0)
    assert time.now == 1.0


def test_ends_when_it_is_done() -> None:
    """A run ends as soon as its condition holds."""
    time, seen = VirtualTime(0.0), list[int]()
    for number in range(10):
        time.after(number, lambda number=number: seen.append(number))  # type: ignore[misc]
    time.run(100.0, lambda: len(seen) == 3)
    assert (seen, time.now) == ([0, 1, 2], 2.0)
