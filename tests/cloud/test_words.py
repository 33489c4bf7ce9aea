"""What people read: for every kind of alert what is wrong, by when, and what to do."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_cloud import words
from rotation_cloud.doubts import ADVICE, SENTENCES, Doubt, NotBelieved
from rotation_cloud.words import MAX_SUBJECT, Outcome, not_believed, plain, subject, text
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType, DeadlineReason
from tests.core.messages import ALERT, alerts
from tests.core.strategies import examples

THINGS = st.text(st.sampled_from("aZ9:_-"), min_size=1, max_size=128)
SIGNED = Outcome(verified=True, command="aws iot create-job")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "CRITICAL: press-7: certificate ends in 6 days"),
        (
            {"critical": False, "days_remaining": 30},
            "WARNING: press-7: certificate ends in 30 days",
        ),
        ({"days_remaining": 1}, "CRITICAL: press-7: certificate ends in 1 day"),
        ({"days_remaining": 0}, "CRITICAL: press-7: certificate ends in less than a day"),
        (
            {"deadline_reason": DeadlineReason.MAX_AGE},
            "CRITICAL: press-7: certificate is too old in 6 days",
        ),
        (
            {"deadline_reason": DeadlineReason.ISSUER_END},
            "CRITICAL: press-7: certificate loses its CA in 6 days",
        ),
        ({"role": "claim"}, "CRITICAL: press-7: claim certificate ends in 6 days"),
        ({"role": "x\n"}, "CRITICAL: press-7: watched certificate ends in 6 days"),
        ({"type": AlertType.EXPIRED}, "CRITICAL: press-7: certificate has expired"),
        ({"type": AlertType.OVERDUE}, "CRITICAL: press-7: certificate is older than allowed"),
        (
            {"type": AlertType.MISMATCH},
            "CRITICAL: press-7: private key and certificate do not match",
        ),
        (
            {"type": AlertType.KEY_UNREADABLE},
            "CRITICAL: press-7: private key is gone or unreadable",
        ),
        ({"type": AlertType.UNREADABLE}, "CRITICAL: press-7: certificate cannot be read"),
        ({"type": AlertType.CLOCK_UNTRUSTED}, "CRITICAL: press-7: clock cannot be right"),
    ],
)
def test_subject(change: dict[str, object], expected: str) -> None:
    """How bad, which device, what: in that order, so that the start of it is enough."""
    assert subject(replace(ALERT, **change), verified=True) == expected  # type: ignore[arg-type]


@examples(200)
@given(alerts, THINGS, st.booleans())
def test_any_alert_has_words(alert: Alert, thing: str, verified: bool) -> None:
    """Whatever a device says, the subject is one that SNS takes, and the text is lines of ours."""
    alert = replace(alert, thing_name=thing)
    said = subject(alert, verified=verified)
    assert 0 < len(said) <= MAX_SUBJECT
    assert re.fullmatch(r"[ -~]+", said)
    body = text(alert, replace(SIGNED, verified=verified))
    assert all(line.isprintable() for line in body.split("\n"))
    assert body.count("\nWhat to do\n") == 1
    assert len(body) < 6000


@pytest.mark.parametrize("kind", AlertType)
@pytest.mark.parametrize("role", ["core-device", "root-ca"])
def test_everything_has_advice(kind: AlertType, role: str) -> None:
    """No alert ends without saying what to do."""
    body = text(replace(ALERT, type=kind, role=role), SIGNED)
    assert len(body.partition("\nWhat to do\n")[2].strip()) > 40


def test_text_of_a_rotation_that_is_due() -> None:
    """By hand, by itself, or by itself but not yet: each says what is left to do."""
    assert "aws iot create-job" in text(ALERT, SIGNED)
    assert "aws iot create-job" not in text(ALERT, replace(SIGNED, started="rotate-1"))
    failed = text(ALERT, replace(SIGNED, not_started=True))
    assert "is tried again" in failed
    assert "aws iot create-job" in failed
    assert "create-job" not in text(replace(ALERT, role="root-ca"), SIGNED)


@pytest.mark.parametrize("doubt", Doubt)
def test_every_doubt_has_words(doubt: Doubt) -> None:
    """A sentence, and what to do."""
    assert SENTENCES[doubt]
    assert ADVICE[doubt]
    said, body = not_believed("press-7", "a" * 64, NotBelieved(doubt, "x\ny"))
    assert said == "SECURITY: press-7: messages are not believed"
    assert ADVICE[doubt] in body
    assert '"x?y"' in body


def test_long_names_are_cut() -> None:
    """What is wrong can be read in the subject of a thing with the longest name too."""
    alert = replace(ALERT, thing_name="x" * 128, type=AlertType.MISMATCH)
    assert subject(alert, verified=False).endswith("private key and certificate do not match")
    assert len(not_believed("x" * 128, "a" * 64, NotBelieved(Doubt.UNSIGNED, ""))[0]) < 100
    assert "x" * 128 in text(alert, SIGNED)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [("ü", "ü"), ("a\r\nb\x00", "a??b?"), ("\u202e\ud800", "??"), ("x" * 301, "x" * 297 + "...")],
)
def test_plain(given_text: str, kept: str) -> None:
    """Text stays as it is, but for what is not printed, and what is too long."""
    assert plain(given_text) == kept


def test_no_advice_is_for_nothing() -> None:
    """Every role that the words know is one of the component's."""
    assert set(words.ROLES) == {"core-device", "root-ca", "claim", "client-device-ca"}
