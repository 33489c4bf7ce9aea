"""The daemon over fakes: what people and the cloud see of it, over days and restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from certkeeper.core.certificate import PairState
from certkeeper.daemon import Stop
from rotation_protocol.reasons import AlertType, CheckStatus, ReadinessCheckName
from tests.daemon.house import House, inventory
from tests.fakes import START, FakeClock

IN_SIX_DAYS = START + timedelta(days=6)


def test_first_check_alerts_once_and_reports_health() -> None:
    """A certificate with six days left gives one signed CRITICAL alert and a health message."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.settle()
    (alert,) = house.alerts
    assert alert.type is AlertType.EXPIRING
    assert (alert.severity, alert.critical, alert.threshold) == ("CRITICAL", True, 7)
    assert alert.days_remaining == 6
    assert alert.signature == "header..signature"
    (health,) = house.healths
    assert health.status == "critical"
    assert health.next_check_at is not None
    assert health.next_check_at > START


def test_thousand_restarts_raise_one_alert() -> None:
    """However often the process starts again, a rung is alerted once."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    for _ in range(1000):
        house.boot()
        house.clock.advance(30)
        house.settle()
    assert len(house.alerts) == 1
    assert house.inspector.looks == 1000


def test_restart_before_delivery_delivers_once() -> None:
    """An alert raised while the nucleus was away is delivered by the next process, once."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.nucleus.away = True
    house.settle()
    house.pass_time(timedelta(seconds=10), timedelta(seconds=1))
    assert house.alerts == []
    assert len(house.records.record.waiting) == 2
    house.boot()
    house.nucleus.away = False
    house.pass_time(timedelta(minutes=2), timedelta(seconds=5))
    assert len(house.alerts) == 1


def test_alert_is_repeated_after_a_day_and_at_each_rung() -> None:
    """Over a week to expiry there is one alert a day, on the rung that is reached."""
    house = House(lambda _: inventory(not_after=START + timedelta(days=8)))
    house.pass_time(timedelta(days=9))
    thresholds = [alert.threshold for alert in house.alerts]
    assert thresholds[0] == 15
    assert [t for i, t in enumerate(thresholds) if i == 0 or thresholds[i - 1] != t] == [
        15,
        7,
        3,
        1,
        "expired",
    ]
    times = [alert.checked_at for alert in house.alerts]
    for (earlier, rung), (later, next_rung) in zip(
        zip(times, thresholds, strict=True),
        zip(times[1:], thresholds[1:], strict=True),
        strict=False,
    ):
        assert rung != next_rung or later - earlier >= timedelta(hours=24)


def test_offline_week_is_delivered_once_each() -> None:
    """After a week without the nucleus each alert arrives once, oldest first, and one health."""
    house = House(lambda _: inventory(not_after=START + timedelta(days=8)))
    house.nucleus.away = True
    house.pass_time(timedelta(days=7))
    assert house.nucleus.published == []
    house.nucleus.away = False
    house.pass_time(timedelta(minutes=10), timedelta(seconds=30))
    assert [alert.threshold for alert in house.alerts] == [15, 7, 3]
    assert len(house.healths) == 1
    assert house.records.record.waiting == ()


def test_full_disk_does_not_silence_the_alert() -> None:
    """An alert reaches the cloud although its record cannot be saved, and the log says so."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.records.full = True
    house.settle()
    assert len(house.alerts) == 1
    assert house.log.said("not-saved")


def test_bad_configuration_is_kept_out() -> None:
    """A configuration that is not valid changes nothing, and is named in log and health."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS), {"realertHours": 48})
    house.settle()
    house.nucleus.change(thresholds=["soon"])
    house.settle()
    (refused,) = house.log.said("configuration-refused")
    assert refused["key"] == "thresholds"
    assert house.configurations.values == {"realertHours": 48}
    check = next(c for c in house.healths[-1].checks if c.name is ReadinessCheckName.CONFIGURATION)
    assert check.status is CheckStatus.FAIL
    assert "thresholds" in check.detail
    house.nucleus.change(thresholds=[60])
    house.settle()
    check = next(c for c in house.healths[-1].checks if c.name is ReadinessCheckName.CONFIGURATION)
    assert check.status is CheckStatus.OK


def test_deployment_is_told_whether_its_configuration_is_valid() -> None:
    """A deployment that asks is accepted or refused, with the key that is wrong."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.settle()
    house.nucleus.validate("good", {"maxAgeDays": 365})
    house.nucleus.validate("bad", {"maxAgeDays": "a year"})
    house.settle()
    assert house.nucleus.validity[0] == ("good", "")
    assert house.nucleus.validity[1][0] == "bad"
    assert "maxAgeDays" in house.nucleus.validity[1][1]


def test_configuration_change_takes_effect_without_restart() -> None:
    """A new age policy is judged at once."""
    house = House(lambda _: inventory(not_after=datetime(2049, 12, 31, tzinfo=UTC)))
    house.settle()
    assert house.alerts == []
    house.nucleus.change(maxAgeDays=290)
    house.settle()
    (alert,) = house.alerts
    assert alert.type is AlertType.OVERDUE


def test_lost_connection_is_made_again_with_its_subscriptions() -> None:
    """After the nucleus hangs up, the daemon connects and subscribes anew, not all at once."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.settle()
    house.nucleus.away = True
    house.nucleus.drop()
    house.pass_time(timedelta(minutes=10), timedelta(seconds=1))
    tries = len(house.nucleus.attempts)
    assert 5 < tries < 30
    house.nucleus.away = False
    house.pass_time(timedelta(minutes=2), timedelta(seconds=1))
    assert len(house.nucleus.attempts) == tries + 1
    assert len(house.log.said("subscribed")) == 12  # six, twice
    house.nucleus.change(maxAgeDays=1)
    house.settle()
    assert house.alerts[-1].type is AlertType.OVERDUE


def test_denied_topic_is_said_with_its_remedy() -> None:
    """A topic that accessControl does not allow is named in the log, with what to do."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.nucleus.denied_topics = {"greengrass/alerts/certificates"}
    house.settle()
    failed = house.log.said("publish-failed")
    assert failed[0]["topic"] == "greengrass/alerts/certificates"
    assert "accessControl" in str(failed[0]["remedy"])


def test_failed_look_is_said_and_tried_again() -> None:
    """A check that brought nothing back is logged, and the schedule goes on."""
    house = House(lambda _: None)
    house.settle()
    assert house.log.said("check-failed")
    house.pass_time(timedelta(days=2))
    assert house.inspector.looks >= 3


def test_1970_gives_no_verdict_and_is_said_once() -> None:
    """With a clock in 1970 there is one clock alert and none of expiry, until NTP has answered."""
    clock = FakeClock(datetime(1970, 1, 1, tzinfo=UTC))
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS), clock=clock)
    house.settle()
    assert [alert.type for alert in house.alerts] == [AlertType.CLOCK_UNTRUSTED]
    assert house.healths[-1].certificates[0].days_remaining is None
    clock.wall = START
    house.settle()
    assert house.alerts[-1].type is AlertType.EXPIRING
    assert len(house.alerts) == 2


def test_2036_gives_no_verdict_after_a_trusted_check() -> None:
    """A device that wakes in 2036 by mistake says that it doubts its clock, and nothing else."""
    house = House(lambda _: inventory(not_after=START + timedelta(days=400)))
    house.settle()
    house.clock.wall = datetime(2036, 2, 7, tzinfo=UTC)
    house.boot()
    house.settle()
    assert [alert.type for alert in house.alerts] == [AlertType.CLOCK_UNTRUSTED]
    house.clock.wall = START + timedelta(hours=1)
    house.settle()
    assert len(house.alerts) == 1
    assert house.healths[-1].status == "healthy"


def test_sleep_past_expiry_is_noticed_on_waking() -> None:
    """A device suspended past its certificate's end says so within a minute of waking."""
    house = House(lambda _: inventory(not_after=START + timedelta(days=40)))
    house.settle()
    assert house.alerts == []
    house.clock.wall += timedelta(days=60)
    house.settle()
    assert [alert.type for alert in house.alerts] == [AlertType.EXPIRED]


def test_mismatch_is_critical() -> None:
    """A key that is not the certificate's is a critical alert, whatever the dates."""
    house = House(
        lambda _: inventory(not_after=START + timedelta(days=900), pair=PairState.MISMATCH)
    )
    house.settle()
    (alert,) = house.alerts
    assert (alert.type, alert.severity) == (AlertType.MISMATCH, "CRITICAL")


def test_replaced_certificate_is_no_longer_alerted() -> None:
    """Once another certificate is in place, nothing more is said of the old one."""
    current = [inventory(not_after=IN_SIX_DAYS)]
    house = House(lambda _: current[0])
    house.settle()
    current[0] = inventory(not_after=START + timedelta(days=900), certificate_id="cd" * 32)
    house.pass_time(timedelta(days=7))
    assert len(house.alerts) == 1


def test_stop_ends_the_loop_and_closes_the_world() -> None:
    """A Stop in the inbox ends run, whatever else is waiting."""
    house = House(lambda _: inventory(not_after=IN_SIX_DAYS))
    house.inbox.put(Stop("SIGTERM"))
    house.daemon.run()
    assert house.inspector.closed
    assert house.log.said("stopping") == [{"why": "SIGTERM"}]


def test_fault_in_a_check_does_not_end_the_watch() -> None:
    """A check that the code cannot handle is an internal error in the log, and is tried again."""
    house = House(lambda _: "not an inventory")  # type: ignore[arg-type, return-value]  # the fault
    house.settle(safely=True)
    (error,) = house.log.said("internal-error")
    assert error["during"] == "Inspected"
    house.inspector.look = lambda _: inventory(not_after=IN_SIX_DAYS)
    house.clock.advance(15 * 60)
    house.settle(safely=True)
    assert len(house.alerts) == 1
