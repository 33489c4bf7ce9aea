"""Finds, among this process's own sockets, the one of an MQTT client, and kills it.

The Common Runtime shows nobody its sockets. So each client gets keep-alive times that no
other has (hours, so that they change nothing), and is known by them. Linux only: elsewhere
no socket is ever found.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_NUMBERS = itertools.count()
_BASE, _SPAN = 10_000, 20_000  # seconds; the kernel takes at most 32,767
_ESTABLISHED = 1  # tcp_info.tcpi_state


@dataclass(frozen=True)
class Mark:
    """Keep-alive times, in seconds, that one socket of the process has."""

    idle: int
    interval: int

    @classmethod
    def new(cls) -> Mark:
        """One that was not given before."""
        interval, idle = divmod(next(_NUMBERS), _SPAN)
        return cls(_BASE + idle, _BASE + interval % _SPAN)


@dataclass(frozen=True)
class TcpSocket:
    """An established TCP connection of this process: ``host:port`` of both ends."""

    local: str
    local_port: int
    peer: str
    peer_port: int
    descriptor: int


def find(mark: Mark) -> TcpSocket | None:
    """The established connection that bears the mark."""
    with _marked(mark) as found:
        return None if found is None else _describe(*found)


def abort(mark: Mark) -> TcpSocket | None:
    """Kill the socket that bears the mark as ``ss -K`` does, and give what it was.

    The peer gets a reset, the owner an error; nothing that was not sent yet is sent. None
    if there was no established connection; one that is only being made is killed as well.
    """
    with _marked(mark) as found:
        if found is None:
            return None
        described = _describe(*found)
        # connect(2): an address of AF_UNSPEC dissolves the association.
        ctypes.CDLL(None, use_errno=True).connect(found[1].fileno(), bytes(16), 16)
        return described


@contextmanager
def _marked(mark: Mark) -> Iterator[tuple[int, socket.socket] | None]:
    """The socket's descriptor, and a duplicate of the socket."""
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # numbers
    except FileNotFoundError:
        descriptors = []
    for descriptor in descriptors:
        duplicate = _duplicate(descriptor)
        if duplicate is not None:
            with duplicate:
                if _bears(duplicate, mark):
                    yield descriptor, duplicate
                    return
    yield None


def _duplicate(descriptor: int) -> socket.socket | None:
    """The runtime's own thread may close its descriptor at any time, this one it does not."""
    try:
        duplicate = os.dup(descriptor)
    except OSError:  # closed already
        return None
    if not stat.S_ISSOCK(os.fstat(duplicate).st_mode):
        os.close(duplicate)
        return None
    return socket.socket(fileno=duplicate)


def _bears(found: socket.socket, mark: Mark) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    times = [
        found.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
    ]
    return times == [mark.idle, mark.interval]


def _describe(descriptor: int, found: socket.socket) -> TcpSocket | None:
    with contextlib.suppress(OSError):
        if found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED:
            local, peer = found.getsockname(), found.getpeername()
            return TcpSocket(local[0], local[1], peer[0], peer[1], descriptor)
    return None
