"""The rotating child as a process: its lines, its silence, and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certkeeper.edge import key_pair, x509
from tests.edge.odd_names import ODD_NAMES, certificate_with_subject
from tests.edge.rotation_stage import (
    Child,
    device,
    key_lines,
)
from tests.greengrass_root import (
    key_of,
)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """The child of a classic core device."""
    return Child(device(tmp_path))


def _run(lines: list[Any], *, code: str = "") -> subprocess.CompletedProcess[bytes]:
    """The child as a process; ``code`` is run in it first."""
    start = "from certkeeper.__main__ import main; sys.exit(main(['rotate']))"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {code}\n{start}"],
        input=b"".join(json.dumps(line).encode() + b"\n" for line in lines),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )


def test_a_line_for_a_line(child: Child) -> None:
    """Each request has its answer on a line of its own; the end of the requests is the end."""
    survey = _survey(child.root.folder)
    ran = _run([survey, {"do": "no such step"}, survey])
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["event"] for one in answers] == ["Surveyed", "StepFailed", "Surveyed"]
    assert answers[0] == child.survey()
    assert ran.stderr == b""


def test_only_answers_on_standard_output() -> None:
    """What a library prints, or a command writes, goes to standard error instead."""
    noisy = (
        "import os; from certkeeper.edge import rotating_child as r; "
        "r.RotatingChild.answer = lambda *_: print('NOISE', flush=True) or "
        "os.system('echo MORE') or {'event': 'Said'}"
    )
    ran = _run([{"do": "x"}], code=noisy)
    assert ran.stdout == b'{"event": "Said"}\n'
    assert {b"NOISE", b"MORE"} <= set(ran.stderr.splitlines())


@pytest.mark.parametrize("algorithm", ["RSA-2048", "ECDSA-P384"])
def test_no_byte_of_a_key_is_said(tmp_path: Path, algorithm: str) -> None:
    """In a whole rotation with every failure, no line of any key is in an answer or an error."""
    key = key_of(algorithm)
    root = device(tmp_path, key=key)
    survey = _survey(root.folder)
    prepare = {"do": "prepare", "keyAlgorithm": "same", "signingAlgorithm": "auto"}
    key_as_certificate = {
        "do": "stage",
        "slot": "b",
        "csr": key_pair.csr_pem(key, key_pair.subject_of(_certificate(root.certificate), "x")),
        "certificatePem": key_pair.key_pem(key).decode(),
    }
    steps = [
        *(survey, prepare, key_as_certificate),
        *({"do": "probe", "slots": ["a", "b"]}, {"do": "activate", "slot": "b"}),
        *({**survey, "certificateFilePath": str(root.key), "privateKeyPath": str(root.key)},),
        *(prepare, {"do": "wipe", "slot": "a"}),
    ]
    ran = _run(steps)
    assert len(ran.stdout.splitlines()) == len(steps)
    lines = key_lines(root)
    assert len(lines) >= 6
    said = (ran.stdout + ran.stderr).decode()
    assert [line for line in lines if line in said] == []


def _certificate(path: Path) -> x509.Certificate:
    return x509.read_certificates(path)[0]


def test_a_child_whose_daemon_is_gone(tmp_path: Path) -> None:
    """A child whose parent dies while the key is made does no more, though it was asked to."""
    root = device(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code = (
        "import os, sys, time; from certkeeper.edge import key_pair; make = key_pair.generate\n"
        "def slow(algorithm):\n"
        "    os.kill(parent := os.getppid(), 9)\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    return make(algorithm)\n"
        "key_pair.generate = slow\n"
        "from certkeeper.__main__ import main; sys.exit(main(['rotate']))"
    )
    prepare = {"do": "prepare", "keyAlgorithm": "same", "signingAlgorithm": "auto"}
    ran = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"; exit 7', sys.executable, code],
        input="".join(json.dumps(line) + "\n" for line in (_survey(root.folder), prepare)),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert ran.returncode == -9
    assert [json.loads(line)["event"] for line in ran.stdout.splitlines()] == ["Surveyed"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_odd_name_is_no_reason_to_complain(tmp_path: Path) -> None:
    """Of a subject that breaks a rule the library warns; in the component's log that is noise."""
    root, key = device(tmp_path), key_of()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    odd = certificate_with_subject(ODD_NAMES["a country of three letters"], key)
    root.certificate.write_bytes(odd.public_bytes(serialization.Encoding.PEM))
    ran = _run(
        [
            _survey(root.folder),
            {"do": "prepare", "keyAlgorithm": "same", "signingAlgorithm": "auto"},
        ]
    )
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["event"] for one in answers] == ["Surveyed", "Prepared"]
    assert ran.stderr == b""


def _survey(root: Path) -> dict[str, Any]:
    return {
        "do": "survey",
        "root": str(root),
        "thingName": "press-7",
        "certificateFilePath": None,
        "privateKeyPath": None,
    }
