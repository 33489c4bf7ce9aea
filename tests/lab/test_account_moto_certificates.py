"""Certificates in the corrected moto are AWS IoT's, and moto's own checks are still there."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.account.account import Account
from lab.account.authority import (
    AWS_IOT_NOT_AFTER,
    Authority,
    common_name,
    csr_pem,
    generate_private_key,
)
from lab.timeline import Timeline

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_iot.type_defs import CreateCertificateFromCsrResponseTypeDef

pytestmark = pytest.mark.xdist_group("account-moto-certificates")

POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})
_numbers = itertools.count()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for all tests of this module; each makes names of its own."""
    with Account(Timeline()) as account:
        yield account


@pytest.fixture(scope="module")
def iot(account: Account) -> IoTClient:
    """The operator's client."""
    return account.client("iot")


def unused(word: str) -> str:
    """A name that no other test of this module has."""
    return f"{word}-{next(_numbers)}"


def new_csr() -> str:
    return csr_pem(generate_private_key("ECDSA-P256"), common_name("AWS IoT Certificate"))


def new_certificate(
    iot: IoTClient, *, active: bool = False
) -> CreateCertificateFromCsrResponseTypeDef:
    return iot.create_certificate_from_csr(certificateSigningRequest=new_csr(), setAsActive=active)


def new_thing(iot: IoTClient) -> str:
    return iot.create_thing(thingName=unused("thing"))["thingName"]


def new_policy(iot: IoTClient) -> str:
    name = unused("policy")
    iot.create_policy(policyName=name, policyDocument=POLICY)
    return name


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def der_id(pem: str) -> str:
    der = parsed(pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# --- certificates -----------------------------------------------------------------


def test_certificate_from_a_csr_is_for_the_csr_s_key(account: Account, iot: IoTClient) -> None:
    """The certificate carries the CSR's key and subject, AWS IoT's signature and its notAfter."""
    key = generate_private_key("ECDSA-P384")
    csr = csr_pem(key, common_name("press-7"))
    certificate = parsed(
        iot.create_certificate_from_csr(certificateSigningRequest=csr)["certificatePem"]
    )
    assert certificate.public_key() == key.public_key()
    assert certificate.subject == common_name("press-7")
    assert certificate.not_valid_after_utc == AWS_IOT_NOT_AFTER
    certificate.verify_directly_issued_by(account.iot_authority.certificate)


def test_the_same_csr_twice_gives_two_certificates(iot: IoTClient) -> None:
    """Reusing a CSR results in a distinct certificate, as AWS documents it."""
    csr = new_csr()
    first = iot.create_certificate_from_csr(certificateSigningRequest=csr)
    second = iot.create_certificate_from_csr(certificateSigningRequest=csr)
    assert first["certificateId"] != second["certificateId"]


@pytest.mark.parametrize(("set_as_active", "status"), [(True, "ACTIVE"), (False, "INACTIVE")])
def test_certificate_from_a_csr_is_active_only_if_asked(
    iot: IoTClient, set_as_active: bool, status: str
) -> None:
    """setAsActive decides the status of a new certificate, false as well as true."""
    created = new_certificate(iot, active=set_as_active)
    described = iot.describe_certificate(certificateId=created["certificateId"])
    assert described["certificateDescription"]["status"] == status


def test_certificate_from_a_csr_is_inactive_by_default(iot: IoTClient) -> None:
    """Without setAsActive a new certificate is INACTIVE."""
    created = iot.create_certificate_from_csr(certificateSigningRequest=new_csr())
    described = iot.describe_certificate(certificateId=created["certificateId"])
    assert described["certificateDescription"]["status"] == "INACTIVE"


@pytest.mark.parametrize("case", ["text", "too long", "weak key"])
def test_csr_that_aws_refuses_is_an_invalid_request(iot: IoTClient, case: str) -> None:
    """A CSR that is malformed, too long or of a weak key is InvalidRequestException (400)."""
    csr = {
        "text": "file://press-7.csr",
        "too long": new_csr() + "\n" * 4096,
        "weak key": csr_pem(rsa.generate_private_key(65537, 1024), common_name("x")),
    }[case]
    with pytest.raises(ClientError) as refused:
        iot.create_certificate_from_csr(certificateSigningRequest=csr)
    assert refusal(refused) == ("InvalidRequestException", 400)
    assert "CSR violates constraints" in str(refused.value)


def test_keys_and_certificate_are_of_one_key_by_aws_iot(account: Account, iot: IoTClient) -> None:
    """CreateKeysAndCertificate gives a key and its certificate by AWS IoT, until 2049."""
    created = iot.create_keys_and_certificate(setAsActive=True)
    certificate = parsed(created["certificatePem"])
    pem = created["keyPair"]["PrivateKey"].encode()
    key = serialization.load_pem_private_key(pem, password=None)
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc == AWS_IOT_NOT_AFTER
    certificate.verify_directly_issued_by(account.iot_authority.certificate)


@pytest.mark.parametrize("way", ["csr", "keys", "registered", "registered without CA"])
def test_certificate_id_is_the_sha256_of_the_der(iot: IoTClient, way: str) -> None:
    """However a certificate came into the account, its id is that of its DER, in id and ARN."""
    key = generate_private_key("ECDSA-P256").public_key()
    authority = Authority.create("Own")
    own = authority.issue_device_certificate(key)
    answer: Any
    if way == "csr":
        answer = new_certificate(iot)
    elif way == "keys":
        answer = iot.create_keys_and_certificate()
    elif way == "registered":
        iot.register_ca_certificate(caCertificate=authority.certificate_pem, setAsActive=True)
        answer = iot.register_certificate(certificatePem=own, status="ACTIVE")
    else:
        answer = iot.register_certificate_without_ca(certificatePem=own, status="ACTIVE")
    expected = der_id(answer.get("certificatePem", own))
    assert answer["certificateId"] == expected
    assert answer["certificateArn"].endswith(f":cert/{expected}")
    described = iot.describe_certificate(certificateId=expected)["certificateDescription"]
    assert described["certificateId"] == expected


def test_certificate_id_does_not_depend_on_how_the_pem_is_written(iot: IoTClient) -> None:
    """The same certificate with other line ends is the same certificate, and is refused."""
    key = generate_private_key("ECDSA-P256").public_key()
    pem = Authority.create("Own").issue_device_certificate(key)
    iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.register_certificate_without_ca(
            certificatePem=pem.replace("\n", "\r\n"), status="ACTIVE"
        )


@pytest.mark.parametrize("with_ca", [True, False])
def test_registering_what_is_no_certificate_is_refused(iot: IoTClient, with_ca: bool) -> None:
    """Text that is no certificate is CertificateValidationException (400)."""
    register: Any = iot.register_certificate if with_ca else iot.register_certificate_without_ca
    with pytest.raises(ClientError) as refused:
        register(certificatePem="no certificate", status="ACTIVE")
    assert refusal(refused) == ("CertificateValidationException", 400)


def test_described_validity_is_the_certificate_s(iot: IoTClient) -> None:
    """DescribeCertificate answers the certificate's own notBefore and notAfter."""
    begin = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    end = datetime.datetime(2031, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)
    pem = Authority.create("Own").issue_device_certificate(
        generate_private_key("ECDSA-P256").public_key(), not_before=begin, not_after=end
    )
    made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    described = iot.describe_certificate(certificateId=made["certificateId"])
    validity = described["certificateDescription"]["validity"]
    assert (validity["notBefore"], validity["notAfter"]) == (begin, end)
    assert described["certificateDescription"]["certificatePem"] == pem


# --- deleting ---------------------------------------------------------------------


def test_certificate_can_be_deleted_while_a_thing_group_has_a_policy(iot: IoTClient) -> None:
    """A policy on a thing group does not stand in the way of deleting a certificate."""
    group = iot.create_thing_group(thingGroupName=unused("group"))
    policy = new_policy(iot)
    iot.attach_policy(policyName=policy, target=group["thingGroupArn"])
    created = new_certificate(iot)
    iot.delete_certificate(certificateId=created["certificateId"])
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=created["certificateId"])
    assert iot.list_targets_for_policy(policyName=policy)["targets"] == [group["thingGroupArn"]]


def test_force_delete_detaches_the_policies(iot: IoTClient) -> None:
    """forceDelete leaves no attachment behind, and the next certificate can be deleted."""
    policy = new_policy(iot)
    first, second = new_certificate(iot), new_certificate(iot)
    iot.attach_policy(policyName=policy, target=first["certificateArn"])
    iot.delete_certificate(certificateId=first["certificateId"], forceDelete=True)
    assert iot.list_targets_for_policy(policyName=policy)["targets"] == []
    iot.delete_certificate(certificateId=second["certificateId"])


def test_what_moto_refuses_to_delete_is_still_refused(iot: IoTClient) -> None:
    """A certificate that is ACTIVE, or attached to a thing or a policy, is not deleted."""
    created = new_certificate(iot, active=True)
    certificate_id, arn = created["certificateId"], created["certificateArn"]
    policy, thing = new_policy(iot), new_thing(iot)
    iot.attach_policy(policyName=policy, target=arn)
    iot.attach_thing_principal(thingName=thing, principal=arn)

    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    with pytest.raises(iot.exceptions.DeleteConflictException, match="Things must be detached"):
        iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    iot.detach_thing_principal(thingName=thing, principal=arn)
    with pytest.raises(iot.exceptions.DeleteConflictException, match="policies must be detached"):
        iot.delete_certificate(certificateId=certificate_id)
    iot.detach_policy(policyName=policy, target=arn)
    iot.delete_certificate(certificateId=certificate_id)
