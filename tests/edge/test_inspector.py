"""The inspecting child: a real process on a real root, and children that fail in every way.

What every inspector does is in tests/contract.
"""

from __future__ import annotations

import io
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as library
from joserfc import jws
from joserfc.jwk import ECKey

from certkeeper.core import events
from certkeeper.core.certificate import PairState
from certkeeper.core.settings import Settings
from certkeeper.edge import inspecting_child
from certkeeper.edge.inspector import MAX_ANSWER, ChildInspector
from rotation_protocol.codec import alert_signing_bytes
from rotation_protocol.messages import Alert
from rotation_protocol.reasons import AlertType
from tests.greengrass_root import SECRET, GreengrassRoot, install, key_of, pkcs8

CHECKED = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it."""
    return install(tmp_path)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left when the test ends."""
    started: queue.SimpleQueue[Any] = queue.SimpleQueue()
    all_of_them = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            all_of_them.append(self)
            started.put(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    yield started
    for child in all_of_them:
        assert child.returncode is not None, "a child was not waited for"
        pipes = (child.stdin, child.stdout, child.stderr)
        assert all(pipe is None or pipe.closed for pipe in pipes), "a pipe was left open"


class Stage:
    """A ChildInspector, and what it posts."""

    def __init__(self, root: object, *command: str, timeout: float = 60.0) -> None:
        self.inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        chosen = {"command": command} if command else {}
        self.inspector = ChildInspector(self.inbox.put, str(root), timeout=timeout, **chosen)

    def next(self) -> events.Event:
        return self.inbox.get(timeout=60)

    def inspected(self, settings: Settings | None = None) -> events.Inspected:
        self.inspector.inspect(settings or Settings())
        event = self.next()
        assert isinstance(event, events.Inspected), event
        return event

    def why_not(self) -> str:
        self.inspector.inspect(Settings())
        event = self.next()
        assert isinstance(event, events.InspectionFailed), event
        return event.reason

    def signed(self, alerts: tuple[Alert, ...], source: object = "/key") -> events.AlertsSigned:
        self.inspector.sign(alerts, str(source))
        event = self.next()
        assert isinstance(event, events.AlertsSigned), event
        return event


def shell(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


def printing(answer: object) -> tuple[str, str, str, str]:
    """A child that reads its request and prints this."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return ("sh", "-c", 'cat >/dev/null; printf "%s" "$0"', text)


def alert(source: str = "/gg/thingCert.crt") -> Alert:
    return Alert(
        type=AlertType.MISMATCH,
        thing_name="press-7",
        role="core-device",
        source=source,
        severity="CRITICAL",
        critical=True,
        threshold="mismatch",
        checked_at=CHECKED,
        next_check_at=None,
        component_version="0.1.0",
    )


# -- the real child -----------------------------------------------------------------


@pytest.mark.usefixtures("children")
def test_a_real_look(root: GreengrassRoot) -> None:
    """The child looks at the root with the settings' paths, and what it saw arrives whole."""
    extra = root.folder / "extra.crt"
    extra.write_text(root.certificate.read_text())
    inventory = Stage(root.folder).inspected(Settings(watch=(str(extra),))).inventory
    assert [reading.source for reading in inventory.readings] == [
        str(root.certificate),
        str(root.root_ca),
        str(extra),
    ]
    assert inventory.readings[0].pair is PairState.MATCHES


@pytest.mark.usefixtures("children")
def test_overrides_reach_the_child(root: GreengrassRoot) -> None:
    """The paths of the component's configuration are those that the child reads."""
    for path, name in ((root.certificate, "my.crt"), (root.key, "my.key")):
        path.rename(root.folder / name)
    settings = Settings(
        certificate_file_path=str(root.folder / "my.crt"),
        private_key_path=str(root.folder / "my.key"),
    )
    inventory = Stage(root.folder).inspected(settings).inventory
    assert inventory.readings[0].pair is PairState.MATCHES
    assert inventory.private_key_source == str(root.folder / "my.key")


@pytest.mark.usefixtures("children")
def test_real_signatures_verify(root: GreengrassRoot) -> None:
    """Each alert's signature covers that alert, and verifies against the certificate's key."""
    alerts = (alert(), alert("/gg/Prässe ✓.crt"))
    signed = Stage(root.folder).signed(alerts, root.key)
    assert signed.problem == ""
    certificate = library.load_pem_x509_certificate(root.certificate.read_bytes())
    key = ECKey.import_key(certificate.public_key())  # type: ignore[arg-type]  # it is an EC key
    for before, after in zip(alerts, signed.alerts, strict=True):
        assert after.signature is not None
        payload = alert_signing_bytes(before)
        assert alert_signing_bytes(after) == payload
        jws.deserialize_compact(after.signature, key, algorithms=["ES256"], payload=payload)


@pytest.mark.usefixtures("children")
def test_a_key_that_cannot_sign(root: GreengrassRoot) -> None:
    """Alerts that could not be signed come back as they were, with the reason."""
    root.write_key(b"garbage")
    signed = Stage(root.folder).signed((alert(),), root.key)
    assert signed.alerts == (alert(),)
    assert signed.problem == f"{root.key} holds no private key in PEM"


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    "content",
    [
        SECRET.encode(),
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n".encode(),
        pkcs8(key_of())[:-80] + SECRET.encode(),
        f"-----BEGIN {SECRET}-----\nAAAA\n-----END {SECRET}-----\n".encode(),
        pkcs8(key_of()) + SECRET.encode(),
    ],
    ids=["plain", "in-PEM", "torn", "label", "after-a-good-key"],
)
def test_no_byte_of_a_key_comes_back(
    root: GreengrassRoot, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A marker in the key file is in no event, and neither the daemon nor the child prints it."""
    root.write_key(content)
    stage = Stage(root.folder)
    said = [repr(stage.inspected(Settings(watch=(str(root.key),)))), repr(stage.inbox)]
    said.append(repr(stage.signed((alert(),), root.key)))
    for request in (
        {"do": "sign", "privateKeySource": str(root.key), "contents": ["{}"]},
        {
            "do": "inspect",
            "root": str(root.folder),
            "watch": [str(root.key)],
            "certificateFilePath": str(root.key),
            "privateKeyPath": str(root.key),
        },
    ):
        child = subprocess.run(
            [sys.executable, "-m", "certkeeper", "inspect"],
            input=json.dumps(request).encode(),
            capture_output=True,
            env={"PYTHONPATH": ":".join(sys.path)},
            check=True,
        )
        said.extend([child.stdout.decode(), child.stderr.decode()])
    said.extend(capfd.readouterr())
    secrets = [
        SECRET,
        *(line for line in pkcs8(key_of()).decode().splitlines() if "--" not in line),
    ]
    assert [secret for secret in secrets for text in said if secret in text] == []


# -- children that fail -------------------------------------------------------------


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(("/no/such/program",), "no process could be started: ", id="no-program"),
        pytest.param(shell("exit 3"), "ended with 3:", id="exit-code"),
        pytest.param(shell("kill -9 $$"), "ended with -9:", id="killed"),
        pytest.param(
            shell("echo first >&2; echo 'MemoryError: no' >&2; exit 1"),
            "the inspecting process ended with 1: MemoryError: no",
            id="traceback",
        ),
        pytest.param(shell("exec 0<&-; sleep 0; exit 1"), "ended with 1:", id="deaf"),
        pytest.param(printing(""), "the answer is not JSON", id="silent"),
        pytest.param(printing("\\xff{"), "the answer is not JSON", id="garbage"),
        pytest.param(shell("cat >/dev/null; printf '\\377'"), "is not JSON", id="not-UTF-8"),
        pytest.param(printing("[" * 100_000), "the answer is not JSON", id="deep"),
        pytest.param(printing([1]), "the answer is not an object", id="a-list"),
        pytest.param(printing({"error": "because"}), "because", id="an-error"),
        pytest.param(printing({}), "the answer is not understood: KeyError", id="nothing-in-it"),
        pytest.param(printing({"inventory": None}), "not understood: TypeError", id="null"),
        pytest.param(printing({"inventory": {}}), "not understood: KeyError", id="empty"),
        pytest.param(
            shell("cat >/dev/null; head -c 10485760 /dev/zero"),
            f"the answer has more than {MAX_ANSWER} bytes",
            id="10 MB",
        ),
        pytest.param(
            shell("cat >/dev/null; head -c 10485760 /dev/zero >&2; exit 1"),
            "ended with 1:",
            id="10 MB-of-errors",
        ),
    ],
)
def test_a_failing_child_is_told(command: tuple[str, ...], reason: str) -> None:
    """However a child fails, the look is answered with one short reason."""
    said = Stage("/gg", *command).why_not()
    assert reason in said
    assert len(said) <= 300


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("field", ["role", "facts", "pair", "problem"])
@pytest.mark.parametrize("value", [None, 5, "no such word", [], {}])
def test_an_answer_of_another_shape(root: GreengrassRoot, field: str, value: object) -> None:
    """A reading whose fields are of other types is taken or refused; either way it is answered."""
    inventory = inspecting_child.answer(
        {
            "do": "inspect",
            "root": str(root.folder),
            "watch": [],
            "certificateFilePath": None,
            "privateKeyPath": None,
        }
    )
    inventory["inventory"]["readings"][0][field] = value
    stage = Stage("/gg", *printing(inventory))
    stage.inspector.inspect(Settings())
    assert isinstance(stage.next(), events.Inspected | events.InspectionFailed)


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"signatures": ["a..b"]}, "not one signature for each alert"),
        ({"signatures": ["a..b"] * 3}, "not one signature for each alert"),
        ({"signatures": 5}, "not one signature for each alert"),
        ({"signatures": {"0": "a", "1": "b"}}, "not one signature for each alert"),
        ({"signatures": ["a..b", None]}, "not one signature for each alert"),
        ({}, "KeyError"),
        ({"error": "the key is gone"}, "the key is gone"),
        ("garbage", "the answer is not JSON"),
    ],
)
def test_no_alert_is_lost_for_want_of_a_signature(answer: object, problem: str) -> None:
    """Whatever the child answers, every alert comes back, unsigned, with the reason."""
    alerts = (alert("/a"), alert("/b"))
    signed = Stage("/gg", *printing(answer)).signed(alerts)
    assert signed.alerts == alerts
    assert problem in signed.problem


def test_an_alert_that_has_no_bytes_to_sign() -> None:
    """An alert that cannot be written as JSON at all is answered too; no child is needed."""
    odd = alert("/a/\udcff")
    signed = Stage("/gg", "/no/such/program").signed((odd,))
    assert signed.alerts == (odd,)
    assert "surrogate" in signed.problem


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no thread is answered at once."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stage = Stage("/gg")
    assert "can't start new thread" in stage.why_not()
    signed = stage.signed((alert(),))
    assert (signed.alerts, "can't start new thread" in signed.problem) == ((alert(),), True)


def test_a_child_that_hangs(children: queue.SimpleQueue[Any]) -> None:
    """A child that gives no answer is given up, killed, and waited for."""
    stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
    assert stage.why_not() == "no answer within 0.1 s"
    assert children.get(timeout=60).returncode == -9


def test_a_child_that_does_not_read(children: queue.SimpleQueue[Any]) -> None:
    """A child that never reads its request, however long that is, is given up as well."""
    stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
    stage.inspector.inspect(Settings(watch=("/" + "a" * 200_000,)))
    assert isinstance(stage.next(), events.InspectionFailed)
    assert children.get(timeout=60).returncode == -9


def test_a_child_that_cannot_be_killed(
    monkeypatch: pytest.MonkeyPatch, children: queue.SimpleQueue[Any]
) -> None:
    """A child that a dead disk holds in the kernel does not hold up the answer."""
    waited: list[float | None] = []

    def never(self: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        waited.append(timeout)
        raise subprocess.TimeoutExpired("child", timeout or 0)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", never)
        stage = Stage("/gg", *shell("exec sleep 600"), timeout=0.1)
        assert stage.why_not() == "no answer within 0.1 s"
    assert waited == [5.0]
    children.get(timeout=60).wait(60)


# -- the end ------------------------------------------------------------------------


def test_close_ends_what_is_under_way(children: queue.SimpleQueue[Any]) -> None:
    """Closing while the child works kills it at once; the look is still answered."""
    stage = Stage("/gg", *shell("exec sleep 600"))
    stage.inspector.inspect(Settings())
    child = children.get(timeout=60)
    stage.inspector.close()
    event = stage.next()
    assert isinstance(event, events.InspectionFailed)
    assert child.returncode == -9


def test_close_while_the_child_is_being_started(
    monkeypatch: pytest.MonkeyPatch, children: queue.SimpleQueue[Any]
) -> None:
    """A child that is only just being started when all is closed does not outlive it."""
    starting, closed = threading.Event(), threading.Event()
    real: Any = subprocess.Popen

    def slow(*arguments: Any, **named: Any) -> Any:
        starting.set()
        assert closed.wait(60)
        return real(*arguments, **named)

    monkeypatch.setattr(subprocess, "Popen", slow)
    stage = Stage("/gg", *shell("exec sleep 600"))
    stage.inspector.inspect(Settings())
    assert starting.wait(60)
    stage.inspector.close()
    closed.set()
    assert isinstance(stage.next(), events.InspectionFailed)
    assert children.get(timeout=60).returncode == -9


def test_close_with_nothing_under_way(root: GreengrassRoot) -> None:
    """Closing is harmless before and after the work, and twice."""
    stage = Stage(root.folder)
    stage.inspector.close()
    stage.inspector.close()
    assert stage.inbox.empty()


# -- the child's side ---------------------------------------------------------------


@pytest.mark.parametrize("request_", [{}, {"do": "rotate"}, {"do": None}])
def test_an_unknown_request(request_: dict[str, object]) -> None:
    """The child answers a request that it does not know with an error."""
    assert inspecting_child.answer(request_) == {"error": "unknown request"}


def test_one_request_one_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child reads one JSON object, prints one, and ends with 0."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"do": "nothing"}'))
    assert inspecting_child.main() == 0
    assert json.loads(capsys.readouterr().out) == {"error": "unknown request"}
