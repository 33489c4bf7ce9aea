"""One device's message from the rule to the answer: decode, decide, encode, publish.

What may succeed later is answered with a code that says so. An answer that cannot be
published is raised, so that the event comes again: deciding again gives the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from rotation_cloud import notices
from rotation_cloud.asking import Asking, Refusal
from rotation_cloud.commit import commit
from rotation_cloud.create import create
from rotation_cloud.ports import AwsError, Cloud, Throttled
from rotation_cloud.request import request
from rotation_protocol import topics
from rotation_protocol.codec import canonical
from rotation_protocol.fields import Fields, WireError
from rotation_protocol.reasons import RejectionCode
from rotation_protocol.rotation import (
    Rejected,
    encode_committed,
    encode_issued,
    encode_rejected,
)

_log = logging.getLogger(__name__)


def answer_create(cloud: Cloud, event: Mapping[str, Any]) -> None:
    """Serves a message on ``.../create``. Raises AwsError if the event is to come again."""

    def decide(asking: Asking) -> bytes | None:
        issued = create(cloud, asking)
        return None if issued is None else encode_issued(issued)

    _answer(cloud, event, topics.CREATE, decide)


def answer_commit(cloud: Cloud, event: Mapping[str, Any]) -> None:
    """Serves a message on ``.../commit``. Raises AwsError if the event is to come again."""
    _answer(cloud, event, topics.COMMIT, lambda asking: encode_committed(commit(cloud, asking)))


def answer_request(cloud: Cloud, event: Mapping[str, Any]) -> None:
    """Serves a message on ``.../request``. Raises AwsError if the event is to come again."""

    def decide(asking: Asking) -> bytes | None:
        request(cloud, asking)
        return canonical({})

    _answer(cloud, event, topics.REQUEST, decide)


def _answer(
    cloud: Cloud,
    event: Mapping[str, Any],
    action: str,
    decide: Callable[[Asking], bytes | None],
) -> None:
    asking = Asking.of(event, cloud.prefix, action)
    failure: AwsError | None = None
    try:
        accepted = decide(asking)
    except WireError as error:
        rejected = Rejected(str(error), RejectionCode.INVALID_REQUEST)
    except Refusal as refusal:
        rejected = Rejected(refusal.message, refusal.code)
    except Throttled:
        rejected = Rejected("AWS is busy", RejectionCode.THROTTLED)
    except AwsError as error:
        rejected = Rejected("the backend failed", RejectionCode.INTERNAL)
        failure = error
    else:
        if accepted is not None:
            cloud.answers.publish(f"{asking.topic}/accepted", accepted)
        return
    job_id = _job_id(asking)
    code = "" if rejected.code is None else rejected.code.value
    _log.warning("rejected thing=%s job=%s %s %s", asking.thing, job_id, action, code)
    said = encode_rejected(Rejected(rejected.message, rejected.code, job_id))
    cloud.answers.publish(f"{asking.topic}/rejected", said)
    if failure is not None:
        notices.backend_failed(cloud, asking.thing, job_id or "", action, str(failure))


def _job_id(asking: Asking) -> str | None:
    try:
        return Fields.of(asking.payload).job_id()
    except WireError:
        return None
