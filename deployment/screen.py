"""What a person sees: in a terminal with a bar that moves, elsewhere line by line.

Terminals are rich's affair (https://rich.readthedocs.io): whether there is one, how wide it is,
which colours it has (``NO_COLOR``). Whatever came from AWS or a device is printed as it is, never
as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from deployment.ports import Counts
from deployment.progress import Ending, Failure
from deployment.watching import MOST_REASONS, Clock, Ended

_BAR = 40
#: A line at least this often where there is no terminal: some runners kill what is silent.
_HEARTBEAT = 300.0

_COLOURS = {"+": "green", "-": "red", "~": "yellow"}


class Screen:
    """See watching.Display, and the steps before it."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._since = self._spoken = clock.monotonic()
        self._counts: Counts | None = None
        self._rolling_out = False
        self._expected = 0
        self._trouble = ""

    def say(self, text: str = "", style: str = "") -> None:
        """One line, or several."""
        self._console.print(
            Text(text, style=style), soft_wrap=not self._console.is_terminal, highlight=False
        )

    def step(self, text: str) -> None:
        """Something that was looked at, and is as it should be."""
        self._console.print(
            Text.assemble((self._mark("\u2713", "ok"), "green"), " ", text),
            soft_wrap=not self._console.is_terminal,
        )

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self.say(f"! {text}", "yellow")

    def changes(self, lines: Iterable[str], unchanged: str) -> None:
        """What the new deployment changes, and what it keeps."""
        for line in lines:
            self.say(f"    {line}", _COLOURS.get(line[:1], ""))
        if unchanged:
            self.say(f"    = as it is: {unchanged}", "dim")

    # -- while it is watched -----------------------------------------------------------

    @contextmanager
    def watching(self, expected: int) -> Iterator[None]:
        """Within it, the lower end of a terminal shows how far it is, of the devices expected."""
        self._expected = expected
        self._since = self._spoken = self._clock.monotonic()
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            try:
                yield
            finally:
                self._live = None

    def progress(self, counts: Counts, *, rolling_out: bool) -> None:
        news = counts != self._counts or self._trouble
        self._counts, self._rolling_out, self._trouble = counts, rolling_out, ""
        if self._live is not None:
            self._live.update(self._block(), refresh=True)
        elif news or self._clock.monotonic() - self._spoken >= _HEARTBEAT:
            self._line(", ".join(_numbers(counts, rolling_out)))

    def failure(self, failure: Failure) -> None:
        mark = self._mark("\u2717", "!!")
        words = f"{failure.thing} {failure.status}: {failure.reason}"
        if self._console.is_terminal:
            self._console.print(Text(f"{mark} {words}", style="red"))
        else:
            self._line(f"{mark} {words}")

    def trouble(self, text: str, seconds: float) -> None:
        self._trouble = f"{text}: asking again in {seconds:.0f} s"
        if self._live is not None:
            self._live.update(self._block(), refresh=True)
        else:
            self._line(f"! {self._trouble}")

    def _line(self, text: str) -> None:
        self._spoken = self._clock.monotonic()
        self.say(f"{self._clock.now():%H:%M:%S}Z  {text}")

    def _block(self) -> Group:
        lines = []
        if self._counts is not None:
            passed = int(self._clock.monotonic() - self._since)
            everybody = max(self._counts.devices, self._expected)
            lines.append(
                Text.assemble(
                    _bar(
                        self._counts,
                        everybody,
                        *self._mark("\u2588 \u2592 \u2591", "# = .").split(),
                    ),
                    f"  {self._counts.devices - self._counts.waiting} of {everybody}",
                    (f"  {passed // 3600}:{passed // 60 % 60:02}:{passed % 60:02}", "dim"),
                )
            )
            lines.append(Text("  ".join(_numbers(self._counts, self._rolling_out))))
        if self._trouble:
            lines.append(Text(f"! {self._trouble}", style="yellow"))
        else:
            lines.append(Text("Ctrl-C stops watching, not the deployment", style="dim"))
        return Group(*lines)

    def _mark(self, sign: str, plain: str) -> str:
        return sign if self._console.encoding.startswith("utf") else plain

    # -- at the end --------------------------------------------------------------------

    def summary(self, ended: Ended, name: str, hints: Sequence[str]) -> None:
        """How it ended; ``name`` is the deployment's, ``hints`` are commands that may follow."""
        counts = ended.counts
        style = {0: "green", 1: "red"}.get(ended.exit_code, "yellow")
        if ended.ending is Ending.DONE:
            many = f"{counts.succeeded} of {counts.devices} devices"
            self.say(f"{name}: {many} {'has' if counts.succeeded == 1 else 'have'} it", style)
        else:
            detail = f" ({ended.detail})" if ended.detail else ""
            self.say(f"{name}: {ended.ending.value}{detail}", style)
            if counts.devices:
                self.say("  " + ", ".join(_numbers(counts, False)))
        if ended.failures:
            named = [failure.thing for failure in ended.failures[:MOST_REASONS]]
            more = counts.unsuccessful - len(named)
            rest = f", and {more} more" if more > 0 else ""
            self.say(f"  without it: {', '.join(named)}{rest}")
        for attempt in ended.waiting:
            self.say(f"  {attempt.thing} is still {attempt.status}")
        if len(ended.waiting) < counts.waiting and ended.waiting:
            self.say(f"  and {counts.waiting - len(ended.waiting)} more")
        for hint in hints:
            self.say(f"  {hint}", "dim")


def _numbers(counts: Counts, rolling_out: bool) -> list[str]:
    """The states in which there are devices, in words."""
    words = {
        "queued": counts.queued,
        "in progress": counts.in_progress,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "timed out": counts.timed_out,
        "rejected": counts.rejected,
        "canceled": counts.canceled,
        "left the group": counts.removed,
    }
    always = ("queued", "in progress", "succeeded", "failed")
    said = [f"{word} {number}" for word, number in words.items() if number or word in always]
    return [*said, "more to come"] if rolling_out else said


def _bar(counts: Counts, everybody: int, full: str, half: str, empty: str) -> Text:
    """A bar of coloured parts, each as long as its share of the devices."""
    parts = (
        (counts.succeeded, full, "green"),
        (counts.unsuccessful, full, "red"),
        (counts.in_progress, half, "yellow"),
        (counts.queued, empty, "dim"),
    )
    bar, done, reached = Text(), 0, 0
    for number, sign, style in parts:
        done += number
        upto = round(_BAR * done / everybody) if everybody else 0
        bar.append(sign * (upto - reached), style)
        reached = upto
    return bar.append(empty * (_BAR - reached), "dim")
