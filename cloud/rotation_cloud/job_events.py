"""AWS IoT publishes what became of job executions only where that is switched on: see that it is.

It is one switch for the account and region, and off at first. Without these events no rotation is
finished, so the stack switches it on (``on_stack_request``, the template's custom resource) and
the reconciler looks every day (``watch``).
https://docs.aws.amazon.com/iot/latest/developerguide/iot-events.html
"""

from __future__ import annotations

import logging

from rotation_cloud.custom_resource import CREATE, DELETE, Answer, Request
from rotation_cloud.findings import Kind
from rotation_cloud.ports import AwsError, Cloud, JobEvents
from rotation_cloud.repairs import Repairs
from rotation_cloud.security_events import Activity

_log = logging.getLogger(__name__)
#: What the resource is called, for as long as it lives: it says what the stack found.
SWITCHED_ON = "job-execution-events:switched-on"
FOUND_ON = "job-execution-events:found-on"
NOT_SWITCHED = "job-execution-events:not-switched"


def on_stack_request(job_events: JobEvents, request: Request) -> Answer:
    """Switches them on; at the stack's end off again, if it was the stack that did so.

    Raises nothing that AWS may do: a removal never fails, a creation fails with the reason.
    """
    try:
        if request.kind == DELETE:
            if request.physical_id == SWITCHED_ON:
                job_events.switch(False)
            return Answer(request.physical_id)
        was_on = job_events.are_on()
        if not was_on:
            job_events.switch(True)
    except AwsError as error:
        if request.kind == DELETE:
            # Events that nobody hears cost nothing; a stack that cannot be removed does.
            _log.error("job-events-not-switched-off %s", error)
            return Answer(request.physical_id, reason=f"left switched on: {error}")
        return Answer(
            request.physical_id or NOT_SWITCHED,
            is_success=False,
            reason=f"Job-execution events could not be switched on: {error}",
        )
    if request.kind == CREATE:
        return Answer(FOUND_ON if was_on else SWITCHED_ON)
    return Answer(request.physical_id)


def watch(cloud: Cloud, repairs: Repairs) -> None:
    """Switches them on if they are off: a finding. Raises AwsError if that cannot be known."""
    if not cloud.job_events.are_on():
        repairs.repair(
            Kind.JOB_EVENTS_OFF,
            "",
            "job-execution events were off: what ended meanwhile is found and finished here",
            lambda: cloud.job_events.switch(True),
            activity=Activity.JOB_EVENTS_SWITCHED_ON,
        )
