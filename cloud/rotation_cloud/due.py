"""Whether a workflow is to replace a certificate: the first thing that it asks, at each attempt.

Who started it may be late, or wrong: an alert that waited on a device's disk, a second workflow,
an operator's slip. What speaks against it ends the workflow, and is no failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from rotation_cloud import inventory
from rotation_cloud.ports import Cloud, NotFound, certificate_id_of
from rotation_cloud.records import Record
from rotation_protocol.jobs import ROTATE


class NotDue(StrEnum):
    """Why there is nothing to do."""

    NO_SUCH_THING = "no-such-thing"
    NOT_ATTACHED = "not-attached"  # the certificate is not the thing's (any more)
    NOT_ACTIVE = "not-active"  # it opens nothing, so the device cannot be asked over it
    REPLACED = "replaced"  # a rotation has replaced it since
    NOT_IN_USE = "not-in-use"  # the device was last heard with another one
    UNDER_WAY = "rotation-under-way"


def why_not(cloud: Cloud, thing: str, certificate_id: str) -> NotDue | None:
    """None if it is due. Raises AwsError.

    AWS IoT is asked about the certificate unless the device was heard with it lately: a job that
    is made in vain does no harm, and its quotas are for the rotations.
    """
    heard, now = inventory.read(cloud, thing), cloud.clock.now()
    is_vouched = heard.is_attached(certificate_id, now) and heard.is_in_use(certificate_id, now)
    if not is_vouched:
        try:
            attached = cloud.registry.principals(thing)
        except NotFound:
            return NotDue.NO_SUCH_THING
        if certificate_id not in map(certificate_id_of, attached):
            return NotDue.NOT_ATTACHED
    records = cloud.records.of_thing(thing)
    if heard.principal and all(heard.heard_at > record.ended for record in records):
        if heard.principal != certificate_id:
            return NotDue.NOT_IN_USE
    elif any(record.old == certificate_id and record.keeps_new for record in records):
        return NotDue.REPLACED
    if rotation_under_way(cloud, thing):
        return NotDue.UNDER_WAY
    if not (is_vouched or cloud.registry.is_active(certificate_id)):
        return NotDue.NOT_ACTIVE
    return None


def is_new(
    certificate_id: str | None, deadline: float, rotations: Iterable[Record], now: float
) -> bool:
    """Whether a rotation has issued the certificate, and it is not in the last third of its life.

    For whoever goes by the days that are left: a certificate with a short life is not to be
    replaced day after day (docs/decisions/0016).
    """
    issued = [one.started for one in rotations if certificate_id == one.new == one.kept]
    return bool(issued) and deadline - now > (deadline - max(issued)) / 3


def rotation_under_way(cloud: Cloud, thing: str, apart_from: str = "") -> bool:
    """Whether a rotation job waits for the thing or is in progress, beside that one."""
    for pending in cloud.jobs.pending(thing):
        if pending == apart_from:
            continue
        execution = cloud.jobs.execution(thing, pending)
        if execution is not None and not execution.ended and execution.operation == ROTATE:
            return True
    return False
