"""How the nucleus is made to use the pair that its paths lead to.

Classic reads the files once: only a restart of its service helps. Nucleus lite's iotcored
reads them at each connect: it is enough that its connection breaks, and subscriptions
survive that. (Measured; a restart of the iotcored process alone would leave every
component's subscription silently deaf.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from certkeeper.edge import command
from certkeeper.edge.command import CommandError
from certkeeper.edge.dead_man import NUCLEUS
from rotation_protocol.values import dataclass

#: The process of nucleus lite that holds the connection to AWS IoT.
CONNECTED_PROCESS = "iotcored"
#: ``Recv-Q Send-Q Local:Port Peer:Port users:(("name",pid=1,fd=2),...)``, as ss(8) writes it.
_LINE = re.compile(r"\s*\d+\s+\d+\s+(\S+):(\d+)\s+(\S+:\d+)\s+users:\((.*)\)\s*")


class SupervisorError(Exception):
    """The nucleus could not be made to use the pair; says why."""


@dataclass(frozen=True)
class Means:
    """What was done. ``restarts_us``: it ends this process too, at any moment now."""

    name: str
    restarts_us: bool


def reconnect(runtime: str, strength: int) -> Means:
    """Make the nucleus ("classic" or "lite") use what its configured paths lead to.

    With strength 0 the least that may do it is done, with more what is sure to. It does not wait
    for the nucleus. Raises SupervisorError.
    """
    broken = "" if runtime != "lite" or strength > 0 else _break_connections()
    if broken:
        return Means(broken, restarts_us=False)
    try:
        command.run("systemctl", "--no-block", "restart", NUCLEUS[runtime])
    except CommandError as error:
        raise SupervisorError(str(error)) from error
    # A component of either nucleus ends with it: as a child, or as PartOf= its target.
    return Means(f"restart of {NUCLEUS[runtime]}", restarts_us=True)


def _break_connections() -> str:
    """What was done to the connections of iotcored; empty if none is known to be broken.

    A kernel without INET_DIAG_DESTROY does not do it, and ss does not say so: they are looked
    for again.
    """
    try:
        before = set(_connections())
        if not before:
            return ""
        for _, port, _ in before:
            command.run("ss", "-K", "-tn", "sport", "=", f":{port}")
        left = before & set(_connections())
    except CommandError:
        return ""
    return "" if left else f"break of {len(before)} connection(s) of {CONNECTED_PROCESS}"


def _connections() -> Iterator[tuple[str, str, str]]:
    """Local address, local port and peer of each. Raises CommandError."""
    for line in command.run("ss", "-Htnp", "state", "established").splitlines():
        found = _LINE.fullmatch(line)
        if found and f'("{CONNECTED_PROCESS}",' in found[4]:
            yield found[1], found[2], found[3]
