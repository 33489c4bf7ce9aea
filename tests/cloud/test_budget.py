"""How many calls of the AWS IoT control plane a rotation costs."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from lab.fleet.registry import EXCLUSIVE, SHARED
from tests.cloud.device import Device, code, issued_id

CONTROL_PLANE = ("registry.", "issuer.", "jobs.create")


@pytest.mark.parametrize(
    ("attachment", "lag", "grace_days", "most"),
    [
        *((EXCLUSIVE, 2.0, 0, 9), (SHARED, 2.0, 0, 10), (SHARED, 10.0, 0, 12)),
        *((EXCLUSIVE, 2.0, 7, 10), (SHARED, 2.0, 7, 11), (SHARED, 5.0, 7, 12)),
    ],
)
def test_at_most_twelve(
    attachment: str, lag: float, grace_days: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one policy: nine; one more each for a certificate that may be shared, for the end of
    the grace period, and for each time that AWS is slow."""
    monkeypatch.setattr(Account, "grace_days", grace_days)
    account = Account(attachment, policies=("core",))
    account.registry.lag = lag
    device = Device(account)
    assert code(device.create(account.old)) == "accepted"
    assert code(device.commit(issued_id(account))) == "accepted"
    device.end("SUCCEEDED", certificateId=issued_id(account))
    assert account.registry.active() == {issued_id(account)}
    calls = [call for call in account.calls if call.startswith(CONTROL_PLANE)]
    assert len(calls) == most
