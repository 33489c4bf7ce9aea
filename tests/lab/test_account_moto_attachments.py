"""Attachments to things and policies in the corrected moto are as AWS IoT has them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from lab.account.account import Account
from lab.account.authority import common_name, csr_pem, generate_private_key
from lab.timeline import Timeline

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

pytestmark = pytest.mark.xdist_group("account-moto-attachments")

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


def new_certificate(iot: IoTClient) -> str:
    """The ARN of a certificate that is attached to nothing."""
    csr = csr_pem(generate_private_key("ECDSA-P256"), common_name("AWS IoT Certificate"))
    return iot.create_certificate_from_csr(certificateSigningRequest=csr)["certificateArn"]


def new_thing(iot: IoTClient) -> str:
    return iot.create_thing(thingName=unused("thing"))["thingName"]


def new_policy(iot: IoTClient) -> str:
    name = unused("policy")
    iot.create_policy(policyName=name, policyDocument=POLICY)
    return name


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# --- attachments to things --------------------------------------------------------


@pytest.mark.parametrize("kind", ["EXCLUSIVE_THING", "NON_EXCLUSIVE_THING", None])
def test_type_of_an_attachment_is_listed(iot: IoTClient, kind: Any) -> None:
    """Both lists tell the type that the attachment was made with; NON_EXCLUSIVE by default."""
    thing, arn = new_thing(iot), new_certificate(iot)
    chosen = {} if kind is None else {"thingPrincipalType": kind}
    iot.attach_thing_principal(thingName=thing, principal=arn, **chosen)
    expected = kind or "NON_EXCLUSIVE_THING"
    assert iot.list_thing_principals_v2(thingName=thing)["thingPrincipalObjects"] == [
        {"principal": arn, "thingPrincipalType": expected}
    ]
    assert iot.list_principal_things_v2(principal=arn)["principalThingObjects"] == [
        {"thingName": thing, "thingPrincipalType": expected}
    ]


def test_lists_of_attachments_can_be_filtered_by_type(iot: IoTClient) -> None:
    """thingPrincipalType as a filter keeps the attachments of that type."""
    thing = new_thing(iot)
    shared, exclusive = (new_certificate(iot) for _ in range(2))
    iot.attach_thing_principal(thingName=thing, principal=shared)
    iot.attach_thing_principal(
        thingName=thing, principal=exclusive, thingPrincipalType="EXCLUSIVE_THING"
    )
    only = iot.list_thing_principals_v2(thingName=thing, thingPrincipalType="EXCLUSIVE_THING")
    assert [found["principal"] for found in only["thingPrincipalObjects"]] == [exclusive]
    none = iot.list_principal_things_v2(principal=shared, thingPrincipalType="EXCLUSIVE_THING")
    assert none["principalThingObjects"] == []


def test_exclusive_certificate_takes_no_second_thing(iot: IoTClient) -> None:
    """A certificate that is exclusively a thing's is refused to every other, until detached."""
    first, second, arn = new_thing(iot), new_thing(iot), new_certificate(iot)
    iot.attach_thing_principal(thingName=first, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    for kind in ("EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"):
        with pytest.raises(ClientError) as refused:
            iot.attach_thing_principal(
                thingName=second,
                principal=arn,
                thingPrincipalType=kind,
            )
        assert refusal(refused) == ("InvalidRequestException", 400)
    assert iot.list_principal_things(principal=arn)["things"] == [first]

    iot.detach_thing_principal(thingName=first, principal=arn)
    iot.attach_thing_principal(thingName=second, principal=arn)
    assert iot.list_principal_things(principal=arn)["things"] == [second]


def test_shared_certificate_cannot_become_exclusive(iot: IoTClient) -> None:
    """A certificate that has a thing already is not attached exclusively to another."""
    first, second, arn = new_thing(iot), new_thing(iot), new_certificate(iot)
    iot.attach_thing_principal(thingName=first, principal=arn)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="detach it first"):
        iot.attach_thing_principal(
            thingName=second, principal=arn, thingPrincipalType="EXCLUSIVE_THING"
        )


def test_certificate_without_exclusive_thing_takes_several(iot: IoTClient) -> None:
    """Attachments that are not exclusive can be several, and may be repeated."""
    first, second, arn = new_thing(iot), new_thing(iot), new_certificate(iot)
    for thing in (first, second, first):
        iot.attach_thing_principal(thingName=thing, principal=arn)
    assert iot.list_principal_things(principal=arn)["things"] == [first, second]


def test_exclusive_attachment_may_be_repeated(iot: IoTClient) -> None:
    """Attaching again in the same way changes nothing and is no error."""
    thing, arn = new_thing(iot), new_certificate(iot)
    for _ in range(2):
        iot.attach_thing_principal(
            thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING"
        )
    assert len(iot.list_thing_principals_v2(thingName=thing)["thingPrincipalObjects"]) == 1


def test_unknown_type_of_attachment_is_refused(iot: IoTClient) -> None:
    """A thingPrincipalType that AWS does not know is an invalid request."""
    thing, arn = new_thing(iot), new_certificate(iot)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="thingPrincipalType"):
        iot.attach_thing_principal(
            thingName=thing,
            principal=arn,
            thingPrincipalType="EXCLUSIVE",  # type: ignore[arg-type]  # what is refused
        )


# --- policies ---------------------------------------------------------------------


@pytest.mark.parametrize("version", [False, True])
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("file://policy.json", "not JSON"),
        ('["Statement"]', "no Statement"),
        ('{"Version": "2012-10-17"}', "no Statement"),
        (json.dumps({"Statement": ["x" * 2048]}), "at most 2048"),
    ],
)
def test_malformed_policy_is_refused(
    iot: IoTClient, document: str, words: str, version: bool
) -> None:
    """A policy that is no JSON, says nothing or is too long is MalformedPolicyException (400)."""
    policy = new_policy(iot) if version else unused("policy")
    create: Any = iot.create_policy_version if version else iot.create_policy
    with pytest.raises(ClientError, match=words) as refused:
        create(policyName=policy, policyDocument=document)
    assert refusal(refused) == ("MalformedPolicyException", 400)


def test_white_space_does_not_count_in_a_policy(iot: IoTClient) -> None:
    """A policy of more than 2048 characters is taken if they are white space."""
    iot.create_policy(policyName=unused("policy"), policyDocument=POLICY + " " * 4096)
