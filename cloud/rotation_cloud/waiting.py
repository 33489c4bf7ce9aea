"""A workflow that waits for the end of the job that it made: what is kept of it, and its waking.

The document is written before the job is made (attempt.py), so that whoever hears of the job's
end knows that somebody waits. Once the workflow goes on it takes the matter into its own hands
for a while (``takenUntil``), and in the end has done with the job (``settled``): should the job be
executed once more, or the workflow be stopped on the way, nobody waits for that.
"""

from __future__ import annotations

from dataclasses import replace

from rotation_cloud import documents
from rotation_cloud.documents import Document
from rotation_cloud.ports import Cloud, NotFound, RecordChanged

_ROUNDS = 4
#: What a woken workflow is told; how the job ended stands in the document, and in the record.
ENDED = {"outcome": "ended"}
#: Longer than the state machine goes on trying to settle a job (cloud/statemachines).
TAKEN_SECONDS = 3600


def wake(cloud: Cloud, thing: str, job_id: str, status: str, reason: str, detail: str) -> bool:
    """Wakes the workflow that waits for this job, which has ended so; False if none waits.

    May be repeated. Raises AwsError, RecordChanged.
    """
    name = documents.workflow(job_id)
    for _ in range(_ROUNDS):
        document = cloud.documents.get(thing, name)
        if document is None or document.body.get("settled"):
            return False
        if _is_taken(cloud, document):
            return True
        said = {"status": status, "reason": reason, "detail": detail}
        try:
            cloud.documents.write(replace(document, body={**document.body, **said}))
        except RecordChanged:
            continue
        try:
            cloud.workflows.end_task(str(document.body["token"]), ENDED)
        except NotFound:
            # It was stopped, or has been woken already, or takes a time-out for the end just now.
            known = cloud.documents.get(thing, name)
            return known is not None and _is_taken(cloud, known)
        return True
    raise RecordChanged(f"{thing} {name}")


def _is_taken(cloud: Cloud, document: Document) -> bool:
    return bool(document.body.get("takenUntil", 0) > cloud.clock.now())
