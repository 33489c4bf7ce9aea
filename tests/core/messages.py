"""Messages for tests: any alert and any health report, and one of each with every field set."""

from __future__ import annotations

from hypothesis import strategies as st

from rotation_protocol.messages import Alert, CertificateHealth, Health, ReadinessCheck
from rotation_protocol.reasons import AlertType, CheckStatus, DeadlineReason, ReadinessCheckName
from tests.core.strategies import times, wire_text
from tests.core.world import CERTIFICATE_ID, DAY, NOW

whole = st.integers(-(2**53) + 1, 2**53 - 1)
maybe = st.none() | wire_text
alerts = st.builds(
    Alert,
    type=st.sampled_from(AlertType),
    thing_name=wire_text,
    role=wire_text,
    source=wire_text,
    severity=wire_text,
    critical=st.booleans(),
    threshold=whole | wire_text,
    checked_at=times(),
    next_check_at=st.none() | times(),
    component_version=wire_text,
    certificate_id=maybe,
    subject=maybe,
    issuer=maybe,
    serial_number=maybe,
    not_before=st.none() | times(),
    not_after=st.none() | times(),
    deadline=st.none() | times(),
    deadline_reason=st.none() | st.sampled_from(DeadlineReason),
    days_remaining=st.none() | whole,
    key_algorithm=maybe,
    detail=maybe,
    signature=maybe,
)
certificates = st.builds(
    CertificateHealth,
    role=wire_text,
    source=wire_text,
    state=wire_text,
    certificate_id=maybe,
    not_after=st.none() | times(),
    deadline=st.none() | times(),
    deadline_reason=st.none() | st.sampled_from(DeadlineReason),
    days_remaining=st.none() | whole,
    detail=maybe,
    key_algorithm=maybe,
)
checks = st.builds(
    ReadinessCheck,
    st.sampled_from(ReadinessCheckName),
    st.sampled_from(CheckStatus),
    wire_text,
    maybe,
)
healths = st.builds(
    Health,
    thing_name=wire_text,
    status=wire_text,
    checked_at=times(),
    next_check_at=st.none() | times(),
    component_version=wire_text,
    runtime=wire_text,
    waiting_alerts=whole,
    certificates=st.lists(certificates, max_size=4).map(tuple),
    certificates_left_out=whole,
    checks=st.lists(checks, max_size=4).map(tuple),
)

ALERT = Alert(
    type=AlertType.EXPIRING,
    thing_name="press-7",
    role="core-device",
    source="/greengrass/v2/thingCert.crt",
    severity="CRITICAL",
    critical=True,
    threshold=7,
    checked_at=NOW,
    next_check_at=NOW + DAY,
    component_version="0.1.0",
    certificate_id=CERTIFICATE_ID,
    subject="CN=AWS IoT Certificate",
    issuer="OU=Amazon Web Services",
    serial_number="2a",
    not_before=NOW - DAY,
    not_after=NOW + 6 * DAY,
    deadline=NOW + 6 * DAY,
    deadline_reason=DeadlineReason.NOT_AFTER,
    days_remaining=6,
    key_algorithm="ECDSA-P256",
    detail="soon",
    signature="header..signature",
)
HEALTH = Health(
    thing_name="press-7",
    status="critical",
    checked_at=NOW,
    next_check_at=NOW + DAY,
    component_version="0.1.0",
    runtime="classic",
    waiting_alerts=1,
    certificates=(
        CertificateHealth(
            *("core-device", "/cert", "critical", CERTIFICATE_ID, NOW + DAY, NOW + DAY),
            *(DeadlineReason.MAX_AGE, 1, "soon", "ECDSA-P256"),
        ),
    ),
    certificates_left_out=0,
    checks=(ReadinessCheck(ReadinessCheckName.IPC, CheckStatus.FAIL, "no socket", "wait"),),
)
