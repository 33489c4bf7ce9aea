"""The connection to the nucleus: numbered attempts, growing waits, what holds once it is open."""

from __future__ import annotations

import pytest

from certkeeper.core import effects, events
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.link import CONNECT_TIMEOUT, STEADY_SECONDS, Link, step
from certkeeper.core.moment import Moment
from certkeeper.core.record import Message
from rotation_protocol.reasons import CheckStatus
from tests.core.world import NOW

UPDATES, VALIDATION = "configuration-updates", "configuration-validation"


class Line:
    """A link, and everything that it asked for."""

    def __init__(self, seed: str = "press-7") -> None:
        self.link = Link(seed)
        self.now = 1000.0
        self.asked: list[Effect] = []

    def give(self, event: Event) -> None:
        self.link, asked = step(self.link, event, Moment(NOW, self.now), "certkeeper")
        self.asked.extend(asked)

    def wait_and_tick(self) -> float:
        """Wake when the link wants to be woken; how many seconds later that was."""
        wake_at = self.link.wake_at()
        assert wake_at is not None
        waited = max(wake_at - self.now, 0.0)
        self.now += waited
        self.give(Tick())
        after = self.link.wake_at()
        assert after is None or after > self.now, "wakes without end"
        return waited

    def connect(self) -> None:
        """The attempt that is due succeeds."""
        self.wait_and_tick()
        self.give(events.Connected(self.link.attempt))

    def logs(self, event: str) -> list[effects.Log]:
        return [e for e in self.asked if isinstance(e, effects.Log) and e.event == event]

    @property
    def attempts(self) -> list[int]:
        return [e.attempt for e in self.asked if isinstance(e, effects.Connect)]


def test_connects_at_the_first_tick() -> None:
    """A new link tries at once, and then waits for the answer."""
    line = Line()
    assert line.wait_and_tick() == 0
    assert line.asked == [effects.Connect(1)]
    line.give(Tick())
    assert line.attempts == [1]


def test_subscribes_once_it_is_connected() -> None:
    """An accepted connection is followed by the subscriptions, and no more waking."""
    line = Line()
    line.connect()
    assert line.asked[1:] == [effects.Log("ipc-connected"), effects.Subscribe(1)]
    assert line.link.wake_at() is None
    assert line.link.check().status is CheckStatus.OK


def test_attempts_are_numbered_and_spaced() -> None:
    """A nucleus that is away is tried for ever: 1, 2, 3, ..., ever less often, to once a minute."""
    line = Line()
    waits = []
    for _ in range(50):
        waits.append(line.wait_and_tick())
        line.give(events.Disconnected(line.link.attempt, "no socket"))
    assert line.attempts == list(range(1, 51))
    assert 0.5 <= waits[1] <= 1
    assert waits[:7] == sorted(waits[:7])
    assert all(30 <= wait <= 60 for wait in waits[8:])
    assert line.link.check().detail == "no socket"


def test_retries_are_spread_over_devices() -> None:
    """Two devices that lost the nucleus at the same moment try again at different ones."""
    moments = set()
    for n in range(100):
        line = Line(f"press-{n}")
        line.connect()
        line.give(events.Disconnected(1, "closed"))
        moments.add(line.link.wake_at())
    assert len(moments) > 95


def test_silence_is_a_failure() -> None:
    """An attempt without any answer is given up after a while, and another follows."""
    line = Line()
    line.wait_and_tick()
    assert line.wait_and_tick() == CONNECT_TIMEOUT
    assert line.link.check().status is CheckStatus.FAIL
    assert "no answer" in line.link.check().detail
    line.wait_and_tick()
    assert line.attempts == [1, 2]


@pytest.mark.parametrize(
    "event",
    [
        events.Connected(1),
        events.Disconnected(1, "closed"),
        events.Subscribed(1, UPDATES),
        events.SubscriptionRefused(1, UPDATES, "UnauthorizedError", True),
        events.ConfigurationChanged(1),
        events.ConfigurationRead(1, {}),
        events.Connected(3),
    ],
)
def test_stale_events_are_ignored(event: Event) -> None:
    """What another attempt says changes nothing."""
    line = Line()
    line.connect()
    line.give(events.Disconnected(1, "closed"))
    line.connect()
    before, asked = line.link, len(line.asked)
    line.give(event)
    assert (line.link, len(line.asked)) == (before, asked)


def test_second_farewell_is_ignored() -> None:
    """The end of one connection, told twice, is one failure."""
    line = Line()
    line.connect()
    line.give(events.Disconnected(1, "the nucleus ended configuration-updates"))
    wake_at = line.link.wake_at()
    line.now += 0.1
    line.give(events.Disconnected(1, "closed"))
    assert line.link.wake_at() == wake_at
    assert len(line.logs("ipc-lost")) == 1


def test_subscriptions_are_forgotten_on_reconnect() -> None:
    """A new connection begins with none, and with nothing refused."""
    line = Line()
    line.connect()
    line.give(events.Subscribed(1, UPDATES))
    line.give(events.SubscriptionRefused(1, VALIDATION, "UnauthorizedError", True))
    assert line.link.subscribed == {UPDATES}
    line.give(events.Disconnected(1, "closed"))
    line.connect()
    assert line.link.subscribed == frozenset()
    assert line.link.check().status is CheckStatus.OK
    assert line.asked[-1] == effects.Subscribe(2)


def test_forbidden_subscription_is_reported() -> None:
    """What accessControl does not allow is an error in the log, and fails the readiness check."""
    line = Line()
    line.connect()
    line.give(events.SubscriptionRefused(1, UPDATES, "UnauthorizedError", True))
    check = line.link.check()
    assert (check.status, check.detail) == (CheckStatus.FAIL, f"not allowed: {UPDATES}")
    assert check.remedy is not None
    assert "accessControl" in check.remedy
    (log,) = line.logs("not-allowed")
    assert log.level == effects.ERROR


def test_forbidden_topic_fails_the_check_until_it_is_taken() -> None:
    """A topic that may not be published to is named, until a message to it passes."""
    line = Line()
    line.connect()
    alert, health = Message("a", "alerts", "{}"), Message("h", "health", "{}")
    line.give(events.PublishFailed(alert, "ServiceError", False))
    assert line.link.check().status is CheckStatus.OK
    line.give(events.PublishFailed(health, "UnauthorizedError", True))
    line.give(events.PublishFailed(alert, "UnauthorizedError", True))
    assert line.link.check().detail == "not allowed: alerts, health"
    line.give(events.Published(health))
    assert line.link.check().detail == "not allowed: alerts"
    line.give(events.Published(alert))
    assert line.link.check().status is CheckStatus.OK


def test_forbidden_topics_are_forgotten_on_reconnect() -> None:
    """A new connection may be under another accessControl."""
    line = Line()
    line.connect()
    line.give(events.PublishFailed(Message("a", "alerts", "{}"), "UnauthorizedError", True))
    line.give(events.Disconnected(1, "closed"))
    line.connect()
    assert line.link.check().status is CheckStatus.OK


def test_what_lite_does_not_offer_is_no_fault() -> None:
    """An operation that the nucleus does not know is a debug line, and the check is fine."""
    line = Line()
    line.connect()
    line.give(events.SubscriptionRefused(1, VALIDATION, "ServiceError", False))
    assert line.link.check().status is CheckStatus.OK
    (log,) = line.logs("not-offered")
    assert log.level == effects.DEBUG


def test_backoff_starts_afresh_after_a_steady_connection() -> None:
    """A connection that lasted resets the count; one that ended at once, served or not, does
    not: such a nucleus is asked less and less."""
    line = Line()
    for _ in range(10):
        line.connect()
        line.give(events.Disconnected(line.link.attempt, "closed"))
    assert line.link.failures == 10
    line.connect()
    line.give(events.Subscribed(line.link.attempt, UPDATES))
    line.give(events.Disconnected(line.link.attempt, "closed"))
    assert line.link.failures == 11
    line.connect()
    line.give(events.Subscribed(line.link.attempt, UPDATES))
    line.now += STEADY_SECONDS
    line.give(events.Disconnected(line.link.attempt, "closed"))
    assert line.wait_and_tick() <= 1


def test_changed_configuration_is_read_again() -> None:
    """The nucleus's notice carries no values, so they are asked for."""
    line = Line()
    line.connect()
    line.give(events.ConfigurationChanged(1))
    assert line.asked[-1] == effects.ReadConfiguration(1)


def test_before_the_first_attempt_nothing_is_lost() -> None:
    """An event before the first attempt does not start a second one."""
    line = Line()
    line.give(events.Disconnected(0, "?"))
    assert line.link == Link("press-7")
    assert line.link.check().detail == "not yet connected"
