"""Registered devices are what AWS would have made, and the registry tells what counts now."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from moto.iot.models import iot_backends

from lab.account.account import Account
from lab.account.authority import (
    AWS_IOT_DEFAULT_SUBJECT,
    AWS_IOT_NOT_AFTER,
    Authority,
    common_name,
    generate_private_key,
)
from lab.account.registry import RegisteredCertificate
from lab.cloud.device_policy import core_device_policy
from lab.timeline import Timeline

pytestmark = pytest.mark.xdist_group("account-registry")

EMPTY_GROUP = SimpleNamespace(things={})

_numbers = itertools.count()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One account for all tests of this module; each makes names of its own."""
    with Account(Timeline()) as account:
        yield account


def unused(word: str) -> str:
    """A name that no other test of this module has."""
    return f"{word}-{next(_numbers)}"


def policy_of(word: str) -> dict[str, object]:
    """A policy document that can be told from others."""
    statement = {"Sid": word, "Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


# --- registering a device ---------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "RSA-2048"])
def test_registered_device_holds_what_aws_iot_gives(account: Account, algorithm: str) -> None:
    """The device's key fits its certificate, which AWS IoT signed until 2049, and is ACTIVE."""
    thing = unused("press")
    policy = core_device_policy(region=account.region, account_id=account.account_id)
    device = account.register_device(thing, policy_document=policy, key_algorithm=algorithm)

    certificate = parsed(device.certificate_pem)
    key = serialization.load_pem_private_key(device.private_key_pem.encode(), password=None)
    assert key.public_key() == certificate.public_key()
    assert ("BEGIN RSA PRIVATE KEY" in device.private_key_pem) == (algorithm == "RSA-2048")
    certificate.verify_directly_issued_by(account.iot_authority.certificate)
    assert certificate.subject == AWS_IOT_DEFAULT_SUBJECT
    assert certificate.not_valid_after_utc == AWS_IOT_NOT_AFTER
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert device.certificate_id == hashlib.sha256(der).hexdigest()

    iot = account.client("iot")
    described = iot.describe_certificate(certificateId=device.certificate_id)
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert iot.list_thing_principals(thingName=thing)["principals"] == [device.certificate_arn]
    attached = iot.list_attached_policies(target=device.certificate_arn)["policies"]
    document = iot.get_policy(policyName=attached[0]["policyName"])["policyDocument"]
    assert json.loads(document) == policy


def test_device_with_a_chosen_window_is_certified_by_the_own_authority(account: Account) -> None:
    """With notBefore and notAfter the certificate has them, and is ACTIVE without a known CA."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    begin, end = now - datetime.timedelta(days=359), now + datetime.timedelta(days=6)
    thing = unused("press")
    device = account.register_device(
        thing, policy_document=policy_of("x"), not_before=begin, not_after=end
    )
    certificate = parsed(device.certificate_pem)
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (begin, end)
    certificate.verify_directly_issued_by(account.own_authority.certificate)
    assert certificate.subject == common_name(thing)
    found = account.registry.certificate(device.certificate_id)
    assert found == RegisteredCertificate(
        device.certificate_id, device.certificate_arn, "ACTIVE", device.certificate_pem
    )
    assert account.registry.thing_names(device.certificate_id) == [thing]


def test_thing_name_with_a_colon_can_be_registered(account: Account) -> None:
    """A thing name may hold a colon, which a policy name may not."""
    thing = unused("hall:3:press")
    device = account.register_device(thing, policy_document=policy_of("x"))
    assert account.registry.thing_names(device.certificate_id) == [thing]
    assert account.registry.policy_documents(device.certificate_id) == [policy_of("x")]
    attached = account.client("iot").list_attached_policies(target=device.certificate_arn)
    assert re.fullmatch(r"[\w+=,.@-]+", attached["policies"][0]["policyName"])


def test_device_is_registered_once(account: Account) -> None:
    """A second device of the same name is refused, and the first keeps its certificate."""
    thing = unused("press")
    device = account.register_device(thing, policy_document=policy_of("x"))
    with pytest.raises(ClientError, match="ResourceAlreadyExistsException"):
        account.register_device(thing, policy_document=policy_of("x"))
    principals = account.client("iot").list_thing_principals(thingName=thing)["principals"]
    assert principals == [device.certificate_arn]


def test_bad_argument_makes_nothing(account: Account) -> None:
    """A bad name, algorithm or window is a ValueError, and the account is as it was."""
    iot = account.client("iot")

    def contents() -> tuple[int, int, int]:
        return (
            len(iot.list_things()["things"]),
            len(iot.list_policies()["policies"]),
            len(iot.list_certificates()["certificates"]),
        )

    before = contents()
    policy, past = policy_of("x"), datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    now = datetime.datetime.now(datetime.UTC)
    for name in ("", "press 7", "press/7", "a" * 129):
        with pytest.raises(ValueError, match="not a thing name"):
            account.register_device(name, policy_document=policy)
    with pytest.raises(ValueError, match="unknown key algorithm 'RSA-512'"):
        account.register_device("press", policy_document=policy, key_algorithm="RSA-512")
    with pytest.raises(ValueError, match="after"):
        account.register_device("press", policy_document=policy, not_before=now, not_after=past)
    assert contents() == before


def test_repr_of_an_identity_shows_no_key(account: Account) -> None:
    """The repr of a device's identity names it, and has nothing of the private key."""
    device = account.register_device(unused("press"), policy_document=policy_of("x"))
    assert device.thing_name in repr(device)
    assert "PRIVATE KEY" not in repr(device)
    assert device.private_key_pem.splitlines()[1] not in repr(device)


# --- what an endpoint asks --------------------------------------------------------


def test_unknown_certificate_is_nobody_s(account: Account) -> None:
    """A certificate that is not registered has no record, no things and no policies."""
    assert account.registry.certificate("0" * 64) is None
    assert account.registry.thing_names("0" * 64) == []
    assert account.registry.policy_documents("0" * 64) == []


def test_change_of_status_counts_at_once(account: Account) -> None:
    """What the operator does to a certificate is what the registry tells next."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("x"))
    iot.update_certificate(certificateId=device.certificate_id, newStatus="REVOKED")
    revoked = account.registry.certificate(device.certificate_id)
    assert revoked is not None
    assert revoked.status == "REVOKED"
    iot.detach_thing_principal(thingName=device.thing_name, principal=device.certificate_arn)
    assert account.registry.thing_names(device.certificate_id) == []
    iot.delete_certificate(certificateId=device.certificate_id, forceDelete=True)
    assert account.registry.certificate(device.certificate_id) is None
    assert account.registry.policy_documents(device.certificate_id) == []


def test_certificate_of_several_things_names_them_all(account: Account) -> None:
    """A certificate that is attached to two things tells both, and none of another's."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("x"))
    account.register_device(unused("press"), policy_document=policy_of("x"))
    second = iot.create_thing(thingName=unused("saw"))["thingName"]
    iot.attach_thing_principal(thingName=second, principal=device.certificate_arn)
    assert account.registry.thing_names(device.certificate_id) == [device.thing_name, second]


def test_exclusive_attachment_is_told(account: Account) -> None:
    """The registry tells the thing of an exclusive attachment, and none of another one."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("x"))
    assert account.registry.exclusive_thing(device.certificate_id) is None
    attachment = {"thingName": device.thing_name, "principal": device.certificate_arn}
    iot.detach_thing_principal(**attachment)
    iot.attach_thing_principal(**attachment, thingPrincipalType="EXCLUSIVE_THING")
    assert account.registry.exclusive_thing(device.certificate_id) == device.thing_name
    assert account.registry.exclusive_thing("0" * 64) is None


def test_default_version_of_a_policy_counts(account: Account) -> None:
    """A new version of a policy counts when it becomes the default, and not before."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("one"))
    iot.create_policy_version(
        policyName=device.thing_name, policyDocument=json.dumps(policy_of("two"))
    )
    assert account.registry.policy_documents(device.certificate_id) == [policy_of("one")]
    iot.set_default_policy_version(policyName=device.thing_name, policyVersionId="2")
    assert account.registry.policy_documents(device.certificate_id) == [policy_of("two")]


def test_policies_of_thing_groups_count_for_their_things(account: Account) -> None:
    """The policies of a thing's group, and of the groups above it, count for its certificate."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("own"))
    plant, hall, other = unused("plant"), unused("hall"), unused("other")
    made = [
        iot.create_thing_group(thingGroupName=plant),
        iot.create_thing_group(thingGroupName=hall, parentGroupName=plant),
        iot.create_thing_group(thingGroupName=other, parentGroupName=plant),
    ]
    for group in made:
        name = group["thingGroupName"]
        iot.create_policy(policyName=name, policyDocument=json.dumps(policy_of(name)))
        iot.attach_policy(policyName=name, target=group["thingGroupArn"])

    def statements() -> set[str]:
        documents = account.registry.policy_documents(device.certificate_id)
        return {document["Statement"][0]["Sid"] for document in documents}

    assert statements() == {"own"}
    iot.add_thing_to_thing_group(thingGroupName=hall, thingName=device.thing_name)
    assert statements() == {"own", hall, plant}
    iot.detach_thing_principal(thingName=device.thing_name, principal=device.certificate_arn)
    assert statements() == {"own"}


def test_policy_that_is_attached_twice_is_told_once(account: Account) -> None:
    """A policy on the certificate and on the thing's group is one document."""
    iot = account.client("iot")
    device = account.register_device(unused("press"), policy_document=policy_of("own"))
    group = iot.create_thing_group(thingGroupName=unused("group"))
    iot.add_thing_to_thing_group(
        thingGroupName=group["thingGroupName"], thingName=device.thing_name
    )
    iot.attach_policy(policyName=device.thing_name, target=group["thingGroupArn"])
    assert account.registry.policy_documents(device.certificate_id) == [policy_of("own")]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that interrupt each other as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_registry_may_be_asked_while_it_changes(account: Account) -> None:
    """Questions from one thread are answered while another attaches and detaches."""
    device = account.register_device(unused("press"), policy_document=policy_of("own"))
    backend = iot_backends[account.account_id][account.region]
    asked = threading.Event()

    def attach_and_detach_others() -> None:
        while not asked.is_set():
            for number in range(1000):
                backend.principal_things[f"arn-{number}", "other"] = (None, None, "")
                backend.principal_policies[f"arn-{number}", "other"] = (None, None)
                backend.thing_groups[f"arn-{number}"] = EMPTY_GROUP
            for number in range(1000):
                del backend.principal_things[f"arn-{number}", "other"]
                del backend.principal_policies[f"arn-{number}", "other"]
                del backend.thing_groups[f"arn-{number}"]

    thread = threading.Thread(target=attach_and_detach_others)
    thread.start()
    try:
        for _ in range(200):
            assert account.registry.thing_names(device.certificate_id) == [device.thing_name]
            assert account.registry.policy_documents(device.certificate_id) == [policy_of("own")]
    finally:
        asked.set()
        thread.join()


def test_certificate_of_an_unknown_authority_can_be_registered(account: Account) -> None:
    """A certificate that somebody else issued is registered by its id, with its own PEM."""
    key = generate_private_key("ECDSA-P256").public_key()
    pem = Authority.create("Somebody else").issue_device_certificate(key)
    made = account.client("iot").register_certificate_without_ca(
        certificatePem=pem, status="INACTIVE"
    )
    found = account.registry.certificate(made["certificateId"])
    assert found == RegisteredCertificate(
        made["certificateId"], made["certificateArn"], "INACTIVE", pem
    )
