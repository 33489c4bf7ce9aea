"""Monitor and link under any events in any order, true, late, stale or made up."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from certkeeper.core import alerting, effects, events, link, monitor, record
from certkeeper.core.certificate import Inventory
from certkeeper.core.clock_trust import clock_distrust
from certkeeper.core.effects import Effect
from certkeeper.core.events import Event, Tick
from certkeeper.core.link import Link
from certkeeper.core.moment import Moment
from certkeeper.core.outbox import ANSWER_TIMEOUT
from certkeeper.core.record import Message, Record
from certkeeper.core.settings import Settings
from tests.core.strategies import any_inventory, any_json, examples, times
from tests.core.world import DAILY, HOURLY, NEVER, NOW, RULES, THING, ending_in

configurations = st.fixed_dictionaries(
    {},
    optional={
        "schedule": st.sampled_from([DAILY, HOURLY, NEVER, "now and then"]),
        "thresholds": st.lists(st.integers(0, 400), max_size=4),
        "signAlerts": st.booleans(),
        "realertHours": st.integers(0, 48),
        "anything": any_json,
    },
)
spans = st.one_of(st.floats(0, 3), st.floats(0, 100), st.floats(0, 10**6))


class MonitorMachine(RuleBasedStateMachine):
    """Whatever happens, in whatever order: what the monitor promises at every step holds."""

    def __init__(self) -> None:
        super().__init__()
        self.monotonic = 1000.0
        self.wall_at_zero = NOW
        self.attempt = 0
        self.connected = False
        self.disk = record.encode(Record())
        self.inspecting = False
        self.signing: effects.SignAlerts | None = None
        self.due: tuple[str, ...] | None = None
        self.sending: Message | None = None
        self.sent_at = 0.0
        self.handed: list[Message] = []

    @initialize()
    def start(self) -> None:
        self.restart()

    @property
    def now(self) -> Moment:
        wall = self.wall_at_zero + timedelta(seconds=math.floor(self.monotonic))
        return Moment(wall, self.monotonic)

    # -- what may happen ---------------------------------------------------------

    @rule()
    def restart(self) -> None:
        """A new process, with what is on disk."""
        self.inspecting, self.signing, self.due, self.sending = False, None, None, None
        self.connected = False
        self.monitor = monitor.started(Settings(), record.decode(self.disk), self.now)

    @rule(seconds=spans)
    def time_passes(self, seconds: float) -> None:
        self.monotonic += seconds
        self.give(Tick())

    @rule()
    def wakes_when_it_wants(self) -> None:
        """After a tick at the time asked for, the next one asked for is later."""
        wake_at = self.monitor.wake_at(self.now)
        if wake_at is None:
            return
        assert wake_at - self.monotonic < 400 * 86400
        self.monotonic = max(wake_at, self.monotonic)
        self.give(Tick())
        after = self.monitor.wake_at(self.now)
        assert after is None or after > self.monotonic

    @rule(to=times(1900, 9990) | st.just(NOW))
    def clock_is_set(self, to: datetime) -> None:
        self.wall_at_zero += to - self.now.wall
        self.give(Tick())

    @rule()
    def connects(self) -> None:
        self.attempt += 1
        self.connected, self.sending = True, None
        self.give(events.Disconnected(self.attempt - 1, "replaced"))
        self.give(events.Connected(self.attempt))

    @rule(behind=st.integers(0, 2))
    def disconnects(self, behind: int) -> None:
        """The connection ends, or an older one says that it has."""
        if behind == 0:
            self.connected, self.sending = False, None
        self.give(events.Disconnected(self.attempt - behind, "closed"))

    @rule(values=configurations, behind=st.integers(0, 1))
    def configuration_is_read(self, values: dict[str, object], behind: int) -> None:
        self.give(events.ConfigurationRead(self.attempt - behind, values))

    @rule(values=configurations)
    def deployment_asks(self, values: dict[str, object]) -> None:
        self.give(events.ValidationAsked(self.attempt, "d-1", values))

    @rule(holds=any_inventory | st.just(ending_in(timedelta(days=6))))
    def inspection_answers(self, holds: Inventory) -> None:
        """With the answer, all that is due is to be queued, once."""
        if self.inspecting:
            self.due = self.keys_due(holds)
        self.inspecting = False
        self.give(events.Inspected(holds))

    @rule()
    def inspection_fails(self) -> None:
        self.inspecting = False
        self.give(events.InspectionFailed("no process could be started"))

    @rule(signed=st.booleans())
    def signing_answers(self, signed: bool) -> None:
        asked, self.signing = self.signing, None
        alerts = asked.alerts if asked else ()
        if signed:
            alerts = tuple(replace(alert, signature="h..s") for alert in alerts)
        self.give(events.AlertsSigned(alerts, "" if signed else "no key"))

    @precondition(lambda self: self.handed)
    @rule(data=st.data(), outcome=st.sampled_from(["taken", "refused", "forbidden"]))
    def nucleus_answers(self, data: st.DataObject, outcome: str) -> None:
        """To what it was handed last, or late to something earlier."""
        message = data.draw(st.sampled_from(self.handed[-3:]))
        if message == self.sending:
            self.sending = None
        if outcome == "taken":
            self.give(events.Published(message))
        else:
            self.give(events.PublishFailed(message, outcome, outcome == "forbidden"))

    @rule(text=st.text(max_size=5))
    def others_are_told_of_things(self, text: str) -> None:
        """Events that are the link's."""
        self.give(events.Subscribed(self.attempt, text))
        self.give(events.SubscriptionRefused(self.attempt, text, "no", True))
        self.give(events.ConfigurationChanged(self.attempt))

    @rule()
    def something_goes_wrong(self) -> None:
        self.inspecting, self.signing, self.due = False, None, None
        self.monitor = monitor.after_fault(self.monitor, self.now)

    # -- what must hold ----------------------------------------------------------

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.monitor.record.waiting) <= record.MAX_WAITING
        assert len(self.monitor.record.alerted) <= alerting.MAX_REMEMBERED

    @invariant()
    def sleeps_or_works(self) -> None:
        """Nobody waits for nothing: an inspection or a signature under way has been asked for."""
        assert self.monitor.inspecting == self.inspecting
        assert (self.monitor.raised is not None) == (self.signing is not None)

    def keys_due(self, holds: Inventory) -> tuple[str, ...]:
        now, settings, kept = self.now.wall, self.monitor.settings, self.monitor.record
        distrust = clock_distrust(holds, now, kept.newest_seen)
        verdicts = alerting.judge(holds, settings, now, distrust)
        return tuple(f.key for f in alerting.due(verdicts, kept.memory, settings, now))

    def give(self, event: Event) -> None:
        self.monitor, asked = monitor.step(self.monitor, event, self.now, RULES)
        for effect in asked:
            self.take(effect)

    def take(self, effect: Effect) -> None:
        if isinstance(effect, effects.SaveRecord):
            self.disk = record.encode(effect.record)
            assert record.decode(self.disk) == effect.record
            if self.due is not None and self.signing is None:
                self.all_that_was_due_is_queued(effect.record, self.due)
                self.due = None
        elif isinstance(effect, effects.Inspect):
            assert not self.inspecting, "two inspections at a time"
            self.inspecting = True
        elif isinstance(effect, effects.SignAlerts):
            assert self.signing is None, "two signatures at a time"
            self.signing = effect
        elif isinstance(effect, effects.Publish):
            self.may_be_handed_over(effect.message)

    def all_that_was_due_is_queued(self, saved: Record, due: tuple[str, ...]) -> None:
        keys = [message.key for message in saved.waiting]
        assert keys[-1] == monitor.HEALTH_KEY
        assert tuple(keys[-1 - len(due) : -1]) == due
        assert len(keys) == len(set(keys))
        assert set(due) <= set(saved.memory)

    def may_be_handed_over(self, message: Message) -> None:
        assert self.connected, "handed over without a connection"
        assert message in record.decode(self.disk).waiting, "handed over before it was saved"
        unanswered = self.sending is not None and self.monotonic < self.sent_at + ANSWER_TIMEOUT
        assert not unanswered, "two messages at a time"
        self.sending, self.sent_at = message, self.monotonic
        self.handed.append(message)


MonitorMachine.TestCase.settings = examples(60)
#: Finding the shortest way to a failure takes minutes; a run without one takes seconds.
TestMonitorMachine = pytest.mark.timeout(900)(MonitorMachine.TestCase)

link_events = st.sampled_from(
    [
        lambda n: Tick(),
        lambda n: events.Connected(n),
        lambda n: events.Disconnected(n, "closed"),
        lambda n: events.Subscribed(n, "updates"),
        lambda n: events.SubscriptionRefused(n, "updates", "no", True),
        lambda n: events.SubscriptionRefused(n, "validation", "no", False),
        lambda n: events.ConfigurationChanged(n),
        lambda n: events.ConfigurationRead(n, {}),
        lambda n: events.ValidationAsked(n, "d-1", {}),
        lambda n: events.InspectionFailed("no"),
        lambda n: events.AlertsSigned(()),
        lambda n: events.Published(Message("k", "t", "p")),
    ]
)


@examples(200)
@given(st.lists(st.tuples(link_events, st.integers(-1, 1), st.floats(0, 40)), max_size=60))
def test_link_under_any_events(happenings: list[tuple[object, int, float]]) -> None:
    """One attempt at a time, numbered without gaps, at least half a second apart; and it never
    sleeps for ever without a connection, nor wakes without end."""
    state, now, attempts = Link(THING), 1000.0, [(0, -math.inf)]
    for make, offset, seconds in happenings:
        now += seconds
        event: Event = make(state.attempt + offset)  # type: ignore[operator]  # a lambda above
        before = state
        state, asked = link.step(state, event, Moment(NOW, now), "certkeeper")
        for effect in asked:
            if isinstance(effect, effects.Connect):
                assert not before.connected
                assert effect.attempt == attempts[-1][0] + 1
                assert now >= attempts[-1][1] + 0.5
                attempts.append((effect.attempt, now))
            elif isinstance(effect, (effects.Subscribe, effects.ReadConfiguration)):
                assert effect.attempt == state.attempt
        assert state.connected or state.wake_at() is not None
        if isinstance(event, Tick):
            wake_at = state.wake_at()
            assert wake_at is None or wake_at > now
        assert state.check().detail
