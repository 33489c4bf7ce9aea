"""Protocol: the certificates that a cloud may issue, or refuse, and the kinds of keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from lab.account.authority import AWS_IOT_DEFAULT_SUBJECT, common_name, generate_private_key
from lab.scenarios import traffic
from lab.scenarios.protocol import PROTOCOL
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage


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
    return stage.lab.account.own_authority.issue_device_certificate_from_csr(csr, **window)


def _of_another_key(stage: Stage, _: str) -> str:
    other = generate_private_key("ECDSA-P256")
    return stage.lab.account.own_authority.issue_device_certificate(
        other.public_key(), AWS_IOT_DEFAULT_SUBJECT
    )


def _of_another_subject(stage: Stage, csr: str) -> str:
    parsed = x509.load_pem_x509_csr(csr.encode())
    return stage.lab.account.own_authority.issue_device_certificate(
        parsed.public_key(),  # type: ignore[arg-type]  # the component makes RSA and EC keys only
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
