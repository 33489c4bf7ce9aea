"""One look at the device: find the credentials, read what is watched, see what is ready.

It reads and tries out; it judges nothing, publishes nothing, and never raises for what
it finds on the device: that goes into the inventory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate

from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.edge import clock, nucleus_config, readiness, x509
from certkeeper.edge.nucleus_config import CredentialsNotFound, NucleusConfig, Pkcs11
from certkeeper.edge.readiness import PrivateKey
from certkeeper.edge.x509 import CertificateError, PrivateKeyError
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem

CLIENT_DEVICE_CA = "work/aws.greengrass.clientdevices.Auth/ca.pem"
_PKCS11 = (
    "the certificate is in a PKCS#11 token, which is not read: set certificateFilePath and "
    "privateKeyPath, the former to a copy of the certificate in a PEM file"
)


@dataclass(frozen=True)
class Request:
    """What to look at: the Greengrass root, and from the settings what to watch."""

    root: str
    watch: Sequence[str] = ()
    certificate_override: str | None = None
    private_key_override: str | None = None
    try_endpoint: bool = False


def inspect(request: Request) -> Inventory:
    """The inventory of this device now."""
    try:
        config = nucleus_config.discover(
            request.root,
            certificate_override=request.certificate_override,
            private_key_override=request.private_key_override,
        )
    except CredentialsNotFound as error:
        return _without_credentials(request, str(error))
    watched = _watched(config, request)
    contents = [_read(role, uri) for role, uri in watched]
    known = [certificate for content in contents for certificate in content.certificates]
    key_path, key, key_problem = _private_key(config)
    readings = [
        reading for content in contents for reading in _readings(content, known, key, key_problem)
    ]
    return Inventory(
        runtime=config.runtime,
        thing_name=config.thing_name,
        private_key_source=str(key_path) if key is not None else None,
        readings=tuple(readings),
        checks=readiness.checks(
            config,
            readings[0],
            PrivateKey(key_path, key is not None, key_problem),
            request.try_endpoint,
        ),
        clock_synchronized=clock.synchronized(),
        notes=config.notes,
    )


def _without_credentials(request: Request, reason: str) -> Inventory:
    reading = Reading(Role.CORE_DEVICE, request.root, None, ReadProblem.MISSING, reason)
    check = ReadinessCheck(
        ReadinessCheckName.CREDENTIALS_FOUND,
        CheckStatus.FAIL,
        reason,
        "set certificateFilePath and privateKeyPath in the component's configuration",
    )
    return Inventory(
        "unknown", None, None, (reading,), (check,), clock_synchronized=clock.synchronized()
    )


# -- certificates -------------------------------------------------------------------


@dataclass(frozen=True)
class _Content:
    role: Role
    source: str
    certificates: Sequence[Certificate] = ()
    problem: ReadProblem | None = None
    detail: str = ""


def _watched(config: NucleusConfig, request: Request) -> list[tuple[Role, str]]:
    """The core device certificate first, then whatever else there is to watch."""
    watched = [(Role.CORE_DEVICE, config.certificate_uri)]
    if config.root_ca_path:
        watched.append((Role.ROOT_CA, config.root_ca_path))
    if config.claim_certificate_path:
        watched.append((Role.CLAIM, config.claim_certificate_path))
    client_device_ca = Path(config.root) / CLIENT_DEVICE_CA
    if client_device_ca.exists():
        watched.append((Role.CLIENT_DEVICE_CA, str(client_device_ca)))
    watched.extend((Role.WATCHED, uri) for uri in request.watch)
    return watched


def _read(role: Role, uri: str) -> _Content:
    try:
        location = nucleus_config.resolve(uri)
    except ValueError as error:
        return _Content(role, uri.split(":")[0] + ":", (), ReadProblem.UNREADABLE, str(error))
    if isinstance(location, Pkcs11):
        return _Content(role, str(location), (), ReadProblem.PKCS11, _PKCS11)
    try:
        return _Content(role, str(location), x509.read_certificates(Path(location)))
    except CertificateError as error:
        return _Content(role, str(location), (), error.problem, error.detail)


def _readings(
    content: _Content,
    known: Iterable[Certificate],
    key: Any,
    key_problem: str,
) -> list[Reading]:
    """One reading a certificate: a bundle of CAs has several, a device's chain only its first."""
    role = content.role
    if content.problem is not None:
        return [Reading(role, content.source, None, content.problem, content.detail)]
    bundle = role is Role.ROOT_CA
    readings = []
    for certificate in content.certificates if bundle else content.certificates[:1]:
        try:
            facts = x509.facts_of(certificate)
        except CertificateError as error:
            readings.append(Reading(role, content.source, None, error.problem, error.detail))
            continue
        facts = x509.with_issuer_end(facts, certificate, known)
        pair, detail = PairState.NOT_CHECKED, ""
        if role is Role.CORE_DEVICE:
            pair, detail = _pair(certificate, key, key_problem)
        readings.append(Reading(role, content.source, facts, None, detail, pair))
    return readings


def _private_key(config: NucleusConfig) -> tuple[Path | None, Any, str]:
    """The key's path and the key, None where it cannot be read, and then why."""
    try:
        location = nucleus_config.resolve(config.private_key_uri)
    except ValueError as error:
        return None, None, str(error)
    if isinstance(location, Pkcs11):
        return None, None, "the private key is in a PKCS#11 token, which is not used"
    try:
        return Path(location), x509.load_private_key(Path(location)), ""
    except PrivateKeyError as error:
        return Path(location), None, str(error)


def _pair(certificate: Certificate, key: Any, key_problem: str) -> tuple[PairState, str]:
    if key is None:
        return PairState.KEY_UNREADABLE, key_problem
    if x509.is_pair(certificate, key):
        return PairState.MATCHES, ""
    return PairState.MISMATCH, "the private key is not the key of this certificate"
