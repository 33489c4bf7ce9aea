"""Who signs certificates: AWS IoT itself, or a private CA whose certificates are registered.

A signer of the operator's own is in ``signer.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rotation_cloud.aws_errors import error_code, translated
from rotation_cloud.described import described
from rotation_cloud.ports import AlreadyThere, AwsError, Issuance, Order, Throttled

#: Private CA signs within seconds; one that takes longer has done so when the device asks again.
_WAITS = (0.5, 1, 1, 2, 2, 4, 4)
#: What RegisterCertificate may say of a CA that is not registered; the API reference names no
#: error for it. A CA that was deactivated is another matter (CertificateStateException).
_CA_NOT_KNOWN = ("CertificateValidationException", "ResourceNotFoundException")


class IotIssuer:
    """AWS IoT's own CA, which issues again for the same CSR: the record keeps it to one."""

    def __init__(self, iot: Any) -> None:
        """``iot`` is a boto3 client that asks once: a second try may be a second certificate."""
        self._iot = iot

    def issue(self, order: Order) -> Issuance:
        with translated("CreateCertificateFromCsr"):
            made = self._iot.create_certificate_from_csr(
                certificateSigningRequest=order.csr, setAsActive=True
            )
        return Issuance(made["certificateArn"], made["certificatePem"])


class PrivateCaIssuer:
    """AWS Private CA: the same token gives the same certificate, for five minutes.

    https://docs.aws.amazon.com/privateca/latest/APIReference/API_IssueCertificate.html
    """

    def __init__(
        self,
        iot: Any,
        acm_pca: Any,
        sleep: Callable[[float], None],
        *,
        ca_arn: str,
        days: int,
        algorithm: str,
    ) -> None:
        self._iot = iot
        self._acm_pca = acm_pca
        self._sleep = sleep
        self._ca_arn = ca_arn
        self._days = days
        self._algorithm = algorithm

    def issue(self, order: Order) -> Issuance:
        partition = self._ca_arn.split(":")[1]
        with translated("IssueCertificate"):
            issued = self._acm_pca.issue_certificate(
                CertificateAuthorityArn=self._ca_arn,
                Csr=order.csr.encode(),
                SigningAlgorithm=self._algorithm,
                TemplateArn=f"arn:{partition}:acm-pca:::template/EndEntityClientAuthCertificate/V1",
                Validity={"Type": "DAYS", "Value": self._days},
                IdempotencyToken=order.token,
            )
        return register_without_ca(self._iot, self._fetched(issued["CertificateArn"]))

    def _fetched(self, arn: str) -> str:
        for wait in (*_WAITS, None):
            try:
                with translated("GetCertificate"):
                    found = self._acm_pca.get_certificate(
                        CertificateAuthorityArn=self._ca_arn, CertificateArn=arn
                    )
            except AwsError as error:
                if error_code(error) != "RequestInProgressException":
                    raise
            else:
                return str(found["Certificate"]).strip() + "\n"
            if wait is not None:
                self._sleep(wait)
        raise Throttled("GetCertificate: the private CA is not ready")


def register(iot: Any, pem: str, ca_pem: str) -> Issuance:
    """Registers the certificate ACTIVE: with its CA if AWS IoT knows that one, else without.

    https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterCertificate.html
    """
    try:
        with translated("RegisterCertificate"):
            made = iot.register_certificate(
                certificatePem=pem, caCertificatePem=ca_pem, status="ACTIVE"
            )
        return Issuance(str(made["certificateArn"]), pem)
    except AlreadyThere:
        return Issuance(_reactivated(iot, pem), pem)
    except AwsError as error:
        if error_code(error) not in _CA_NOT_KNOWN:
            raise
    return register_without_ca(iot, pem)


def register_without_ca(iot: Any, pem: str) -> Issuance:
    """Registers the certificate ACTIVE, whoever signed it.

    https://docs.aws.amazon.com/iot/latest/apireference/API_RegisterCertificateWithoutCA.html
    """
    try:
        with translated("RegisterCertificateWithoutCA"):
            made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
        return Issuance(str(made["certificateArn"]), pem)
    except AlreadyThere:
        return Issuance(_reactivated(iot, pem), pem)


def _reactivated(iot: Any, pem: str) -> str:
    """The ARN of a certificate that is registered, ACTIVE again: an attempt's whose answer was
    lost, or whose undoing stopped half way."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    certificate_id = hashlib.sha256(der).hexdigest()
    arn = str(described(iot, certificate_id)["certificateArn"])
    with translated("UpdateCertificate"):
        iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    return arn
