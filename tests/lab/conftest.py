"""What many tests of the lab are run with: AWS IoT Core alone, a nucleus's IPC, its MQTT,
a component's scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.iot_core_site import Site, running_site
from tests.lab.ipc_device import Device, running_device
from tests.lab.lifecycle_bench import Bench, running_bench
from tests.lab.mqtt_device import Make, devices


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An endpoint of AWS IoT Core."""
    folder = tmp_path / "site"
    folder.mkdir()
    with running_site(folder) as site:
        yield site


@pytest.fixture
def core(site: Site, tmp_path: Path) -> Iterator[Make]:
    """Makes the MQTT of core devices that find it."""
    with devices(site, tmp_path) as make:
        yield make


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


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A place for components of small shell scripts."""
    with running_bench(tmp_path) as bench:
        yield bench
