"""The monitor through wrong clocks: 1970, 2036, jumps, sleep. No verdict while distrusted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from certkeeper.core import record
from certkeeper.core.record import Record
from certkeeper.core.settings import Settings
from rotation_protocol.reasons import AlertType, CheckStatus, ReadinessCheckName
from tests.core.world import DAY, HOUR, NEVER, NOW, Device, ending_in, facts, inventory, reading

IN_1970 = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
IN_2036 = datetime(2036, 2, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def kinds(device: Device) -> list[AlertType]:
    return [alert.type for alert in device.raised]


def test_boot_in_1970_then_ntp() -> None:
    """In 1970 the clock is alerted once and nothing is said of expiry; then NTP, then the truth."""
    device = Device(ending_in(6 * DAY), wall=IN_1970)
    device.connect()
    device.pass_time(5 * MINUTE)
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED]
    assert "1970-01-01" in str(device.raised[0].detail)
    (health,) = device.healths
    clock = next(check for check in health.checks if check.name is ReadinessCheckName.CLOCK)
    assert clock.status is CheckStatus.FAIL
    assert health.certificates[0].deadline is None

    device.clock.jump(NOW)
    device.tick()
    assert kinds(device)[1:] == [AlertType.EXPIRING]
    assert device.raised[1].threshold == 7


def test_thousand_boots_in_1970_alert_the_clock_once() -> None:
    """A device without a clock battery that is switched on and off does not cry each time."""
    device = Device(ending_in(6 * DAY))
    device.connect()
    device.check()
    for _ in range(1000):
        device.clock.jump(IN_1970)
        device.restart()
        device.connect()
        device.check()
    assert kinds(device) == [AlertType.EXPIRING, AlertType.CLOCK_UNTRUSTED]


def test_boot_in_2036_is_noticed_by_memory() -> None:
    """A leap of ten years over a restart is not believed: no expiry is alerted."""
    device = Device(ending_in(90 * DAY))
    device.connect()
    device.check()
    device.clock.jump(IN_2036)
    device.restart()
    device.connect()
    device.check()
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED]


def test_2036_is_believed_once_the_kernel_is_synchronized() -> None:
    """After ten years in a store room NTP confirms the date, and the certificate has expired."""
    device = Device(ending_in(90 * DAY))
    device.connect()
    device.check()
    device.clock.jump(IN_2036)
    device.restart()
    device.connect()
    device.check()
    device.holds = replace(ending_in(90 * DAY), clock_synchronized=True)
    device.pass_time(DAY)
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED, AlertType.EXPIRED]


def test_first_boot_in_the_future_heals() -> None:
    """A first check in 2036 poisons the memory; the kernel's word heals it, for good."""
    device = Device(inventory(reading(facts())), wall=IN_2036)
    device.connect()
    device.check()
    assert record.decode(device.disk).newest_seen is not None

    device.clock.jump(NOW)
    device.tick()
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED], "nothing confirms the present yet"

    device.holds = inventory(reading(facts()), synchronized=True)
    device.pass_time(DAY)
    device.holds = inventory(reading(facts()), synchronized=None)
    device.pass_time(3 * DAY)
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED]
    assert device.healths[-1].status == "healthy"
    newest = record.decode(device.disk).newest_seen
    assert newest is not None
    assert newest < NOW + 5 * DAY


def test_untrusted_clock_is_alerted_again_each_day() -> None:
    """As long as it lasts, once in realertHours like any rung."""
    device = Device(ending_in(6 * DAY), wall=IN_1970)
    device.connect()
    device.pass_time(3 * DAY)
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED] * 3


def test_jump_over_the_whole_renewal_window() -> None:
    """From 60 days before to 60 days after expiry: one alert, that it has expired."""
    device = Device(ending_in(60 * DAY))
    device.connect()
    device.pass_time(HOUR)
    assert kinds(device) == []
    device.clock.jump(NOW + 120 * DAY)
    device.tick()
    assert kinds(device) == [AlertType.EXPIRED]
    assert device.raised[0].days_remaining == -60


def test_suspended_past_expiry() -> None:
    """A machine that slept through it (monotonic stood still) checks as soon as it wakes."""
    device = Device(ending_in(20 * DAY))
    device.connect()
    device.pass_time(HOUR)
    checks = device.checks
    device.clock.jump(NOW + 21 * DAY)
    device.clock.advance(1)
    device.tick()
    assert device.checks == checks + 1
    assert kinds(device) == [AlertType.EXPIRING, AlertType.EXPIRED]
    assert len(device.said("clock-jumped")) == 1


def test_clock_set_back_ten_years() -> None:
    """It is checked at once, and the next check is a day away, not ten years."""
    device = Device(ending_in(20 * DAY))
    device.connect()
    device.pass_time(HOUR)
    checks = device.checks
    back = NOW - 3650 * DAY
    device.clock.jump(back)
    device.tick()
    assert device.checks == checks + 1
    assert kinds(device) == [AlertType.EXPIRING, AlertType.CLOCK_UNTRUSTED]
    device.pass_time(2 * DAY)
    assert device.checks == checks + 3


def test_schedule_is_read_anew_after_a_jump() -> None:
    """What was due at the old time is forgotten, what is due by the new time is kept."""
    device = Device(ending_in(90 * DAY))
    device.check()
    assert device.monitor.check_at == datetime(2026, 11, 22, 2, tzinfo=UTC)
    device.clock.jump(NOW + 100 * DAY)
    device.tick()
    assert device.monitor.check_at == datetime(2027, 3, 2, 2, tzinfo=UTC)


def test_small_steps_of_ntp_are_no_jump() -> None:
    """Nine minutes either way change nothing; ten are a jump."""
    device = Device(ending_in(90 * DAY))
    device.check()
    for step in (9 * MINUTE, -9 * MINUTE):
        device.clock.jump(device.clock.now().wall + step)
        device.tick()
    assert device.checks == 1
    device.clock.jump(device.clock.now().wall + 10 * MINUTE)
    device.tick()
    assert device.checks == 2


def test_jump_during_an_inspection_checks_again() -> None:
    """The schedule that follows is the new time's, and the new time is judged."""
    device = Device(ending_in(6 * DAY), wall=IN_1970)
    device.connect()
    device.inspection_seconds = 30
    device.check()
    device.clock.jump(NOW)
    device.pass_time(MINUTE)
    assert kinds(device) == [AlertType.CLOCK_UNTRUSTED, AlertType.EXPIRING]
    assert device.monitor.check_at is not None
    assert device.monitor.check_at < NOW + DAY


def test_schedule_without_a_next_time() -> None:
    """A schedule that has run out leaves the check at each start, and sleeps without end."""
    device = Device(ending_in(6 * DAY), Settings(schedule=NEVER))
    device.connect()
    device.check()
    assert len(device.raised) == 1
    assert device.raised[0].next_check_at is None
    assert device.monitor.wake_at(device.clock.now()) is None


def test_end_of_the_calendar() -> None:
    """A device in year 9999, and then in year 1, goes on checking."""
    device = Device(ending_in(6 * DAY), wall=datetime(9999, 12, 31, 23, 0, tzinfo=UTC))
    device.disk = record.encode(Record(newest_seen=datetime(9999, 12, 31, tzinfo=UTC)))
    device.restart()
    device.check()
    device.clock.jump(datetime(1, 1, 1, 2, tzinfo=UTC))
    device.tick()
    assert device.checks == 2
