"""The dead-man's switch: a timer of systemd's that goes back to the old pair if nobody commits.

It needs neither this process nor Python: a shell script in the store, written when the
switch is armed, and started by a transient timer. A reboot ends the timer; then the journal
says what to do (docs/decisions/0006).
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from certkeeper.edge import command, durable, file_store
from certkeeper.edge.command import CommandError

UNIT = "certkeeper-dead-man"
#: What is restarted so that the nucleus reads the old pair.
NUCLEUS = {"classic": "greengrass.service", "lite": "greengrass-lite.target"}
#: systemctl's exit code for a unit that is not there (systemctl(1), after the LSB).
_NOT_THERE = 5
_NEEDED = ("ln", "mv", "readlink", "rm", "sync", "systemctl")

#: ``mv -T`` renames over the link; without -T it would move into the folder that it leads to.
#: Where mv has no -T, ``ln -sfn`` does it, with an instant in which there is no link.
_SCRIPT = """\
#!/bin/sh
# Goes back from the certificate in slot {new} to the one in slot {old}, unless it was committed.
PATH={path}
export PATH
cd {folder} || exit 0
[ "$(readlink {current})" = {new} ] || exit 0
[ ! -e {mark} ] || exit 0
[ -s {old}/{certificate} ] && [ -s {old}/{private_key} ] || exit 0
rm -f {link}
ln -s {old} {link}
mv -T -f {link} {current} || ln -sfn {old} {current} || exit 1
rm -f {link}
sync .
exec systemctl --no-block restart {nucleus}
"""


class DeadManError(Exception):
    """The switch could not be armed or disarmed; says why."""


def arm(folder: Path, old_slot: str, new_slot: str, seconds: int, runtime: str) -> None:
    """In ``seconds`` from now, go back from the new slot to the old one and restart the nucleus,
    unless there is a commit mark then, or ``current`` names another slot.

    ``folder`` is the store's, ``runtime`` is "classic" or "lite". A switch that is armed already
    is armed anew. The caller has removed the mark of an earlier rotation. Raises DeadManError.
    """
    for name in _NEEDED:
        if shutil.which(name) is None:
            raise DeadManError(f"there is no {name} on the path")
    script = folder.absolute() / file_store.DEAD_MAN
    _stop(".timer")
    try:
        durable.write(script, _script(script.parent, old_slot, new_slot, runtime), 0o700)
    except OSError as error:
        raise DeadManError(f"{script}: {error.strerror or error}") from error
    try:
        command.run(
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={UNIT}",
            f"--on-active={seconds}",
            "--timer-property=AccuracySec=1s",
            "/bin/sh",
            str(script).replace("$", "$$"),  # systemd would put variables there
        )
    except CommandError as error:
        raise DeadManError(str(error)) from error


def disarm() -> None:
    """Stop the timer, which need not be there. Raises DeadManError.

    The caller has written the commit mark first: a script that starts in between does nothing. One
    that had started is stopped too, but may have gone back already: ``current`` tells.
    """
    _stop(".timer")
    _stop(".service")


def _stop(kind: str) -> None:
    try:
        command.run("systemctl", "stop", UNIT + kind)
    except CommandError as error:
        if error.code != _NOT_THERE:
            raise DeadManError(str(error)) from error


def _script(folder: Path, old: str, new: str, runtime: str) -> bytes:
    text = _SCRIPT.format(
        path=shlex.quote(os.environ.get("PATH", os.defpath)),
        folder=shlex.quote(str(folder)),
        old=old,
        new=new,
        current=file_store.CURRENT,
        link=file_store.DEAD_MAN_LINK,
        mark=file_store.COMMIT_MARK,
        certificate=file_store.CERTIFICATE,
        private_key=file_store.PRIVATE_KEY,
        nucleus=NUCLEUS[runtime],
    )
    return os.fsencode(text)
