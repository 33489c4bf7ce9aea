"""What the monitor remembers across restarts: clock, alerts sent, messages waiting.

It is one value, saved as a whole, so that an alert is remembered as raised in the same
instant in which it begins to wait for delivery: no crash can lose it or raise it twice.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rotation_protocol.fields import parse_time, time_text
from rotation_protocol.values import dataclass

VERSION = 1
#: Two a day for every watched certificate would take weeks offline to get here.
MAX_WAITING = 200


class RecordError(ValueError):
    """A record that cannot be understood; says why."""


@dataclass(frozen=True)
class Message:
    """A message that waits to be published. A newer one with the same ``key`` replaces it."""

    key: str
    topic: str
    payload: str


@dataclass(frozen=True)
class Record:
    """``newest_seen``: the newest trusted time; ``alerted``: when each rung was last alerted;
    ``last_health``: the health message of the last check, as it was published."""

    newest_seen: datetime | None = None
    alerted: tuple[tuple[str, datetime], ...] = ()
    waiting: tuple[Message, ...] = ()
    last_health: str | None = None

    @property
    def memory(self) -> Mapping[str, datetime]:
        """``alerted`` by key."""
        return dict(self.alerted)

    def with_waiting(self, *messages: Message) -> Record:
        """The record with these messages last in line; beyond MAX_WAITING the oldest go."""
        keys = {message.key for message in messages}
        kept = tuple(message for message in self.waiting if message.key not in keys)
        return replace(self, waiting=(kept + messages)[-MAX_WAITING:])

    def left_out(self, then: Record) -> int:
        """How many messages that waited here were given up for want of room in ``then``."""
        keys = {message.key for message in then.waiting}
        return sum(1 for message in self.waiting if message.key not in keys)

    def without(self, sent: Message) -> Record:
        """The record once ``sent`` has been delivered. One that replaced it meanwhile stays."""
        return replace(self, waiting=tuple(m for m in self.waiting if m != sent))


def encode(record: Record) -> bytes:
    """The record as the file's content."""
    fields = {
        "version": VERSION,
        "newestSeen": time_text(record.newest_seen) if record.newest_seen else None,
        "alerted": {key: time_text(at) for key, at in record.alerted},
        "waiting": [{"key": m.key, "topic": m.topic, "payload": m.payload} for m in record.waiting],
        "lastHealth": record.last_health,
    }
    return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode()


def decode(content: bytes) -> Record:
    """The record in the file's content. Raises RecordError."""
    try:
        fields: dict[str, Any] = json.loads(content)
        if fields["version"] != VERSION:
            raise RecordError(f"its version is {fields['version']!r}, not {VERSION}")
        if fields.pop("checksum") != _checksum(fields):
            raise RecordError("its checksum does not fit: it has been damaged")
        newest = fields["newestSeen"]
        return Record(
            newest_seen=None if newest is None else parse_time(newest),
            alerted=tuple((str(key), parse_time(at)) for key, at in fields["alerted"].items()),
            waiting=tuple(
                Message(str(m["key"]), str(m["topic"]), str(m["payload"]))
                for m in fields["waiting"]
            ),
            last_health=fields["lastHealth"],
        )
    except RecordError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"it is not a record ({type(error).__name__})") from None


def _checksum(fields: Mapping[str, Any]) -> int:
    """CRC-32, so that a file with a damaged date or payload is refused as a whole."""
    return binascii.crc32(json.dumps(fields).encode())
