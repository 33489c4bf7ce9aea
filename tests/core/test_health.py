"""The health message: it says what the check found, the worst first, and always fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.alerting import CheckContext, Verdict, judge
from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.core.health import (
    MAX_BYTES,
    clock_check,
    configuration_check,
    health_of,
    overall,
)
from certkeeper.core.settings import Settings, parse
from rotation_protocol.codec import decode_health, encode_health
from rotation_protocol.messages import Health, ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from tests.core.strategies import any_check, any_inventory, examples
from tests.core.world import DAY, NOW, RULES, facts, inventory, reading

CONTEXT = CheckContext("press-7", "0.1.0", NOW, NOW + DAY)
FINE = ReadinessCheck(ReadinessCheckName.CLOCK, CheckStatus.OK, "synchronized")
FAILING = ReadinessCheck(ReadinessCheckName.IPC, CheckStatus.FAIL, "no socket", "start it")
OK, NEAR, GONE = (reading(facts(NOW + n * DAY)) for n in (90, 20, -1))
UNREADABLE = Reading(Role.CORE_DEVICE, "/cert", None, ReadProblem.EMPTY)
#: What a path, a subject or an error may be made of.
LONG = ["x" * 5000, "ü" * 5000, "\x00" * 5000, '"' * 5000, "\U0001f512" * 5000, "/\udcff" * 2500]


def verdicts(*readings: Reading, distrust: str | None = None) -> tuple[Verdict, ...]:
    return judge(inventory(*readings), Settings(), NOW, distrust)


def health(judged: tuple[Verdict, ...], checks: tuple[ReadinessCheck, ...] = (FINE,)) -> Health:
    return health_of(judged, checks, CONTEXT, runtime="classic", waiting_alerts=2)


@pytest.mark.parametrize(
    ("readings", "checks", "status"),
    [
        ((OK,), (FINE,), "healthy"),
        ((OK,), (FAILING,), "warning"),
        ((OK,), (replace(FAILING, status=CheckStatus.WARN),), "healthy"),
        ((OK, NEAR), (FINE,), "warning"),
        ((OK, NEAR, GONE), (FINE,), "critical"),
        ((UNREADABLE,), (FINE,), "critical"),
        ((), (FINE,), "unknown"),
    ],
)
def test_overall_status(
    readings: tuple[Reading, ...], checks: tuple[ReadinessCheck, ...], status: str
) -> None:
    """The worst certificate decides, then a failing check; without certificates it is unknown."""
    assert overall(verdicts(*readings), checks) == status


def test_untrusted_clock_leaves_the_status_open() -> None:
    """Nothing is called healthy by a clock that cannot be right."""
    root = replace(OK, role=Role.ROOT_CA)
    assert overall(verdicts(OK, root, distrust="1970"), (FINE,)) == "unknown"


def test_message_says_what_was_found() -> None:
    """Each certificate with its state, deadline and what is wrong; each check as it was made."""
    mismatched = replace(GONE, pair=PairState.MISMATCH, detail="another key")
    said = health(verdicts(OK, mismatched, UNREADABLE), (FINE, FAILING))
    assert (said.thing_name, said.runtime, said.waiting_alerts) == ("press-7", "classic", 2)
    assert (said.checked_at, said.next_check_at) == (NOW, NOW + DAY)
    assert said.checks == (FINE, FAILING)
    gone, unreadable, fine = said.certificates
    assert (gone.state, gone.days_remaining, gone.deadline) == ("critical", -1, NOW - DAY)
    assert gone.detail == "certificate.expired; certificate.mismatch: another key"
    assert (unreadable.state, unreadable.certificate_id) == ("critical", None)
    assert unreadable.detail == "certificate.unreadable: The file is empty."
    assert (fine.state, fine.detail, fine.not_after) == ("ok", None, NOW + 90 * DAY)


def sixty(text: str) -> tuple[Reading, ...]:
    """Fifty-nine certificates that are fine, and one that is not, last."""
    path = [f"/{n}{text}" for n in range(60)]
    fine = [replace(OK, role=Role.WATCHED, source=path[n]) for n in range(59)]
    return (*fine, replace(GONE, source=path[59], detail=text, pair=PairState.MISMATCH))


def thirteen(text: str) -> tuple[ReadinessCheck, ...]:
    """Every check there is, failing at length."""
    return tuple(ReadinessCheck(n, CheckStatus.FAIL, text, text) for n in ReadinessCheckName)


@pytest.mark.parametrize("text", LONG, ids=["ascii", "utf-8", "control", "quotes", "lock", "bytes"])
def test_sixty_certificates_and_every_check_fit(text: str) -> None:
    """However long the paths and the errors, the message fits, and holds the worst certificate."""
    said = health(verdicts(*sixty(text)), thirteen(text))
    payload = encode_health(said)
    assert len(payload) <= MAX_BYTES
    assert said.certificates[0].state == "critical"
    assert len(said.certificates) + said.certificates_left_out == 60
    assert len(said.checks) == 13
    assert decode_health(payload) == said


def test_as_many_certificates_as_fit() -> None:
    """Nothing is left out that has room: one more would be too much."""
    said = health(verdicts(*sixty("")))
    assert 10 < len(said.certificates) < 60
    one_more = replace(said, certificates=(*said.certificates, said.certificates[-1]))
    assert len(encode_health(one_more)) > MAX_BYTES
    assert health(verdicts(OK)).certificates_left_out == 0


@examples(60)
@given(any_inventory, st.lists(any_check, max_size=13, unique_by=lambda check: check.name))
def test_anything_fits_and_is_read_again(holds: Inventory, checks: list[ReadinessCheck]) -> None:
    """Any inventory gives a message within the limit that decodes to what was encoded."""
    said = health(judge(holds, Settings(), NOW, None), tuple(checks))
    payload = encode_health(said)
    assert len(payload) <= MAX_BYTES
    assert decode_health(payload) == said


@pytest.mark.parametrize(
    ("distrust", "synchronized", "status", "detail"),
    [
        (None, True, CheckStatus.OK, "synchronized"),
        (None, False, CheckStatus.OK, "plausible, but not synchronized"),
        (None, None, CheckStatus.OK, "plausible"),
        ("it is 1970 here", False, CheckStatus.FAIL, "it is 1970 here"),
    ],
)
def test_clock_check(
    distrust: str | None, synchronized: bool | None, status: CheckStatus, detail: str
) -> None:
    """What the kernel says of the clock, or why it cannot be right and what to do."""
    check = clock_check(distrust, synchronized)
    assert (check.status, check.detail) == (status, detail)
    assert (check.remedy is not None) == (status is CheckStatus.FAIL)


def test_configuration_check() -> None:
    """Valid, valid with a key that is not known, and refused are three things."""
    noted = parse({"treshold": 1}, RULES.schedule_problem)
    assert configuration_check(Settings(), ()).status is CheckStatus.OK
    assert configuration_check(noted, ()).status is CheckStatus.WARN
    assert "treshold" in configuration_check(noted, ()).detail
    refused = configuration_check(noted, ("thresholds must be a list",))
    assert refused.status is CheckStatus.FAIL
    assert "thresholds must be a list" in refused.detail
    assert refused.remedy is not None


def test_days_are_counted_from_the_check() -> None:
    """Whole days, rounded down, as in the alert."""
    (said,) = health(verdicts(reading(facts(NOW + 6 * DAY + timedelta(hours=23))))).certificates
    assert said.days_remaining == 6
