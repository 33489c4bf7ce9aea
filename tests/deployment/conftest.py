"""The site that most of these tests work on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import botocore.endpoint
import botocore.session
import pytest
from botocore.loaders import create_loader

from tests.deployment.account_site import UNSET, FleetClock, Site, environment, policy
from tests.deployment.aws_wire import AwsWire
from tests.deployment.fleet import Fleet, ThingGroup
from tests.deployment.fleet_api import FleetApi

ONE_LOADER = cache(create_loader)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """A group ``presses`` of three devices, to which nothing has been deployed yet."""
    fleet = Fleet()
    fleet.groups["presses"] = ThingGroup(["press-1", "press-2", "press-3"])
    api = FleetApi(fleet, policy())
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    # botocore waits before it tries again; what it waits for here needs no time.
    waits = SimpleNamespace(sleep=lambda _: None, time=time.time)
    monkeypatch.setattr(botocore.endpoint, "time", waits)
    # Each session would read botocore's models anew: most of the time of a run.
    monkeypatch.setattr(botocore.session, "create_loader", ONE_LOADER)
    with AwsWire(api) as wire:
        for name, value in environment(wire.url).items():
            monkeypatch.setenv(name, value)
        yield Site(fleet, api, FleetClock(fleet), capsys)
    assert wire.problems == []
