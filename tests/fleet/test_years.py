"""A small sample of the ten years (``make years`` lives them all)."""

from __future__ import annotations

import pytest

from lab.fleet import years
from lab.fleet.device import Device
from lab.fleet.store import Pair
from lab.fleet.years import LockedOut, live


def test_nobody_is_locked_out() -> None:
    """Two devices live a year of mishaps: each has replaced its certificate, and all is well."""
    history = live(2, 1.0)
    assert history.problems == []
    assert history.ends["succeeded"] >= 2
    assert {"offline", "power cut", "component killed", "AWS away"} <= set(history.mishaps)


def test_device_without_a_pair_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a mishap take a device's certificate with it, that is no life."""

    def lose(fate: years._Fate, device: Device) -> None:
        device.store.slots = {slot: Pair() for slot in device.store.slots}

    monkeypatch.setattr(years._Fate, "_power_goes", lose)
    with pytest.raises(LockedOut):
        live(1, 0.5)
