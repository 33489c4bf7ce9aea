"""A point: one call of the traced program before which it may be killed.

Judges which calls are points, and names what each is about. A call is a point if it is about
a file outside the ignored places, a socket or a pipe, or starts a program or sends a signal.
Ignored are the machine's and the interpreter's own folders, /proc, /sys, /dev and /etc, and
whatever an import reads (``*.py``, ``*.pyc``, ``*.so``): killing a program there is killing
it at the point before. Further folders are the caller's to name. Descriptors of the process's
own machinery (eventfd, epoll, timerfd, memfd) are no points, and neither is a terminal.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lab.crash import kernel
from lab.crash.syscalls import Call

SYSTEM_FOLDERS = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib32", "/lib64", "/bin")
_IMPORTED = re.compile(r"/__pycache__(/|$)|/pyvenv\.cfg$|/python\d+\.zip$|\.py[co]?$|\.so(\.\d+)*$")
_AT_FDCWD = -100
_STANDARD_STREAMS = ("stdin", "stdout", "stderr")
_COMMAND_LENGTH = 80


@dataclass(frozen=True)
class Point:
    """One call, by its place in the count, and whose it is.

    ``process`` is the program itself (daemon) or one that it started (child); ``command``
    its command line, shortened; ``target`` the path, or what kind of stream it is.
    """

    index: int
    process: Literal["daemon", "child"]
    command: str
    call: str
    target: str

    def line(self) -> str:
        """The point as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    def __str__(self) -> str:
        return f"{self.index} {self.process} {self.call} {self.target}"


def read_points(path: Path) -> list[Point]:
    """The points that a tracer has written down. Raises OSError, ValueError, TypeError."""
    return [Point(**json.loads(line)) for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Begin:
    """Where counting begins: at the first such call whose path ends with the suffix."""

    suffix: str
    call: str = ""

    @classmethod
    def parse(cls, text: str) -> Begin:
        """``SUFFIX``, or ``CALL:SUFFIX`` for calls whose names begin so (``rename:x.json``)."""
        call, colon, suffix = text.partition(":")
        return cls(suffix, call) if colon else cls(text)

    def may_be(self, call: Call) -> bool:
        """False if it cannot be this call, whatever it is about."""
        return call.name.startswith(self.call)

    def at(self, call: Call, targets: Iterable[str]) -> bool:
        """Whether it is this call."""
        return self.may_be(call) and any(target.endswith(self.suffix) for target in targets)


@dataclass(frozen=True)
class Once:
    """Where counting begins: at the first call once somebody has made that file."""

    path: Path

    def may_be(self, _call: Call) -> bool:
        """See Begin."""
        return self.path.exists()

    def at(self, _call: Call, _targets: Iterable[str]) -> bool:
        """See Begin."""
        return self.path.exists()


class Judge:
    """Counts the points of one traced program."""

    def __init__(
        self,
        calls: dict[int, Call],
        *,
        ignore: Iterable[str] = (),
        begin: Begin | Once | None = None,
    ) -> None:
        """``ignore``: folders (or files) besides the usual ones. ``begin`` None: at once."""
        interpreter = (sys.prefix, sys.base_prefix)
        places = [*SYSTEM_FOLDERS, *interpreter, *(str(Path(path).absolute()) for path in ignore)]
        self._ignored = frozenset(places) | {os.path.realpath(place) for place in places}
        self._inside = (*(place + "/" for place in self._ignored), "/memfd:")
        self._calls = calls
        self._begin = begin
        self._count = 0
        self._commands: dict[int, tuple[int, str]] = {}
        self._peers: dict[str, str] = {}

    def point(self, root: int, thread: int) -> Point | None:
        """The point that a thread, stopped before its call, is at; None if it is at none.

        ``root`` is the process that is called the daemon. Raises ProcessLookupError if the
        thread is gone.
        """
        number, arguments = kernel.system_call(thread)
        call = self._calls[number]
        is_before = self._begin is not None and not self._begin.may_be(call)
        if is_before and not any(kind == "address" for kind, _ in call.subjects):
            return None  # of an address it is remembered whose it is
        targets = [
            target
            for kind, place in call.subjects
            if (target := self._target(kind, thread, arguments[place:]))
        ]
        if not call.counts_always and all(map(self._ignores, targets)):
            return None
        if self._begin is not None:
            if not self._begin.at(call, targets):
                return None
            self._begin = None
        self._count += 1
        process, command = self._whose(thread)
        return Point(
            index=self._count,
            process="daemon" if process == root else "child",
            command=command,
            call=call.name,
            target=" -> ".join(targets),
        )

    def forget(self, thread: int) -> None:
        """The thread has ended, or runs another program now."""
        self._commands.pop(thread, None)

    def _target(self, kind: str, thread: int, arguments: Sequence[int]) -> str | None:
        first = arguments[0]
        match kind:
            case "path":
                return self._path(thread, _AT_FDCWD, first)
            case "at":
                return self._path(thread, _signed(first), arguments[1])
            case "fd":
                return self._stream(thread, _signed(first))
            case "address":
                return self._peer(thread, _signed(first), arguments[1], arguments[2])
            case "family":
                return f"socket {_family(first)}"
            case _:
                return f"signal {_signed(arguments[1])}"

    def _path(self, thread: int, folder: int, address: int) -> str | None:
        try:
            name = os.fsdecode(kernel.text(thread, address))
            if not name:  # AT_EMPTY_PATH, as fstat is made of newfstatat
                return None
            if not name.startswith("/"):
                place = "cwd" if folder == _AT_FDCWD else f"fd/{folder}"
                name = f"{_link(thread, place)}/{name}"
        except OSError:
            return None  # the call is about to fail for the same reason
        return os.path.normpath(name)

    def _stream(self, thread: int, number: int) -> str | None:
        try:
            name = _link(thread, f"fd/{number}")
        except OSError:
            return None  # not open
        if name.startswith("/"):
            return name
        kind, _, _ = name.partition(":")
        if kind not in ("socket", "pipe"):
            return None
        if number < len(_STANDARD_STREAMS):
            return f"{_STANDARD_STREAMS[number]} ({kind})"
        return f"{kind} {self._peers[name]}" if name in self._peers else kind

    def _peer(self, thread: int, number: int, address: int, length: int) -> str | None:
        try:
            name = _link(thread, f"fd/{number}")
            peer = _address(kernel.memory(thread, address, min(length, 128)))
        except OSError:
            return None
        self._peers[name] = peer
        return f"socket {peer}"

    def _ignores(self, target: str) -> bool:
        return target.startswith("/") and (
            target in self._ignored
            or target.startswith(self._inside)
            or _IMPORTED.search(target) is not None
        )

    def _whose(self, thread: int) -> tuple[int, str]:
        """The thread's process, and its command line."""
        known = self._commands.get(thread)
        if known is None:
            try:
                status = Path(f"/proc/{thread}/status").read_text()
                words = Path(f"/proc/{thread}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError as error:
                raise ProcessLookupError(thread) from error
            process = int(status.partition("\nTgid:")[2].split(maxsplit=1)[0])
            program, *rest = (os.fsdecode(word) for word in words)
            known = process, " ".join([Path(program).name, *rest])[:_COMMAND_LENGTH]
            self._commands[thread] = known
        return known


def _link(thread: int, place: str) -> str:
    """What a link in a thread's folder says: a path, or a kind and a number as ``socket:[7]``."""
    return os.readlink(f"/proc/{thread}/{place}")  # noqa: PTH115  # most of them are no paths


def _signed(value: int) -> int:
    """A file descriptor as the kernel takes it: the lower half of the register, with a sign."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _family(number: int) -> str:
    try:
        return socket.AddressFamily(number).name
    except ValueError:
        return f"family {number}"


def _address(raw: bytes) -> str:
    """A socket's address (struct sockaddr) in words."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == socket.AF_UNIX:
        path = raw[2:]
        # A name that begins with NUL is abstract, and no file.
        named = b"@" + path[1:] if path[:1] == b"\0" else path
        return "unix:" + os.fsdecode(named.split(b"\0", 1)[0])
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntoa(raw[4:8])}:{struct.unpack_from('!H', raw, 2)[0]}"
    if family == socket.AF_INET6 and len(raw) >= 24:
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        return f"[{host}]:{struct.unpack_from('!H', raw, 2)[0]}"
    return _family(family)
