"""Messages wait on disk, go out one at a time, in order, and once, however bad the line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from certkeeper.core import events, record
from certkeeper.core.events import Event
from certkeeper.core.monitor import HEALTH_KEY
from certkeeper.core.outbox import ANSWER_TIMEOUT, BACKOFF
from certkeeper.core.record import MAX_WAITING, Message
from certkeeper.core.settings import Settings
from rotation_protocol.codec import decode_alert
from tests.core.world import (
    DAY,
    HOUR,
    NOW,
    Device,
    ending_in,
    facts,
    inventory,
    keeps_silent,
    reading,
    takes_all,
)

A, B, C = (Message(name, "t", f"payload {name}") for name in "abc")


def refused(message: Message) -> Event:
    return events.PublishFailed(message, "ServiceError", False)


def on_disk(device: Device) -> list[str]:
    """The keys of what waits, in order."""
    return [message.key for message in record.decode(device.disk).waiting]


def rungs(device: Device) -> list[object]:
    return [alert.threshold for alert in device.raised]


# -- days without a connection ------------------------------------------------------


def test_offline_week_is_delivered_once_and_in_order() -> None:
    """Seven days of daily checks without the nucleus: each rung arrives once, first come first."""
    device = Device(ending_in(7 * DAY - HOUR))
    device.pass_time(8 * DAY)
    assert (device.cloud, device.checks) == ([], 9)
    device.connect()
    assert rungs(device) == [7, 3, 1, "expired"]
    times = [alert.checked_at for alert in device.raised]
    assert times == sorted(times)
    assert len(device.healths) == 1
    assert device.healths[0].waiting_alerts == 4
    device.pass_time(HOUR / 2)
    assert len(device.cloud) == 5
    assert on_disk(device) == []


def test_restart_in_the_middle_of_an_offline_week() -> None:
    """What the old process could not send, the new one does, once."""
    device = Device(ending_in(7 * DAY - HOUR))
    for _ in range(8):
        device.restart()
        device.pass_time(DAY)
    device.connect()
    assert rungs(device) == [7, 3, 1, "expired"]
    device.restart()
    device.connect()
    assert len(device.raised) == 4


def test_restart_after_half_of_the_deliveries() -> None:
    """Only what has not been taken is handed over by the next process."""
    device = Device(ending_in(7 * DAY - HOUR))
    device.pass_time(8 * DAY)
    taken: list[Message] = []

    def takes_two(message: Message) -> Event | None:
        taken.append(message)
        return events.Published(message) if len(taken) <= 2 else None

    device.answer = takes_two
    device.connect()
    assert rungs(device) == [7, 3]
    device.restart()
    device.answer = takes_all
    device.connect()
    assert rungs(device) == [7, 3, 1, "expired"]


def test_health_counts_what_waits() -> None:
    """An alert that is repeated while it waits is one waiting alert, not two."""
    device = Device(ending_in(7 * DAY - HOUR))
    device.pass_time(3 * DAY)
    assert len(on_disk(device)) == 2
    device.connect()
    assert device.healths[-1].waiting_alerts == 1


def test_nothing_is_handed_over_while_disconnected() -> None:
    """Before the first connection and after the last, messages only wait."""
    device = Device(ending_in(6 * DAY))
    device.pass_time(2 * DAY)
    assert device.handed == []
    device.connect()
    handed = len(device.handed)
    device.disconnect()
    device.pass_time(2 * DAY)
    assert len(device.handed) == handed


def test_end_of_an_old_connection_closes_no_new_one() -> None:
    """The old connection's farewell may arrive after the new one's welcome: delivery goes on."""
    device = Device(ending_in(6 * DAY))
    device.connect()
    device.connect()
    device.give(events.Disconnected(1, "closed"))
    device.check()
    assert rungs(device) == [7]


# -- a nucleus that refuses or keeps silent -----------------------------------------


def test_unanswered_message_is_handed_over_again() -> None:
    """A nucleus that never answers is asked again, ever less often; one answer suffices."""
    device = Device(ending_in(6 * DAY))
    device.answer = keeps_silent
    device.connect()
    device.check()
    assert len(device.handed) == 1
    device.pass_time(HOUR)
    assert {message.key for message in device.handed} == {device.handed[0].key}
    assert 5 <= len(device.handed) <= 15
    assert len(device.said("publish-unanswered")) >= 4
    device.answer = takes_all
    device.pass_time(HOUR)
    assert len(device.raised) == len(device.healths) == 1


def test_answer_after_the_timeout_still_counts() -> None:
    """Late is not lost: the message leaves the disk, and the next one follows."""
    device = Device(ending_in(6 * DAY))
    device.answer = keeps_silent
    device.connect()
    device.check()
    late = device.handed[0]
    device.clock.advance(ANSWER_TIMEOUT + 1)
    device.tick()
    device.answer = takes_all
    device.give(events.Published(late))
    assert on_disk(device) == []


@pytest.mark.parametrize("message", [A, B])
def test_refusal_of_what_was_not_handed_over_is_ignored(message: Message) -> None:
    """A late refusal does not slow down what is on its way now."""
    device = Device(ending_in(6 * DAY))
    device.connect()
    before = device.monitor
    device.give(refused(message))
    assert device.monitor.outbox == before.outbox
    assert device.said("publish-failed") == []


def test_refused_message_is_tried_again_with_growing_waits() -> None:
    """A full spooler is asked again after seconds, then minutes, at most a quarter of an hour."""
    device = Device(ending_in(6 * DAY))
    device.answer = refused
    device.connect()
    device.pass_time(3 * HOUR)
    waits = [float(str(log.details["retryInSeconds"])) for log in device.said("publish-failed")]
    assert waits[0] <= 5
    assert waits == sorted(waits[:8]) + waits[8:]
    assert max(waits) <= BACKOFF.most.total_seconds()
    assert len(device.handed) < 30
    device.answer = takes_all
    device.pass_time(HOUR)
    assert rungs(device) == [7]


def test_refused_message_keeps_its_place() -> None:
    """What a nucleus refuses for now is still the first to go."""
    device = Device(ending_in(7 * DAY - HOUR))
    device.pass_time(8 * DAY)
    device.answer = refused
    device.connect()
    assert len(device.handed) == 1
    device.answer = takes_all
    device.pass_time(HOUR / 2)
    assert rungs(device) == [7, 3, 1, "expired"]


def test_answer_lost_with_the_connection_is_not_waited_for() -> None:
    """A message whose answer can no longer come is handed over by the next connection, at once."""
    device = Device(ending_in(6 * DAY))
    device.answer = keeps_silent
    device.connect()
    device.check()
    device.disconnect()
    device.answer = takes_all
    device.connect()
    assert rungs(device) == [7]


def test_forbidden_topic_holds_up_no_other() -> None:
    """A topic that accessControl does not allow blocks its own messages only; once it is
    allowed, they arrive."""
    device = Device(ending_in(5 * DAY + 5 * HOUR))

    def guarded(message: Message) -> Event | None:
        if message.key == HEALTH_KEY:
            return events.Published(message)
        return events.PublishFailed(message, "UnauthorizedError", True)

    device.answer = guarded
    device.connect()
    device.pass_time(3 * DAY)
    assert len(device.healths) == 4
    assert "accessControl" in str(device.said("publish-failed")[0].details["remedy"])
    assert len(device.handed) < 500, "tried again with growing waits all the same"
    device.answer = takes_all
    device.pass_time(HOUR / 2)
    assert rungs(device) == [7]


def test_message_of_an_old_topic_holds_up_no_other() -> None:
    """After alertTopic is corrected, what still waits for the old topic blocks nothing."""
    device = Device(ending_in(3 * DAY + 5 * HOUR), Settings(alert_topic="not/allowed"))

    def guarded(message: Message) -> Event | None:
        if message.topic == "not/allowed":
            return events.PublishFailed(message, "UnauthorizedError", True)
        return events.Published(message)

    device.answer = guarded
    device.connect()
    device.check()
    device.give(events.ConfigurationRead(device.attempt, {"alertTopic": "allowed"}))
    device.pass_time(3 * DAY)
    assert rungs(device) == [3, 3]


def test_newer_health_message_replaces_the_waiting_one() -> None:
    """Also while the older one is on its way: then the newer one follows it."""
    device = Device(inventory(reading(facts())))
    device.answer = keeps_silent
    device.connect()
    device.check()
    older = device.handed[0]
    device.clock.jump(NOW + DAY)
    device.tick()
    assert on_disk(device) == [HEALTH_KEY]
    device.answer = takes_all
    device.give(events.Published(older))
    assert len(device.healths) == 1
    assert device.healths[0].checked_at >= NOW + DAY
    assert on_disk(device) == []


def test_full_outbox_keeps_what_was_on_its_way_from_coming_twice() -> None:
    """A message that was dropped while it was handed over is gone once it is taken."""
    device = Device(inventory(reading(facts())))
    device.answer = keeps_silent
    device.connect()
    device.check()
    older = device.handed[0]
    flood = [Message(str(n), "t", "p") for n in range(MAX_WAITING)]
    device.monitor = replace(device.monitor, record=device.monitor.record.with_waiting(*flood))
    device.answer = takes_all
    device.disk = record.encode(device.monitor.record)
    device.give(events.Published(older))
    assert [message.key for message in device.cloud] == [message.key for message in flood]


def test_full_outbox_says_what_it_gives_up() -> None:
    """Messages that are dropped for want of room leave a line with their number."""
    device = Device(ending_in(6 * DAY))
    flood = [Message(str(n), "t", "p") for n in range(MAX_WAITING)]
    device.monitor = replace(device.monitor, record=device.monitor.record.with_waiting(*flood))
    device.check()
    (said,) = device.said("outbox-full")
    assert said.details == {"messages": 2, "waiting": MAX_WAITING}


def test_alert_says_when_it_was_raised_not_when_it_was_sent() -> None:
    """A week later, the payload is still the one that was kept."""
    device = Device(ending_in(6 * DAY))
    device.check()
    waiting = record.decode(device.disk).waiting[0]
    device.monitor = replace(device.monitor, check_at=None)
    device.pass_time(7 * DAY)
    device.connect()
    assert device.cloud[0] == waiting
    assert decode_alert(waiting.payload.encode()).checked_at < NOW + HOUR
