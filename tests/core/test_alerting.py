"""What else is alerted, what is not, and what an alert says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certkeeper.core.alerting import (
    MAX_REMEMBERED,
    CheckContext,
    Finding,
    Verdict,
    alert_of,
    due,
    judge,
    remember,
)
from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.core.settings import Settings
from rotation_protocol.codec import encode_alert
from rotation_protocol.reasons import AlertType, DeadlineReason, ReadProblem
from tests.core.world import (
    CERTIFICATE_ID,
    DAY,
    END_OF_2049,
    NOW,
    SOURCE,
    facts,
    inventory,
    reading,
)

SETTINGS = Settings()
CONTEXT = CheckContext("press-7", "0.1.0", NOW, NOW + DAY)
MISMATCHED = replace(
    reading(facts()), pair=PairState.MISMATCH, detail="the key beside it is another one's"
)
UNREADABLE = Reading(Role.CORE_DEVICE, SOURCE, None, ReadProblem.EMPTY)


def findings(holds: Inventory, distrust: str | None = None) -> tuple[Finding, ...]:
    return due(judge(holds, SETTINGS, NOW, distrust), {}, SETTINGS, NOW)


def test_mismatched_pair_is_critical() -> None:
    """A key that is not the certificate's is alerted as critical, with what was found."""
    (finding,) = findings(inventory(MISMATCHED))
    assert (finding.type, finding.critical) == (AlertType.MISMATCH, True)
    assert alert_of(finding, CONTEXT).detail == "the key beside it is another one's"


def test_pair_that_could_not_be_checked_is_no_mismatch() -> None:
    """A key that may not be read accuses nobody."""
    assert findings(inventory(replace(reading(facts()), pair=PairState.NOT_CHECKED))) == ()


def test_key_that_is_gone_or_damaged_is_critical() -> None:
    """A key that nobody can use is alerted as critical, with what was found."""
    damaged = replace(reading(facts()), pair=PairState.KEY_UNREADABLE, detail="it is empty")
    (finding,) = findings(inventory(damaged))
    assert (finding.type, finding.critical) == (AlertType.KEY_UNREADABLE, True)
    assert alert_of(finding, CONTEXT).detail == "it is empty"


def test_mismatch_and_expiry_are_two_findings() -> None:
    """A certificate that ends soon beside a foreign key has two rungs of its own."""
    ending = replace(MISMATCHED, facts=facts(NOW + DAY))
    assert [finding.rung for finding in findings(inventory(ending))] == ["1", "mismatch"]


@pytest.mark.parametrize(
    ("role", "critical"), [(Role.CORE_DEVICE, True), (Role.WATCHED, False), (Role.ROOT_CA, False)]
)
def test_unreadable_certificate_is_alerted(role: Role, critical: bool) -> None:
    """It is critical only for the certificate with which the device connects."""
    (finding,) = findings(inventory(replace(UNREADABLE, role=role)))
    assert (finding.type, finding.critical) == (AlertType.UNREADABLE, critical)
    assert finding.detail == "The file is empty."
    alert = alert_of(finding, CONTEXT)
    assert (alert.certificate_id, alert.deadline, alert.days_remaining) == (None, None, None)


def test_certificate_in_a_token_is_not_critical() -> None:
    """A core certificate in a PKCS#11 token cannot be watched, but nothing is wrong with it."""
    (finding,) = findings(inventory(replace(UNREADABLE, problem=ReadProblem.PKCS11)))
    assert (finding.type, finding.critical) == (AlertType.UNREADABLE, False)


def test_unreadable_files_are_told_apart_by_path() -> None:
    """Two unreadable files are two findings, since there is no certificate to name them."""
    other = replace(UNREADABLE, role=Role.WATCHED, source="/other.pem")
    first = replace(UNREADABLE, role=Role.WATCHED)
    assert len({finding.key for finding in findings(inventory(first, other))}) == 2


def test_same_certificate_in_two_places_is_alerted_once() -> None:
    """One alert a certificate and rung: a second path to it adds nothing."""
    ending = facts(NOW + DAY)
    (finding,) = findings(
        inventory(reading(ending), reading(ending, Role.WATCHED, "/etc/other.pem"))
    )
    assert finding.reading.role is Role.CORE_DEVICE


def test_age_policy_is_for_the_device_certificate_only() -> None:
    """Nobody can rotate a root CA because it is old."""
    old = facts(END_OF_2049, NOW - 9999 * DAY)
    settings = Settings(max_age_days=365)
    judged = judge(inventory(reading(old, Role.ROOT_CA)), settings, NOW, None)
    assert due(judged, {}, settings, NOW) == ()


def test_untrusted_clock_gives_no_verdict_on_time() -> None:
    """With a clock that cannot be right only the clock is alerted, once for the device."""
    holds = inventory(reading(facts(NOW - DAY)), reading(facts(NOW - DAY), Role.ROOT_CA, "/ca"))
    (finding,) = findings(holds, distrust="it is 1970-01-01 here")
    assert (finding.type, finding.critical) == (AlertType.CLOCK_UNTRUSTED, False)
    assert finding.detail == "it is 1970-01-01 here"
    assert finding.deadline is None


def test_untrusted_clock_hides_no_mismatch() -> None:
    """What does not depend on time is said whatever the time."""
    rungs = [finding.rung for finding in findings(inventory(MISMATCHED), distrust="1970")]
    assert rungs == ["mismatch", "clock"]


def test_muted_certificate_raises_nothing_and_is_remembered() -> None:
    """While its rotation is under way a certificate is silent; after, it goes on where it was."""
    holds = inventory(reading(facts(NOW + DAY)))
    first = findings(holds)
    memory = remember({}, first, NOW)
    later = NOW + 2 * DAY
    verdicts = judge(inventory(reading(facts(later + DAY))), SETTINGS, later, None)
    muted = frozenset({CERTIFICATE_ID})
    assert due(verdicts, memory, SETTINGS, later, muted) == ()
    assert remember(memory, (), later) == memory
    assert due(verdicts, memory, SETTINGS, NOW + timedelta(hours=1)) == ()
    assert [finding.rung for finding in due(verdicts, memory, SETTINGS, later)] == ["1"]


def test_muting_one_certificate_mutes_no_other() -> None:
    """The root CA's end is alerted while the device's certificate is being rotated."""
    ending = facts(NOW + DAY)
    root = replace(ending, certificate_id="cd" * 32)
    verdicts = judge(inventory(reading(ending), reading(root, Role.ROOT_CA)), SETTINGS, NOW, None)
    (finding,) = due(verdicts, {}, SETTINGS, NOW, frozenset({CERTIFICATE_ID}))
    assert finding.reading.role is Role.ROOT_CA


def test_retired_certificate_raises_nothing() -> None:
    """One that the device no longer holds is not judged, whatever is remembered of it."""
    memory = remember({}, findings(inventory(reading(facts(NOW + DAY)))), NOW)
    replacement = replace(facts(), certificate_id="cd" * 32)
    verdicts = judge(inventory(reading(replacement)), SETTINGS, NOW + 9 * DAY, None)
    assert due(verdicts, memory, SETTINGS, NOW + 9 * DAY) == ()


def test_replacement_climbs_a_ladder_of_its_own() -> None:
    """A new certificate's rung is alerted although the old one's was, an hour ago."""
    memory = remember({}, findings(inventory(reading(facts(NOW + DAY)))), NOW)
    replacement = replace(facts(NOW + DAY), certificate_id="cd" * 32)
    verdicts = judge(inventory(reading(replacement)), SETTINGS, NOW, None)
    assert len(due(verdicts, memory, SETTINGS, NOW)) == 1


def test_memory_forgets_the_oldest() -> None:
    """It is bounded: what was alerted longest ago goes first, what was repeated stays."""
    memory = {f"old-{n}": NOW - DAY for n in range(MAX_REMEMBERED)}
    found = findings(inventory(reading(facts(NOW + DAY))))
    updated = remember({**memory, found[0].key: NOW - 2 * DAY}, found, NOW)
    assert len(updated) == MAX_REMEMBERED
    assert "old-0" not in updated
    assert updated[found[0].key] == NOW


@pytest.mark.parametrize(
    ("holds", "state"),
    [
        (reading(facts()), "ok"),
        (reading(facts(NOW + 20 * DAY)), "warning"),
        (reading(facts(NOW + 6 * DAY)), "critical"),
        (MISMATCHED, "critical"),
        (UNREADABLE, "critical"),
        (replace(UNREADABLE, role=Role.WATCHED), "warning"),
    ],
)
def test_state_of_a_certificate(holds: Reading, state: str) -> None:
    """The worst finding decides."""
    (verdict,) = judge(inventory(holds), SETTINGS, NOW, None)
    assert verdict.state == state


def test_state_without_a_verdict_is_unknown() -> None:
    """A clock that cannot be trusted leaves every certificate's state open."""
    core, root = judge(
        inventory(reading(facts()), reading(facts(), Role.ROOT_CA)), SETTINGS, NOW, "1970"
    )
    assert (core.state, root.state) == ("warning", "unknown")
    assert isinstance(core, Verdict)


def test_alert_says_all_that_is_known() -> None:
    """Every field of the message comes from the finding, its certificate or the check."""
    certificate = facts(NOW + 6 * DAY + timedelta(hours=5), issuer_not_after=NOW + 6 * DAY)
    (finding,) = findings(inventory(reading(certificate)))
    alert = alert_of(finding, CONTEXT)
    assert (alert.type, alert.severity, alert.critical) == (AlertType.EXPIRING, "CRITICAL", True)
    assert (alert.thing_name, alert.role, alert.source) == ("press-7", "core-device", SOURCE)
    assert (alert.threshold, alert.days_remaining) == (7, 6)
    assert (alert.deadline, alert.deadline_reason) == (NOW + 6 * DAY, DeadlineReason.ISSUER_END)
    assert (alert.checked_at, alert.next_check_at) == (NOW, NOW + DAY)
    assert (alert.certificate_id, alert.serial_number) == (CERTIFICATE_ID, "2a")
    assert (alert.not_before, alert.not_after) == (certificate.not_before, certificate.not_after)
    assert (alert.subject, alert.issuer) == (certificate.subject, certificate.issuer)
    assert (alert.key_algorithm, alert.component_version) == ("ECDSA-P256", "0.1.0")
    assert (alert.detail, alert.signature) == (None, None)


def test_alert_of_a_share_names_it_as_configured() -> None:
    """A rung that is a share of the lifetime is "20%" on the wire."""
    from certkeeper.core.threshold import Share

    settings = Settings(thresholds=(Share(20),))
    short_lived = facts(NOW + timedelta(hours=4), NOW - timedelta(hours=20))
    (verdict,) = judge(inventory(reading(short_lived)), settings, NOW, None)
    (finding,) = due((verdict,), {}, settings, NOW)
    assert alert_of(finding, CONTEXT).threshold == "20%"


@pytest.mark.parametrize(
    "text", ["x" * 20000, "ü" * 20000, "\x00" * 20000, "/certs/\udcff.pem" * 2000]
)
def test_alert_fits_through_the_nucleus(text: str) -> None:
    """Whatever a certificate or a path holds, the alert can be sent: lite takes 7000 bytes."""
    ending = replace(facts(NOW + DAY), subject=text, issuer=text, serial_number=text)
    holds = Reading(Role.WATCHED, text, ending, detail=text, pair=PairState.MISMATCH)
    for finding in findings(inventory(holds)):
        signed = replace(alert_of(finding, CONTEXT), signature="s" * 800)
        assert len(encode_alert(signed)) < 6000
