"""The template's custom resource: job-execution events are on (see ``job_events.py``)."""

from __future__ import annotations

from typing import Any

from rotation_cloud import aws
from rotation_cloud.census import IotJobEvents
from rotation_cloud.custom_resource import Request, replying
from rotation_cloud.job_events import on_stack_request


def handler(event: dict[str, Any], context: object) -> None:
    """CloudFormation's request; the answer goes where it says. What is raised comes again."""
    request = Request.of(event)
    with replying(request) as reply:
        reply.answer = on_stack_request(IotJobEvents(aws.client("iot")), request)
