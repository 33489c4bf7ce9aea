"""The files that seed nucleus lite's database, and how a root tells which nucleus it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from certkeeper.edge import nucleus_lite
from certkeeper.edge.nucleus_config import CredentialsNotFound
from tests.edge.lite_files import SYSTEM, create, find, seed, write


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nucleus_lite, "_PAUSE", 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc" / "config.d").mkdir(parents=True)
    return tmp_path / "etc"


# -- the files --------------------------------------------------------------------------


def test_the_files_are_merged_as_lite_merges_them(root: Path, etc: Path) -> None:
    """config.yaml first, then config.d, whose values count, an empty one too."""
    write(
        etc / "config.yaml",
        certificateFilePath="/etc.crt",
        privateKeyPath="/etc.key",
        thingName="press-7",
        rootCaPath="/ca.pem",
    )
    write(etc / "config.d" / "10-key", privateKeyPath="/drop-in.key", rootCaPath='""')
    (etc / "config.d" / "20-region.yaml").write_text(
        "services:\n  aws.greengrass.NucleusLite:\n    configuration:\n      awsRegion: x-1\n"
    )
    config = find(root, etc)
    assert (config.certificate_uri, config.private_key_uri) == ("/etc.crt", "/drop-in.key")
    assert (config.thing_name, config.root_ca_path, config.aws_region) == ("press-7", None, "x-1")
    assert config.source == f"{etc}/config.yaml and {etc}/config.d"
    assert config.notes == ()


def test_links_and_folders_in_config_d_are_left_out(root: Path, etc: Path) -> None:
    """As lite leaves them out."""
    seed(etc)
    write(root / "elsewhere", certificateFilePath="/linked.crt")
    (etc / "config.d" / "link.yaml").symlink_to(root / "elsewhere")
    (etc / "config.d" / "folder.yaml").mkdir()
    config = find(root, etc)
    assert (config.certificate_uri, config.notes) == ("/etc.crt", ())


def test_drop_ins_that_differ_are_told(root: Path, etc: Path) -> None:
    """Lite takes them in the order of the folder, which nobody can rely on."""
    seed(etc)
    write(etc / "config.d" / "a.yaml", certificateFilePath="/a.crt", thingName="same")
    write(etc / "config.d" / "b.yaml", certificateFilePath="/b.crt", thingName="same")
    assert find(root, etc).notes == (
        f"files of {etc}/config.d differ in certificate_uri; their order is not certain",
    )


def test_a_file_that_cannot_be_used_is_told_and_the_others_count(root: Path, etc: Path) -> None:
    """One broken drop-in does not hide the configuration."""
    seed(etc)
    (etc / "config.d" / "broken.yaml").write_text("system: [\n")
    config = find(root, etc)
    assert config.certificate_uri == "/etc.crt"
    assert config.notes == (f"{etc}/config.d/broken.yaml is not YAML from line 2 on",)


def test_when_nothing_is_found_each_place_and_its_fault_are_told(root: Path, etc: Path) -> None:
    """The message is enough to act on."""
    (root / "config.db").touch()
    (etc / "config.yaml").write_bytes(b"\0" * 100)
    with pytest.raises(CredentialsNotFound) as failure:
        find(root, etc)
    assert str(failure.value) == (
        "no certificate and key found (lite nucleus): "
        f"{root}/config.db cannot be read as a database, tried 3 times: no such table: keyTable; "
        f"{etc}/config.yaml and {etc}/config.d cannot be used: {etc}/config.yaml is empty. "
        "What to do: provision the device, or set certificateFilePath and privateKeyPath"
        " in the component's configuration"
    )


# -- which nucleus it is ----------------------------------------------------------------


def test_a_root_with_neither_store_is_lites_if_lite_is_configured(root: Path, etc: Path) -> None:
    """Before lite's first start there is only its configuration under /etc."""
    seed(etc)
    assert find(root, etc).runtime == "lite"
    shutil.rmtree(etc)
    with pytest.raises(CredentialsNotFound, match="classic nucleus"):
        find(root, etc)


@pytest.mark.parametrize("folder", ["config", "alts"])
def test_a_root_of_the_classic_nucleus_is_classic_even_where_lite_is_configured(
    root: Path, etc: Path, folder: str
) -> None:
    """Both may be installed on a device, each with a root of its own."""
    seed(etc)
    (root / folder).mkdir()
    with pytest.raises(CredentialsNotFound, match="classic nucleus"):
        find(root, etc)


@pytest.mark.parametrize("newer", ["classic", "lite"])
def test_of_two_stores_in_one_root_the_one_written_last_is_in_use(
    root: Path, etc: Path, newer: str
) -> None:
    """A device that went from one nucleus to the other in place; the note says so."""
    create(root).close()
    (root / "config").mkdir()
    lines = [
        {"TS": 1, "TP": ["system", key], "W": "changed", "V": f"/tlog.{key}"} for key in SYSTEM
    ]
    log = root / "config" / "config.tlog"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = (root / "config.db").stat().st_mtime + (10 if newer == "classic" else -10)
    os.utime(log, (written, written))
    config = find(root, etc)
    expected = "/tlog.certificateFilePath" if newer == "classic" else "/db.crt"
    assert (config.runtime, config.certificate_uri) == (newer, expected)
    assert config.notes == (
        f"{root} is a root of nucleus classic and lite; {newer} wrote to it last",
    )
