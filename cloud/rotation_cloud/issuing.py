"""Making the certificate that a claimed record is for, and unmaking it if that fails.

The certificate is noted in the record before anything is attached to it. Whatever goes wrong
takes back what was made; what cannot be taken back stays in the record, where the next
request or the end of the job finds it.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace

from rotation_cloud import notices
from rotation_cloud.asking import Refusal
from rotation_cloud.ports import AwsError, Cloud, RecordChanged, Refused, Throttled
from rotation_cloud.records import Record, State, Which
from rotation_cloud.retirement import retire
from rotation_protocol.fields import WireError
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import Issued, encode_issued

_log = logging.getLogger(__name__)
_ROUNDS = 4


@dataclass
class _Made:
    """What there is in the registry for this record."""

    arn: str | None
    policies: tuple[str, ...]


def issue(cloud: Cloud, record: Record, csr: str) -> Issued:
    """A certificate with the old one's policies and attachment. Raises Refusal, all undone."""
    made = _Made(record.new_arn if record.new else None, record.policies)
    try:
        return _issue(cloud, record, csr, made)
    except (AwsError, WireError, RecordChanged, Refusal) as error:
        _log.warning("create-failed thing=%s job=%s: %s", record.thing, record.job_id, error)
        left = _undo(cloud, record, made)
        refusal = _refusal(cloud, record, error)
        if refusal.code in (RejectionCode.INTERNAL, RejectionCode.CSR_REFUSED) or left:
            notices.creation_failed(
                cloud, record.thing, record.job_id, refusal.code.value, str(error), left
            )
        raise refusal from error


def _issue(cloud: Cloud, record: Record, csr: str, made: _Made) -> Issued:
    if made.arn is not None:  # of an earlier attempt, or for a key that the device gave up
        retire(cloud, made.arn, made.policies, record.thing)
        made.arn = None
        record = cloud.records.write(replace(record, new=None, policies=()))
    made.policies = tuple(cloud.registry.policies(record.old_arn))
    try:
        issuance = cloud.issuer.issue(csr, _token(record))
    except Refused as error:
        raise Refusal(RejectionCode.CSR_REFUSED, str(error)) from error
    made.arn = issuance.arn
    record = cloud.records.write(
        replace(
            record,
            new=issuance.arn.partition(":cert/")[2],
            certificate_pem=issuance.pem,
            policies=made.policies,
        )
    )
    answer = Issued(issuance.pem, record.job_id)
    encode_issued(answer)  # too large for the device is known before it is attached
    for policy in made.policies:
        cloud.registry.attach_policy(issuance.arn, policy)
    cloud.registry.attach_thing(issuance.arn, record.thing, record.attachment)
    cloud.records.write(replace(record, state=State.ISSUED, lease=0))
    return answer


def _token(record: Record) -> str:
    """The same for the same request of the same run of the job."""
    request = "\n".join((record.thing, record.job_id, record.execution, record.public_key))
    return hashlib.sha256(request.encode()).hexdigest()[:36]


def _undo(cloud: Cloud, record: Record, made: _Made) -> str | None:
    """Takes back what was made; the ARN of what is left, which the record then names."""
    if made.arn is not None:
        try:
            retire(cloud, made.arn, made.policies, record.thing)
            made.arn = None
        except AwsError as error:
            _log.error("undo-failed certificate=%s: %s", made.arn, error)
    try:
        _note(cloud, record, made)
    except AwsError as error:
        # The record still says issuing: whoever comes after the lease undoes it again.
        _log.error("record-failed thing=%s job=%s: %s", record.thing, record.job_id, error)
    return made.arn


def _note(cloud: Cloud, record: Record, made: _Made) -> None:
    left = made.arn.partition(":cert/")[2] if made.arn else None
    for _ in range(_ROUNDS):
        now = cloud.records.get(record.thing, record.job_id)
        if now is None or now.lease != record.lease:
            return  # another attempt has taken over
        after = replace(now, new=left, policies=made.policies, certificate_pem="", lease=0)
        if now.state is State.RETIRING and left is None:
            after = after.finished(cloud.clock.now())
        elif now.state is State.RETIRING:
            after = replace(after, retire=Which.NEW)
        else:
            after = replace(after, state=State.UNDOING)
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
