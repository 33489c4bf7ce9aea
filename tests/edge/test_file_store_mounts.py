"""The store on disks as they really are: full, mounted file by file, immutable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rotation_protocol.reasons import FailureReason
from tests.edge.credentials import (
    OLD,
    at,
    beside_each_other,
    pair_at,
    refused,
)

NOT_REPLACEABLE = FailureReason.STORE_NOT_REPLACEABLE

REAL = """
import sys
from pathlib import Path
from certkeeper.edge.file_store import FileStore, StoreProblem

folder, *actions = sys.argv[1:]
store = FileStore(Path(folder, "thingCert.crt"), Path(folder, "privKey.key"))
for action in actions:
    name, *arguments = action.split(":")
    try:
        done = getattr(store, name)(*(a if len(a) == 1 else a.encode() for a in arguments))
        print(name, done, end="; ")
    except StoreProblem as problem:
        print(name, problem.reason.value, end="; ")
print(store.certificate.read_text().strip(), store.private_key.read_text().strip())
"""


def really(folder: Path, script: str) -> str:
    """What a shell script says that runs with mounts which nobody else sees."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command here")
    command = ["unshare", "--mount", "--map-root-user", "sh", "-euc"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHON": sys.executable}

    def run(text: str) -> subprocess.CompletedProcess[str]:
        words = [*command, text, "sh", str(folder), REAL]
        return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)

    if run('mount -t tmpfs none "$1"').returncode != 0:
        pytest.skip("this user may not mount here")
    said = run(script)
    assert said.stderr == ""
    return said.stdout.strip()


@pytest.mark.parametrize("name", ["thingCert.crt", "privKey.key"])
def test_a_really_mounted_file(tmp_path: Path, name: str) -> None:
    """A credential that is a bind mount of its own is found out before anything is changed, and
    changes nothing that is read even if it is not."""
    beside_each_other(tmp_path)
    said = really(
        tmp_path / "gg",
        f'mount --bind "$1/{name}" "$1/{name}"; "$PYTHON" -c "$2" "$1" rehearse adopt',
    )
    assert said == (
        "rehearse store-not-replaceable; adopt store-not-replaceable; certificate one KEY of one"
    )
    assert pair_at(at(tmp_path)) == OLD


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a full disk nothing is adopted or written, and the slots can still be switched."""
    beside_each_other(tmp_path)
    fill = 'head -c 9999999 /dev/zero > "$1/full" 2>/dev/null || true'
    said = really(
        tmp_path / "gg",
        f"""mkdir "$1/../copy"; cp "$1"/* "$1/../copy"
        mount -t tmpfs -o size=200k none "$1"; cp "$1/../copy"/* "$1"
        {fill}; "$PYTHON" -c "$2" "$1" rehearse adopt; rm "$1/full"
        "$PYTHON" -c "$2" "$1" adopt write_key:b:KEY2 write_certificate:b:two
        {fill}; "$PYTHON" -c "$2" "$1" activate:b activate:a activate:b write_key:a:K3 release
        "$PYTHON" -c "$2" "$1" wipe:a; rm "$1/full"; "$PYTHON" -c "$2" "$1" release""",
    )
    assert said.splitlines() == [
        "rehearse store-full; adopt store-full; certificate one KEY of one",
        "adopt a; write_key None; write_certificate None; certificate one KEY of one",
        "activate None; activate None; activate None; write_key store-full; release store-full; "
        "two KEY2",
        "wipe None; two KEY2",
        "release None; two KEY2",
    ]


def test_a_really_immutable_file(tmp_path: Path) -> None:
    """A file that chattr made immutable is not replaced, and says so."""
    store = beside_each_other(tmp_path)
    if shutil.which("chattr") is None or os.geteuid() != 0:
        pytest.skip("nothing can be made immutable here")
    made = subprocess.run(
        ["chattr", "+i", store.private_key], capture_output=True, check=False
    ).returncode
    if made != 0:
        pytest.skip("this file system has no immutable files")
    try:
        assert refused(store.adopt).reason is NOT_REPLACEABLE
        assert pair_at(store) == OLD
    finally:
        subprocess.run(["chattr", "-i", store.private_key], check=True)
    store.adopt()
    assert pair_at(store) == OLD
