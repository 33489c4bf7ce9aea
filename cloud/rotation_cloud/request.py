"""A device asks for a rotation, since its certificate is due by its own policy.

The workflow is started, which makes the job. One for each thing and day: repeats do not pile
up, and a job that waits already is enough.
"""

from __future__ import annotations

from rotation_cloud import inventory, workflow
from rotation_cloud.asking import Asking, Refusal, attachment_of, check_client_id
from rotation_cloud.due import rotation_under_way
from rotation_cloud.ports import Cloud
from rotation_cloud.workflow import Cause
from rotation_protocol.fields import Fields
from rotation_protocol.reasons import RejectionCode


def request(cloud: Cloud, asking: Asking) -> None:
    """Sees to it that there will be a job. Raises WireError, Refusal or AwsError."""
    due = Fields.of(asking.payload).optional("certificateId", str)
    check_client_id(asking)
    known = inventory.read(cloud, asking.thing)
    if not known.is_attached(asking.principal, cloud.clock.now()):
        attachment_of(cloud, asking)
    if due is not None and due != asking.principal:
        raise Refusal(RejectionCode.OTHER_PRINCIPAL, "the certificate due is not the one in use")
    if not rotation_under_way(cloud, asking.thing):
        workflow.start(cloud, asking.thing, asking.principal, Cause.DEVICE)
