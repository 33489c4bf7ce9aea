"""The backend as the template deploys it, in the lab's account.

Tables and topics are made in moto, the custom resources by their functions, rules listen at
IoT Core, state machines run in ``lab/states``, and the functions of both run in this process,
with the lab's clock. What the functions publish to SNS is recorded as ``notification`` (source
``cloud``).
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from lab.cloud.aws_calls import AwsCalls, Fault, Lost
from lab.cloud.custom_resources import make_custom_resources
from lab.cloud.functions import Functions, short_delay
from lab.cloud.rules import Rules
from lab.cloud.template import TEMPLATE, Template
from lab.https.data_plane import environment
from lab.iot_core.iot_core import IotCore
from lab.states.service import StateMachines
from lab.states.ticking import Ticking
from lab.timeline import Timeline
from rotation_cloud import aws

#: What CreateTable takes of the properties of AWS::DynamoDB::Table.
_TABLE = (
    *("TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput"),
    *("GlobalSecondaryIndexes", "LocalSecondaryIndexes"),
)


class BackendAccount(Protocol):
    """What the backend needs of an account."""

    @property
    def region(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def state_machines(self) -> StateMachines: ...
    def client(self, service_name: str) -> Any: ...


class Backend:
    """``with Backend(...) as backend:``, in an account that is open; one at a time.

    The AWS calls of the functions go through boto3's default session, see AwsCalls.
    """

    def __init__(
        self,
        account: BackendAccount,
        iot_core: IotCore,
        timeline: Timeline,
        data_plane_url: str,
        parameters: Mapping[str, str] | None = None,
        *,
        template: Path = TEMPLATE,
        clock: Callable[[], float] = time.time,
        retry_delay: Callable[[int], float] = short_delay,
    ) -> None:
        """``parameters`` of the template where not its defaults; raises TemplateError.

        ``clock`` is the functions'; what Lambda and Step Functions wait for before they try
        something again is as long as ``retry_delay`` says.
        """
        self._account = account
        self._iot_core = iot_core
        self._timeline = timeline
        self._environment = environment(data_plane_url)
        self._clock = clock
        self._retry_delay = retry_delay
        self._template = Template(
            parameters, path=template, region=account.region, account_id=account.account_id
        )
        self._calls = AwsCalls(self._called)
        self._closing = ExitStack()
        self._functions: Functions

    def __enter__(self) -> Backend:
        with ExitStack() as opened:
            self._make_resources()
            opened.enter_context(self._calls)
            # As in a new container: no client of an earlier account, nor of this one later.
            aws.forget_clients()
            opened.callback(aws.forget_clients)
            opened.enter_context(_clock_of_the_functions(self._clock))
            opened.enter_context(_log_to(self._timeline))
            self._functions = opened.enter_context(
                Functions(
                    self._template.functions(),
                    self._timeline,
                    environment=self._environment,
                    retry_delay=self._retry_delay,
                )
            )
            self._run_state_machines(opened)
            make_custom_resources(
                self._template.custom_resources(), self._functions.invoke, self._timeline
            )
            rules = Rules(
                self._iot_core,
                self._timeline,
                self._template.rules(),
                self._functions.invoke,
                self._clock,
            )
            opened.callback(rules.close)
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """The rules end first, then what they invoked; the account keeps what was made."""
        self._closing.close()

    @property
    def job_template_arn(self) -> str:
        """The job template from which an operator makes rotation jobs."""
        (job_template,) = self._template.job_templates()
        arn = f"arn:aws:iot:{self._account.region}:{self._account.account_id}:jobtemplate/"
        return arn + str(job_template["JobTemplateId"])

    @property
    def table_name(self) -> str:
        """The table with the records and documents of the backend."""
        (table,) = self._template.tables()
        return str(table["TableName"])

    @property
    def aws_fault(self) -> Fault:
        """Makes AWS calls of the functions fail, see AwsCalls; may be set at any time."""
        return self._calls.fault

    @aws_fault.setter
    def aws_fault(self, fault: Fault) -> None:
        self._calls.fault = fault

    @property
    def answer_lost(self) -> Lost:
        """Loses the answers to AWS calls of the functions, see AwsCalls; may be set too."""
        return self._calls.lost

    @answer_lost.setter
    def answer_lost(self, lost: Lost) -> None:
        self._calls.lost = lost

    @property
    def aws_calls(self) -> Counter[tuple[str, str]]:
        """How often the functions made each AWS call (service, operation) so far; a copy."""
        return self._calls.count

    def invoke(self, function: str, event: Any) -> None:
        """Invoke a function, by its logical id, as its schedule or an operator would."""
        self._functions.invoke(function, event)

    def tick(self, function: str) -> None:
        """The time of the function's schedule has come."""
        self.invoke(function, self._template.scheduled(function))

    def call(self, function: str, event: Any) -> Any:
        """Invoke a function and wait for its answer, as ``aws lambda invoke`` does."""
        return self._functions.call(function, event)

    def idle(self, timeout: float = 30.0) -> None:
        """Wait until the rules have seen all that was published, and nothing runs any more.

        Not from the loop. Raises TimeoutError.
        """
        self._iot_core.connections()  # goes through the loop, behind what is due there
        machines = self._account.state_machines
        deadline = time.monotonic() + timeout
        while True:
            # A function may wake a workflow, and a workflow calls functions.
            self._functions.idle(max(0.0, deadline - time.monotonic()))
            if not machines.is_working:
                return
            if not machines.idle(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"a workflow is at work after {timeout:g} s")

    @property
    def workflow_arn(self) -> str:
        """The state machine of the rotation workflow."""
        (name,) = self._template.state_machines()
        region, account_id = self._account.region, self._account.account_id
        return f"arn:aws:states:{region}:{account_id}:stateMachine:{name}"

    @property
    def grace_seconds(self) -> int:
        """For how long the old certificate stays after a rotation."""
        environment = self._template.functions()["FinishFunction"].environment
        return int(environment["GRACE_PERIOD_DAYS"]) * 24 * 3600

    # --- within

    def _run_state_machines(self, opened: ExitStack) -> None:
        """Their functions are this backend's until it closes."""
        machines = self._account.state_machines
        client = self._account.client("stepfunctions")
        role = f"arn:aws:iam::{self._account.account_id}:role/workflow"
        for name, definition in self._template.state_machines().items():
            client.create_state_machine(name=name, definition=definition, roleArn=role)
        machines.retry_delay = lambda _: self._retry_delay(1)
        machines.functions = lambda arn, event, told: self._functions.request(
            self._template.function_of(arn), event, told
        )
        opened.enter_context(Ticking(machines))

    def _make_resources(self) -> None:
        dynamodb, sns = self._account.client("dynamodb"), self._account.client("sns")
        for table in self._template.tables():
            dynamodb.create_table(**{name: table[name] for name in _TABLE if name in table})
            expiry = table.get("TimeToLiveSpecification")
            if expiry is not None:
                dynamodb.update_time_to_live(
                    TableName=table["TableName"], TimeToLiveSpecification=expiry
                )
        for topic in self._template.notification_topics():
            sns.create_topic(Name=topic["TopicName"])
        events = self._account.client("events")
        for bus in self._template.event_buses():
            events.create_event_bus(Name=bus["Name"])
        iot = self._account.client("iot")
        for job_template in self._template.job_templates():
            iot.create_job_template(**_as_in_the_api(job_template))
        for policy in self._template.device_policies():
            document = json.dumps(policy["PolicyDocument"])
            iot.create_policy(policyName=policy["PolicyName"], policyDocument=document)

    def _called(self, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        if (service, operation) == ("sns", "Publish"):
            self._timeline.record(
                "cloud",
                "notification",
                topic=str(parameters.get("TopicArn", "")).rpartition(":")[2],
                subject=parameters.get("Subject"),
                message=parameters.get("Message"),
            )


class _TimelineHandler(logging.Handler):
    """Log lines of the functions, as CloudWatch has them."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def emit(self, record: logging.LogRecord) -> None:
        self._timeline.record("cloud", "function-log", line=record.getMessage())


@contextmanager
def _clock_of_the_functions(clock: Callable[[], float]) -> Iterator[None]:
    with patch.object(aws.SystemClock, "now", lambda _: clock()):
        yield


@contextmanager
def _log_to(timeline: Timeline) -> Iterator[None]:
    logger, handler = logging.getLogger("rotation_cloud"), _TimelineHandler(timeline)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def _as_in_the_api(properties: Any) -> Any:
    """CloudFormation's names as the API has them: they begin with a small letter there."""
    if isinstance(properties, Mapping):
        return {
            name[:1].lower() + name[1:]: _as_in_the_api(value) for name, value in properties.items()
        }
    if isinstance(properties, list):
        return [_as_in_the_api(value) for value in properties]
    return properties
