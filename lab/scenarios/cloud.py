"""Cloud: AWS calls that fail, events that repeat, and registries that are not as expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import THING, Stage
from rotation_protocol import topics

CLOUD = "Cloud"

#: Every AWS call of the create, commit and finish functions in a rotation.
CREATE_CALLS = (
    ("iot", "ListThingPrincipalsV2"),
    ("iot-jobs-data", "DescribeJobExecution"),
    ("dynamodb", "GetItem"),
    ("dynamodb", "Query"),
    ("dynamodb", "PutItem"),
    ("iot", "ListAttachedPolicies"),
    ("iot", "CreateCertificateFromCsr"),
    ("iot", "AttachPolicy"),
    ("iot", "AttachThingPrincipal"),
    ("iot-data", "Publish"),
)
FINISH_CALLS = (
    ("iot", "ListPrincipalThings"),
    ("iot", "UpdateCertificate"),
    ("iot", "DetachPolicy"),
    ("iot", "DetachThingPrincipal"),
    ("iot", "DeleteCertificate"),
)
_CODES = {"dynamodb": "InternalServerError", "iot-jobs-data": "ServiceUnavailableException"}


def _code(service: str) -> str:
    return _CODES.get(service, "InternalFailureException")


def _start(stage: Stage) -> None:
    """As Stage.start; and the first health message has been served, whose calls do not count."""
    stage.start()
    stage.timeline.wait_for("published", source="iot-core", topic=topics.HEALTH)
    stage.backend.idle()


def _fails_once(service: str, operation: str) -> None:
    def play(stage: Stage) -> None:
        failed: list[str] = []

        def fault(at: str, called: str, _: Mapping[str, Any]) -> str | None:
            if (at, called) == (service, operation) and not failed:
                failed.append(called)
                return _code(service)
            return None

        _start(stage)
        stage.backend.aws_fault = fault
        job = stage.rotate(timeout=120)
        stage.wait_for_idle()
        stage.pass_grace()
        require(bool(failed), f"{operation} was never called")
        # Somebody is told of a call of create that failed; a retried clean-up is no news.
        stage.verdict(rotated=True, job=job, told=len(stage.notifications()))

    play.__doc__ = f"{operation} of {service} fails once: the rotation succeeds all the same."
    scenario(CLOUD, name=f"aws-fails-once-{service}-{operation}".lower())(play)


def _fails_for_good(service: str, operation: str) -> None:
    def play(stage: Stage) -> None:
        _start(stage)
        stage.backend.aws_fault = lambda at, called, _: (
            _code(service) if (at, called) == (service, operation) else None
        )
        job = stage.create_job()
        stage.wait_for_end(job, "failed", timeout=120)
        stage.backend.aws_fault = lambda *_: None
        stage.redrive(job)
        stage.wait_for_idle()
        told = len(stage.notifications())
        require(told >= 1, "nobody was told")
        stage.verdict(rotated=False, job=job, told=told)
        stage.verdict(rotated=True, job=stage.rotate(), told=told)

    play.__doc__ = (
        f"{operation} of {service} fails for good: nothing leaks, somebody is told, and the "
        "next job works once it is mended."
    )
    scenario(CLOUD, name=f"aws-fails-{service}-{operation}".lower())(play)


for _call in (*CREATE_CALLS, *FINISH_CALLS):
    _fails_once(*_call)
for _call in CREATE_CALLS:
    _fails_for_good(*_call)


def _finish_fails(service: str, operation: str) -> None:
    def play(stage: Stage) -> None:
        stage.start()
        stage.backend.aws_fault = lambda at, called, _: (
            _code(service) if (at, called) == (service, operation) else None
        )
        job = stage.rotate()
        stage.timeline.wait_for("dead-letter", source="lambda", timeout=60)
        stage.backend.aws_fault = lambda *_: None
        stage.redrive(job)
        stage.wait_for_idle()
        stage.verdict(rotated=True, job=job, told=len(stage.notifications()))

    play.__doc__ = (
        f"There is no grace period, and {operation} fails until the event is a dead letter: "
        "redriven, it removes the old certificate."
    )
    scenario(CLOUD, name=f"clean-up-fails-{operation}".lower(), backend={"GracePeriodDays": "0"})(
        play
    )


for _call in FINISH_CALLS:
    _finish_fails(*_call)


@scenario(CLOUD)
def many_policies(stage: Stage) -> None:
    """The old certificate has ten policies: the new one gets every one of them."""
    iot = stage.lab.account.client("iot")
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}],
        }
    )
    for number in range(9):
        iot.create_policy(policyName=f"extra-{number}", policyDocument=document)
        iot.attach_policy(policyName=f"extra-{number}", target=stage.old.certificate_arn)
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())
    policies = stage.policies()
    require(len(policies) == 10, f"the new certificate has {len(policies)} policies, not 10")


@scenario(CLOUD)
def policies_on_a_thing_group(stage: Stage) -> None:
    """What the device may do, its thing group says: the new certificate may do it too."""
    iot = stage.lab.account.client("iot")
    (policy,) = stage.policies()
    group = iot.create_thing_group(thingGroupName="presses")
    iot.add_thing_to_thing_group(thingGroupName="presses", thingName=THING)
    iot.attach_policy(policyName=policy, target=group["thingGroupArn"])
    iot.detach_policy(policyName=policy, target=stage.old.certificate_arn)
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())
    require(stage.policies() == [], "the new certificate has a policy of its own")


@scenario(CLOUD)
def two_certificates_attached(stage: Stage) -> None:
    """Another certificate is attached to the thing: it is left alone, and blocks nothing."""
    iot = stage.lab.account.client("iot")
    other = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName=THING, principal=other["certificateArn"])
    stage.start()
    job = stage.rotate()
    stage.wait_for_idle()
    stage.pass_grace()
    attached = stage.certificates_in_account()
    kept = {other["certificateId"]: "ACTIVE", stage.certificate_on_disk(): "ACTIVE"}
    require(attached == kept, f"attached are {attached}")
    iot.update_certificate(certificateId=other["certificateId"], newStatus="INACTIVE")
    iot.detach_thing_principal(thingName=THING, principal=other["certificateArn"])
    stage.verdict(rotated=True, job=job)


@scenario(CLOUD)
def exclusively_attached(stage: Stage) -> None:
    """The old certificate is attached exclusively: so is the new one."""
    iot = stage.lab.account.client("iot")
    arn = stage.old.certificate_arn
    iot.detach_thing_principal(thingName=THING, principal=arn)
    iot.attach_thing_principal(thingName=THING, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())
    found = iot.list_thing_principals_v2(thingName=THING)["thingPrincipalObjects"]
    kinds = [one["thingPrincipalType"] for one in found]
    require(kinds == ["EXCLUSIVE_THING"], f"the new one is attached as {kinds}")


@scenario(CLOUD)
def events_switched_off(stage: Stage) -> None:
    """Job-execution events are off during one rotation: the next one cleans up after it."""
    iot = stage.lab.account.client("iot")
    stage.start()
    iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": False}})
    stage.rotate()
    stage.wait_for_idle()
    require(len(stage.active_certificates()) == 2, "nothing was left over")
    iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": True}})
    stage.verdict(rotated=True, job=stage.rotate(), told=len(stage.notifications()))


@scenario(CLOUD)
def concurrent_creates(stage: Stage) -> None:
    """Five requests for a certificate come at once: one certificate is made."""
    stage.start()

    def five(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        return [(topic, payload)] * (5 if topic.endswith("/create") else 1)

    stage.device.outbound_fault = five
    stage.verdict(rotated=True, job=stage.rotate())
    made = stage.backend.aws_calls["iot", "CreateCertificateFromCsr"]
    require(made == 1, f"{made} certificates were made")


@scenario(CLOUD)
def events_redelivered(stage: Stage) -> None:
    """The event of the job's end comes three times, and once more after a later rotation."""
    stage.start()
    first = stage.rotate()
    for _ in range(2):
        stage.redrive(first)
    stage.verdict(rotated=True, job=first)
    second = stage.rotate()
    stage.redrive(first)
    stage.verdict(rotated=True, job=second)


@scenario(CLOUD, device={"not_before": datetime.now(UTC) - timedelta(days=330)})
def asked_by_policy(stage: Stage) -> None:
    """Nobody makes a job: the certificate is old enough, so the device asks for one, once."""
    stage.start()
    stage.wait_for_line("checked ")
    stage.device.deploy({"maxAgeDays": 365})
    stage.wait_for_line("rotation-requested ", timeout=60)
    ended = stage.timeline.wait_for("succeeded", source="jobs", timeout=60)
    mark = stage.timeline.mark()
    stage.device.restart_component()
    stage.wait_for_line("checked ", after=mark)
    stage.verdict(rotated=True, job=str(ended.details["job"]))
    asked = stage.lines("rotation-requested ")
    require(len(asked) == 1, f"it has asked {len(asked)} times")


@scenario(CLOUD)
def client_id_of_another_thing(stage: Stage) -> None:
    """A request in another thing's name is refused, and makes nothing."""
    stage.start()
    topic = "certkeeper/things/press-70/certificate/create"
    event = {
        "jobId": "x",
        "csr": "x",
        "thingName": "press-70",
        "topic": topic,
        "clientId": THING,
        "principal": stage.old.certificate_id,
    }
    stage.backend.invoke("CreateFunction", event)
    stage.backend.idle()
    require(
        stage.backend.aws_calls["iot", "CreateCertificateFromCsr"] == 0, "a certificate was made"
    )
    stage.verdict(rotated=True, job=stage.rotate())


def _private_ca(name: str, slow: bool, sentence: str) -> None:
    def play(stage: Stage) -> None:
        polled: list[str] = []

        def fault(_: str, operation: str, __: Mapping[str, Any]) -> str | None:
            if slow and operation == "GetCertificate" and len(polled) < 2:
                polled.append(operation)
                return "RequestInProgressException"
            return None

        stage.start()
        stage.backend.aws_fault = fault
        stage.verdict(rotated=True, job=stage.rotate(timeout=100))
        require(
            stage.backend.aws_calls["acm-pca", "IssueCertificate"] == 1,
            "the private CA did not issue it",
        )

    play.__doc__ = sentence
    scenario(CLOUD, name=name, stage={"private_ca": True})(play)


_private_ca("private-ca", False, "AWS Private CA issues the certificate.")
_private_ca("private-ca-slow", True, "AWS Private CA takes its time, and is asked again.")


@scenario(CLOUD, stage={"private_ca": True})
def private_ca_refuses(stage: Stage) -> None:
    """AWS Private CA refuses the validity: the job fails, nothing leaks, somebody is told."""
    stage.start()
    stage.backend.aws_fault = lambda _, operation, __: (
        "InvalidArgsException" if operation == "IssueCertificate" else None
    )
    job = stage.create_job()
    stage.wait_for_end(job, "failed", timeout=90)
    stage.wait_for_idle()
    told = len(stage.notifications())
    require(told >= 1, "nobody was told")
    stage.verdict(rotated=False, job=job, told=told)
