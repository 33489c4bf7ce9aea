"""AWS behind the ports of ``ports.py``: the only file with boto3.

Clients are made once for each Lambda container and kept. botocore tries a throttled or
failed call a few times by itself; what is still an error then is told apart here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rotation_cloud.ports import (
    AlreadyThere,
    AwsError,
    Cloud,
    Execution,
    InUse,
    Issuance,
    Issuer,
    NotFound,
    RecordChanged,
    Refused,
    Throttled,
)
from rotation_cloud.records import Record, State, Which

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=10
)
_THROTTLED = frozenset(
    {
        *(
            "ThrottlingException",
            "Throttling",
            "TooManyRequestsException",
            "LimitExceededException",
        ),
        *("ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled"),
    }
)
_NOT_FOUND = frozenset({"ResourceNotFoundException", "NotFoundException"})
_THERE = frozenset({"ResourceAlreadyExistsException", "ConflictException"})
_REFUSED = frozenset(
    {"InvalidRequestException", "MalformedCSRException", "CertificateValidationException"}
)
_IN_USE = frozenset({"DeleteConflictException", "CertificateStateException"})
#: How long a private CA may take (https://docs.aws.amazon.com/privateca/latest/userguide/).
_POLLS, _POLL_SECONDS = 20, 1.0
_END_ENTITY = "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1"


@cache
def _client(service: str) -> Any:
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


def forget_clients() -> None:
    """Make the clients anew at the next call: for tests, each with an account of its own."""
    _client.cache_clear()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tells what botocore raises as the errors of ``ports.py``."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code, text = said.get("Code", ""), f"{what}: {said.get('Message', '')}"
        for codes, kind in (
            (_THROTTLED, Throttled),
            (_NOT_FOUND, NotFound),
            (_THERE, AlreadyThere),
            (_REFUSED, Refused),
            (_IN_USE, InUse),
        ):
            if code in codes:
                raise kind(text) from error
        raise AwsError(f"{what}: {code} {said.get('Message', '')}") from error
    except BotoCoreError as error:
        raise AwsError(f"{what}: {type(error).__name__}") from error


def _pages(call: Callable[..., dict[str, Any]], marker: str, **arguments: Any) -> Iterator[Any]:
    """Every page of a list; ``marker`` is what AWS calls the place to go on from."""
    page = call(**arguments)
    yield page
    while following := page.get("next" + marker):
        page = call(**arguments, **{_asked(marker): following})
        yield page


def _asked(marker: str) -> str:
    return "nextToken" if marker == "Token" else marker[0].lower() + marker[1:]


class IotRegistry:
    """See ports.Registry."""

    def principals(self, thing: str) -> dict[str, str]:
        found: dict[str, str] = {}
        with _told("ListThingPrincipalsV2"):
            call = _client("iot").list_thing_principals_v2
            for page in _pages(call, "Token", thingName=thing):
                for one in page.get("thingPrincipalObjects", []):
                    kind = one.get("thingPrincipalType", "NON_EXCLUSIVE_THING")
                    found[one["principal"]] = kind
        return found

    def things(self, arn: str) -> Sequence[str]:
        with _told("ListPrincipalThings"):
            pages = _pages(_client("iot").list_principal_things, "Token", principal=arn)
            return [thing for page in pages for thing in page["things"]]

    def policies(self, arn: str) -> Sequence[str]:
        with _told("ListAttachedPolicies"):
            pages = _pages(_client("iot").list_attached_policies, "Marker", target=arn)
            return [policy["policyName"] for page in pages for policy in page["policies"]]

    def attach_policy(self, arn: str, policy: str) -> None:
        with _told("AttachPolicy"):
            _client("iot").attach_policy(policyName=policy, target=arn)

    def detach_policy(self, arn: str, policy: str) -> None:
        with _told("DetachPolicy"):
            _client("iot").detach_policy(policyName=policy, target=arn)

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None:
        with _told("AttachThingPrincipal"):
            _client("iot").attach_thing_principal(
                thingName=thing, principal=arn, thingPrincipalType=attachment
            )

    def detach_thing(self, arn: str, thing: str) -> None:
        with _told("DetachThingPrincipal"):
            _client("iot").detach_thing_principal(thingName=thing, principal=arn)

    def deactivate(self, arn: str) -> None:
        with _told("UpdateCertificate"):
            _client("iot").update_certificate(
                certificateId=arn.rpartition("/")[2], newStatus="INACTIVE"
            )

    def delete(self, arn: str) -> None:
        with _told("DeleteCertificate"):
            _client("iot").delete_certificate(certificateId=arn.rpartition("/")[2])


class IotIssuer:
    """AWS IoT's own CA, which knows no idempotency: the record is what keeps it to one."""

    def issue(self, csr: str, token: str) -> Issuance:
        with _told("CreateCertificateFromCsr"):
            made = _client("iot").create_certificate_from_csr(
                certificateSigningRequest=csr, setAsActive=True
            )
        return Issuance(made["certificateArn"], made["certificatePem"])


class PrivateCaIssuer:
    """AWS Private CA, whose certificates are registered without it."""

    def __init__(self, ca_arn: str, days: int, algorithm: str, sleep: Callable[[float], None]):
        self._ca_arn = ca_arn
        self._days = days
        self._algorithm = algorithm
        self._sleep = sleep

    def issue(self, csr: str, token: str) -> Issuance:
        with _told("IssueCertificate"):
            issued = _client("acm-pca").issue_certificate(
                CertificateAuthorityArn=self._ca_arn,
                Csr=csr.encode(),
                SigningAlgorithm=self._algorithm,
                TemplateArn=_END_ENTITY,
                Validity={"Type": "DAYS", "Value": self._days},
                IdempotencyToken=token,
            )
        pem = self._fetched(issued["CertificateArn"])
        try:
            with _told("RegisterCertificateWithoutCA"):
                registered = _client("iot").register_certificate_without_ca(
                    certificatePem=pem, status="ACTIVE"
                )
        except AlreadyThere as error:
            # By an attempt whose answer was lost: the error says which one it is.
            cause = error.__cause__
            said = cause.response if isinstance(cause, ClientError) else {}
            arn = said.get("resourceArn")
            if not isinstance(arn, str):
                raise
            return Issuance(arn, pem)
        return Issuance(registered["certificateArn"], pem)

    def _fetched(self, arn: str) -> str:
        for _ in range(_POLLS):
            try:
                with _told("GetCertificate"):
                    found = _client("acm-pca").get_certificate(
                        CertificateAuthorityArn=self._ca_arn, CertificateArn=arn
                    )
                return str(found["Certificate"]).strip() + "\n"
            except AwsError as error:
                cause = error.__cause__
                said = cause.response if isinstance(cause, ClientError) else {}
                if said.get("Error", {}).get("Code") != "RequestInProgressException":
                    raise
            self._sleep(_POLL_SECONDS)
        raise AwsError("GetCertificate: the private CA takes too long")


class IotJobs:
    """See ports.JobExecutions; reads through the Jobs data plane, which has the larger quota."""

    def __init__(self, template_arn: str) -> None:
        self._template_arn = template_arn

    def execution(self, thing: str, job_id: str) -> Execution | None:
        try:
            with _told("DescribeJobExecution"):
                found = _client("iot-jobs-data").describe_job_execution(
                    jobId=job_id, thingName=thing, includeJobDocument=True
                )["execution"]
        except NotFound:
            return None
        except AwsError as error:
            cause = error.__cause__
            said = cause.response if isinstance(cause, ClientError) else {}
            if said.get("Error", {}).get("Code") == "TerminalStateException":
                return Execution("ENDED", ended=True)
            raise
        try:
            document = json.loads(found.get("jobDocument") or "{}")
        except ValueError:
            document = {}
        operation = document.get("operation") if isinstance(document, dict) else None
        number = int(found.get("executionNumber", 1))
        return Execution(
            status=found["status"],
            ended=found["status"] not in ("QUEUED", "IN_PROGRESS"),
            operation=operation if isinstance(operation, str) else None,
            identity=f"{number}@{found.get('queuedAt', 0)}",
            number=number,
        )

    def pending(self, thing: str) -> Sequence[str]:
        with _told("GetPendingJobExecutions"):
            found = _client("iot-jobs-data").get_pending_job_executions(thingName=thing)
        both = (*found.get("inProgressJobs", []), *found.get("queuedJobs", []))
        return [one["jobId"] for one in both]

    def create(self, job_id: str, thing_arn: str) -> None:
        with _told("CreateJob"):
            _client("iot").create_job(
                jobId=job_id, targets=[thing_arn], jobTemplateArn=self._template_arn
            )


class Table:
    """See ports.Records. One item for each thing and job, its version counted."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, thing: str, job_id: str) -> Record | None:
        with _told("GetItem"):
            found = _client("dynamodb").get_item(
                TableName=self._name,
                Key={"thing": {"S": thing}, "jobId": {"S": job_id}},
                ConsistentRead=True,
            )
        return _record(found["Item"]) if "Item" in found else None

    def of_thing(self, thing: str) -> Sequence[Record]:
        found: list[Record] = []
        arguments: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "thing = :thing",
            "ExpressionAttributeValues": {":thing": {"S": thing}},
            "ConsistentRead": True,
        }
        with _told("Query"):
            while True:
                page = _client("dynamodb").query(**arguments)
                found.extend(_record(item) for item in page["Items"])
                if "LastEvaluatedKey" not in page:
                    return found
                arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def write(self, record: Record) -> Record:
        written = replace(record, version=record.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(thing)"}
        if record.version:
            condition = {
                "ConditionExpression": "version = :read",
                "ExpressionAttributeValues": {":read": {"N": str(record.version)}},
            }
        try:
            with _told("PutItem"):
                _client("dynamodb").put_item(TableName=self._name, Item=_item(written), **condition)
        except AwsError as error:
            cause = error.__cause__
            said = cause.response if isinstance(cause, ClientError) else {}
            if said.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
                raise RecordChanged(f"{record.thing} {record.job_id}") from error
            raise
        return written


def _item(record: Record) -> dict[str, Any]:
    """A record as DynamoDB has it; what is empty is left out."""
    item: dict[str, Any] = {}
    for name, value in asdict(record).items():
        attribute = _ATTRIBUTES.get(name, name)
        if isinstance(value, bool):
            item[attribute] = {"BOOL": value}
        elif isinstance(value, int):
            item[attribute] = {"N": str(value)}
        elif isinstance(value, tuple):
            item[attribute] = {"L": [{"S": one} for one in value]}
        elif value:
            item[attribute] = {"S": str(value)}
    if not record.expires_at:
        del item["expiresAt"]  # the table's time to live
    return item


def _record(item: Mapping[str, Any]) -> Record:
    values: dict[str, Any] = {}
    for field in fields(Record):
        given = item.get(_ATTRIBUTES.get(field.name, field.name))
        if given is None:
            continue
        ((kind, value),) = given.items()
        if kind == "N":
            value = int(value)
        elif kind == "L":
            value = tuple(one["S"] for one in value)
        values[field.name] = value
    values["state"] = State(values["state"])
    if "retire" in values:
        values["retire"] = Which(values["retire"])
    return Record(**values)


_ATTRIBUTES = {"job_id": "jobId", "expires_at": "expiresAt"}


class IotAnswers:
    """See ports.Answers."""

    def publish(self, topic: str, payload: bytes) -> None:
        with _told("Publish"):
            _client("iot-data").publish(topic=topic, qos=1, payload=payload)


class SnsNotices:
    """See ports.Notices."""

    def __init__(self, topic_arn: str) -> None:
        self._topic_arn = topic_arn

    def tell(self, subject: str, message: dict[str, str]) -> None:
        with _told("Publish to SNS"):
            _client("sns").publish(
                TopicArn=self._topic_arn, Subject=subject, Message=json.dumps(message, indent=1)
            )


class SystemClock:
    """See ports.Clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def cloud(environment: Mapping[str, str]) -> Cloud:
    """Everything that a function needs, from its environment (cloud/template.yaml)."""
    clock = SystemClock()
    issuer: Issuer = IotIssuer()
    if environment.get("ISSUER") == "private-ca":
        issuer = PrivateCaIssuer(
            environment["PRIVATE_CA_ARN"],
            int(environment["PRIVATE_CA_VALIDITY_DAYS"]),
            environment["PRIVATE_CA_SIGNING_ALGORITHM"],
            clock.sleep,
        )
    return Cloud(
        prefix=environment["TOPIC_PREFIX"],
        registry=IotRegistry(),
        issuer=issuer,
        jobs=IotJobs(environment.get("JOB_TEMPLATE_ARN", "")),
        records=Table(environment["TABLE_NAME"]),
        answers=IotAnswers(),
        notices=SnsNotices(environment["FAILURE_TOPIC_ARN"]),
        clock=clock,
    )
