"""Protocol: messages that are lost, late, doubled, foreign, refused, or wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from lab.account.authority import AWS_IOT_DEFAULT_SUBJECT, common_name, generate_private_key
from lab.jobs.errors import JobsError
from lab.scenarios import traffic
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from rotation_protocol.jobs import ROTATE

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
    scenario(PROTOCOL, name=name)(play)


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
        "CertificateRotator" in (entry.details.get("status_details") or {})  # type: ignore[operator]
        for entry in stage.timeline.find("succeeded", source="jobs")
    }
    require(marks == {True}, "the job's update does not carry the peer's mark")


# -- a job that goes away under way -------------------------------------------------------


def hold(stage: Stage, phase: str) -> Callable[[], None]:
    """Keep the device in a phase; what lets it go on."""
    if phase == "probing":
        stage.lab.https.go_away()
        stage.create_job()
        stage.wait_for_phase("probing")
        return stage.lab.https.come_back
    matches = {
        "claiming": traffic.to("/update"),
        "requesting": traffic.to("/create"),
        "proving": traffic.to(f"{FIRST}/get"),
        "committing": traffic.to("/commit"),
    }[phase]
    held = traffic.Held(matches)
    stage.device.outbound_fault = held
    stage.create_job()
    require(held.seen.wait(60), f"the device was never {phase}")
    return held.release


#: The first job that is made.
FIRST = f"{ROTATE.lower().replace('_', '-')}-1"
_ENDINGS: Mapping[str, tuple[Callable[[Stage], None], str]] = {
    "cancelled": (lambda stage: stage.cancel_execution(FIRST), "canceled"),
    "deleted": (lambda stage: stage.delete_job(FIRST), "deleted"),
    "timed-out": (lambda stage: stage.time_out(), "timed-out"),
}
_PHASES = ("claiming", "requesting", "probing", "proving", "committing")


def _gone(phase: str, ending: str) -> None:
    end, status = _ENDINGS[ending]

    def play(stage: Stage) -> None:
        stage.start()
        let_go_on = hold(stage, phase)
        end(stage)
        stage.backend.idle()
        let_go_on()
        # Of a job that was deleted before anything was made, nobody needs to hear.
        told = 0 if phase == "claiming" or (phase, ending) == ("requesting", "deleted") else 1
        stage.verdict(rotated=False, job=FIRST, status=status, told=told)
        again = stage.rotate()
        stage.verdict(rotated=True, job=again, told=told)

    play.__doc__ = (
        f"The job is {ending.replace('-', ' ')} while the device is {phase}: the old pair stays, "
        "and the next job works."
    )
    scenario(PROTOCOL, name=f"job-{ending}-while-{phase}")(play)


for _phase in _PHASES:
    for _ending in _ENDINGS:
        if (_phase, _ending) != ("claiming", "timed-out"):  # a queued job does not time out
            _gone(_phase, _ending)


# -- what the cloud may issue, and must not be taken ------------------------------------------


def _issued(name: str, reason: str, sentence: str, forge: Callable[[Stage, str], str]) -> None:
    def play(stage: Stage) -> None:
        stage.start()
        csrs: list[str] = []

        def remember(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
            if topic.endswith("/create"):
                csrs.append(json.loads(payload)["csr"])
            return [(topic, payload)]

        stage.device.outbound_fault = remember
        stage.device.inbound_fault = traffic.altered(
            "/create/accepted", lambda fields: {**fields, "certificatePem": forge(stage, csrs[-1])}
        )
        job = stage.create_job()
        stage.wait_for_end(job, "failed", timeout=90)
        stage.verdict(rotated=False, job=job, reason=reason)

    play.__doc__ = sentence
    scenario(PROTOCOL, name=name)(play)


def _forged(stage: Stage, csr: str, **window: datetime) -> str:
    parsed = x509.load_pem_x509_csr(csr.encode())
    return stage.lab.account.own_authority.issue_device_certificate(
        parsed.public_key(),  # type: ignore[arg-type]
        AWS_IOT_DEFAULT_SUBJECT,
        **window,
    )


def _of_another_key(stage: Stage, _: str) -> str:
    other = generate_private_key("ECDSA-P256")
    return stage.lab.account.own_authority.issue_device_certificate(
        other.public_key(), AWS_IOT_DEFAULT_SUBJECT
    )


def _of_another_subject(stage: Stage, csr: str) -> str:
    parsed = x509.load_pem_x509_csr(csr.encode())
    return stage.lab.account.own_authority.issue_device_certificate(
        parsed.public_key(),  # type: ignore[arg-type]
        common_name("somebody else"),
    )


_NOW = datetime.now(UTC)
_issued(
    "certificate-of-another-key",
    "certificate-other-key",
    "The certificate that comes is for another key.",
    _of_another_key,
)
_issued(
    "certificate-of-another-subject",
    "certificate-other-subject",
    "The certificate that comes names somebody else.",
    _of_another_subject,
)
_issued(
    "certificate-not-yet-valid",
    "certificate-not-yet-valid",
    "The certificate that comes is valid from tomorrow on.",
    lambda stage, csr: _forged(
        stage, csr, not_before=_NOW + timedelta(days=1), not_after=_NOW + timedelta(days=300)
    ),
)
_issued(
    "certificate-expired",
    "certificate-expired",
    "The certificate that comes ended yesterday.",
    lambda stage, csr: _forged(
        stage, csr, not_before=_NOW - timedelta(days=30), not_after=_NOW - timedelta(days=1)
    ),
)
_issued(
    "certificate-garbage",
    "certificate-garbage",
    "What comes is no certificate.",
    lambda stage, csr: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)
_issued(
    "certificate-truncated",
    "certificate-garbage",
    "The certificate that comes is cut short.",
    lambda stage, csr: _forged(stage, csr)[:400],
)
_issued(
    "certificate-of-a-megabyte",
    "create-unanswered",
    "What comes has a megabyte: it is no answer at all.",
    lambda stage, csr: "A" * 1024 * 1024,
)


# -- what the cloud refuses ---------------------------------------------------------------------


def deactivate_when(stage: Stage, topic_suffix: str) -> threading.Event:
    """The new certificate is switched off when the device first publishes on that topic, or,
    for ``/create/accepted``, hears on it; the result is set once that is done."""
    done = threading.Event()

    def switch_off(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if topic.endswith(topic_suffix) and not done.is_set():
            done.set()
            for certificate_id in stage.active_certificates() - {stage.old.certificate_id}:
                stage.deactivate(certificate_id)
        return [(topic, payload)]

    if topic_suffix.endswith("accepted"):
        stage.device.inbound_fault = switch_off
    else:
        stage.device.outbound_fault = switch_off
    return done


@scenario(PROTOCOL)
def new_certificate_refused(stage: Stage) -> None:
    """AWS IoT does not let the new certificate in: the probe sees it, and nothing is changed."""
    stage.start()
    deactivate_when(stage, "/create/accepted")
    job = stage.create_job()
    stage.wait_for_end(job, "failed", timeout=90)
    stage.verdict(rotated=False, job=job, reason="probe-refused")
    require(
        not stage.timeline.find("started", source="nucleus", after=1)[1:],
        "the nucleus was restarted",
    )


@scenario(PROTOCOL)
def refused_after_the_probe(stage: Stage) -> None:
    """The new certificate passes the probe and is refused after the switch: rolled back."""
    stage.start()
    job = stage.create_job()
    stage.wait_for_phase("switching")
    (new,) = stage.active_certificates() - {stage.old.certificate_id}
    stage.deactivate(new)
    stage.wait_for_end(job, "failed", timeout=120)
    stage.verdict(rotated=False, job=job, reason="prove-unanswered")


# -- keys ------------------------------------------------------------------------------------------


def _keys(born: str, configured: str, signing: str = "auto") -> None:
    def play(stage: Stage) -> None:
        stage.start()
        stage.verdict(rotated=True, job=stage.rotate(timeout=100))
        wanted = born if configured == "same" else configured
        require(stage.key_algorithm() == wanted, f"the key is {stage.key_algorithm()}")
        if wanted.startswith("RSA"):
            pem = stage.device.layout.private_key_path.read_bytes()
            require(b"BEGIN RSA PRIVATE KEY" in pem, "an RSA key is not written as PKCS#1")

    play.__doc__ = f"From a key of {born}, with keyAlgorithm {configured}, signing {signing}."
    name = f"keys-{born}-to-{configured}".lower() + ("" if signing == "auto" else "-pss")
    scenario(
        PROTOCOL,
        name=name,
        device={
            "key_algorithm": born,
            "configuration": {"keyAlgorithm": configured, "signingAlgorithm": signing},
        },
    )(play)


_keys("RSA-2048", "same")
_keys("RSA-2048", "ECDSA-P384")
_keys("ECDSA-P256", "RSA-3072", "SHA384WITHRSAANDMGF1")
_keys("ECDSA-P384", "ECDSA-P521")
