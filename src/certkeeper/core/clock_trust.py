"""Whether the device's clock can be right. If it cannot, nothing is said of expiry.

A device without a battery for its clock boots in 1970, or years ahead, and is right
again once NTP has answered. Three things give a wrong clock away: a certificate that
the device holds was issued in its future; an earlier check was in its future; it
leapt ahead by more than a year since then. The last two do not count if the kernel
says that its clock is synchronized, which is how a poisoned memory heals.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from certkeeper.core.certificate import Inventory

#: A clock that NTP steps back by this much is still the same clock.
STEP_BACK = timedelta(minutes=10)
#: Longer than any device is stored before use and then runs without time service.
LEAP_AHEAD = timedelta(days=366)
#: Certificates are issued with a clock of their own; AWS IoT's begin two minutes early.
ISSUER_SKEW = timedelta(hours=1)


def clock_distrust(inventory: Inventory, now: datetime, newest_seen: datetime | None) -> str | None:
    """Why ``now`` cannot be right, in words; None if it can.

    ``newest_seen``: the newest trusted time of an earlier check, None before the first.
    """
    # Differences are compared, not moments moved: those would fall off the calendar's ends.
    reading = inventory.core_device
    facts = reading.facts if reading else None
    if facts is not None and facts.not_before - now > ISSUER_SKEW:
        return f"it is {now:%Y-%m-%d} here, before the device's certificate was issued"
    if newest_seen is None or inventory.clock_synchronized:
        return None
    if newest_seen - now > STEP_BACK:
        earlier = f"{newest_seen:%Y-%m-%d %H:%M}"
        return f"it is {now:%Y-%m-%d %H:%M} here, before an earlier check ({earlier})"
    if now - newest_seen > LEAP_AHEAD:
        return f"it leapt from {newest_seen:%Y-%m-%d} to {now:%Y-%m-%d}, and nothing confirms that"
    return None


def newest_after(
    now: datetime, newest_seen: datetime | None, synchronized: bool | None
) -> datetime:
    """The newest time to remember after a check that trusted ``now``."""
    if newest_seen is None or synchronized:
        return now
    return max(now, newest_seen)
