"""Whether the certificate of a report's sender is one of the thing's that it speaks for."""

from __future__ import annotations

from collections.abc import Sequence

from rotation_cloud import inventory
from rotation_cloud.doubts import Doubt, NotBelieved, Outdated
from rotation_cloud.ports import Cloud, NotFound, certificate_id_of
from rotation_cloud.records import Record
from rotation_cloud.reports import Report, is_retired


def attached_seen(cloud: Cloud, report: Report, rotations: Sequence[Record]) -> int:
    """When the sender's certificate was seen to be the thing's, in seconds since the epoch.

    The registry is asked once a week for each certificate, since every device reports once a day,
    and not for one that a rotation has just attached. Raises as ``attached``.
    """
    known, now = inventory.read(cloud, report.thing), cloud.clock.now()
    if known.is_attached(report.principal, now):
        return known.attached_seen
    for rotation in rotations:
        is_new = now - rotation.started <= inventory.ATTACHED_SECONDS
        if is_new and rotation.has_attached(report.principal):
            return rotation.started
    attached(cloud, report, rotations)
    return int(now)


def attached(cloud: Cloud, report: Report, rotations: Sequence[Record]) -> frozenset[str]:
    """The ids of the thing's certificates, the sender's among them.

    Raises NotBelieved if that is not among them, and Outdated if it was before a rotation.
    """
    try:
        principals = cloud.registry.principals(report.thing)
    except NotFound:
        principals = {}
    ids = frozenset(map(certificate_id_of, principals))
    if report.principal not in ids:
        if is_retired(report.principal, rotations):
            raise Outdated("the sender's certificate has been replaced since")
        raise NotBelieved(Doubt.NOT_ATTACHED, "")
    return ids
