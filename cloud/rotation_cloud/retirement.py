"""Taking a certificate out of the registry, in the order that AWS IoT wants.

Inactive first, so that it opens nothing from the first call on. Every step may be repeated,
and what is gone already is no error.
https://docs.aws.amazon.com/iot/latest/apireference/API_DeleteCertificate.html
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from rotation_cloud import notices
from rotation_cloud.documents import DENIED, Document
from rotation_cloud.ports import Cloud, InUse, NotFound, RecordChanged, certificate_id_of
from rotation_cloud.records import Record, Which
from rotation_cloud.security_events import Activity, SecurityEvent

#: Detaching a thing takes "several seconds" to take effect: how long to wait before each try of
#: DeleteCertificate. AWS lets an account make ten a second, so one that comes too soon is at the
#: cost of another device's.
#: https://docs.aws.amazon.com/iot/latest/apireference/API_DetachThingPrincipal.html
WAITS = (3, 5, 8, 12)
#: After so many refusals the thing is not the reason any more.
_POLICIES_AFTER = 3
_EXCLUSIVE = "EXCLUSIVE_THING"


def retire_as_decided(cloud: Cloud, record: Record) -> None:
    """Retires what the record says is to go. Raises AwsError: it may be repeated."""
    if record.retire is Which.NEW:
        if record.new is not None:
            retire(cloud, record.new_arn, record.policies, record.thing, record.job_id)
        if record.unsure:
            retire_strays(cloud, record)
        return
    if record.attachment != _EXCLUSIVE:
        try:
            others = [t for t in cloud.registry.things(record.old_arn) if t != record.thing]
        except NotFound:
            return
        if others:
            with suppress(NotFound):
                cloud.registry.detach_thing(record.old_arn, record.thing)
            notices.certificate_shared(
                cloud, record.thing, record.job_id, record.old_arn, ", ".join(others[:5])
            )
            cloud.audit.record(
                SecurityEvent(
                    Activity.CERTIFICATE_KEPT,
                    record.thing,
                    job_id=record.job_id,
                    certificate_id=record.old or "",
                    reason="shared",
                )
            )
            return
    retire(cloud, record.old_arn, record.policies, record.thing, record.job_id)


def retire(cloud: Cloud, arn: str, policies: Iterable[str], thing: str, job_id: str = "") -> None:
    """Deactivates, detaches and deletes the certificate. Raises AwsError: it may be repeated.

    ``job_id`` is the rotation's for which it goes, if it goes for one.
    """
    registry = cloud.registry
    if cloud.registers:
        _deny(cloud, arn)
    try:
        registry.deactivate(arn)
    except NotFound:
        return
    # Said here and not at the end: from now on it opens nothing, and what follows may be repeated.
    cloud.audit.record(
        SecurityEvent(
            Activity.CERTIFICATE_RETIRED,
            thing,
            job_id=job_id,
            certificate_id=certificate_id_of(arn),
        )
    )
    _detach_policies(cloud, arn, policies)
    with suppress(NotFound):
        registry.detach_thing(arn, thing)
    with suppress(NotFound):
        _delete(cloud, arn)


def _deny(cloud: Cloud, arn: str) -> None:
    """What is deleted and signed by a CA with auto-registration would come back when its key is
    used again, by the device or by a thief: it is not to be let in."""
    certificate_id = certificate_id_of(arn)
    if cloud.documents.get(certificate_id, DENIED) is None:
        with suppress(RecordChanged):
            cloud.documents.write(Document(certificate_id, DENIED, {"why": "it was retired"}))


def retire_strays(cloud: Cloud, record: Record) -> bool:
    """Retires what was made for the record and never noted; whether there was any.

    Only what is attached to no thing: a device may have asked with the key that it uses.
    """
    keys = {record.public_key, *record.superseded}
    strays = [arn for arn in cloud.registry.stray(keys, record.started) if arn != record.old_arn]
    for arn in strays:
        retire(cloud, arn, (), record.thing, record.job_id)
    return bool(strays)


def _delete(cloud: Cloud, arn: str) -> None:
    *waits, last = WAITS
    for refusals, wait in enumerate(waits, start=1):
        cloud.clock.sleep(wait)
        try:
            return cloud.registry.delete(arn)
        except InUse:
            if refusals == _POLICIES_AFTER:  # policies that were attached since they were noted
                _detach_policies(cloud, arn, cloud.registry.policies(arn))
    cloud.clock.sleep(last)
    return cloud.registry.delete(arn)


def _detach_policies(cloud: Cloud, arn: str, policies: Iterable[str]) -> None:
    for policy in policies:
        with suppress(NotFound):
            cloud.registry.detach_policy(arn, policy)
