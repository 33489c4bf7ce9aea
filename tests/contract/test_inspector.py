"""What every inspector does: the fake, and the child process on a real folder."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certkeeper.core import events
from certkeeper.core.alerting import CheckContext, Finding, alert_of
from certkeeper.core.certificate import PairState, Reading, Role
from certkeeper.core.settings import Settings
from certkeeper.edge.inspector import ChildInspector
from certkeeper.ports import Inspector
from lab.account.authority import Authority, common_name, generate_private_key, private_key_pem
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType
from tests.daemon.house import inventory
from tests.fakes import FakeInspector

NOW = datetime.now(UTC).replace(microsecond=0)
END = NOW + timedelta(days=6)
ALERT = alert_of(
    Finding(
        Reading(Role.CORE_DEVICE, "/a"), AlertType.UNREADABLE, "unreadable", "unreadable", True
    ),
    CheckContext("press-7", "0.1.0", NOW, None),
)


@dataclass
class Stage:
    """An inspector, where it posts, and the key that it may use."""

    inspector: Inspector
    inbox: queue.SimpleQueue[events.Event]
    key: str

    def next(self) -> events.Event:
        """What it posts next."""
        return self.inbox.get(timeout=60)


@contextmanager
def _fake() -> Iterator[Stage]:
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    found = inventory(not_after=END)
    yield Stage(FakeInspector(inbox.put, lambda _: found), inbox, found.private_key_source or "")


@contextmanager
def _child(root: Path) -> Iterator[Stage]:
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    authority, key = Authority.create("Device CA"), generate_private_key("ECDSA-P256")
    (root / "thingCert.crt").write_text(
        authority.issue_device_certificate(key.public_key(), common_name("press-7"), not_after=END)
    )
    (root / "privKey.key").touch(0o600)
    (root / "privKey.key").write_text(private_key_pem(key))
    inspector = ChildInspector(inbox.put, str(root))
    yield Stage(inspector, inbox, str(root / "privKey.key"))
    inspector.close()


@pytest.fixture(params=["fake", "child"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Each implementation in turn."""
    with _fake() if request.param == "fake" else _child(tmp_path) as one:
        yield one


def test_inspect_brings_back_the_pair(stage: Stage) -> None:
    """A look finds the core device certificate, its end, and that the key is its own."""
    stage.inspector.inspect(Settings())
    event = stage.next()
    assert isinstance(event, events.Inspected)
    core = event.inventory.core_device
    assert core is not None
    assert core.facts is not None
    assert core.facts.not_after == END
    assert core.pair is PairState.MATCHES
    assert event.inventory.private_key_source == stage.key


def test_sign_answers_with_the_same_alerts_signed(stage: Stage) -> None:
    """Alerts come back in their order, each with a detached signature and nothing else changed."""
    others: tuple[Alert, ...] = (ALERT, alert_of_other())
    stage.inspector.sign(others, stage.key)
    event = stage.next()
    assert isinstance(event, events.AlertsSigned)
    assert event.problem == ""
    assert [alert.source for alert in event.alerts] == ["/a", "/b"]
    assert all(alert.signature and ".." in alert.signature for alert in event.alerts)


def test_sign_without_a_key_answers_unsigned(stage: Stage) -> None:
    """Where there is no key to sign with, the alerts come back unsigned, with the reason."""
    stage.inspector.sign((ALERT,), None)
    event = stage.next()
    assert isinstance(event, events.AlertsSigned)
    assert event.alerts == (ALERT,)
    assert event.problem


def alert_of_other() -> Alert:
    """A second alert."""
    reading = Reading(Role.WATCHED, "/b")
    finding = Finding(reading, AlertType.UNREADABLE, "unreadable", "unreadable", False)
    return alert_of(finding, CheckContext("press-7", "0.1.0", NOW, None))
