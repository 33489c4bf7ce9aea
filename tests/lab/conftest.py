"""A nucleus's IPC with the component installed, of each kind, for the tests of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.ipc_device import Device, running_device


@pytest.fixture(params=["classic", "lite"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each kind of nucleus in turn."""
    with running_device(request.param) as running:
        running.install()
        yield running


@pytest.fixture
def classic() -> Iterator[Device]:
    """Nucleus classic."""
    with running_device("classic") as running:
        running.install()
        yield running


@pytest.fixture
def lite() -> Iterator[Device]:
    """Nucleus lite."""
    with running_device("lite") as running:
        running.install()
        yield running
