"""How far a deployment is, and when it is done. Pure: the watcher tells what it saw.

A deployment to a thing group has no end of its own: its job stays IN_PROGRESS and waits for
things that join. Here it is *done* when the job has reached every thing that is in the group
now and none of them is at it, or has it before it, any more. (AWS IoT Developer Guide, "Jobs
and job execution states"; docs/operations.md, "When it is done".)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from deployment.ports import Attempt, Counts, Job

SUCCEEDED, UNSUCCESSFUL, NOT_DEPLOYED, NOT_SEEN_TO_ITS_END, INTERRUPTED = 0, 1, 2, 3, 130


class Ending(Enum):
    """Why the watch is over; the value is the sentence that says so."""

    DONE = "done"
    EMPTY = "the group is empty: whatever joins it will get this deployment"
    CANCELED = "the deployment was canceled before it had reached every device"
    REPLACED = "another deployment has taken the place of this one"
    DELETED = "the deployment, or its job, has been deleted"
    QUIET = "no device has changed for too long"
    SIGNED_OUT = "the credentials are not accepted any more"
    REFUSED = "AWS does not let this be watched"

    @property
    def seen(self) -> bool:
        """Whether the deployment is over, as far as can be said; else only the watch is."""
        return self not in (Ending.QUIET, Ending.SIGNED_OUT, Ending.REFUSED)


def exit_code(ending: Ending, counts: Counts) -> int:
    """0 every device has it; 1 some do not, and will not by themselves; 3 it goes on unseen."""
    if not ending.seen:
        return NOT_SEEN_TO_ITS_END
    if ending in (Ending.DONE, Ending.EMPTY) and counts.unsuccessful == 0:
        return SUCCEEDED
    return UNSUCCESSFUL


def is_stopped(job: Job) -> bool:
    """Whether somebody or something has put an end to the job."""
    return job.status in ("CANCELED", "DELETION_IN_PROGRESS")


def is_settled(job: Job) -> bool:
    """Whether it is over for all that the job has reached; not whether it has reached all."""
    return job.counts.waiting == 0 and not job.rolling_out


# -- why a device failed ----------------------------------------------------------------
#
# The nucleus's own words, in the status details of its job execution. Classic (DeploymentService
# .java): "detailed-deployment-status", "deployment-failure-cause", "deployment-error-stack",
# "deployment-error-types"; "error" in old versions. Lite (iot_jobs_listener.c, 2.6) sends none.

_LEFT_BEHIND = {
    "FAILED_NO_STATE_CHANGE": "nothing was changed on it",
    "FAILED_ROLLBACK_COMPLETE": "it has gone back to what it ran before",
    "FAILED_ROLLBACK_NOT_REQUESTED": "it was left as it is, half changed",
    "FAILED_UNABLE_TO_ROLLBACK": "it could not go back: look at this device at once",
}
_WITHOUT_DETAILS = {
    "FAILED": "the device gives no reason (nucleus lite never does): see its log of deployments",
    "REJECTED": "the device rejected it, and gives no reason: see its log of deployments",
    "TIMED_OUT": "it did not finish within the deployment's time limit",
    "CANCELED": "canceled before the device had finished",
}
_LONGEST = 400


@dataclass(frozen=True)
class Failure:
    """A device on which the deployment did not succeed, and why, in printable words."""

    thing: str
    status: str
    reason: str


def failure_of(attempt: Attempt, details: Mapping[str, str]) -> Failure:
    """What is to be said of a device, from what it said itself; that is not to be trusted."""
    cause = details.get("deployment-failure-cause") or details.get("error") or ""
    codes = [
        code.strip() for code in details.get("deployment-error-stack", "").strip("[]").split(",")
    ]
    left = _LEFT_BEHIND.get(details.get("detailed-deployment-status", ""), "")
    said = " ".join(filter(None, (cause, f"[{codes[-1]}]" if codes[-1] else "")))
    reason = "; ".join(filter(None, (said, left)))
    if not reason or attempt.status == "TIMED_OUT":
        reason = _WITHOUT_DETAILS.get(attempt.status, attempt.status)
    return Failure(attempt.thing, attempt.status, printable(reason))


def printable(text: str) -> str:
    """In one line, at a length, and without what a terminal would take for a command."""
    line = " ".join(text.split())
    clean = "".join(character if character.isprintable() else "?" for character in line)
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 3] + "..."
