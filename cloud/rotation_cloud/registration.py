"""A certificate of an own CA is presented for the first time: the device is let in, or not.

AWS IoT has registered it PENDING_ACTIVATION and refused the connection; it says so again at each
further try of the device, so whatever fails is tried again by that alone. Activating comes last:
until then the certificate opens nothing. A refusal changes nothing either, so that a device is
let in as soon as the reason is gone; people hear of it once a day.
https://docs.aws.amazon.com/iot/latest/developerguide/auto-register-device-cert.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from rotation_cloud import admission, documents, notices
from rotation_cloud.admission import NotAdmitted, Reason
from rotation_cloud.documents import Document
from rotation_cloud.ports import (
    AwsError,
    Cloud,
    NotFound,
    RecordChanged,
    Registered,
    certificate_id_of,
)
from rotation_cloud.records import LEASE_SECONDS
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_protocol.fields import Fields

_log = logging.getLogger(__name__)
_PENDING, _ACTIVE = "PENDING_ACTIVATION", "ACTIVE"
_EXCLUSIVE = "EXCLUSIVE_THING"
_DAY = 24 * 3600


@dataclass(frozen=True)
class Terms:
    """On which terms an operator lets devices in (the parameters in cloud/template.yaml)."""

    policy: str
    ca_id: str = ""  # empty: any CA with auto-registration
    name_attribute: str = "CN"
    creates_things: bool = True
    replaces: bool = False  # a thing's ACTIVE certificate by a new one

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Terms:
        """From the function's environment."""
        return cls(
            policy=environment["DEVICE_POLICY_NAME"],
            ca_id=environment["REGISTRATION_CA_ID"],
            name_attribute=environment["REGISTRATION_NAME_ATTRIBUTE"],
            creates_things=environment["REGISTRATION_THINGS"] == "create",
            replaces=environment["REGISTRATION_OF_THING_IN_USE"] == "replace",
        )


class BeingRegistered(Exception):
    """Another certificate is being registered for the thing: to be looked at again soon."""


def register(cloud: Cloud, terms: Terms, event: Mapping[str, Any]) -> None:
    """Serves the event of a certificate that waits for its activation.

    Only the certificate's id is taken from it; all else is asked of the registry. Raises
    WireError, AwsError, RecordChanged or BeingRegistered if the event is to come again.
    """
    certificate_id = Fields(event).required("certificateId", str)
    try:
        found = cloud.registry.registered(certificate_id)
    except NotFound:
        _log.warning("registration-gone certificate=%s", certificate_id)
        return
    if found.status != _PENDING:  # let in by now, or shut out by an operator
        _log.info("registration-over certificate=%s %s", certificate_id, found.status)
        return
    try:
        thing = _admitted(cloud, terms, certificate_id, found)
        _claim(cloud, thing, certificate_id)
        _let_in(cloud, terms, thing, certificate_id, found.arn)
    except NotAdmitted as refusal:
        _refuse(cloud, certificate_id, refusal)


def _admitted(cloud: Cloud, terms: Terms, certificate_id: str, found: Registered) -> str:
    """The name of the thing as which the certificate may come in. Raises NotAdmitted."""
    ca = _ca(cloud, terms, found)
    leaf = admission.check(found.pem, ca.pem, _now(cloud))
    thing = admission.thing_of(leaf, terms.name_attribute)
    _check_denied(cloud, thing, certificate_id, leaf)
    others = [name for name in cloud.registry.things(found.arn) if name != thing]
    if others:
        detail = f"the certificate is attached to {', '.join(others[:5])}"
        raise NotAdmitted(Reason.ATTACHED_ELSEWHERE, detail, thing)
    _in_use(cloud, terms, thing, _attached(cloud, terms, thing), found.arn)
    return thing


def _ca(cloud: Cloud, terms: Terms, found: Registered) -> Registered:
    if not found.ca_id or terms.ca_id not in ("", found.ca_id):
        raise NotAdmitted(Reason.UNKNOWN_CA, f"its CA is {found.ca_id or 'not registered'}")
    try:
        ca = cloud.registrar.ca(found.ca_id)
    except NotFound:
        raise NotAdmitted(Reason.UNKNOWN_CA, f"CA {found.ca_id} is not registered") from None
    if ca.status != _ACTIVE:
        raise NotAdmitted(Reason.UNKNOWN_CA, f"CA {found.ca_id} is {ca.status}")
    return ca


def _check_denied(cloud: Cloud, thing: str, certificate_id: str, leaf: x509.Certificate) -> None:
    for what in (thing, certificate_id, admission.serial_of(leaf)):
        entry = cloud.documents.get(what, documents.DENIED)
        if entry is not None:
            why = str(entry.body.get("why", "no reason given"))[:300]
            raise NotAdmitted(Reason.DENIED, f"{what} is on the deny list: {why}", thing)


def _attached(cloud: Cloud, terms: Terms, thing: str) -> Mapping[str, str] | None:
    """What is attached to the thing; None if it is not there, and may be made."""
    try:
        return cloud.registry.principals(thing)
    except NotFound:
        if terms.creates_things:
            return None
        raise NotAdmitted(Reason.UNKNOWN_THING, f"there is no thing {thing}", thing) from None


def _in_use(
    cloud: Cloud, terms: Terms, thing: str, attached: Mapping[str, str] | None, arn: str
) -> list[str]:
    """The thing's other certificates (ARN) that open anything, where they may be replaced."""
    active = []
    for other in attached or ():
        certificate_id = certificate_id_of(other)
        if other == arn or not certificate_id:
            continue
        with suppress(NotFound):
            found = cloud.registry.registered(certificate_id)
            if found.status == _ACTIVE and not admission.has_ended(found.pem, _now(cloud)):
                active.append(other)
    if active and not terms.replaces:
        raise NotAdmitted(Reason.THING_IN_USE, f"{thing} has {', '.join(active[:5])}", thing)
    return active


def _now(cloud: Cloud) -> datetime:
    return datetime.fromtimestamp(cloud.clock.now(), UTC)


def _claim(cloud: Cloud, thing: str, certificate_id: str) -> None:
    """Takes the thing for this certificate for a while, so that no two get it at once.

    Raises BeingRegistered, RecordChanged.
    """
    known = cloud.documents.get(thing, documents.REGISTRATION)
    known = known or Document(thing, documents.REGISTRATION)
    now = int(cloud.clock.now())
    if known.body.get("certificateId") != certificate_id and now < known.body.get("lease", 0):
        raise BeingRegistered(f"{thing}: {known.body['certificateId']} comes before")
    body = {"certificateId": certificate_id, "lease": now + LEASE_SECONDS}
    cloud.documents.write(replace(known, body=body, expires_at=now + _DAY))


def _release(cloud: Cloud, thing: str, certificate_id: str) -> None:
    """Leaves the thing to others; if that fails, the claim ends by itself."""
    with suppress(AwsError, RecordChanged):
        known = cloud.documents.get(thing, documents.REGISTRATION)
        if known is not None and known.body.get("certificateId") == certificate_id:
            cloud.documents.write(replace(known, body={**known.body, "lease": 0}))


def _let_in(cloud: Cloud, terms: Terms, thing: str, certificate_id: str, arn: str) -> None:
    # Looked at again, now that nobody else registers one for the thing.
    attached = _attached(cloud, terms, thing)
    replaced = _in_use(cloud, terms, thing, attached, arn)
    if attached is None:
        cloud.registrar.create_thing(thing)
    cloud.registry.attach_policy(arn, terms.policy)
    if attached is None or arn not in attached:
        cloud.registry.attach_thing(arn, thing, _EXCLUSIVE)
    if replaced:
        _replace(cloud, thing, certificate_id, replaced)
    cloud.registrar.activate(arn)
    _log.info("registered thing=%s certificate=%s", thing, certificate_id)
    cloud.audit.record(
        SecurityEvent(Activity.DEVICE_REGISTERED, thing, certificate_id=certificate_id)
    )
    _release(cloud, thing, certificate_id)


def _replace(cloud: Cloud, thing: str, certificate_id: str, replaced: list[str]) -> None:
    """Shuts the thing's other certificates out, which can be undone; people hear of it first."""
    notices.certificate_replaced(cloud, thing, certificate_id, replaced)
    for arn in replaced:
        with suppress(NotFound):
            cloud.registry.deactivate(arn)
        cloud.audit.record(
            SecurityEvent(
                Activity.CERTIFICATE_RETIRED,
                thing,
                certificate_id=certificate_id_of(arn),
                reason="replaced",
                detail=f"by {certificate_id}",
            )
        )


def _refuse(cloud: Cloud, certificate_id: str, refusal: NotAdmitted) -> None:
    """Tells it, at most once a day for each certificate: a device tries again every minute."""
    reason, detail, thing = refusal.reason, refusal.detail, refusal.thing
    _log.warning("registration-refused certificate=%s %s: %s", certificate_id, reason, detail)
    known = cloud.documents.get(certificate_id, documents.REFUSED)
    known = known or Document(certificate_id, documents.REFUSED)
    now = int(cloud.clock.now())
    if now < known.body.get("told", 0) + _DAY:
        return
    told = replace(known, body={"told": now, "reason": reason.value}, expires_at=now + 2 * _DAY)
    try:
        told = cloud.documents.write(told)
    except RecordChanged:
        return  # somebody else tells it
    try:
        notices.device_refused(cloud, thing, certificate_id, reason, detail)
    except AwsError:
        with suppress(AwsError, RecordChanged):
            cloud.documents.write(replace(told, body={}))
        raise
    cloud.audit.record(
        SecurityEvent(
            Activity.DEVICE_REGISTERED,
            thing,
            succeeded=False,
            certificate_id=certificate_id,
            reason=reason.value,
            detail=detail,
        )
    )
