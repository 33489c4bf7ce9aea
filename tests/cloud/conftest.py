"""What several tests of the backend's decisions are run with."""

from __future__ import annotations

import pytest

from lab.fleet.account import Account
from tests.cloud.monitor import Monitor


@pytest.fixture(params=[0, 7], ids=["no-grace", "grace"])
def with_and_without_grace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds without a grace period holds once there was one: see Device."""
    monkeypatch.setattr(Account, "grace_days", request.param)


@pytest.fixture
def account() -> Account:
    """The cloud's ports in memory; many tests have one of their own."""
    return Account()


@pytest.fixture
def monitor(account: Account) -> Monitor:
    """A device that reports to it."""
    return Monitor(account)
