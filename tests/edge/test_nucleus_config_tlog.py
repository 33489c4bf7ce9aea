"""The replay of config.tlog: the nucleus's own rules, and what is done about damage."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certkeeper.edge import nucleus_classic
from certkeeper.edge.nucleus_config import CredentialsNotFound, discover
from tests.edge.classic_files import CERTIFICATE, KEY, Line, changed, log, pair, removed, touched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path


# -- the rules of the replay ----------------------------------------------------------

REPLAYS: dict[str, tuple[list[Line], str]] = {
    "a later change counts": ([*pair("a"), *pair("b", 20)], "/b.crt"),
    "an older change does not": ([*pair("a", 20), *pair("b", 10)], "/a.crt"),
    "of two at the same time the later line counts": ([*pair("a"), *pair("b")], "/b.crt"),
    "an equal value does not make it newer": (
        [*pair("a", 10), *pair("a", 30), *pair("b", 20)],
        "/b.crt",
    ),
    "timestampUpdated does": (
        [*pair("a", 10), touched(CERTIFICATE, 30), *pair("b", 20)],
        "/a.crt",
    ),
    "timestampUpdated never makes it older": (
        [*pair("a", 30), touched(CERTIFICATE, 10), *pair("b", 20)],
        "/a.crt",
    ),
    "timestampUpdated may come first": (
        [touched(CERTIFICATE, 30), *pair("b", 20), changed(CERTIFICATE, "/c.crt", 40)],
        "/c.crt",
    ),
    "names are the same in any case": (
        [*pair("a"), changed(["SYSTEM", "CertificateFilepath"], "/b.crt", 20)],
        "/b.crt",
    ),
    "a removed leaf may come back, however old": (
        [*pair("a", 30), removed(CERTIFICATE, 30), changed(CERTIFICATE, "/b.crt", 5)],
        "/b.crt",
    ),
    "a removed parent takes its leaves, which may come back": (
        [*pair("a", 30), removed(["System"], 30), *pair("b", 5)],
        "/b.crt",
    ),
    "a removal that is older than the leaf is no removal": (
        [*pair("a", 30), removed(CERTIFICATE, 20), removed(["system"], 20)],
        "/a.crt",
    ),
    "what happens elsewhere does not matter": (
        [*pair("a"), removed(["services"], 99), removed(["system", "thingName"], 99)],
        "/a.crt",
    ),
    "a line that tells nothing new is skipped": (
        [*pair("a"), {"TS": 50, "TP": CERTIFICATE, "W": "childChanged", "V": "/b.crt"}],
        "/a.crt",
    ),
    "what follows an object on its line is ignored": (
        [*pair("a"), json.dumps(changed(CERTIFICATE, "/b.crt", 20)).encode() + b' {"TS":1}\n'],
        "/b.crt",
    ),
    "lines may end as on Windows": (
        [json.dumps(entry).encode() + b"\r\n" for entry in pair("a")],
        "/a.crt",
    ),
    "the last line needs no end": (
        [*pair("a"), json.dumps(changed(CERTIFICATE, "/b.crt", 20)).encode()],
        "/b.crt",
    ),
}


@pytest.mark.parametrize("rule", REPLAYS)
def test_the_log_is_replayed_as_the_nucleus_replays_it(root: Path, rule: str) -> None:
    """Each rule of ConfigurationReader, Topic and Node of the nucleus holds here."""
    entries, expected = REPLAYS[rule]
    log(root, entries)
    config = discover(str(root))
    assert config.certificate_uri == expected
    assert config.notes == ()


@pytest.mark.parametrize("path", [CERTIFICATE, ["system"]])
def test_a_removed_path_is_no_path(root: Path, path: list[str]) -> None:
    """After the removal of the leaf, or of all of system, the log names no certificate."""
    log(root, [*pair("a"), removed(path, 10)])
    with pytest.raises(CredentialsNotFound, match=r"config\.tlog names no certificate"):
        discover(str(root))


class Node:
    """The nucleus's tree, written plainly: leaves with a value, nodes with children."""

    def __init__(self, when: int) -> None:
        self.when = when
        self.value: Any = None
        self.children: dict[str, Node] = {}

    def newest(self) -> int:
        return max([child.newest() for child in self.children.values()], default=self.when)

    def play(self, entry: dict[str, Any]) -> None:
        *parents, name = (name.lower() for name in entry["TP"])
        when, node = entry["TS"], self
        for parent in parents:
            if entry["W"] == "removed" and parent not in node.children:
                return
            node = node.children.setdefault(parent, Node(when))
        if entry["W"] == "removed":
            if name in node.children and when >= node.children[name].newest():
                del node.children[name]
            return
        known = name in node.children
        leaf = node.children.setdefault(name, Node(when if entry["W"] == "changed" else 0))
        if entry["W"] == "timestampUpdated":
            leaf.when = max(leaf.when, when)
        elif leaf.value != entry["V"] and (not known or when >= leaf.when):
            leaf.value, leaf.when = entry["V"], when


ENTRIES = st.one_of(
    st.builds(
        changed,
        st.sampled_from([CERTIFICATE, KEY, ["System", "PRIVATEKEYPATH"]]),
        st.sampled_from(["/a", "/b", "", None]),
        st.integers(1, 6),
    ),
    st.builds(removed, st.sampled_from([CERTIFICATE, KEY, ["system"]]), st.integers(1, 6)),
    st.builds(touched, st.sampled_from([CERTIFICATE, KEY]), st.integers(1, 6)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ENTRIES, max_size=14))
def test_any_log_gives_what_a_plain_tree_gives(
    tmp_path_factory: pytest.TempPathFactory, entries: list[dict[str, Any]]
) -> None:
    """The replay agrees with a tree of nodes that follows the nucleus's code step by step."""
    root = tmp_path_factory.mktemp("root")
    (root / "config").mkdir()
    log(root, entries)
    tree = Node(0)
    for entry in entries:
        tree.play(entry)
    system = tree.children.get("system", Node(0)).children
    expected = {name: node.value for name, node in system.items() if node.value}
    reading = next(nucleus_classic.readings(root))
    found = {name.replace("_uri", ""): value for name, value in reading.values.items()}
    names = {"certificatefilepath": "certificate", "privatekeypath": "private_key"}
    assert found == {names[name]: value for name, value in expected.items()}


# -- damage ---------------------------------------------------------------------------


def test_a_torn_last_line_is_skipped_and_told(root: Path) -> None:
    """A line that is being written, or was cut off by a power cut, changes nothing."""
    torn = json.dumps(changed(CERTIFICATE, "/b.crt", 20)).encode()[:-9]
    log(root, [*pair("a"), torn])
    config = discover(str(root))
    assert config.certificate_uri == "/a.crt"
    assert config.notes == ("config.tlog line 3 is torn and was skipped",)


DAMAGE = {
    "no JSON": b"\0\0\0\0\n",
    "not UTF-8": b'{"TS":20,"TP":["system","certificateFilePath"],"W":"changed","V":"/\xff"}\n',
    "no object": b"[]\n",
    "an empty line": b"\n",
    "a time that is none": b'{"TS":"soon","TP":["a"],"W":"changed","V":1}\n',
    "a time out of range": b'{"TS":%d,"TP":["a"],"W":"changed","V":1}\n' % (1 << 63),
    "no path": b'{"TS":20,"W":"changed","V":1}\n',
    "an empty path": b'{"TS":20,"TP":[],"W":"changed","V":1}\n',
    "a path of other things": b'{"TS":20,"TP":["system",1],"W":"changed","V":1}\n',
    "a happening that is not known": b'{"TS":20,"TP":["a"],"W":"moved","V":1}\n',
    "not a number": b'{"TS":20,"TP":["a"],"W":"changed","V":NaN}\n',
    "nested without end": b'{"TS":20,"TP":["a"],"W":"changed","V":' + b"[" * 100_000 + b"\n",
    "a number without end": b'{"TS":20,"TP":["a"],"W":"changed","V":[' + b"9" * 5000 + b"x\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_line_is_skipped_and_told(root: Path, kind: str) -> None:
    """The lines before and after it count, and the note gives its number."""
    log(root, [*pair("a"), DAMAGE[kind], changed(KEY, "/b.key", 20)])
    config = discover(str(root))
    assert (config.certificate_uri, config.private_key_uri) == ("/a.crt", "/b.key")
    assert config.notes[0] == "config.tlog line 3 is damaged and was skipped"


def test_many_damaged_lines_make_one_note(root: Path) -> None:
    """A log full of damage does not fill the health message."""
    log(root, [b"?\n", *pair("a"), b"?\n", b"?\n"])
    assert discover(str(root)).notes[0] == (
        "config.tlog: 3 lines are damaged and were skipped, the first is line 1"
    )


NEXT_START = {
    "the same": "reads config.tlog~ in its place, which names the same certificate",
    "NOT the same": "reads config.tlog~ in its place, which names NOT the same certificate",
    "none": "finds no backup of it",
}


@pytest.mark.parametrize("backup", NEXT_START)
def test_damage_is_a_warning_about_the_next_start(root: Path, backup: str) -> None:
    """A nucleus that starts refuses a damaged log: say what it will read, and what that names."""
    log(root, [*pair("a"), b"?\n"])
    if backup != "none":
        log(root, pair("a" if backup == "the same" else "old"), "config.tlog~")
    config = discover(str(root))
    assert config.certificate_uri == "/a.crt"
    assert NEXT_START[backup] in config.notes[1]


def test_a_line_beyond_all_length_is_skipped_in_little_memory(root: Path) -> None:
    """A log of tens of MB is streamed: memory holds a line of limited length, and what is kept."""
    huge = json.dumps(changed(["services", "x"], "x" * 40_000_000)).encode() + b"\n"
    log(root, [*pair("a"), huge, *pair("b", 20)])
    tracemalloc.start()
    try:
        config = discover(str(root))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert config.certificate_uri == "/b.crt"
    assert config.notes == ("config.tlog line 3 is too long and was skipped",)
    assert peak < 5_000_000


def test_a_log_of_many_lines_takes_no_more_memory(root: Path) -> None:
    """What is kept does not grow with the log."""
    other = json.dumps(changed(["services", "x", "y"], "x" * 300)).encode() + b"\n"
    log(root, [*pair("a"), other * 20_000, *pair("b", 20)])
    tracemalloc.start()
    try:
        assert discover(str(root)).certificate_uri == "/b.crt"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_log_that_cannot_be_one_is_not_read_to_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of more than the limit is given up with a reason."""
    monkeypatch.setattr(nucleus_classic, "_MAX_LOG", 1000)
    log(root, [*pair("a"), b"x" * 2000 + b"\n"])
    with pytest.raises(CredentialsNotFound, match=r"config\.tlog is longer than 1000 bytes"):
        discover(str(root))
