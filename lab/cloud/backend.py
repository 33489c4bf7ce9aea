"""The backend as the template deploys it, in the lab's account.

Tables and topics are made in moto, the custom resources by their functions, rules listen at
IoT Core, state machines run in ``lab/states``, and the functions of both run in this process,
with the lab's clock. What the functions publish to SNS is recorded as ``notification`` (source
``cloud``), their events on the bus as ``security-event``, what their roles do not allow as
``access-denied``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from lab.cloud.aws_calls import AwsCalls, Fault, Lost
from lab.cloud.custom_resources import make_custom_resources
from lab.cloud.function_surroundings import clock_of_the_functions, log_to, metrics_to
from lab.cloud.functions import Functions, running, short_delay
from lab.cloud.iam_actions import Place, need_of
from lab.cloud.metrics import Figure, Metrics, figures
from lab.cloud.rules import Rules
from lab.cloud.template import STACK, TEMPLATE, Template
from lab.https.data_plane import environment
from lab.iot_core.iot_core import IotCore
from lab.states.service import StateMachines
from lab.states.ticking import Ticking
from lab.timeline import Timeline
from rotation_cloud import aws

#: METRICS_NAMESPACE in the functions' environment.
METRICS = f"CertKeeper/{STACK}"
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


_IN_THE_API = {"ExponentialRolloutRate": "exponentialRate", "RetryCriteriaList": "criteriaList"}


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
        #: What the functions counted, and what AWS would count of them.
        self.metrics = Metrics()
        self._place = Place(account.region, account.account_id)
        self._calls = AwsCalls(self._called, self._denied)
        self._closing = ExitStack()
        self._functions: Functions

    def __enter__(self) -> Backend:
        with ExitStack() as opened:
            self._make_resources()
            opened.enter_context(self._calls)
            # As in a new container: no client of an earlier account, nor of this one later.
            aws.forget_clients()
            opened.callback(aws.forget_clients)
            opened.enter_context(clock_of_the_functions(self._clock, lambda: self._retry_delay(1)))
            opened.enter_context(log_to(self._timeline))
            opened.enter_context(metrics_to(self.metrics))
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

    def figures(self) -> list[Figure]:
        """The numbers of the template's dashboard, of all that happened so far.

        What AWS counts and no function writes down comes from the timeline: the queue's
        messages, and the invocations whose report says that they failed (the metric filter).
        """
        counted, find = self.metrics.copy(), self._timeline.find
        waiting = len(find("dead-letter", source="lambda")) + len(find("rule-failed"))
        queue = {"QueueName": self._template.name("DeadLetters")}
        counted.add("AWS/SQS", "ApproximateNumberOfMessagesVisible", waiting, queue)
        counted.add(METRICS, "FunctionErrors", len(find("function-failed", source="lambda")))
        return figures(counted, self._template.dashboard())

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
            iot.create_job_template(**as_in_the_api(job_template))
        for policy in self._template.device_policies():
            document = json.dumps(policy["PolicyDocument"])
            iot.create_policy(policyName=policy["PolicyName"], policyDocument=document)

    def _denied(self, service: str, operation: str, parameters: Mapping[str, Any]) -> str | None:
        """Why the role of the function that calls does not allow it; raises UnknownCall."""
        function = running.get()
        if function is None:
            return None
        for action, resource in need_of(service, operation).of_call(self._place, parameters):
            if not function.permissions.allow(action, resource):
                self._timeline.record(
                    "cloud", "access-denied", function=function.name, action=action, on=resource
                )
                return (
                    f"{function.name}Role is not authorized to perform: {action} on resource: "
                    f"{resource} because no identity-based policy allows it"
                )
        return None

    def _called(self, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        if (service, operation) == ("sns", "Publish"):
            self._timeline.record(
                "cloud",
                "notification",
                topic=str(parameters.get("TopicArn", "")).rpartition(":")[2],
                subject=parameters.get("Subject"),
                message=parameters.get("Message"),
            )
        if (service, operation) == ("events", "PutEvents"):
            for entry in parameters["Entries"]:
                said = json.loads(entry["Detail"])
                self._timeline.record(
                    "cloud",
                    "security-event",
                    activity=entry["DetailType"],
                    thing=said.get("device", {}).get("name", ""),
                    **said.get("unmapped", {}),
                    **({"reason": said["status_code"]} if "status_code" in said else {}),
                )


def as_in_the_api(properties: Any) -> Any:
    """CloudFormation's names as the API has them: they begin with a small letter there, and two
    of a job template are other ones (AWS::IoT::JobTemplate)."""
    if isinstance(properties, Mapping):
        return {
            _IN_THE_API.get(name, name[:1].lower() + name[1:]): as_in_the_api(value)
            for name, value in properties.items()
        }
    if isinstance(properties, list):
        return [as_in_the_api(value) for value in properties]
    return properties
