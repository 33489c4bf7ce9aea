"""Messages to bytes and back, and what a signature covers."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given

from rotation_protocol.codec import (
    alert_signing_bytes,
    canonical,
    decode_alert,
    decode_health,
    encode_alert,
    encode_health,
)
from rotation_protocol.messages import Alert, Health
from tests.core.messages import ALERT, alerts, healths
from tests.core.strategies import examples


@examples(100)
@given(alerts)
def test_alert_round_trip(alert: Alert) -> None:
    """Any alert is read as it was written, and what is written is canonical."""
    payload = encode_alert(alert)
    assert decode_alert(payload) == alert
    assert canonical(json.loads(payload)) == payload


@examples(60)
@given(healths)
def test_health_round_trip(health: Health) -> None:
    """Any health report is read as it was written, and what is written is canonical."""
    payload = encode_health(health)
    assert decode_health(payload) == health
    assert canonical(json.loads(payload)) == payload


def test_signature_covers_all_but_itself() -> None:
    """The signed bytes are the canonical JSON of every other field, whoever has signed."""
    signed = json.loads(alert_signing_bytes(ALERT))
    sent = json.loads(encode_alert(ALERT))
    assert sent.pop("signature") == "header..signature"
    assert signed == sent
    assert alert_signing_bytes(ALERT) == canonical(sent)
    assert alert_signing_bytes(replace(ALERT, signature=None)) == alert_signing_bytes(ALERT)


@examples(60)
@given(alerts, alerts)
def test_different_alerts_are_signed_differently(one: Alert, other: Alert) -> None:
    """No two alerts that differ in anything but the signature share the signed bytes."""
    same = replace(one, signature=None) == replace(other, signature=None)
    assert (alert_signing_bytes(one) == alert_signing_bytes(other)) == same
