"""docs/protocol.md is true: its fields, its policy, and its code, which is run."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from joserfc.errors import BadSignatureError

from certkeeper.core.alerting import CheckContext, alert_of, judge
from certkeeper.core.settings import Settings
from certkeeper.edge import inspecting_child
from certkeeper.edge.inspection import Request, inspect
from lab.iot_core.policy import evaluate
from rotation_protocol import topics
from rotation_protocol.codec import alert_signing_bytes, encode_alert, encode_health
from rotation_protocol.messages import Alert, Health
from rotation_protocol.reasons import AlertType, DeadlineReason
from tests.greengrass_root import another_key, certificate_pem, install, key_of
from tests.packaging.markdown import blocks, coded, document, first_column, rows, section

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LEAST_ALERT = Alert(
    AlertType.EXPIRING, "press-7", "core-device", "/c", "WARNING", False, 30, NOW, None, "0.1.0"
)
WHOLE_ALERT = replace(
    LEAST_ALERT,
    next_check_at=NOW,
    **dict.fromkeys(("certificate_id", "subject", "issuer", "serial_number"), "x"),  # type: ignore[arg-type]  # fields by name
    **dict.fromkeys(("key_algorithm", "detail", "signature"), "x"),  # type: ignore[arg-type]  # fields by name
    **dict.fromkeys(("not_before", "not_after", "deadline"), NOW),  # type: ignore[arg-type]  # fields by name
    deadline_reason=DeadlineReason.NOT_AFTER,
    days_remaining=30,
)
HEALTH = Health("press-7", "healthy", NOW, NOW, "0.1.0", "classic", 0, (), 0, ())


def test_fields_of_an_alert() -> None:
    """protocol.md names every field of an alert, and which of them are always there."""
    said = section(document("protocol.md"), "The alert")
    assert first_column(said) == set(json.loads(encode_alert(WHOLE_ALERT)))
    always = {coded(row[0])[0] for row in rows(said) if row[2] == "always"}
    assert always == set(json.loads(encode_alert(LEAST_ALERT)))


def test_fields_of_a_health_message() -> None:
    """protocol.md names every field of a health message."""
    said = section(document("protocol.md"), "The health message")
    assert first_column(said) == set(json.loads(encode_health(HEALTH)))


def example(*, handler: bool = False) -> dict[str, Any]:
    """The names that the code of "Verifying an alert" defines."""
    namespace: dict[str, Any] = {}
    code = blocks(section(document("protocol.md"), "Verifying an alert"), "python")
    for block in code if handler else code[:1]:
        exec(compile(block, "protocol.md", "exec"), namespace)
    return namespace


def raised_alert(folder: Path, algorithm: str = "ECDSA-P256") -> tuple[bytes, str]:
    """An alert as a device publishes it, and the device's certificate (PEM)."""
    device = folder / "Prüfstand"
    device.mkdir()
    root = install(device, days_left=6.5, key=key_of(algorithm))
    now = datetime.now(UTC).replace(microsecond=0)
    verdicts = judge(inspect(Request(str(root.folder))), Settings(), now, None)
    context = CheckContext("press-7", "0.1.0", now, None)
    [alert] = [alert_of(finding, context) for finding in verdicts[0].findings]
    content = alert_signing_bytes(alert).decode()
    signed = inspecting_child.answer(
        {"do": "sign", "privateKeySource": str(root.key), "contents": [content]}
    )
    [signature] = signed["signatures"]
    return encode_alert(replace(alert, signature=signature)), root.certificate.read_text()


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "ECDSA-P521", "RSA-2048"])
def test_example_verifies_a_real_alert(tmp_path: Path, algorithm: str) -> None:
    """The example takes an alert that a device signed, however its JSON was written since."""
    message, certificate = raised_alert(tmp_path, algorithm)
    verify = example()["verify"]
    alert = verify(message, certificate)
    assert alert["type"] == "certificate.expiring"
    assert "Prüfstand" in alert["source"]
    rewritten = json.dumps(dict(reversed(json.loads(message).items())), indent=2)
    assert verify(rewritten.encode(), certificate) == alert


def test_example_refuses_what_was_not_signed(tmp_path: Path) -> None:
    """The example refuses a changed alert, another device's certificate, and another payload."""
    message, certificate = raised_alert(tmp_path)
    verify = example()["verify"]
    changed = message.replace(b'"daysRemaining":6', b'"daysRemaining":600')
    assert changed != message
    with pytest.raises(BadSignatureError):
        verify(changed, certificate)
    with pytest.raises(BadSignatureError):
        verify(message, certificate_pem(another_key()))
    fields = json.loads(message)
    signature = fields.pop("signature")
    own = base64.urlsafe_b64encode(
        json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    )
    embedded = signature.replace("..", f".{own.rstrip(b'=').decode()}.")
    with pytest.raises(ValueError, match="its own payload"):
        verify(json.dumps({**fields, "critical": False, "signature": embedded}), certificate)


def test_example_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's handler takes an alert from its own thing's connection, and no other's."""
    message, certificate = raised_alert(tmp_path)

    class Registry:
        def describe_certificate(self, **asked: str) -> dict[str, Any]:
            assert asked == {"certificateId": "sender"}
            return {"certificateDescription": {"certificatePem": certificate}}

    monkeypatch.setattr(boto3, "client", lambda service: Registry())
    handler = example(handler=True)["handler"]
    event = {"message": base64.b64encode(message).decode(), "principal": "sender"}
    assert handler({**event, "clientId": "press-7#2"}, None)["thingName"] == "press-7"
    with pytest.raises(ValueError, match="another thing"):
        handler({**event, "clientId": "press-70"}, None)


def test_policy_allows_the_two_topics_and_no_other() -> None:
    """The IoT policy of protocol.md allows what the component publishes, and nothing else."""
    [text] = blocks(section(document("protocol.md"), "IoT policy"), "json")
    topic = "arn:aws:iot:eu-central-1:123456789012:topic/"
    for name, allowed in ((topics.ALERTS, True), (topics.HEALTH, True), ("greengrass/x", False)):
        assert evaluate([json.loads(text)], "iot:Publish", topic + name, {}).allowed is allowed
