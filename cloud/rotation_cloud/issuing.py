"""Making the certificate that a claimed record is for, and unmaking it if that fails.

The certificate is noted in the record before anything is attached to it. Whatever goes wrong
takes back what was made; what cannot be taken back stays in the record, where the next
request or the end of the job finds it. CreateCertificateFromCsr is not idempotent: if its
answer is lost, the certificate is looked for by its key.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace

from rotation_cloud import notices
from rotation_cloud.asking import Refusal
from rotation_cloud.ports import (
    AwsError,
    Cloud,
    Order,
    RecordChanged,
    Refused,
    Throttled,
    certificate_id_of,
)
from rotation_cloud.records import Record, State, Which
from rotation_cloud.retirement import retire, retire_strays
from rotation_cloud.security_events import Activity, SecurityEvent
from rotation_protocol.fields import WireError
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import Issued, encode_issued

_log = logging.getLogger(__name__)
_ROUNDS = 4
#: For how long nobody else works on a record that is taken back (the reconciler runs longer than
#: a function that serves a device).
_TAKING_BACK_SECONDS = 300


@dataclass
class _Made:
    """What there is in the registry for this record, as far as it is known."""

    arn: str | None
    policies: tuple[str, ...]
    unsure: bool


def issue(cloud: Cloud, record: Record, csr: str, unsure: bool) -> Issued:
    """A certificate with the old one's policies and attachment. Raises Refusal, all undone.

    ``unsure`` says that an earlier attempt may have left a certificate that nobody noted.
    """
    made = _Made(record.new_arn if record.new else None, record.policies, unsure)
    try:
        return _issue(cloud, record, csr, made)
    except (AwsError, WireError, RecordChanged, Refusal) as error:
        _log.warning("create-failed thing=%s job=%s: %s", record.thing, record.job_id, error)
        _undo(cloud, record, made)
        refusal = _refusal(cloud, record, error)
        if made.arn or refusal.code in (RejectionCode.INTERNAL, RejectionCode.CSR_REFUSED):
            notices.creation_failed(
                cloud, record.thing, record.job_id, refusal.code.value, str(error), made.arn
            )
        raise refusal from error


def take_back(cloud: Cloud, record: Record) -> None:
    """Removes what a creation left that nobody works on any more: the record is UNDOING, or its
    lease is over. The device may ask again at any time, and then is told that it is busy.

    Raises AwsError, RecordChanged: what is left then stands in the record.
    """
    lease = max(int(cloud.clock.now()) + _TAKING_BACK_SECONDS, record.lease + 1)
    claimed = cloud.records.write(
        replace(record, state=State.ISSUING, certificate_pem="", unsure=True, lease=lease)
    )
    if claimed.new is not None:
        retire(cloud, claimed.new_arn, claimed.policies, claimed.thing)
    if record.unsure:
        retire_strays(cloud, claimed)
    cloud.records.write(
        replace(claimed, state=State.UNDOING, new=None, policies=(), unsure=False, lease=0)
    )


def _issue(cloud: Cloud, record: Record, csr: str, made: _Made) -> Issued:
    if made.arn is not None:  # of an earlier attempt, or for a key that the device gave up
        retire(cloud, made.arn, made.policies, record.thing, record.job_id)
        made.arn = None
        record = cloud.records.write(replace(record, new=None, policies=()))
    if made.unsure:
        retire_strays(cloud, record)
        made.unsure = False
    made.policies = tuple(cloud.registry.policies(record.old_arn))
    made.unsure = True
    try:
        issuance = cloud.issuer.issue(Order(csr, _token(record), record.thing, record.job_id))
    except Refused as error:
        made.unsure = False
        raise Refusal(RejectionCode.CSR_REFUSED, str(error)) from error
    except Throttled:
        made.unsure = False
        raise
    made.arn, made.unsure = issuance.arn, False
    record = cloud.records.write(
        replace(
            record,
            new=certificate_id_of(issuance.arn),
            certificate_pem=issuance.pem,
            policies=made.policies,
            unsure=False,
        )
    )
    answer = Issued(issuance.pem, record.job_id)
    encode_issued(answer)  # too large for the device is known before it is attached
    for policy in made.policies:
        cloud.registry.attach_policy(issuance.arn, policy)
    cloud.registry.attach_thing(issuance.arn, record.thing, record.attachment)
    cloud.records.write(replace(record, state=State.ISSUED, lease=0))
    cloud.audit.record(
        SecurityEvent(
            Activity.CERTIFICATE_ISSUED,
            record.thing,
            job_id=record.job_id,
            certificate_id=certificate_id_of(issuance.arn),
        )
    )
    return answer


def _token(record: Record) -> str:
    """The same for the same request of the same run of the job."""
    request = "\n".join((record.thing, record.job_id, record.execution, record.public_key))
    return hashlib.sha256(request.encode()).hexdigest()[:36]


def _undo(cloud: Cloud, record: Record, made: _Made) -> None:
    """Takes back what was made; ``made`` then says what is left, and so does the record."""
    certificate = certificate_id_of(made.arn) if made.arn else None
    try:
        if made.arn is not None:
            retire(cloud, made.arn, made.policies, record.thing, record.job_id)
            made.arn = None
        if made.unsure:
            # Still unsure if none is found: it may be on its way, and is looked for again.
            made.unsure = not retire_strays(cloud, record)
    except AwsError as error:
        _log.error("undo-failed thing=%s certificate=%s: %s", record.thing, made.arn, error)
    try:
        _note(cloud, record, made, certificate)
    except AwsError as error:
        # The record still says issuing: whoever comes after the lease undoes it again.
        _log.error("record-failed thing=%s job=%s: %s", record.thing, record.job_id, error)


def _note(cloud: Cloud, record: Record, made: _Made, certificate: str | None) -> None:
    """Writes down what is left, unless another attempt has taken over.

    A record that says that ``certificate`` is issued is ours too: the answer to that write
    was lost.
    """
    for _ in range(_ROUNDS):
        now = cloud.records.get(record.thing, record.job_id)
        if now is None:
            return
        is_issued = now.state is State.ISSUED and now.new == certificate
        if now.lease != record.lease and not is_issued:
            return
        after = replace(
            now,
            new=certificate if made.arn else None,
            policies=made.policies,
            certificate_pem="",
            unsure=made.unsure,
            lease=0,
        )
        left = made.arn is not None or made.unsure
        if now.state is not State.RETIRING:
            after = replace(after, state=State.UNDOING)
        elif left:
            after = replace(after, retire=Which.NEW)
        else:
            after = after.finished(cloud.clock.now())
        try:
            cloud.records.write(after)
        except RecordChanged:
            continue
        return


def _refusal(cloud: Cloud, record: Record, error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Throttled):
        return Refusal(RejectionCode.THROTTLED, "AWS is busy")
    if isinstance(error, RecordChanged):
        now = cloud.records.get(record.thing, record.job_id)
        if now is None or now.state in (State.RETIRING, State.DONE):
            return Refusal(RejectionCode.JOB_ENDED, "the job ended meanwhile")
        return Refusal(RejectionCode.BUSY, "another request was faster")
    return Refusal(RejectionCode.INTERNAL, "no certificate could be made")
