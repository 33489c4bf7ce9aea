"""AWS behind the ports of ``ports.py``: the only file with boto3.

Clients are made once for each Lambda container and kept. botocore tries a throttled or
failed call a few times by itself; what is still an error then is told by ``aws_errors.py``.
Region and endpoints come from the environment.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import boto3
from botocore.config import Config

from rotation_cloud.aws_errors import error_code, translated
from rotation_cloud.bus import EventBridgeAudit, StepFunctions
from rotation_cloud.census import IotCensus, IotJobEvents, public_key
from rotation_cloud.issuers import IotIssuer, PrivateCaIssuer
from rotation_cloud.pace import Pace
from rotation_cloud.ports import (
    AwsError,
    Cloud,
    Ending,
    Execution,
    Issuer,
    NotFound,
    Throttled,
)
from rotation_cloud.registrar import IotRegistrar
from rotation_cloud.signer import SignerIssuer
from rotation_cloud.table import DocumentTable, Table

_ATTEMPTS = 3
_PATIENCE, _SIGNERS_PATIENCE = 10, 30
_GOES_ON = ("QUEUED", "IN_PROGRESS")
_STRAY_PAGES, _STRAY_PAGE, _STRAYS = 4, 250, 50
#: AWS IoT's clock and ours may differ by this much, in seconds.
_CLOCK_SLACK = 60

_clients: dict[tuple[str, int, float], Any] = {}
_lock = threading.Lock()


def client(
    service: str,
    attempts: int = _ATTEMPTS,
    patience: float = _PATIENCE,
    per_second: float = 0,
) -> Any:
    """The container's client of a service, which makes a call ``attempts`` times at most, and
    waits ``patience`` seconds for an answer; its first user says so. With ``per_second`` it makes
    no more calls than that in a second.
    """
    key = (service, attempts, per_second)
    with _lock:
        if key not in _clients:
            config = Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=3,
                read_timeout=patience,
            )
            made: Any = boto3.client(
                service,  # type: ignore[call-overload]  # the stubs list known names only
                config=config,
            )
            if per_second:
                made.meta.events.register("before-call", Pace(per_second))
            _clients[key] = made
        return _clients[key]


def forget_clients() -> None:
    """Makes the clients anew at the next call: for whoever changes the environment."""
    with _lock:
        for each in _clients.values():
            each.close()
        _clients.clear()


def cloud(environment: Mapping[str, str], iot_per_second: float = 0) -> Cloud:
    """Everything that a function needs, from its environment (cloud/template.yaml).

    ``iot_per_second``: how many calls of the AWS IoT control plane it may make; 0: any number.
    """
    clock = SystemClock()
    iot = client("iot", per_second=iot_per_second)
    # Not repeated by botocore: a certificate that was made twice is one too many.
    issuer: Issuer = IotIssuer(client("iot", attempts=1))
    if environment.get("ISSUER") == "private-ca":
        issuer = PrivateCaIssuer(
            iot,
            client("acm-pca"),
            clock.sleep,
            ca_arn=environment["PRIVATE_CA_ARN"],
            days=int(environment["PRIVATE_CA_VALIDITY_DAYS"]),
            algorithm=environment["PRIVATE_CA_SIGNING_ALGORITHM"],
        )
    elif environment.get("ISSUER") == "signer":
        issuer = SignerIssuer(
            client("iot"),
            client("lambda", attempts=1, patience=_SIGNERS_PATIENCE),
            clock.now,
            function_arn=environment["SIGNER_FUNCTION_ARN"],
        )
    return Cloud(
        prefix=environment["TOPIC_PREFIX"],
        registry=IotRegistry(iot),
        registrar=IotRegistrar(iot),
        issuer=issuer,
        jobs=IotJobs(iot, client("iot-jobs-data"), environment.get("JOB_TEMPLATE_ARN", "")),
        records=Table(environment["TABLE_NAME"], client("dynamodb")),
        documents=DocumentTable(environment["TABLE_NAME"], client("dynamodb")),
        answers=IotAnswers(client("iot-data")),
        notices=SnsNotices(client("sns"), environment["FAILURE_TOPIC_ARN"]),
        audit=EventBridgeAudit(client("events"), environment["EVENT_BUS_NAME"]),
        workflows=StepFunctions(client("stepfunctions"), environment.get("STATE_MACHINE_ARN", "")),
        census=IotCensus(iot),
        job_events=IotJobEvents(iot),
        clock=clock,
        grace_seconds=int(environment.get("GRACE_PERIOD_DAYS", "0")) * 24 * 3600,
        registers=environment.get("REGISTERS_DEVICES") == "true",
    )


class IotRegistry:
    """See ports.Registry."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def principals(self, thing: str) -> dict[str, str]:
        return {
            one["principal"]: one.get("thingPrincipalType", "NON_EXCLUSIVE_THING")
            for page in self._pages("list_thing_principals_v2", thingName=thing)
            for one in page.get("thingPrincipalObjects", [])
        }

    def things(self, arn: str) -> Sequence[str]:
        pages = self._pages("list_principal_things", principal=arn)
        return [thing for page in pages for thing in page.get("things", [])]

    def policies(self, arn: str) -> Sequence[str]:
        pages = self._pages("list_attached_policies", target=arn)
        return [policy["policyName"] for page in pages for policy in page.get("policies", [])]

    def is_active(self, arn: str) -> bool:
        try:
            with translated("DescribeCertificate"):
                found = self._iot.describe_certificate(certificateId=_id(arn))
        except NotFound:
            return False
        return bool(found["certificateDescription"]["status"] == "ACTIVE")

    def stray(self, public_keys: Set[str], since: float) -> Sequence[str]:
        recent = [
            one
            for page in self._pages("list_certificates", most=_STRAY_PAGES, pageSize=_STRAY_PAGE)
            for one in page.get("certificates", [])
            if one["creationDate"].timestamp() >= since - _CLOCK_SLACK
        ]
        recent.sort(key=lambda one: one["creationDate"], reverse=True)
        return [
            one["certificateArn"]
            for one in recent[:_STRAYS]
            if public_key(self._iot, one["certificateId"]) in public_keys
            and not self.things(one["certificateArn"])
        ]

    def attach_policy(self, arn: str, policy: str) -> None:
        with translated("AttachPolicy"):
            self._iot.attach_policy(policyName=policy, target=arn)

    def detach_policy(self, arn: str, policy: str) -> None:
        with translated("DetachPolicy"):
            self._iot.detach_policy(policyName=policy, target=arn)

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None:
        with translated("AttachThingPrincipal"):
            self._iot.attach_thing_principal(
                thingName=thing, principal=arn, thingPrincipalType=attachment
            )

    def detach_thing(self, arn: str, thing: str) -> None:
        with translated("DetachThingPrincipal"):
            self._iot.detach_thing_principal(thingName=thing, principal=arn)

    def deactivate(self, arn: str) -> None:
        with translated("UpdateCertificate"):
            self._iot.update_certificate(certificateId=_id(arn), newStatus="INACTIVE")

    def delete(self, arn: str) -> None:
        with translated("DeleteCertificate"):
            self._iot.delete_certificate(certificateId=_id(arn))

    def _pages(
        self, operation: str, most: int | None = None, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        pages = iter(self._iot.get_paginator(operation).paginate(**arguments))
        read = 0
        while most is None or read < most:
            with translated(operation):
                page = next(pages, None)
            if page is None:
                return
            read += 1
            yield page


class IotJobs:
    """See ports.JobExecutions; reads through the Jobs data plane, which has the larger quota."""

    def __init__(self, iot: Any, iot_jobs_data: Any, template_arn: str) -> None:
        self._iot = iot
        self._iot_jobs_data = iot_jobs_data
        self._template_arn = template_arn

    def execution(self, thing: str, job_id: str) -> Execution | None:
        try:
            with translated("DescribeJobExecution"):
                found = self._iot_jobs_data.describe_job_execution(
                    jobId=job_id, thingName=thing, includeJobDocument=True
                )["execution"]
        except NotFound:
            return None
        except AwsError as error:
            if error_code(error) == "TerminalStateException":
                return Execution("ENDED", ended=True)
            raise
        number = int(found.get("executionNumber", 1))
        return Execution(
            status=found["status"],
            ended=found["status"] not in _GOES_ON,
            operation=_operation(found.get("jobDocument")),
            # The number alone does not tell a job from one of the same id before it.
            identity=f"{number}@{found.get('queuedAt', 0)}",
            number=number,
        )

    def pending(self, thing: str) -> Sequence[str]:
        with translated("GetPendingJobExecutions"):
            found = self._iot_jobs_data.get_pending_job_executions(thingName=thing)
        both = (*found.get("inProgressJobs", []), *found.get("queuedJobs", []))
        return [one["jobId"] for one in both]

    def create(self, job_id: str, thing_arn: str) -> None:
        try:
            with translated("CreateJob"):
                self._iot.create_job(
                    jobId=job_id,
                    targets=[thing_arn],
                    jobTemplateArn=self._template_arn,
                    # Whoever makes it here tries again by himself.
                    jobExecutionsRetryConfig={
                        "criteriaList": [{"failureType": "ALL", "numberOfRetries": 0}]
                    },
                )
        except AwsError as error:
            if error_code(error) == "LimitExceededException":  # jobs at a time: it passes
                raise Throttled(str(error)) from error
            raise

    def cancel(self, thing: str, job_id: str) -> None:
        try:
            with translated("CancelJobExecution"):
                self._iot.cancel_job_execution(jobId=job_id, thingName=thing, force=True)
        except AwsError as error:
            if error_code(error) != "InvalidStateTransitionException":  # it has ended
                raise

    def ending(self, thing: str, job_id: str, number: int | None = None) -> Ending | None:
        which = {} if number is None else {"executionNumber": number}
        # Through the control plane: the data plane does not tell of what has ended.
        with translated("DescribeJobExecution"):
            found = self._iot.describe_job_execution(jobId=job_id, thingName=thing, **which)
        execution = found["execution"]
        if execution["status"] in _GOES_ON:
            return None
        return Ending(
            status=execution["status"],
            details=execution.get("statusDetails", {}).get("detailsMap", {}),
            at=execution["lastUpdatedAt"].timestamp(),
            queued=execution["queuedAt"].timestamp(),
        )


class IotAnswers:
    """See ports.Answers."""

    def __init__(self, iot_data: Any) -> None:
        self._iot_data = iot_data

    def publish(self, topic: str, payload: bytes) -> None:
        with translated("Publish"):
            self._iot_data.publish(topic=topic, qos=1, payload=payload)


class SnsNotices:
    """See ports.Notices."""

    def __init__(self, sns: Any, topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def tell(self, subject: str, message: dict[str, str]) -> None:
        with translated("SNS Publish"):
            self._sns.publish(
                TopicArn=self._topic_arn, Subject=subject, Message=json.dumps(message, indent=1)
            )


class SystemClock:
    """See ports.Clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _id(arn: str) -> str:
    return arn.partition(":cert/")[2]


def _operation(document: str | None) -> str | None:
    """What a job's document asks for; documents of others may be anything."""
    try:
        parsed = json.loads(document or "{}")
    except ValueError:
        return None
    operation = parsed.get("operation") if isinstance(parsed, dict) else None
    return operation if isinstance(operation, str) else None
