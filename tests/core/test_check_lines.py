"""The log lines of a check: what a person finds in LocalDebugConsole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certkeeper.core import effects
from certkeeper.core.alerting import CheckContext, alert_of, judge
from certkeeper.core.certificate import PairState, Reading, Role
from certkeeper.core.check_lines import alert_line, certificate_line
from certkeeper.core.effects import Log
from certkeeper.core.settings import Settings
from rotation_protocol.reasons import ReadProblem
from tests.core.world import CERTIFICATE_ID, DAY, NOW, SOURCE, Device, ending_in, facts, inventory
from tests.core.world import reading as reading_of


def line(reading: Reading) -> Log:
    (verdict,) = judge(inventory(reading), Settings(), NOW, None)
    said = certificate_line(verdict, NOW)
    assert isinstance(said, Log)
    return said


@pytest.mark.parametrize(
    ("days", "state", "level"),
    [(90, "ok", effects.INFO), (20, "warning", effects.WARN), (3, "critical", effects.ERROR)],
)
def test_line_of_a_certificate(days: int, state: str, level: str) -> None:
    """Its state sets the level; its id, deadline and days left are there to be searched for."""
    said = line(reading_of(facts(NOW + days * DAY)))
    assert (said.event, said.level) == ("certificate", level)
    assert said.details == {
        "role": "core-device",
        "state": state,
        "certificateId": CERTIFICATE_ID,
        "notAfter": f"{NOW + days * DAY:%Y-%m-%dT%H:%M:%SZ}",
        "deadline": f"{NOW + days * DAY:%Y-%m-%dT%H:%M:%SZ}",
        "reason": "not-after",
        "daysRemaining": days,
        "source": SOURCE,
    }


def test_line_of_an_unreadable_certificate() -> None:
    """It names the problem and the place, and no date."""
    said = line(Reading(Role.CORE_DEVICE, SOURCE, None, ReadProblem.EMPTY))
    expected = {"role": "core-device", "state": "critical", "problem": "empty", "source": SOURCE}
    assert said.details == expected


def test_line_of_an_alert() -> None:
    """What was raised, on which rung, and whether it is signed."""
    mismatched = replace(
        reading_of(facts(NOW + 6 * DAY)), pair=PairState.MISMATCH, detail="another key"
    )
    (verdict,) = judge(inventory(mismatched), Settings(), NOW, None)
    context = CheckContext("press-7", "0.1.0", NOW, None)
    near, mismatch = (alert_line(alert_of(finding, context)) for finding in verdict.findings)
    assert isinstance(near, Log)
    assert isinstance(mismatch, Log)
    assert (near.level, near.details["threshold"], near.details["daysRemaining"]) == ("ERROR", 7, 6)
    assert near.details["signed"] is False
    assert (mismatch.details["type"], mismatch.details["detail"]) == (
        "certificate.mismatch",
        "another key",
    )


def test_lines_of_a_check() -> None:
    """A check tells of each certificate, each alert, and when the next check is."""
    device = Device(ending_in(6 * DAY + timedelta(hours=1)))
    device.check()
    assert [log.event for log in device.logs] == ["certificate", "alert", "checked"]
    assert device.logs[2].details == {"alerts": 1, "nextCheck": "2026-11-22T02:00:00Z"}
    assert device.logs[1].details["signed"] is True
