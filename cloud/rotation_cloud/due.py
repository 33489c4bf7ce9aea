"""Whether a workflow is to replace a certificate: the first thing that it asks, at each attempt.

Who started it may be late, or wrong: an alert that waited on a device's disk, a second workflow,
an operator's slip. What speaks against it ends the workflow, and is no failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rotation_cloud.in_use import last_heard
from rotation_cloud.ports import Cloud, NotFound
from rotation_protocol.jobs import ROTATE


class NotDue(StrEnum):
    """Why there is nothing to do."""

    NO_SUCH_THING = "no-such-thing"
    NOT_ATTACHED = "not-attached"  # the certificate is not the thing's (any more)
    NOT_ACTIVE = "not-active"  # it opens nothing, so the device cannot be asked over it
    REPLACED = "replaced"  # a rotation has replaced it since
    NOT_IN_USE = "not-in-use"  # the device was last heard with another one
    UNDER_WAY = "rotation-under-way"


@dataclass(frozen=True)
class Judgement:
    """``thing_arn`` if it is due, else ``reason``."""

    thing_arn: str = ""
    reason: NotDue | None = None


def judge(cloud: Cloud, thing: str, certificate_id: str) -> Judgement:
    """Raises AwsError."""
    try:
        attached = cloud.registry.principals(thing)
    except NotFound:
        return Judgement(reason=NotDue.NO_SUCH_THING)
    arns = [arn for arn in attached if arn.partition(":cert/")[2] == certificate_id]
    if not arns:
        return Judgement(reason=NotDue.NOT_ATTACHED)
    (arn,) = arns
    records = cloud.records.of_thing(thing)
    heard = last_heard(cloud, thing)
    if heard is not None and all(heard.at > record.ended for record in records):
        if heard.certificate_id != certificate_id:
            return Judgement(reason=NotDue.NOT_IN_USE)
    elif any(record.old == certificate_id and record.keeps_new for record in records):
        return Judgement(reason=NotDue.REPLACED)
    if rotation_under_way(cloud, thing):
        return Judgement(reason=NotDue.UNDER_WAY)
    if not cloud.registry.is_active(arn):
        return Judgement(reason=NotDue.NOT_ACTIVE)
    return Judgement(thing_arn=f"{arn.partition(':cert/')[0]}:thing/{thing}")


def rotation_under_way(cloud: Cloud, thing: str, apart_from: str = "") -> bool:
    """Whether a rotation job waits for the thing or is in progress, beside that one."""
    for pending in cloud.jobs.pending(thing):
        if pending == apart_from:
            continue
        execution = cloud.jobs.execution(thing, pending)
        if execution is not None and not execution.ended and execution.operation == ROTATE:
            return True
    return False
