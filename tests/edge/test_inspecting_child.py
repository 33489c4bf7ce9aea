"""The inspecting child as a real process on a real root: what it sees, signs, and never says."""

from __future__ import annotations

import io
import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as library
from joserfc import jws
from joserfc.jwk import ECKey

from certkeeper.core.certificate import PairState
from certkeeper.core.settings import Settings
from certkeeper.edge import inspecting_child
from rotation_protocol.codec import alert_signing_bytes
from tests.edge.inspector_stage import Stage, alert, watched_children
from tests.greengrass_root import SECRET, GreengrassRoot, install, key_of, pkcs8


@pytest.fixture
def root(tmp_path: Path) -> GreengrassRoot:
    """A core device as the installer leaves it."""
    return install(tmp_path)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[queue.SimpleQueue[Any]]:
    """Every child process as it is started; none may be left when the test ends."""
    with watched_children(monkeypatch) as started:
        yield started


# -- through the daemon's side -----------------------------------------------------------------


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
    assert signed.problem == f"{root.key} holds no valid private key in PEM"


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
