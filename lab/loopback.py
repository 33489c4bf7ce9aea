"""Where the lab's servers listen."""

from __future__ import annotations

import socket

ADDRESS = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A TCP socket on that port of the loopback, 0 for a free one; it does not listen yet."""
    # asyncio switches Nagle's algorithm off only for sockets that say that they are TCP's.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((ADDRESS, port))
    return made
