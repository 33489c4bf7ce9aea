"""Cloud: a signer of the operator's own issues the certificates (docs/signer.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from lab import signer
from lab.account.authority import common_name, csr_pem
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from lab.scenarios.staging import SIGNER, signers_ca

CLOUD = "Cloud"


def _own_signer(name: str, known: bool, sentence: str) -> None:
    def play(stage: Stage) -> None:
        ca_pem = (signers_ca(stage.lab) / "ca.pem").read_text()
        ca_id = stage.lab.account.register_ca(ca_pem) if known else None
        stage.start()
        stage.verdict(rotated=True, job=stage.rotate())
        stage.take_for_old()
        _require_signed_by(stage, ca_pem, ca_id)
        # And from one of its certificates to the next.
        stage.verdict(rotated=True, job=stage.rotate())
        _require_signed_by(stage, ca_pem, ca_id)

    play.__doc__ = sentence
    scenario(CLOUD, name=name, stage={"signer": True})(play)


def _require_signed_by(stage: Stage, ca_pem: str, ca_id: str | None) -> None:
    pem = stage.device.layout.certificate_path.read_bytes()
    ca = x509.load_pem_x509_certificate(ca_pem.encode())
    x509.load_pem_x509_certificate(pem).verify_directly_issued_by(ca)
    described = stage.lab.account.client("iot").describe_certificate(
        certificateId=stage.certificate_on_disk()
    )["certificateDescription"]
    require(described.get("caCertificateId") == ca_id, "it is registered with another CA")


_own_signer("own-signer", False, "A signer of the operator's own issues the certificates.")
_own_signer(
    "own-signer-of-a-registered-ca",
    True,
    "A signer of the operator's own issues them, and AWS IoT knows its CA.",
)


def _refuses(_: Any) -> dict[str, str]:
    return {"refused": "press-7 is scrap"}


def _breaks(_: Any) -> dict[str, str]:
    raise RuntimeError("no key")


def _signs_another_key(event: dict[str, Any], stage: Stage) -> dict[str, str]:
    other = csr_pem(ec.generate_private_key(ec.SECP256R1()), common_name("press-7"))
    return signer.sign({**event, "csr": other}, signers_ca(stage.lab))


def _fails(name: str, answer: Callable[[Any, Stage], dict[str, str]], sentence: str) -> None:
    def play(stage: Stage) -> None:
        account = stage.lab.account
        account.make_function(SIGNER, lambda event: answer(event, stage))
        stage.start()
        job = stage.create_job()
        stage.wait_for_end(job, "failed", timeout=120)
        stage.wait_for_idle()
        told = len(stage.notifications())
        require(told >= 1, "nobody was told")
        stage.verdict(rotated=False, job=job, told=told)
        account.make_function(SIGNER, lambda event: signer.sign(event, signers_ca(stage.lab)))
        stage.verdict(rotated=True, job=stage.rotate(), told=told)

    play.__doc__ = sentence
    scenario(CLOUD, name=name, stage={"signer": True})(play)


_fails(
    "own-signer-refuses",
    lambda event, _: _refuses(event),
    "The signer refuses: the job fails, nothing leaks, somebody is told; the next job works.",
)
_fails(
    "own-signer-breaks",
    lambda event, _: _breaks(event),
    "The signer breaks: the job fails, nothing leaks, somebody is told; the next job works.",
)
_fails(
    "own-signer-errs",
    _signs_another_key,
    "The signer signs another key: its certificate is not registered; the next job works.",
)
