"""The steps of a rotation on the device, each done when it is asked for and never by itself.

They take a request's fields and give an answer's (edge/rotating_child.py has the table), or
raise StepProblem. Each may be repeated harmlessly. What a step needs is imported when it is
first asked for, so that a child is soon there.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from certkeeper.core.store import other
from certkeeper.edge.rotation_device import (
    Answer,
    Device,
    Request,
    StepProblem,
    look_into,
    read_pair,
)
from rotation_protocol.reasons import FailureReason

if TYPE_CHECKING:
    from certkeeper.edge.probe import Probed, Target

#: No pair is tried longer than this, whatever the network does; no single wait is longer than
#: the other.
PROBE_SECONDS = 45.0
PROBE_WAIT_SECONDS = 10.0


# -- the new pair ---------------------------------------------------------------------


def prepare(device: Device, request: Request, orphaned: Callable[[], bool]) -> Answer:
    """A new key in the spare slot, and a request for its certificate. All that can fail without
    leaving a trace comes first, then the adoption of the store, then the key."""
    from certkeeper.edge import key_pair, x509

    certificate, current_key = read_pair(device.certificate, device.private_key)
    try:
        algorithm, signing = key_pair.choose(
            request["keyAlgorithm"],
            request["signingAlgorithm"],
            x509.key_algorithm(current_key.public_key()),
        )
        del current_key
        device.store.rehearse()
        key = key_pair.generate(algorithm)
        csr = key_pair.csr_pem(key, key_pair.subject_of(certificate, device.thing_name), signing)
    except key_pair.KeyNotSupported as error:
        raise StepProblem(FailureReason.KEY_NOT_SUPPORTED, str(error)) from None
    if orphaned():  # an RSA key takes long on a small device
        raise SystemExit(0)
    old = device.store.adopt()
    new = other(old)
    device.store.wipe(new)
    device.store.write_key(new, key_pair.key_pem(key))
    return {
        "oldSlot": old,
        "newSlot": new,
        "csr": csr,
        "oldCertificateId": x509.certificate_id(certificate),
        "keyAlgorithm": algorithm,
    }


def stage(device: Device, request: Request, now: datetime) -> Answer:
    """What was issued, beside its key, once it is known to be what was asked for."""
    from certkeeper.edge import acceptance

    slot = request["slot"]
    try:
        accepted = acceptance.check(
            request["certificatePem"], request["csr"], now, _clock_trusted(device, now)
        )
    except acceptance.NotAccepted as refusal:
        raise StepProblem(refusal.reason, refusal.detail) from None
    device.store.write_certificate(slot, accepted.pem)
    kept = look_into(device.store.slot(slot))
    if not kept["whole"] or kept["certificateId"] != accepted.certificate_id:
        detail = f"read back, slot {slot} holds another pair than was to be written"
        raise StepProblem(FailureReason.STORE_FAILED, detail)
    return {"certificateId": accepted.certificate_id}


def _clock_trusted(device: Device, now: datetime) -> bool:
    """Not before the certificate in use began: there was no such time on this device."""
    from certkeeper.edge import x509

    try:
        return now >= x509.facts_of(x509.read_certificates(device.certificate)[0]).not_before
    except x509.CertificateError:
        return True


# -- trying it --------------------------------------------------------------------------


def probe(device: Device, request: Request) -> Answer:
    """Try the pairs in these slots with AWS IoT, at the same time."""
    from certkeeper.edge import probe as trial

    target = _target(device)
    found: dict[str, Probed] = {}

    def one(slot: str) -> None:
        files = device.store.slot(slot)
        if target is None:
            found[slot] = trial.Probed(
                trial.Verdict.UNREACHABLE, "the nucleus names no root CA that can be read"
            )
        else:
            found[slot] = trial.probe(
                target, files.certificate, files.private_key, PROBE_WAIT_SECONDS
            )

    slots: list[str] = list(request["slots"])
    threads = [threading.Thread(target=one, args=(slot,), daemon=True) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PROBE_SECONDS / len(threads))
    silent = trial.Probed(trial.Verdict.UNREACHABLE, f"no answer within {PROBE_SECONDS:g} s")
    results = [(slot, found.get(slot, silent)) for slot in slots]
    return {
        "results": [
            {"slot": slot, "verdict": said.verdict.value, "detail": said.detail}
            for slot, said in results
        ]
    }


def _target(device: Device) -> Target | None:
    from certkeeper.edge import nucleus_config, probe

    config = device.config
    try:
        root_ca = nucleus_config.resolve(config.root_ca_path or "")
    except nucleus_config.LocationError:
        return None
    if not isinstance(root_ca, Path):
        return None
    return probe.Target(
        device.thing_name,
        root_ca,
        config.iot_cred_endpoint,
        config.iot_role_alias,
        config.iot_data_endpoint,
    )


# -- using it -----------------------------------------------------------------------------


def arm(device: Device, request: Request) -> Answer:
    """Arm the dead-man's switch."""
    from certkeeper.edge import dead_man

    device.store.clear_mark()
    try:
        dead_man.arm(
            device.store.folder,
            request["oldSlot"],
            request["newSlot"],
            request["seconds"],
            device.config.runtime,
        )
    except dead_man.DeadManError as error:
        raise StepProblem(FailureReason.DEAD_MAN_FAILED, str(error)) from None
    return {}


def activate(device: Device, request: Request) -> Answer:
    """Make the nucleus's paths lead to this slot, but never to one without a whole pair."""
    slot = request["slot"]
    if not look_into(device.store.slot(slot))["whole"]:
        raise StepProblem(FailureReason.STORE_FAILED, f"slot {slot} holds no whole pair")
    device.store.activate(slot)
    return {"slot": slot}


def reconnect(device: Device, request: Request) -> Answer:
    """Make the nucleus use what its paths lead to."""
    from certkeeper.edge import supervisor

    try:
        means = supervisor.reconnect(device.config.runtime, request["strength"])
    except supervisor.SupervisorError as error:
        raise StepProblem(FailureReason.RECONNECT_FAILED, str(error)) from None
    return {"means": means.name, "restartsUs": means.restarts_us}


def disarm(device: Device, _: Request) -> Answer:
    """Disarm the dead-man's switch: with the mark there it does nothing, so that a timer which
    cannot be stopped is no failure."""
    from certkeeper.edge import dead_man

    device.store.mark_committed()
    with contextlib.suppress(dead_man.DeadManError):
        dead_man.disarm()
    return {}


def wipe(device: Device, request: Request) -> Answer:
    """Remove the pair in this slot."""
    device.store.wipe(request["slot"])
    return {"slot": request["slot"]}
