"""Clock: devices whose clock is wrong, or leaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage

CLOCK = "Clock"
#: With a certificate that ends in so many days, and is due for rotation 45 days before that.
IN_100_DAYS = {"not_after": datetime.now(UTC) + timedelta(days=100, hours=12)}
#: The device does not ask by itself.
ON_JOBS_ONLY = {"configuration": {"rotateBeforeDays": 0}}


def _set(stage: Stage, moment: datetime) -> None:
    stage.device.move_clock(moment - datetime.now(UTC))


@scenario(CLOCK)
def boot_in_1970(stage: Stage) -> None:
    """The device boots in 1970 and says so; a job rotates it all the same, and NTP comes."""
    _set(stage, datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    stage.start()
    stage.wait_for_line("alert type=clock.untrusted ")
    job = stage.rotate()
    mark = stage.timeline.mark()
    stage.device.move_clock(timedelta(0))
    stage.verdict(rotated=True, job=job)
    stage.device.restart_component()
    stage.wait_for_line("certificate role=core-device state=ok ", after=mark)


@scenario(CLOCK, device=ON_JOBS_ONLY)
def boot_in_2036(stage: Stage) -> None:
    """The device boots in 2036: a job rotates it, and nothing is left when the clock is set."""
    _set(stage, datetime(2036, 2, 7, 6, 30, tzinfo=UTC))
    stage.start()
    job = stage.rotate()
    mark = stage.timeline.mark()
    stage.device.move_clock(timedelta(0))
    stage.device.restart_component()
    stage.wait_for_line("checked ", after=mark)
    stage.verdict(rotated=True, job=job)


@scenario(CLOCK, device=IN_100_DAYS)
def jump_over_the_renewal_window(stage: Stage) -> None:
    """The clock leaps to 20 days before the end: the device asks for a job by itself."""
    stage.device.move_clock(timedelta(0))
    stage.start()
    stage.wait_for_line("checked ")
    require(not stage.timeline.find("queued", source="jobs"), "it has asked too early")
    stage.device.move_clock(timedelta(days=80))
    stage.wait_for_line("clock-jumped ", timeout=90)
    ended = stage.timeline.wait_for("succeeded", source="jobs", timeout=90)
    stage.verdict(rotated=True, job=str(ended.details["job"]), told=0)


@scenario(CLOCK, device={**IN_100_DAYS, **ON_JOBS_ONLY})
def suspended_past_the_end(stage: Stage) -> None:
    """The device wakes up past its certificate's end: it says so, and a job rotates it."""
    stage.device.move_clock(timedelta(0))
    stage.start()
    stage.wait_for_line("checked ")
    stage.device.move_clock(timedelta(days=130))
    stage.wait_for_line("alert type=certificate.expired ", timeout=90)
    stage.verdict(rotated=True, job=stage.rotate())
