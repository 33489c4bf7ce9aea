"""A device says that it is connected with the new certificate: whether that is so.

The proof is the connection itself: ``principal()`` names the certificate that authenticated
it. No call of the AWS IoT control plane is needed, and repeats get the same answer, also
after the job has ended.
"""

from __future__ import annotations

from dataclasses import replace

from rotation_cloud.asking import Asking, Refusal, check_client_id
from rotation_cloud.ports import Cloud, RecordChanged
from rotation_cloud.records import Record, State
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import Committed, decode_commit

_ROUNDS = 4


def commit(cloud: Cloud, asking: Asking) -> Committed:
    """The confirmation. Raises WireError, Refusal or AwsError."""
    request = decode_commit(asking.payload)
    check_client_id(asking)
    for _ in range(_ROUNDS):
        record = cloud.records.get(asking.thing, request.job_id)
        if record is None or record.state in (State.ISSUING, State.UNDOING):
            raise Refusal(RejectionCode.NOT_ISSUED, "no certificate was issued for the job")
        _check(record, asking.principal)
        if record.state is State.ISSUED:
            try:
                cloud.records.write(replace(record, state=State.COMMITTED))
            except RecordChanged:
                continue
        return Committed(request.job_id)
    raise Refusal(RejectionCode.BUSY, "the job's record changes all the time")


def _check(record: Record, principal: str) -> None:
    ended = (State.GRACE, State.RETIRING, State.DONE)
    if record.state in ended and not record.keeps_new:
        raise Refusal(RejectionCode.JOB_ENDED, "the job ended before the commit")
    if principal != record.new:
        raise Refusal(
            RejectionCode.OTHER_PRINCIPAL, "the connection does not use the certificate issued"
        )
