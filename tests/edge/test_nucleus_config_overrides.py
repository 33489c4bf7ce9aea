"""What the component's configuration overrides, and what is told when nothing is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from certkeeper.edge.nucleus_config import CredentialsNotFound, discover
from tests.edge.classic_files import CERTIFICATE, changed, log, pair


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path


# -- overrides ------------------------------------------------------------------------


def test_overrides_stand_in_for_what_the_nucleus_says(root: Path) -> None:
    """Both from the component's configuration; the rest still from the nucleus."""
    log(root, [*pair("a"), changed(["system", "thingName"], "press-7")])
    config = discover(str(root), certificate_override="/o.crt", private_key_override="/o.key")
    assert (config.certificate_uri, config.private_key_uri) == ("/o.crt", "/o.key")
    assert (config.thing_name, config.source) == ("press-7", "the component's configuration")


def test_one_override_leaves_the_other_to_the_nucleus(root: Path) -> None:
    """The source names both places."""
    log(root, pair("a"))
    config = discover(str(root), certificate_override="/o.crt", private_key_override="")
    assert (config.certificate_uri, config.private_key_uri) == ("/o.crt", "/a.key")
    assert config.source == f"the component's configuration and {root}/config/config.tlog"


def test_overrides_need_no_nucleus(tmp_path: Path) -> None:
    """With both given, a root without any configuration is enough."""
    config = discover(str(tmp_path), certificate_override="/o.crt", private_key_override="/o.key")
    assert (config.certificate_uri, config.thing_name) == ("/o.crt", None)


def test_one_override_alone_is_not_a_pair(tmp_path: Path) -> None:
    """A certificate without any key to go with it is not found."""
    with pytest.raises(CredentialsNotFound):
        discover(str(tmp_path), certificate_override="/o.crt")


# -- nothing found --------------------------------------------------------------------


def test_when_nothing_is_found_each_place_and_its_fault_are_told(root: Path) -> None:
    """The message is enough to act on: every place, what was wrong there, and what to do."""
    log(root, [])
    log(root, [changed(CERTIFICATE, "/a.crt")], "bootstrap.tlog")
    (root / "config" / "effectiveConfig.yaml").write_bytes(b"")
    (root / "config" / "effectiveConfig.yaml~").mkdir()
    with pytest.raises(CredentialsNotFound) as failure:
        discover(str(root))
    assert str(failure.value) == (
        "no certificate and key found (classic nucleus): "
        f"{root}/config/config.tlog is empty; "
        f"{root}/config/config.tlog~ is not there; "
        f"{root}/config/bootstrap.tlog names no private key; "
        f"{root}/config/bootstrap.tlog~ is not there; "
        f"{root}/config/effectiveConfig.yaml is empty; "
        f"{root}/config/effectiveConfig.yaml~ is not a file; "
        f"{root}/thingCert.crt and privKey.key are not both there. "
        "What to do: provision the device, or set certificateFilePath and privateKeyPath"
        " in the component's configuration"
    )


@pytest.mark.parametrize("root", ["", ".", "greengrass", "/nul\0"])
def test_a_root_that_cannot_be_one_is_refused(root: str) -> None:
    """An empty root must never mean the current folder."""
    with pytest.raises(CredentialsNotFound, match="is not the absolute path"):
        discover(root)


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The remedy is to give the right folder."""
    with pytest.raises(CredentialsNotFound, match="v3 is no folder"):
        discover(str(tmp_path / "v3"), lite_etc=str(tmp_path / "etc"))


def test_nothing_is_left_open(root: Path) -> None:
    """Looking at folders in place of files a hundred times costs no file descriptor."""
    (root / "config" / "config.tlog").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        with pytest.raises(CredentialsNotFound):
            discover(str(root))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
