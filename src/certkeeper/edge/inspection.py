"""One look at the device: find the credentials, read what is watched, see what is ready.

It reads and tries out; it judges nothing, publishes nothing, and never raises for what
it finds on the device: that goes into the inventory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from certkeeper.core.certificate import Inventory, PairState, Reading, Role
from certkeeper.edge import clock, nucleus_config, readiness, x509
from certkeeper.edge.location import without_pin
from certkeeper.edge.nucleus_config import CredentialsNotFound, NucleusConfig, Pkcs11
from certkeeper.edge.readiness import KeyFile
from certkeeper.edge.x509 import CertificateError, PrivateKeyError
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from rotation_protocol.values import dataclass

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
    key_file, key = _private_key(config)
    readings = [
        reading for content in contents for reading in _readings(content, known, key, key_file)
    ]
    # A signature by another key than the certificate's would only look like forgery.
    may_sign = key is not None and readings[0].pair is not PairState.MISMATCH
    return Inventory(
        runtime=config.runtime,
        thing_name=config.thing_name,
        private_key_source=str(key_file.path) if may_sign else None,
        readings=tuple(readings),
        checks=readiness.checks(config, readings[0], key_file, request.try_endpoint),
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
    certificates: Sequence[x509.Certificate] = ()
    problem: ReadProblem | None = None
    detail: str = ""


def _watched(config: NucleusConfig, request: Request) -> list[tuple[Role, str]]:
    """The core device certificate first, then whatever else there is to watch."""
    watched = [(Role.CORE_DEVICE, config.certificate_uri)]
    if config.root_ca_path:
        watched.append((Role.ROOT_CA, config.root_ca_path))
    if config.claim_certificate_path and _is_there(config.claim_certificate_path):
        watched.append((Role.CLAIM, config.claim_certificate_path))
    client_device_ca = str(Path(config.root) / CLIENT_DEVICE_CA)
    if _is_there(client_device_ca):
        watched.append((Role.CLIENT_DEVICE_CA, client_device_ca))
    watched.extend((Role.WATCHED, uri) for uri in request.watch)
    return watched


def _is_there(uri: str) -> bool:
    """Whether to watch what a device may do without: many delete the claim once it is used."""
    try:
        location = nucleus_config.resolve(uri)
        return isinstance(location, Pkcs11) or location.exists()
    except (ValueError, OSError):  # no place, or in a folder that may not be looked into
        return False


def _read(role: Role, uri: str) -> _Content:
    try:
        location = nucleus_config.resolve(uri)
    except ValueError as error:
        return _Content(role, without_pin(uri), (), ReadProblem.UNREADABLE, str(error))
    if isinstance(location, Pkcs11):
        return _Content(role, str(location), (), ReadProblem.PKCS11, _PKCS11)
    try:
        return _Content(role, str(location), x509.read_certificates(location))
    except CertificateError as error:
        return _Content(role, str(location), (), error.problem, error.detail)


def _readings(
    content: _Content,
    known: Iterable[x509.Certificate],
    key: x509.PrivateKey | None,
    key_file: KeyFile,
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
            detail = f"{content.source}: {error.detail}"
            readings.append(Reading(role, content.source, None, error.problem, detail))
            continue
        facts = x509.with_issuer_end(facts, certificate, known)
        pair, detail = PairState.NOT_CHECKED, ""
        if role is Role.CORE_DEVICE:
            pair, detail = _pair(certificate, key, key_file)
        readings.append(Reading(role, content.source, facts, None, detail, pair))
    return readings


def _private_key(config: NucleusConfig) -> tuple[KeyFile, x509.PrivateKey | None]:
    """Where the key is, and the key itself unless it cannot be used."""
    try:
        location = nucleus_config.resolve(config.private_key_uri)
    except ValueError as error:
        return KeyFile(None, str(error)), None
    if isinstance(location, Pkcs11):
        return KeyFile(None, "the private key is in a PKCS#11 token, which is not used"), None
    try:
        return KeyFile(location), x509.load_private_key(location)
    except PrivateKeyError as error:
        return KeyFile(location, str(error), error.denied), None


def _pair(
    certificate: x509.Certificate, key: x509.PrivateKey | None, key_file: KeyFile
) -> tuple[PairState, str]:
    if key is None:
        # Kept in a token, or from us: that says nothing of what the nucleus will find.
        elsewhere = key_file.path is None or key_file.denied
        return PairState.NOT_CHECKED if elsewhere else PairState.KEY_UNREADABLE, key_file.problem
    if x509.is_pair(certificate, key):
        return PairState.MATCHES, ""
    return PairState.MISMATCH, "the private key is not the key of this certificate"
