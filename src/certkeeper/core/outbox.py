"""When the next waiting message is handed to the nucleus: one at a time, with a growing wait.

What waits is the record's; this is only the pace. A message is handed over again until
the nucleus took it, over restarts too, so it arrives once or, if the power went just
then, twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from certkeeper.core.backoff import Backoff
from certkeeper.core.record import Message
from rotation_protocol.values import dataclass

BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=15))
#: Longer than any answer of the nucleus takes; then the message is handed over again.
ANSWER_TIMEOUT = 30.0


@dataclass(frozen=True)
class Outbox:
    """Times are monotonic seconds. ``sending`` is what the nucleus has not answered yet."""

    connected: bool = False
    sending: Message | None = None
    sending_since: float = 0.0
    failures: int = 0
    send_at: float = 0.0

    def wake_at(self, waiting: tuple[Message, ...]) -> float | None:
        """When ``begin`` wants to be asked again."""
        if self.sending is not None:
            return self.sending_since + ANSWER_TIMEOUT
        return self.send_at if self.connected and waiting else None

    def is_unanswered(self, now: float) -> bool:
        """Whether the nucleus has kept silent for too long about what it was handed."""
        return self.sending is not None and now >= self.sending_since + ANSWER_TIMEOUT

    def begin(self, waiting: tuple[Message, ...], now: float) -> tuple[Outbox, Message | None]:
        """The message to hand over now, if it is time for one."""
        if not self.connected or self.sending is not None or not waiting or now < self.send_at:
            return self, None
        return replace(self, sending=waiting[0], sending_since=now), waiting[0]

    def opened(self, now: float) -> Outbox:
        """The connection to the nucleus is there: whatever waits is tried at once."""
        return replace(self, connected=True, failures=0, send_at=now)

    def closed(self) -> Outbox:
        """The connection is gone, and with it the answer to what was handed over."""
        return replace(self, connected=False, sending=None)

    def delivered(self, message: Message, now: float) -> Outbox:
        """The nucleus took ``message``."""
        sending = None if self.sending == message else self.sending
        return replace(self, sending=sending, failures=0, send_at=now)

    def failed(self, now: float, seed: str) -> tuple[Outbox, float]:
        """The nucleus did not take what it was handed: also how many seconds to wait."""
        failures = self.failures + 1
        wait = BACKOFF.delay(failures, seed).total_seconds()
        return replace(self, sending=None, failures=failures, send_at=now + wait), wait
