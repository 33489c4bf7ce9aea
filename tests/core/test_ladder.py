"""The ladder over a fake clock: one alert a certificate and rung, repeated while it lasts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certkeeper.core.alerting import EARLY_BY, Finding, due, judge, lowest_rung, remember
from certkeeper.core.certificate import CertificateFacts, Inventory
from certkeeper.core.deadline import deadline_of
from certkeeper.core.settings import Settings
from certkeeper.core.threshold import Share, Threshold, span
from rotation_protocol.reasons import AlertType
from tests.core.strategies import any_inventory, examples, some_settings, thresholds, times
from tests.core.world import DAY, END_OF_2049, HOUR, NOW, facts, inventory, reading

SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Life:
    """A certificate's life as its checks saw it: each check's time and what it alerted."""

    settings: Settings
    certificate: CertificateFacts
    checks: tuple[tuple[datetime, tuple[Finding, ...]], ...]

    @property
    def alerts(self) -> list[tuple[datetime, Finding]]:
        return [(at, finding) for at, findings in self.checks for finding in findings]


def live(settings: Settings, certificate: CertificateFacts, checked_at: list[datetime]) -> Life:
    """Check at these times, remembering as the monitor does."""
    memory: dict[str, datetime] = {}
    checks = []
    for at in checked_at:
        verdicts = judge(inventory(reading(certificate)), settings, at, None)
        findings = due(verdicts, memory, settings, at)
        memory = remember(memory, findings, at)
        checks.append((at, findings))
    return Life(settings, certificate, tuple(checks))


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any thresholds, any deadline, checks at any times around it."""
    settings = draw(some_settings)
    not_before = draw(times(1950, 2100))
    lifetime = draw(st.timedeltas(SECOND, 4000 * DAY))
    certificate = facts(not_before + lifetime, not_before)
    gaps = st.one_of(
        st.timedeltas(SECOND, 40 * DAY),
        st.timedeltas(SECOND, 2 * HOUR),
        st.just(settings.realert_after),
    )
    at = not_before + draw(st.timedeltas(timedelta(0), lifetime))
    checked_at = []
    for gap in draw(st.lists(gaps, max_size=25)):
        checked_at.append(at)
        at += gap
    return live(settings, certificate, checked_at)


def remaining(life: Life, at: datetime) -> timedelta:
    return deadline_of(life.certificate, life.settings.max_age_days).at - at


def rung_at(life: Life, at: datetime) -> str | None:
    """The rung that ought to be reached: counted out, not asked of the code."""
    left = remaining(life, at)
    deadline = deadline_of(life.certificate, life.settings.max_age_days)
    if left <= timedelta(0):
        return "overdue" if at < life.certificate.not_after else "expired"
    whole = deadline.at - life.certificate.not_before
    spans = sorted((span(t, whole), i) for i, t in enumerate(life.settings.thresholds))
    for length, index in spans:
        if left <= length:
            return str(life.settings.thresholds[index])
    return None


@examples(100)
@given(lives())
def test_alert_names_the_lowest_rung_reached(life: Life) -> None:
    """What is alerted is the nearest threshold reached, and nothing else."""
    for at, finding in life.alerts:
        assert finding.rung == rung_at(life, at)
        assert str(finding.threshold) == finding.rung


@examples(100)
@given(lives())
def test_new_rung_is_always_alerted_at_once(life: Life) -> None:
    """The first check that finds a rung reached for the first time alerts it."""
    seen: set[str] = set()
    for at, findings in life.checks:
        rung = rung_at(life, at)
        if rung is not None and rung not in seen:
            seen.add(rung)
            assert [finding.rung for finding in findings] == [rung]
        elif rung is None:
            assert findings == ()


@examples(100)
@given(lives())
def test_rung_is_alerted_once_then_once_per_realert_hours(life: Life) -> None:
    """Between two alerts of one rung lie realertHours (less the five minutes by which a check
    may be early); the first check after that repeats it while it lasts."""
    last: dict[str, datetime] = {}
    for at, findings in life.checks:
        rung = rung_at(life, at)
        if rung is None:
            continue
        silent_for = at - last[rung] if rung in last else None
        expected = silent_for is None or silent_for >= life.settings.realert_after - EARLY_BY
        assert len(findings) == int(expected)
        if findings:
            last[rung] = at


@examples(100)
@given(lives())
def test_critical_exactly_below_critical_days(life: Life) -> None:
    """An alert is critical if and only if less than criticalBelowDays are left."""
    limit = life.settings.critical_below_days * DAY
    for at, finding in life.alerts:
        assert finding.critical == (remaining(life, at) < limit)


@pytest.mark.parametrize(
    ("left", "rung", "critical"),
    [
        (30 * DAY + SECOND, None, False),
        (30 * DAY, "30", False),
        (15 * DAY + SECOND, "30", False),
        (15 * DAY, "15", False),
        (7 * DAY + SECOND, "15", False),
        (7 * DAY, "7", False),
        (7 * DAY - SECOND, "7", True),
        (3 * DAY, "3", True),
        (1 * DAY, "1", True),
        (SECOND, "1", True),
        (timedelta(0), "expired", True),
        (-SECOND, "expired", True),
        (-9999 * DAY, "expired", True),
    ],
)
def test_default_ladder(left: timedelta, rung: str | None, critical: bool) -> None:
    """30, 15, 7, 3, 1 days and expired, to the second; critical below seven days."""
    life = live(Settings(), facts(NOW + left, NOW - 20000 * DAY), [NOW])
    assert [(f.rung, f.critical) for _, f in life.alerts] == ([(rung, critical)] if rung else [])


def test_past_the_age_policy_is_overdue_not_expired() -> None:
    """A certificate of 2049 that is older than maxAgeDays is overdue: it still works."""
    certificate = facts(END_OF_2049, NOW - 366 * DAY)
    ((_, finding),) = live(Settings(max_age_days=365), certificate, [NOW]).alerts
    assert (finding.type, finding.threshold) == (AlertType.OVERDUE, "overdue")


def test_certificate_of_2049_has_a_deadline_by_age() -> None:
    """With maxAgeDays it climbs the ladder before its age; without, it is silent for decades."""
    certificate = facts(END_OF_2049, NOW)
    checked_at = [NOW + n * DAY for n in range(366)]
    with_age = live(Settings(max_age_days=365), certificate, checked_at)
    rungs = list(dict.fromkeys(finding.rung for _, finding in with_age.alerts))
    assert rungs == ["30", "15", "7", "3", "1", "overdue"]
    assert live(Settings(), certificate, checked_at).alerts == []


@pytest.mark.parametrize("end", ["certificate", "issuer"])
def test_overdue_certificate_that_ends_is_expired(end: str) -> None:
    """Past its age it is overdue, as long as it works; past its own end or its CA's, expired."""
    ends = NOW + 10 * DAY
    certificate = facts(
        ends if end == "certificate" else END_OF_2049,
        NOW - 366 * DAY,
        ends if end == "issuer" else None,
    )
    checks = [NOW, ends - SECOND, ends]
    life = live(Settings(max_age_days=365), certificate, checks)
    kinds = [finding.type for _, finding in life.alerts]
    assert kinds == [AlertType.OVERDUE, AlertType.OVERDUE, AlertType.EXPIRED]


def test_end_of_the_issuer_is_expiry() -> None:
    """Once its CA has ended, a certificate is as good as expired."""
    certificate = facts(NOW + 90 * DAY, issuer_not_after=NOW)
    ((_, finding),) = live(Settings(), certificate, [NOW]).alerts
    assert finding.type is AlertType.EXPIRED


def test_share_follows_the_lifetime_that_the_age_policy_leaves() -> None:
    """20% of a certificate of 2049 that may be 100 days old is 20 days."""
    settings = Settings(max_age_days=100, thresholds=(Share(20),))
    certificate = facts(END_OF_2049, NOW)
    checks = [NOW + 80 * DAY - SECOND, NOW + 80 * DAY]
    assert [at for at, _ in live(settings, certificate, checks).alerts] == [NOW + 80 * DAY]


@examples(100)
@given(thresholds, st.timedeltas(SECOND, 5000 * DAY), st.timedeltas(SECOND, 5000 * DAY))
def test_less_time_never_means_a_higher_rung(
    ladder: tuple[Threshold, ...], lifetime: timedelta, left: timedelta
) -> None:
    """As time runs out the rung only comes down, whatever the order of the thresholds."""
    before = lowest_rung(ladder, lifetime, left)
    after = lowest_rung(ladder, lifetime, left - left / 3)
    if before is not None:
        assert after is not None
        assert span(after, lifetime) <= span(before, lifetime)
    assert lowest_rung(ladder[::-1], lifetime, left) is None or before is not None


@examples(100)
@given(any_inventory, some_settings, times(), st.none() | st.just("it is 1970 here"), st.data())
def test_any_inventory_is_judged(
    holds: Inventory, settings: Settings, now: datetime, distrust: str | None, data: st.DataObject
) -> None:
    """Impossible certificates and times are judged too; each finding has its own key."""
    verdicts = judge(holds, settings, now, distrust)
    findings = due(verdicts, {}, settings, now)
    keys = [finding.key for finding in findings]
    assert len(keys) == len(set(keys))
    memory = remember({}, findings, now)
    assert due(verdicts, memory, settings, now) == ()
    later = data.draw(st.timedeltas(timedelta(0), settings.realert_after - HOUR / 2))
    if now <= NOW:
        assert due(verdicts, memory, settings, now + later) == ()
    muted = frozenset(r.identity for r in holds.readings)
    assert due(verdicts, {}, settings, now, muted) == ()


def test_time_from_a_wrong_clock_does_not_silence_the_ladder() -> None:
    """An alert remembered from 2036 does not keep back today's."""
    settings, far = Settings(), NOW + 3650 * DAY
    verdicts = judge(inventory(reading(facts(NOW + DAY))), settings, NOW, None)
    findings = due(verdicts, {}, settings, NOW)
    assert due(verdicts, remember({}, findings, far), settings, NOW) == findings


def test_order_of_thresholds_does_not_matter() -> None:
    """The same ladder upside down alerts the same."""
    certificate = facts(NOW + 5 * DAY)
    upside_down = replace(Settings(), thresholds=(1, 3, 7, 15, 30))
    assert [f.rung for _, f in live(upside_down, certificate, [NOW]).alerts] == ["7"]
