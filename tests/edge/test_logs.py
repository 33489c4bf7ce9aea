"""The log's lines: one an event whatever stands in it, and never a reason to stop."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certkeeper.edge.logs import LEVELS, MAX_VALUE, LineLog, line

FIELD = re.compile(r' ([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]+)')


def parsed(text: str) -> dict[str, str]:
    """The values of a line, as a script would take them apart."""
    event, rest = re.fullmatch(r"([a-z-]+)((?: .*)?)", text).groups()  # type: ignore[union-attr]
    assert event == "checked"
    fields = FIELD.findall(rest)
    assert "".join(f" {key}={value}" for key, value in fields) == rest
    return {key: json.loads(v) if v.startswith('"') else v for key, v in fields}


def written(*say: tuple[str, dict[str, object], str], level: str = "INFO") -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    log = LineLog(level, out, err)
    for event, details, of_level in say:
        log.say(event, details, of_level)
    return out.getvalue(), err.getvalue()


# -- one line -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "x"', r'"say \"x\""'),
        ("a=b", '"a=b"'),
        ("C:\\gg", r'"C:\\gg"'),
        ("Prässe✓", "Prässe✓"),
        ("a\nb", r'"a\nb"'),
        ("a\r\nforged event=1", r'"a\r\nforged event=1"'),
        ("\x1b[2Jgone", r'"\u001b[2Jgone"'),
        ("a\u2028b\u0085c", r'"a\u2028b\u0085c"'),
        ("\u202egnp.exe", r'"\u202egnp.exe"'),
        ("\udcff", r'"\udcff"'),
        ("\0", r'"\u0000"'),
        (True, "true"),
        (False, "false"),
        (None, "None"),
        (17, "17"),
        (datetime(2026, 11, 22, 10, tzinfo=UTC), '"2026-11-22 10:00:00+00:00"'),
    ],
)
def test_values(value: object, text: str) -> None:
    """A value is plain where it can be, and a JSON string where anything in it could mislead."""
    assert line("checked", {"value": value}) == f"checked value={text}"


def test_a_line_without_values() -> None:
    """An event without details is its name."""
    assert line("checked", {}) == "checked"


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text()))
@example({"a": "\r\n" * 300, "b": "\x85" * 600})
def test_any_text_stays_on_one_line_and_can_be_read_back(details: dict[str, str]) -> None:
    """Any text is one printable line, from which a script gets the values back."""
    text = line("checked", details)
    assert text.isprintable()
    assert len(text.splitlines()) == 1
    assert parsed(text) == {
        key: value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 3] + "..."
        for key, value in details.items()
    }


@pytest.mark.parametrize("huge", ["x" * 10_000_000, "\n" * 10_000_000, '"' * 10_000_000])
def test_huge_values_are_cut(huge: str) -> None:
    """A value of any length makes a line that a person can look at."""
    text = line("checked", {"value": huge, "next": 1})
    assert len(text) < 6 * MAX_VALUE + 50
    assert text.endswith(" next=1")
    assert parsed(text)["value"].endswith("...")


def test_a_value_of_just_the_length_is_whole() -> None:
    """A value of just the greatest length is not cut."""
    assert line("e", {"value": "x" * MAX_VALUE}) == "e value=" + "x" * MAX_VALUE


# -- levels and streams -------------------------------------------------------------


@pytest.mark.parametrize("least", LEVELS)
def test_levels(least: str) -> None:
    """Lines of the level and above are said; WARN and ERROR on the standard error."""
    out, err = written(*((level.lower(), {}, level) for level in LEVELS), level=least)
    said = LEVELS[LEVELS.index(least) :]
    assert out.split() == [level.lower() for level in said if level in ("DEBUG", "INFO")]
    assert err.split() == [level.lower() for level in said if level in ("WARN", "ERROR")]


def test_the_level_changes() -> None:
    """A changed level counts from the next line on."""
    out = io.StringIO()
    log = LineLog("INFO", out, out)
    log.say("hidden", {}, "DEBUG")
    log.set_level("DEBUG")
    log.say("shown", {}, "DEBUG")
    log.set_level("ERROR")
    log.say("hidden", {}, "WARN")
    assert out.getvalue() == "shown\n"


def test_each_line_is_flushed() -> None:
    """A line is with the nucleus as soon as it is said."""

    class Stream(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    out = Stream()
    log = LineLog("INFO", out, out)
    for _ in range(3):
        log.say("checked", {})
        assert out.flushed == len(out.getvalue())


def test_a_stream_that_takes_no_unicode() -> None:
    """Where the system's encoding lacks a character, the line is said with its code instead."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LineLog("INFO", stream, stream).say("checked", {"source": "/Prässe✓"})
    assert raw.getvalue() == rb"checked source=/Pr\xe4sse\u2713" + b"\n"


class Broken(io.StringIO):
    """A stream whose reader is gone, or that is closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space"), ValueError("closed")]
)
def test_a_stream_that_fails_stops_nothing(error: Exception) -> None:
    """A log that cannot be written to is no reason to end the watch."""
    broken, good = Broken(error), io.StringIO()
    log = LineLog("INFO", broken, good)
    log.say("lost", {})
    log.say("said", {}, "WARN")
    assert good.getvalue() == "said\n"


def test_a_closed_stream_stops_nothing() -> None:
    """A stream that was closed meanwhile is passed over."""
    closed = io.StringIO()
    closed.close()
    LineLog("INFO", closed, closed).say("lost", {})


CLOSED = """
import sys
from certkeeper.edge.logs import LineLog
log = LineLog()
for level in ("INFO", "ERROR"):
    log.say("said", {"stdout": sys.stdout is not None}, level)
"""


@pytest.mark.parametrize(
    ("redirection", "out", "err"),
    [
        ("", "said stdout=true\n", "said stdout=true\n"),
        (">&-", "", "said stdout=false\n"),
        ("2>&-", "said stdout=true\n", ""),
        (">&- 2>&-", "", ""),
        (">/dev/full", "", "said stdout=true\n"),
    ],
)
def test_streams_that_were_never_open(redirection: str, out: str, err: str) -> None:
    """A process started without standard output or error says what it can where it can."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CODE": CLOSED}
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -c "$CODE" {redirection}', sys.executable],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr.replace("\r", "").split("Exception ignored")[0]) == (
        out,
        err,
    )
