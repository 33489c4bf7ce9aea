"""How a stage is set: lab, backend and device as a scenario wants them; and how it is played."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import signer
from lab.account.account import Account
from lab.lab import Lab
from lab.nucleus.recipe import Runtime
from lab.scenarios.scenario import Scenario, VerdictFailed
from lab.scenarios.stage import CONFIGURATION, THING, Stage
from lab.timeline import Entry

SIGNER = "signer"  # the name of the operator's own function


@contextmanager
def staged(
    scenario: Scenario, runtime: Runtime, listener: Callable[[Entry], None] | None = None
) -> Iterator[Stage]:
    """The stage for a scenario: everything is there, and the device is not started yet."""
    with Lab(listener) as lab, small_disk(lab, scenario.stage.get("disk_bytes")):
        # Where alerts are not what it is about, none of them starts a rotation of its own.
        parameters = {"AutoRotateBelowDays": "0", **scenario.backend}
        if scenario.stage.get("private_ca"):
            parameters |= {"Issuer": "private-ca", "PrivateCaArn": make_private_ca(lab.account)}
        if scenario.stage.get("signer"):
            parameters |= {"Issuer": "signer", "SignerFunctionArn": make_signer(lab)}
        backend = lab.deploy_backend(**parameters)
        made = dict(scenario.device)
        configuration = {**CONFIGURATION, **made.pop("configuration", {})}
        if scenario.stage.get("factory_fresh"):
            old = lab.account.certify(THING, lab.account.own_authority)
            device = lab.lay_out(old, runtime=runtime, configuration=configuration)
        else:
            device, old = lab.core_device(
                THING, runtime=runtime, configuration=configuration, **made
            )
        try:
            yield Stage(lab, backend, device, old)
        finally:
            device.stop()


def make_private_ca(account: Account) -> str:
    """A private CA in the account, ready to issue; its ARN."""
    pca = account.client("acm-pca")
    arn: str = pca.create_certificate_authority(
        CertificateAuthorityConfiguration={
            "KeyAlgorithm": "RSA_2048",
            "SigningAlgorithm": "SHA256WITHRSA",
            "Subject": {"CommonName": "Device CA"},
        },
        CertificateAuthorityType="ROOT",
    )["CertificateAuthorityArn"]
    return arn


def make_signer(lab: Lab) -> str:
    """The example of an operator's own signer, with a new CA, as a function; its ARN."""
    signer.make_ca(signers_ca(lab))
    return lab.account.make_function(SIGNER, lambda event: signer.sign(event, signers_ca(lab)))


def signers_ca(lab: Lab) -> Path:
    """The folder of the signer's CA."""
    return lab.folder / "signer-ca"


@contextmanager
def small_disk(lab: Lab, size: int | None) -> Iterator[None]:
    """A disk of so many bytes for the device's root, if there is to be one."""
    if size is None:
        yield
        return
    root = lab.folder / THING
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", root], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def play(
    scenario: Scenario, runtime: Runtime, listener: Callable[[Entry], None] | None = None
) -> None:
    """Play it. Raises VerdictFailed or NotSeen if it does not end as it promises."""
    if runtime not in scenario.runtimes:
        raise VerdictFailed(f"{scenario.name} is not played on {runtime}")
    if scenario.root and os.geteuid() != 0:
        raise VerdictFailed(f"{scenario.name} mounts things or changes owners: only root can")
    with staged(scenario, runtime, listener) as stage:
        scenario.play(stage)
