"""Lambda in simulated time: who may run, who waits, and what becomes of what fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.template import Function
from lab.fleet.account import Account
from lab.fleet.fleet import FleetClock
from lab.fleet.functions import Functions, Sleep
from lab.fleet.virtual_time import VirtualTime
from lab.states.execution import Answer
from rotation_cloud import aws
from rotation_cloud.ports import Cloud

#: What the handler does with its event: sleeps so long, then fails or gives it back.
HANDLER = """
import os
from rotation_cloud import aws

def handler(event, context):
    aws.cloud(os.environ).clock.sleep(event["seconds"])
    if event.get("fails"):
        raise LookupError("as the test has it")
    return event
"""


class Site:
    """A function in an account, and the seconds at which its executions were begun."""

    def __init__(self, file: Path, **settings: Any) -> None:
        self.time = VirtualTime(0.0)
        self.begun: list[float] = []
        account, others = Account(), {"timeout": 50, "retries": 2}
        function = Function("F", file, "handler", {}, **{**others, **settings})

        def cloud(_function: Function, sleep: Sleep) -> Cloud:
            self.begun.append(round(self.time.now))
            return replace(account.cloud, clock=FleetClock(self.time, sleep))

        self.functions = Functions(self.time, {"F": function}, cloud, random.Random(1))

    def run(self, seconds: float = 30_000.0) -> None:
        with self.functions.loaded():
            self.time.run(self.time.now + seconds)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    file = tmp_path / "handler.py"
    file.write_text(HANDLER)
    return lambda **settings: Site(file, **settings)


def test_served_at_once(site: Callable[..., Site]) -> None:
    """Each event is served once, side by side with the others."""
    one = site()
    for _ in range(20):
        one.functions.invoke("F", {"seconds": 5})
    one.run()
    assert one.begun == [0] * 20
    assert one.functions.most_at_once["F"] == 20
    assert (one.functions.failed.total(), one.functions.waiting) == (0, 0)


def test_no_more_at_a_time_than_reserved(site: Callable[..., Site]) -> None:
    """Who may not run yet waits, and is no error; all are served in the end."""
    one = site(concurrency=2)
    for _ in range(20):
        one.functions.invoke("F", {"seconds": 5})
    one.run()
    assert len(one.begun) == 20
    assert one.functions.most_at_once["F"] == 2
    assert one.functions.throttled["F"] > 0
    assert one.functions.failed["F"] == 0


def test_waits_grow_to_five_minutes(site: Callable[..., Site]) -> None:
    """An event that may not run is tried some twelve times in an hour, not thousands of times."""
    one = site(concurrency=1, timeout=900)
    one.functions.invoke("F", {"seconds": 890})
    one.functions.invoke("F", {"seconds": 1})
    one.run(880)
    assert 8 <= one.functions.throttled["F"] <= 14


def test_too_old_is_a_dead_letter(site: Callable[..., Site]) -> None:
    """An event that could not run for six hours is given up."""
    one = site()
    one.functions.is_away = True
    one.functions.invoke("F", {"seconds": 1})
    one.run(7 * 3600)
    assert [letter.error for letter in one.functions.dead_letters] == ["throttled"]
    assert (one.begun, one.functions.waiting) == ([], 0)


def test_failure_is_tried_three_times(site: Callable[..., Site]) -> None:
    """One minute later, and two minutes after that; then it is a dead letter."""
    one = site()
    one.functions.invoke("F", {"seconds": 0, "fails": True})
    one.run()
    assert one.begun == [0, 60, 180]
    (letter,) = one.functions.dead_letters
    assert letter.error == "LookupError: as the test has it"


def test_out_of_time(site: Callable[..., Site]) -> None:
    """A function that takes longer than its limit is ended then, and tried again."""
    one = site(timeout=50, retries=0)
    one.functions.invoke("F", {"seconds": 51})
    one.run()
    (letter,) = one.functions.dead_letters
    assert "timed out" in letter.error
    assert one.functions.gigabyte_seconds == pytest.approx(50 * 128 / 1024)


def test_answer_for_a_state_machine(site: Callable[..., Site]) -> None:
    """Whoever waits gets the result, the error by its name, or a refusal; none is tried again."""
    one, told = site(concurrency=1), list[Answer]()
    one.functions.request("F", {"seconds": 1}, told.append)
    one.functions.request("F", {"seconds": 1}, told.append)
    one.run(100)
    one.functions.request("F", {"seconds": 1, "fails": True}, told.append)
    one.run(1000)
    assert [answer.error for answer in told] == [
        "Lambda.TooManyRequestsException",
        None,
        "LookupError",
    ]
    assert told[1].result == {"seconds": 1}
    assert len(one.begun) == 2


def test_handlers_have_the_clouds_own_again(site: Callable[..., Site]) -> None:
    """Outside a run rotation_cloud.aws is as it was."""
    original = aws.cloud
    one = site()
    with one.functions.loaded():
        assert aws.cloud is not original
    assert aws.cloud is original
