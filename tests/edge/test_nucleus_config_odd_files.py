"""Odd files where a configuration should be: a monitor goes on, and says what it found."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certkeeper.edge import nucleus_source
from certkeeper.edge.nucleus_config import CredentialsNotFound, discover
from tests.edge.classic_files import install, log, output, pair

CLASSIC_FILES = (
    *("config.tlog.old", "config.tlog", "config.tlog~", "bootstrap.tlog", "bootstrap.tlog~"),
    *("effectiveConfig.yaml", "effectiveConfig.yaml~"),
)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def make_loop(path: Path) -> None:
    path.symlink_to(path)


ODD: dict[str, Callable[[Path], object]] = {
    "a folder": make_folder,
    "a pipe": os.mkfifo,
    "a link to itself": make_loop,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "empty": lambda path: path.touch(),
    "NUL bytes": lambda path: path.write_bytes(b"\0" * 100_000),
    "text cut off into NUL bytes": lambda path: path.write_bytes(
        b"---\nsystem:\n  cert" + b"\0" * 99
    ),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00\xd8system"),
    "random": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "one long line": lambda path: path.write_bytes(b"x" * 3_000_000),
    "nested without end": lambda path: path.write_bytes(b"[" * 1_500),
    "nested YAML": lambda path: path.write_text("\n".join(" " * n + "a:" for n in range(700))),
    "a list": lambda path: path.write_bytes(b"[1, 2]\n"),
    "a word": lambda path: path.write_bytes(b"system\n"),
    "another shape": lambda path: path.write_bytes(b'{"system": ["certificateFilePath"]}\n'),
    "keys that are lists": lambda path: path.write_bytes(b"? [a, b]\n: c\n"),
    "YAML that refers to itself": lambda path: path.write_bytes(b"&a [*a]\n"),
    "YAML with tags": lambda path: path.write_bytes(b"system: !!python/object:os.system {}\n"),
    "two documents": lambda path: path.write_bytes(b"--- {}\n--- {}\n"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_do_not_stop_the_search(tmp_path: Path, kind: str) -> None:
    """With every configuration file replaced by it, the installer's files are still found."""
    (tmp_path / "config").mkdir()
    for name in CLASSIC_FILES:
        ODD[kind](tmp_path / "config" / name)
    install(tmp_path)
    config = discover(str(tmp_path))
    assert config.certificate_uri == str(tmp_path / "thingCert.crt")
    assert all(len(note) < 400 for note in config.notes)


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_do_not_stop_the_search_on_lite(tmp_path: Path, kind: str) -> None:
    """The same where nucleus lite keeps its files: the drop-in that is sound counts."""
    root, etc = tmp_path / "root", tmp_path / "etc"
    root.mkdir()
    (etc / "config.d").mkdir(parents=True)
    ODD[kind](root / "config.db")
    ODD[kind](etc / "config.yaml")
    ODD[kind](etc / "config.d" / "odd.yaml")
    (etc / "config.d" / "sound.yaml").write_text(
        "system: {certificateFilePath: /a.crt, privateKeyPath: /a.key}\n"
    )
    assert discover(str(root), lite_etc=str(etc)).certificate_uri == "/a.crt"


def test_a_file_of_any_size_is_read_to_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output file that is too long is passed over with a reason."""
    monkeypatch.setattr(nucleus_source, "_MAX_YAML", 200)
    output(tmp_path, "/a.crt", "/a.key")
    with (tmp_path / "config" / "effectiveConfig.yaml").open("a") as stream:
        stream.write("#" * 200)
    install(tmp_path)
    assert discover(str(tmp_path)).notes == (
        f"{tmp_path}/config/effectiveConfig.yaml is longer than 200 bytes and was not read",
    )


def test_a_damaged_output_file_is_told_by_line_and_not_by_content(tmp_path: Path) -> None:
    """It may hold secrets of components; the reason names the line only."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "effectiveConfig.yaml").write_text("a: 1\nsecret: 'hunter2\n  b: [\n")
    install(tmp_path)
    assert discover(str(tmp_path)).notes == (
        f"{tmp_path}/config/effectiveConfig.yaml is not YAML from line 4 on",
    )


@contextmanager
def _as_an_ordinary_user() -> Iterator[None]:
    """Root may read all: for the length of the block this process is nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A root that nobody may enter, below folders that anybody may."""
    ours = [tmp_path, *tmp_path.parents]
    closed = [p for p in ours if p.stat().st_uid == os.geteuid() and not p.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode for path in closed}
    for path, mode in modes.items():
        path.chmod(mode | 0o011)
    yield tmp_path
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize("closed", ["config", "config/config.tlog"])
def test_a_permission_that_is_missing_is_told_with_its_remedy(
    open_folder: Path, closed: str
) -> None:
    """A component that runs as ggc_user learns that it needs RequiresPrivilege."""
    root = open_folder
    log(root, pair("a"))
    (root / closed).chmod(0)
    try:
        with _as_an_ordinary_user(), pytest.raises(CredentialsNotFound) as failure:
            discover(str(root))
    finally:
        (root / closed).chmod(0o700)
    message = str(failure.value)
    assert f"{root}/config/config.tlog cannot be read: permission denied" in message
    assert "What to do: let the component run with RequiresPrivilege" in message


@pytest.mark.parametrize("closed", ["root", "root/config.db", "etc", "etc/config.d"])
def test_a_permission_that_is_missing_is_told_on_lite_too(open_folder: Path, closed: str) -> None:
    """Whatever is closed: the folder of the root, the database, or the files under /etc."""
    root, etc = open_folder / "root", open_folder / "etc"
    (etc / "config.d").mkdir(parents=True)
    (etc / "config.yaml").write_text("system: {thingName: press-7}\n")
    root.mkdir()
    (root / "config.db").touch()
    (open_folder / closed).chmod(0)
    importlib.import_module("yaml")  # while all may be read
    try:
        with _as_an_ordinary_user(), pytest.raises(CredentialsNotFound) as failure:
            discover(str(root), lite_etc=str(etc))
    finally:
        (open_folder / closed).chmod(0o700)
    message = str(failure.value)
    assert "lite nucleus" in message
    assert "permission denied" in message
    assert "What to do: let the component run with RequiresPrivilege" in message


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(CLASSIC_FILES),
        st.one_of(
            st.binary(max_size=200),
            st.text(alphabet='{}[]":,\n -&*!|>%system', max_size=60).map(str.encode),
        ),
    )
)
def test_whatever_the_files_hold_there_is_an_answer_or_the_one_error(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    """No content makes the search raise anything but CredentialsNotFound."""
    root = tmp_path_factory.mktemp("root")
    (root / "config").mkdir()
    for name, content in contents.items():
        (root / "config" / name).write_bytes(content)
    with pytest.raises(CredentialsNotFound):
        discover(str(root))
