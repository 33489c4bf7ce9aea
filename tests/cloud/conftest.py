"""What several tests of the backend's decisions are run with."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account


@pytest.fixture(params=[0, 7], ids=["no-grace", "grace"])
def with_and_without_grace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds without a grace period holds once there was one: see Device."""
    monkeypatch.setattr(Account, "grace_days", request.param)
