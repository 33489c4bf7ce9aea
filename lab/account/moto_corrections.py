"""What moto 5.2.5 gets wrong about AWS IoT, put right while an account is open.

Each correction replaces one attribute of moto's iot backend, and its docstring says
why; those of jobs are in moto_jobs.py, of workflows in moto_states.py, of CAs and things in
moto_registration.py, of Lambda in moto_functions.py. What moto checks by itself (duplicates,
deleting what is ACTIVE or attached) stays moto's. Left as it is, because nothing here needs it
yet: the lists have no pages.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import moto
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from moto.awslambda.models import LambdaBackend
from moto.core.responses import ActionResult, EmptyResult
from moto.dynamodb.models import DynamoDBBackend
from moto.iot.exceptions import IoTClientError
from moto.iot.models import FakeCertificate, FakeThingGroup, IoTBackend
from moto.iot.responses import IoTResponse
from moto.stepfunctions.models import StepFunctionBackend

from lab.account import moto_functions, moto_jobs, moto_registration, moto_states
from lab.account.attachments import ATTACHMENT_TYPES, EXCLUSIVE, NON_EXCLUSIVE
from lab.account.authority import Authority, CsrRefused
from lab.account.moto_functions import Handler
from lab.account.policies import POLICY_MAX_CHARACTERS, policy_characters
from lab.jobs.service import Jobs
from lab.states.service import StateMachines

WRITTEN_FOR = "5.2.5"


_ROOMS = (moto_jobs, moto_states, moto_registration, moto_functions)


class MotoVersionUnknown(RuntimeError):
    """The installed moto is not the one that the corrections were checked against."""


_ABSENT = object()
_Function = TypeVar("_Function", bound=Callable[..., Any])
_corrections: list[tuple[type, str, object]] = [
    # DeleteCertificate looks at every target of a policy for its certificateId and so
    # failed (500) for every certificate while any thing group had a policy.
    (FakeThingGroup, "certificate_id", None),
]


@contextmanager
def corrected_moto(
    iot_authority: Authority,
    jobs: Jobs,
    state_machines: StateMachines,
    functions: Mapping[str, Handler],
) -> Iterator[None]:
    """Applies every correction, and takes all of them back at the end.

    ``iot_authority`` signs what AWS IoT would sign, ``jobs`` is its Jobs service, and
    ``state_machines`` are Step Functions; ``functions`` are Lambda's by their ARN. Raises
    MotoVersionUnknown, with nothing changed, if moto is not the version that they were written
    for.
    """
    if moto.__version__ != WRITTEN_FOR:
        raise MotoVersionUnknown(
            f"lab/account/moto_corrections.py was written for moto {WRITTEN_FOR}, but "
            f"{moto.__version__} is installed: install requirements/lab.txt, or check each "
            "correction against the new moto/iot and raise WRITTEN_FOR"
        )
    services: list[tuple[type, str, object]] = [
        (IoTBackend, "iot_authority", iot_authority),
        (IoTBackend, "jobs_service", jobs),
        (StepFunctionBackend, "states_service", state_machines),
        (LambdaBackend, "lab_functions", functions),
    ]
    rooms = (_corrections, *(each.CORRECTIONS for each in _ROOMS))
    with ExitStack() as taken_back:
        for owner, name, value in itertools.chain(services, *rooms):
            taken_back.callback(_restore, owner, name, vars(owner).get(name, _ABSENT))
            setattr(owner, name, value)
        yield


def _restore(owner: type, name: str, value: object) -> None:
    if value is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


def _corrects(owner: type, name: str) -> Callable[[_Function], _Function]:
    def register(function: _Function) -> _Function:
        _corrections.append((owner, name, function))
        return function

    return register


# --- certificates -----------------------------------------------------------------


@_corrects(IoTBackend, "create_certificate_from_csr")
def _create_certificate_from_csr(backend: Any, csr: str, set_as_active: str | bool) -> Any:
    """moto certified a key of its own instead of the CSR's, answered 500 to a CSR that it
    could not read, and took setAsActive=false, which arrives as text, for true.
    """
    try:
        pem = backend.iot_authority.issue_device_certificate_from_csr(csr)
    except CsrRefused as refused:
        raise IoTClientError(
            "InvalidRequestException", f"CSR violates constraints: {refused}"
        ) from refused
    active = str(set_as_active).lower() == "true"
    return backend.register_certificate(
        pem, ca_certificate_pem=None, set_as_active=active, status="INACTIVE"
    )


@_corrects(IoTBackend, "_generate_certificate_pem")
def _generate_certificate_pem(backend: Any, domain_name: str, subject: x509.Name, key: Any) -> str:
    """CreateKeysAndCertificate gave self-signed certificates of 365 days."""
    pem: str = backend.iot_authority.issue_device_certificate(key.public_key(), subject)
    return pem


@_corrects(FakeCertificate, "compute_cert_id")
def _compute_cert_id(_: Any, certificate_pem: str) -> str:
    """The certificateId was the SHA-256 of the PEM, so text that is no certificate had one too."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    except ValueError as error:
        raise IoTClientError(
            "CertificateValidationException", "The certificate is not well-formed X.509 in PEM"
        ) from error
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


_moto_put_item = DynamoDBBackend.put_item
_one_write_at_a_time = threading.Lock()


@_corrects(DynamoDBBackend, "put_item")
def _put_item(backend: Any, *arguments: Any, **named: Any) -> Any:
    """Two conditional writes at once could both find their condition true."""
    with _one_write_at_a_time:
        return _moto_put_item(backend, *arguments, **named)


_moto_delete_certificate = IoTBackend.delete_certificate


@_corrects(IoTBackend, "delete_certificate")
def _delete_certificate(backend: Any, certificate_id: str, force_delete: bool) -> None:
    """forceDelete left the policies attached to nothing, and then no certificate could be
    deleted any more.
    """
    arn = backend.describe_certificate(certificate_id).arn
    _moto_delete_certificate(backend, certificate_id, force_delete)
    for target, policy_name in list(backend.principal_policies):
        if target == arn:
            del backend.principal_policies[target, policy_name]


# --- attachments to things --------------------------------------------------------


@_corrects(IoTResponse, "attach_thing_principal")
def _attach_thing_principal_request(response: Any) -> EmptyResult:
    """thingPrincipalType was not read."""
    response.iot_backend.attach_thing_principal(
        thing_name=response._get_param("thingName"),
        principal_arn=response.headers.get("x-amzn-principal"),
        thing_principal_type=response._get_param("thingPrincipalType") or NON_EXCLUSIVE,
    )
    return EmptyResult()


@_corrects(IoTBackend, "attach_thing_principal")
def _attach_thing_principal(
    backend: Any, thing_name: str, principal_arn: str, thing_principal_type: str = NON_EXCLUSIVE
) -> None:
    """An exclusive attachment was not exclusive. The type is kept as a third value beside the
    principal and the thing, so that it goes when the attachment goes.

    https://docs.aws.amazon.com/iot/latest/developerguide/exclusive-thing.html
    """
    if thing_principal_type not in ATTACHMENT_TYPES:
        raise IoTClientError(
            "InvalidRequestException",
            f"thingPrincipalType must be one of {', '.join(ATTACHMENT_TYPES)}",
        )
    principal = backend._get_principal(principal_arn)
    thing = backend.describe_thing(thing_name)
    present = {
        name: attached[2]
        for (arn, name), attached in list(backend.principal_things.items())
        if arn == principal_arn
    }
    if thing_name in present and present[thing_name] == thing_principal_type:
        return
    if present and EXCLUSIVE in (thing_principal_type, *present.values()):
        raise IoTClientError(
            "InvalidRequestException",
            f"{principal_arn} is attached to {', '.join(present)}, and one of the "
            "attachments would be exclusive: detach it first",
        )
    backend.principal_things[principal_arn, thing_name] = (
        principal,
        thing,
        thing_principal_type,
    )


@_corrects(IoTResponse, "list_thing_principals_v2")
def _list_thing_principals_v2(response: Any) -> ActionResult:
    """thingPrincipalType was neither answered nor used as a filter."""
    thing_name = response._get_param("thingName")
    principals = response.iot_backend.list_thing_principals_v2(thing_name=thing_name)
    attachments = [("principal", arn, (arn, thing_name)) for arn in principals]
    return ActionResult({"thingPrincipalObjects": _with_types(response, attachments)})


@_corrects(IoTResponse, "list_principal_things_v2")
def _list_principal_things_v2(response: Any) -> ActionResult:
    """thingPrincipalType was neither answered nor used as a filter."""
    arn = response.headers.get("x-amzn-principal")
    things = response.iot_backend.list_principal_things_v2(principal_arn=arn)
    attachments = [("thingName", name, (arn, name)) for name in things]
    return ActionResult({"principalThingObjects": _with_types(response, attachments)})


def _with_types(
    response: Any, attachments: list[tuple[str, str, tuple[str, str]]]
) -> list[dict[str, str]]:
    wanted = response._get_param("thingPrincipalType")
    objects = []
    for field, value, key in attachments:
        attached = response.iot_backend.principal_things.get(key)
        if attached is not None and wanted in (None, attached[2]):
            objects.append({field: value, "thingPrincipalType": attached[2]})
    return objects


# --- policies ---------------------------------------------------------------------

_moto_create_policy = IoTBackend.create_policy
_moto_create_policy_version = IoTBackend.create_policy_version


@_corrects(IoTBackend, "create_policy")
def _create_policy(backend: Any, policy_name: str, policy_document: str) -> Any:
    """Any text was taken for a policy document."""
    _check_policy_document(policy_document)
    return _moto_create_policy(backend, policy_name, policy_document)


@_corrects(IoTBackend, "create_policy_version")
def _create_policy_version(
    backend: Any, policy_name: str, policy_document: str, set_as_default: bool
) -> Any:
    """Any text was taken for a policy document."""
    _check_policy_document(policy_document)
    return _moto_create_policy_version(backend, policy_name, policy_document, set_as_default)


def _check_policy_document(document: str) -> None:
    try:
        parsed = json.loads(document)
    except ValueError as error:
        raise IoTClientError(
            "MalformedPolicyException", "Policy document is Malformed: it is not JSON"
        ) from error
    if not isinstance(parsed, dict) or "Statement" not in parsed:
        raise IoTClientError(
            "MalformedPolicyException", "Policy document is Malformed: it has no Statement"
        )
    characters = policy_characters(document)
    if characters > POLICY_MAX_CHARACTERS:
        raise IoTClientError(
            "MalformedPolicyException",
            f"Policy document is Malformed: it has {characters} characters without white space, "
            f"at most {POLICY_MAX_CHARACTERS} are taken",
        )
