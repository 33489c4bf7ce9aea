"""From a message that the cloud sent to the event that it is, or to why it is none.

Everything that arrives for a rotation comes through here, and past it there is no payload.
"""

from __future__ import annotations

from certkeeper.core import events
from certkeeper.core.events import Event
from rotation_protocol import jobs, rotation, topics
from rotation_protocol.fields import WireError

_ACCEPTED, _REJECTED = "accepted", "rejected"


def filters(thing_name: str, topic_prefix: str) -> dict[str, str]:
    """The topic filters to subscribe to, by the name of the subscription."""
    return {
        "next-job": topics.jobs(thing_name, "notify-next"),
        "job-answers": topics.jobs(thing_name, "+/get/+"),
        "update-answers": topics.jobs(thing_name, "+/update/+"),
        "certificate-answers": topics.rotation(topic_prefix, thing_name, "+/+"),
    }


def event_of(topic: str, payload: bytes) -> Event | None:
    """The event; MessageRefused for a message that cannot be understood, None for one that is
    none of ours."""
    levels = topic.split("/")
    try:
        if levels[:2] == ["$aws", "things"] and levels[3:4] == ["jobs"]:
            return _of_jobs(levels[4:], payload)
        if len(levels) >= 4 and levels[-3] == "certificate":
            return _of_certificate(levels[-2], levels[-1], payload)
    except WireError as error:
        return events.MessageRefused(topic[:256], str(error)[:300])
    return None


def _of_jobs(levels: list[str], payload: bytes) -> Event | None:
    if levels == ["notify-next"]:
        return events.JobNotified(jobs.decode_next_job(payload))
    if len(levels) != 3:
        return None
    job_id, asked, answer = levels
    if (asked, answer) == ("get", _ACCEPTED):
        return events.JobAnswered(job_id, jobs.decode_next_job(payload))
    if (asked, answer) == ("get", _REJECTED):
        return events.JobAskRejected(job_id, jobs.decode_job_rejected(payload))
    if (asked, answer) == ("update", _ACCEPTED):
        return events.UpdateTaken(job_id, jobs.decode_update_accepted(payload))
    if (asked, answer) == ("update", _REJECTED):
        return events.UpdateRejected(job_id, jobs.decode_job_rejected(payload))
    return None


def _of_certificate(asked: str, answer: str, payload: bytes) -> Event | None:
    if answer not in (_ACCEPTED, _REJECTED):
        return None
    accepted = answer == _ACCEPTED
    if asked == topics.CREATE:
        if accepted:
            return events.CreateAnswered(rotation.decode_issued(payload))
        return events.CreateRejected(rotation.decode_rejected(payload))
    if asked == topics.COMMIT:
        if accepted:
            return events.CommitAnswered(rotation.decode_committed(payload))
        return events.CommitRejected(rotation.decode_rejected(payload))
    if asked == topics.REQUEST:
        if accepted:
            return events.RequestAnswered()
        return events.RequestAnswered(rotation.decode_rejected(payload).message)
    return None
