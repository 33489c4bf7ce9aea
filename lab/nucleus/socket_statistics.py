"""``ss`` of a device, of the one socket that matters: the nucleus's connection to AWS IoT.

Served are the TCP table with ``state``, ``sport`` and ``dport`` filters joined by ``and``,
and ``-K``. Left out: other tables, other filters, and columns as wide as the terminal.

Format and messages: iproute2 6.1; ``ss -K`` is silent where the kernel was built without
INET_DIAG_DESTROY.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.nucleus.stand_ins.wire import Answer
from lab.nucleus.tcp_socket import TcpSocket

# The shown process is none of this machine: the lab's own must not be taken for the nucleus.
PROCESS_ID = 4_194_304  # PID_MAX_LIMIT, which no process has
_FLAGS = frozenset("HtnpKaeO46")
_LONG = {
    "--no-header": "H",
    "--tcp": "t",
    "--numeric": "n",
    "--processes": "p",
    "--kill": "K",
    "--all": "a",
    "--extended": "e",
    "--oneline": "O",
    "--ipv4": "4",
    "--ipv6": "6",
}
_STATES = frozenset({"established", "connected", "synchronized", "all", "big"})


class _Refused(Exception):
    """What ss does not understand, in its words; the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(code, errors=f"{message}\n")


def socket_statistics(
    arguments: Sequence[str],
    *,
    process: str,
    socket: TcpSocket | None,
    kill: Callable[[], TcpSocket | None],
) -> Answer:
    """What ``ss`` with these arguments does; ``process`` is who has ``socket``."""
    try:
        flags, words = _parse(arguments)
        state, ports = _filter(words)
    except _Refused as refused:
        return refused.answer
    output = "" if "H" in flags else _header(state, flags)
    if socket is not None and _selects(flags, ports, socket):
        killed = kill() if "K" in flags else socket
        if killed is not None:
            output += _line(killed, state, process if "p" in flags else None)
    return Answer(output=output)


def _parse(arguments: Sequence[str]) -> tuple[set[str], list[str]]:
    flags: set[str] = set()
    words: list[str] = []
    for argument in arguments:
        if argument in _LONG:
            flags.add(_LONG[argument])
        elif argument.startswith("--"):
            raise _Refused(255, f"ss: unrecognized option '{argument}'")
        elif argument.startswith("-"):
            for flag in argument[1:]:
                if flag not in _FLAGS:
                    raise _Refused(255, f"ss: invalid option -- '{flag}'")
                flags.add(flag)
        else:
            words.extend(argument.replace("(", " ").replace(")", " ").split())
    return flags, words


def _filter(words: list[str]) -> tuple[str | None, list[tuple[str, int]]]:
    """The state that is asked for, and which end is to have which port."""
    state: str | None = None
    ports: list[tuple[str, int]] = []
    rest = [word for word in words if word not in ("and", "&", "&&")]
    while rest:
        match rest:
            case ["state", name, *rest]:
                if name not in _STATES:
                    raise _Refused(255, f"ss: wrong state name: {name}")
                state = name
            case ["sport" | "dport" as end, "=" | "==" | "eq", port, *rest] if port.lstrip(
                ":"
            ).isdecimal():
                ports.append((end, int(port.lstrip(":"))))
            case [word, *_]:
                raise _Refused(
                    1,
                    f'Error: an inet prefix is expected rather than "{word}".\n'
                    "Cannot parse dst/src address.",
                )
    return state, ports


def _selects(flags: set[str], ports: list[tuple[str, int]], socket: TcpSocket) -> bool:
    if "6" in flags and ":" not in socket.local:
        return False
    has = {"sport": socket.local_port, "dport": socket.peer_port}
    return all(has[end] == port for end, port in ports)


def _header(state: str | None, flags: set[str]) -> str:
    first = "" if state == "established" else "State "
    last = " Process" if "p" in flags else ""
    return f"{first}Recv-Q Send-Q Local Address:Port  Peer Address:Port{last}\n"


def _line(socket: TcpSocket, state: str | None, process: str | None) -> str:
    # The column of the state is there unless only one can be.
    first = "" if state == "established" else "ESTAB "
    ends = f"{socket.local}:{socket.local_port} {socket.peer}:{socket.peer_port}"
    last = ""
    if process is not None:
        last = f'users:(("{process}",pid={PROCESS_ID},fd={socket.descriptor}))'
    return f"{first}0      0      {ends} {last}\n"
