"""Protocol: messages that are lost, late, doubled, foreign, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.account.authority import common_name, generate_private_key
from lab.jobs.errors import JobsError
from lab.scenarios import traffic
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage

PROTOCOL = "Protocol"


@scenario(PROTOCOL)
def a_rotation(stage: Stage) -> None:
    """Nothing goes wrong: the device has a new pair, and the old certificate is gone."""
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(PROTOCOL)
def throttled_everywhere(stage: Stage) -> None:
    """The Jobs service throttles each request of the device once, and the backend too."""
    seen: set[object] = set()

    def once(key: object) -> bool:
        first = key not in seen
        seen.add(key)
        return first

    def throttle(_: str, operation: str, payload: Mapping[str, Any]) -> JobsError | None:
        if once((operation, payload.get("status"))):
            return JobsError("RequestThrottled", "a fault of the lab")
        return None

    throttled = {("iot", "CreateCertificateFromCsr"), ("dynamodb", "PutItem")}
    stage.lab.jobs.fault = throttle
    stage.backend.aws_fault = lambda service, operation, _: (
        "ThrottlingException"
        if (service, operation) in throttled and once((service, operation))
        else None
    )
    stage.start()
    stage.verdict(rotated=True, job=stage.rotate(timeout=170))
    require(len(seen) >= 5, f"only {seen} were throttled")


def _lost(name: str, outbound: bool, matches: traffic.Matches, sentence: str) -> None:
    def play(stage: Stage) -> None:
        fault = traffic.lose_first(matches)
        stage.start()
        if outbound:
            stage.device.outbound_fault = fault
        else:
            stage.device.inbound_fault = fault
        stage.verdict(rotated=True, job=stage.rotate(timeout=100))

    play.__doc__ = sentence
    # Waiting for an answer must not end before the question has been repeated, on any machine.
    patient = {"commitTimeoutSeconds": 120, "deadManSeconds": 240}
    scenario(PROTOCOL, name=name, device={"configuration": patient})(play)


_lost(
    "claim-lost",
    True,
    traffic.update_to("IN_PROGRESS"),
    "The device's claim of the job is lost.",
)
_lost("claim-reply-lost", False, traffic.to("/update/accepted"), "The claim's answer is lost.")
_lost("create-lost", True, traffic.to("/create"), "The request for a certificate is lost.")
_lost("create-reply-lost", False, traffic.to("/create/accepted"), "The certificate is lost.")
_lost("commit-lost", True, traffic.to("/commit"), "The request to commit is lost.")
_lost("commit-reply-lost", False, traffic.to("/commit/accepted"), "The commit's answer is lost.")
_lost(
    "succeeded-lost",
    True,
    traffic.update_to("SUCCEEDED"),
    "The report of success is lost.",
)


@scenario(PROTOCOL)
def succeeded_reply_lost(stage: Stage) -> None:
    """The answer to the report of success is lost, and the job has ended when it is repeated."""
    stage.start()
    stage.device.inbound_fault = traffic.lose_first(
        lambda topic, payload: topic.endswith("/update/accepted") and b"committed-" in payload
    )
    job = stage.rotate()
    stage.wait_for_line("asked-again phase=committed")
    stage.verdict(rotated=True, job=job)


@scenario(PROTOCOL)
def notification_lost(stage: Stage) -> None:
    """No notification arrives: the device finds the job when it starts the next time."""
    stage.start()
    stage.device.inbound_fault = lambda topic, payload: (
        [] if topic.endswith("notify-next") else [(topic, payload)]
    )
    job = stage.create_job()
    stage.device.restart_component()
    stage.wait_for_end(job, "succeeded")
    stage.verdict(rotated=True, job=job)


@scenario(PROTOCOL)
def everything_twice(stage: Stage) -> None:
    """Every message arrives twice, in both directions."""
    stage.start()
    stage.device.inbound_fault = traffic.twice
    stage.device.outbound_fault = traffic.twice
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(PROTOCOL)
def everything_late(stage: Stage) -> None:
    """Each message comes once more, late and out of order."""
    stage.start()
    stage.device.inbound_fault = traffic.one_late()
    stage.verdict(rotated=True, job=stage.rotate())
    stage.device.inbound_fault = None


@scenario(PROTOCOL)
def foreign_replies(stage: Stage) -> None:
    """Answers that belong to another job are left alone."""
    stage.start()
    stranger = generate_private_key("ECDSA-P256")
    pem = stage.lab.account.own_authority.issue_device_certificate(
        stranger.public_key(), common_name("stranger")
    )
    held = traffic.Held(traffic.to("/create"))
    stage.device.outbound_fault = held
    job = stage.create_job()
    require(held.seen.wait(30), "no certificate was asked for")
    prefix = f"certkeeper/things/{stage.device.thing_name}/certificate"
    for topic, body in (
        ("create/accepted", {"certificatePem": pem, "jobId": "another"}),
        ("create/rejected", {"errorMsg": "no", "errorCode": "job-ended", "jobId": "another"}),
        ("commit/accepted", {"jobId": "another"}),
        ("commit/accepted", {}),
        ("commit/rejected", {"errorMsg": "no"}),
    ):
        stage.lab.iot_core.publish(f"{prefix}/{topic}", json.dumps(body).encode())
    stage.lab.iot_core.publish(f"{prefix}/create/accepted", b"no JSON")
    held.release()
    stage.wait_for_end(job, "succeeded")
    stage.verdict(rotated=True, job=job)


@scenario(PROTOCOL)
def another_operation_first(stage: Stage) -> None:
    """A job of another operation stands first: it is left alone, and ours done after it."""
    stage.start()
    other = stage.create_job("REBOOT")
    stage.wait_for_line(f"job-left-alone job={other}")
    job = stage.create_job()
    stage.lab.jobs.update_job_execution(stage.device.thing_name, other, {"status": "SUCCEEDED"})
    stage.wait_for_end(job, "succeeded")
    stage.verdict(rotated=True, job=job)


@scenario(PROTOCOL)
def two_jobs_in_a_row(stage: Stage) -> None:
    """Two jobs wait at once: both are done, one after the other."""
    first, second = stage.create_job(), stage.create_job()
    stage.start()
    stage.wait_for_end(first, "succeeded")
    between = stage.certificate_on_disk()
    stage.wait_for_end(second, "succeeded")
    stage.verdict(rotated=True, job=second)
    require(stage.certificate_on_disk() != between, "the second job did nothing")


@scenario(PROTOCOL)
def back_to_back(stage: Stage) -> None:
    """A job follows when the one before it has just ended; the slots change places twice."""
    stage.start()
    stage.rotate()
    second = stage.rotate()
    stage.verdict(rotated=True, job=second)


@scenario(
    PROTOCOL,
    device={"topic_prefix": "awslabs", "configuration": {"topicPrefix": "awslabs"}},
    backend={"TopicPrefix": "awslabs"},
)
def peer_protocol(stage: Stage) -> None:
    """With the peer's topics, and a backend whose answers have none of our additions."""
    stage.start()

    def as_the_peer(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if "/certificate/" not in topic:
            return [(topic, payload)]
        fields = json.loads(payload)
        kept = {name: fields[name] for name in ("certificatePem", "errorMsg") if name in fields}
        return [(topic, json.dumps(kept).encode())]

    stage.device.inbound_fault = as_the_peer
    job = stage.rotate()
    stage.verdict(rotated=True, job=job)
    marks = {
        # The details of an entry are of any type; these are a mapping.
        "CertificateRotator" in (entry.details.get("status_details") or {})  # type: ignore[operator]
        for entry in stage.timeline.find("succeeded", source="jobs")
    }
    require(marks == {True}, "the job's update does not carry the peer's mark")
