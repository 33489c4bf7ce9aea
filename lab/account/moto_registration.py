"""Registered CAs, certificates and things: what moto leaves out of it.

Left out here: the proof that whoever registers a CA has its key (verificationCertificate).
https://docs.aws.amazon.com/iot/latest/developerguide/manage-your-CA-certs.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from moto.core.responses import ActionResult, EmptyResult
from moto.iot.exceptions import IoTClientError, ResourceAlreadyExistsException
from moto.iot.models import FakeCaCertificate, FakeCertificate, IoTBackend
from moto.iot.responses import IoTResponse

#: What replaces what, for moto_corrections.corrected_moto.
CORRECTIONS: list[tuple[type, str, object]] = [
    (FakeCaCertificate, "auto_registration", False),
    (FakeCaCertificate, "certificate_mode", "DEFAULT"),
    (FakeCertificate, "certificate_mode", "SNI_ONLY"),
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _corrects(owner: type, name: str) -> Callable[[_Function], _Function]:
    def register(function: _Function) -> _Function:
        CORRECTIONS.append((owner, name, function))
        return function

    return register


def issuer_of(certificate: x509.Certificate, backend: Any) -> Any | None:
    """The registered CA (moto's) that signed the certificate; None if there is none."""
    for ca in list(backend.ca_certificates.values()):
        try:
            certificate.verify_directly_issued_by(
                x509.load_pem_x509_certificate(ca.certificate_pem.encode())
            )
        except (ValueError, TypeError, InvalidSignature):
            continue
        return ca
    return None


@_corrects(IoTResponse, "register_ca_certificate")
def _register_ca_certificate(response: Any) -> ActionResult:
    """allowAutoRegistration and certificateMode were not read, and a CA replaced itself."""
    backend = response.iot_backend
    pem = response._get_param("caCertificate")
    ca = FakeCaCertificate(
        ca_certificate=pem,
        status="ACTIVE" if response._get_bool_param("setAsActive") else "INACTIVE",
        account_id=backend.account_id,
        region_name=backend.region_name,
        registration_config=response._get_param("registrationConfig"),
    )
    ca.arn = ca.arn.replace(":cert/", ":cacert/")
    ca.auto_registration = bool(response._get_bool_param("allowAutoRegistration"))
    ca.certificate_mode = response._get_param("certificateMode") or "DEFAULT"
    if ca.certificate_id in backend.ca_certificates:
        raise ResourceAlreadyExistsException(
            "The CA certificate is registered already", ca.certificate_id, ca.arn
        )
    backend.ca_certificates[ca.certificate_id] = ca
    return ActionResult({"certificateId": ca.certificate_id, "certificateArn": ca.arn})


@_corrects(IoTResponse, "update_ca_certificate")
def _update_ca_certificate(response: Any) -> EmptyResult:
    """newAutoRegistrationStatus was not read."""
    ca = response.iot_backend.describe_ca_certificate(response.path.split("/")[-1])
    status = response._get_param("newStatus")
    automatic = response._get_param("newAutoRegistrationStatus")
    if status is not None:
        ca.status = status
    if automatic is not None:
        ca.auto_registration = automatic == "ENABLE"
    return EmptyResult()


_moto_description = FakeCertificate.to_description_dict


@_corrects(FakeCertificate, "to_description_dict")
def _to_description_dict(certificate: Any) -> dict[str, Any]:
    """DescribeCertificate gave every certificate a validity from yesterday until tomorrow, and
    neither its CA nor its mode.
    """
    parsed = x509.load_pem_x509_certificate(certificate.certificate_pem.encode())
    validity = {"notBefore": parsed.not_valid_before_utc, "notAfter": parsed.not_valid_after_utc}
    described = {
        **_moto_description(certificate),
        "validity": validity,
        "certificateMode": certificate.certificate_mode,
    }
    if certificate.ca_certificate_id is not None:
        described["caCertificateId"] = certificate.ca_certificate_id
    return described


_moto_ca_description = FakeCaCertificate.to_description_dict


@_corrects(FakeCaCertificate, "to_description_dict")
def _ca_description(ca: Any) -> dict[str, Any]:
    """autoRegistrationStatus and certificateMode were not answered."""
    parsed = x509.load_pem_x509_certificate(ca.certificate_pem.encode())
    described = _moto_ca_description(ca)
    del described["transferData"]
    return {
        **described,
        "autoRegistrationStatus": "ENABLE" if ca.auto_registration else "DISABLE",
        "certificateMode": ca.certificate_mode,
        "validity": {
            "notBefore": parsed.not_valid_before_utc,
            "notAfter": parsed.not_valid_after_utc,
        },
    }


@_corrects(IoTResponse, "register_certificate")
def _register_certificate(response: Any) -> ActionResult:
    """Any certificate was registered, whether its CA was or not."""
    pem, named = response._get_param("certificatePem"), response._get_param("caCertificatePem")
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise _invalid("The certificate is not well-formed X.509 in PEM") from error
    ca = issuer_of(certificate, response.iot_backend)
    if ca is None or (named is not None and not _same(named, ca.certificate_pem)):
        raise _invalid("No registered CA certificate signed the certificate")
    if ca.status != "ACTIVE":
        raise IoTClientError("CertificateStateException", "The CA certificate is not ACTIVE")
    made = response.iot_backend.register_certificate(
        certificate_pem=pem,
        ca_certificate_pem=ca.certificate_pem,
        set_as_active=response._get_bool_param("setAsActive"),
        status=response._get_param("status") or "INACTIVE",
    )
    made.certificate_mode = ca.certificate_mode
    return ActionResult({"certificateId": made.certificate_id, "certificateArn": made.arn})


def _invalid(message: str) -> IoTClientError:
    return IoTClientError("CertificateValidationException", message)


def _same(pem: str, other: str) -> bool:
    try:
        return x509.load_pem_x509_certificate(pem.encode()) == x509.load_pem_x509_certificate(
            other.encode()
        )
    except ValueError:
        return False


_moto_create_thing = IoTBackend.create_thing


@_corrects(IoTBackend, "create_thing")
def _create_thing(
    backend: Any,
    thing_name: str,
    thing_type_name: str,
    attribute_payload: dict[str, Any] | None,
    billing_group_name: str | None = None,
) -> Any:
    """A thing was replaced by one of the same name, whatever was attached to it."""
    known = next((one for one in backend.things.values() if one.thing_name == thing_name), None)
    if known is None:
        return _moto_create_thing(
            backend, thing_name, thing_type_name, attribute_payload, billing_group_name
        )
    attributes = {
        name: value
        for name, value in (attribute_payload or {}).get("attributes", {}).items()
        if value
    }
    kind = known.thing_type.thing_type_name if known.thing_type else None
    if (kind, known.attributes, known.billing_group_name) != (
        thing_type_name or None,
        attributes,
        billing_group_name,
    ):
        raise ResourceAlreadyExistsException(
            f"Thing {thing_name} already exists in account with different attributes",
            known.thing_id,
            known.arn,
        )
    return known
