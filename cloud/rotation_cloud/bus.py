"""Security events on an EventBridge bus, and the workflows in Step Functions."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from rotation_cloud import metrics
from rotation_cloud.aws_errors import translated
from rotation_cloud.ports import AwsError
from rotation_cloud.security_events import SecurityEvent, as_ocsf

_log = logging.getLogger(__name__)
SOURCE = "certkeeper"


class EventBridgeAudit:
    """See ports.Audit; counts each event as a metric.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
    """

    def __init__(self, events: Any, bus_name: str) -> None:
        self._events = events
        self._bus_name = bus_name

    def record(self, event: SecurityEvent) -> None:
        metrics.count_event(event)
        said = json.dumps(as_ocsf(event, str(uuid.uuid4()), time.time()))
        entry = {
            "EventBusName": self._bus_name,
            "Source": SOURCE,
            "DetailType": event.activity.value,
            "Detail": said,
        }
        _log.info("security-event %s", said)
        try:
            with translated("PutEvents"):
                answer = self._events.put_events(Entries=[entry])
        except AwsError as error:
            _log.error("security-event-lost %s", error)
            return
        if answer.get("FailedEntryCount"):
            _log.error("security-event-lost %s", answer["Entries"][0].get("ErrorCode"))


class StepFunctions:
    """See ports.Workflows.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """

    def __init__(self, stepfunctions: Any, state_machine_arn: str) -> None:
        self._stepfunctions = stepfunctions
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, given: Mapping[str, Any]) -> None:
        with translated("StartExecution"):
            self._stepfunctions.start_execution(
                stateMachineArn=self._state_machine_arn, name=name, input=json.dumps(dict(given))
            )

    def end_task(self, token: str, result: Mapping[str, Any]) -> None:
        with translated("SendTaskSuccess"):
            self._stepfunctions.send_task_success(taskToken=token, output=json.dumps(dict(result)))
