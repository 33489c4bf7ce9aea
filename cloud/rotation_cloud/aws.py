"""AWS behind the ports of ``ports.py``: the only file with boto3.

Clients are made once for each Lambda container and kept. botocore tries a throttled or
failed call a few times by itself; what is still an error then is told by ``aws_errors.py``.
Region and endpoints come from the environment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import boto3
from botocore.config import Config

from rotation_cloud.aws_errors import translated
from rotation_cloud.bus import EventBridgeAudit, StepFunctions
from rotation_cloud.census import IotCensus, IotJobEvents, public_key
from rotation_cloud.described import described, registered
from rotation_cloud.iot_jobs import IotJobs
from rotation_cloud.issuers import IotIssuer, PrivateCaIssuer
from rotation_cloud.pace import Pace
from rotation_cloud.ports import Cloud, Issuer, NotFound, Registered, certificate_id_of
from rotation_cloud.registrar import IotRegistrar
from rotation_cloud.signer import SignerIssuer
from rotation_cloud.sns import SnsAlerts, SnsNotices
from rotation_cloud.table import DocumentTable, Table

_ATTEMPTS = 3
_PATIENCE, _SIGNERS_PATIENCE = 10, 30
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
        alerts=SnsAlerts(client("sns"), environment.get("ALERT_TOPIC_ARN", "")),
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

    def registered(self, certificate_id: str) -> Registered:
        return registered(described(self._iot, certificate_id))

    def things(self, arn: str) -> Sequence[str]:
        pages = self._pages("list_principal_things", principal=arn)
        return [thing for page in pages for thing in page.get("things", [])]

    def policies(self, arn: str) -> Sequence[str]:
        pages = self._pages("list_attached_policies", target=arn)
        return [policy["policyName"] for page in pages for policy in page.get("policies", [])]

    def is_active(self, certificate_id: str) -> bool:
        try:
            return self.registered(certificate_id).is_active
        except NotFound:
            return False

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
            self._iot.update_certificate(certificateId=certificate_id_of(arn), newStatus="INACTIVE")

    def delete(self, arn: str) -> None:
        with translated("DeleteCertificate"):
            self._iot.delete_certificate(certificateId=certificate_id_of(arn))

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


class IotAnswers:
    """See ports.Answers."""

    def __init__(self, iot_data: Any) -> None:
        self._iot_data = iot_data

    def publish(self, topic: str, payload: bytes) -> None:
        with translated("Publish"):
            self._iot_data.publish(topic=topic, qos=1, payload=payload)


class SystemClock:
    """See ports.Clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
