"""The registry in memory behaves as AWS IoT's does behind aws.py: one suite for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from lab.account.account import Account
from lab.fleet.account import Clock
from lab.fleet.indexed import IndexedRegistry
from lab.fleet.registry import EXCLUSIVE, SHARED, Issuer
from lab.fleet.registry import Registry as MemoryRegistry
from lab.timeline import Timeline
from rotation_cloud import aws
from rotation_cloud.create import public_key_of
from rotation_cloud.issuers import IotIssuer
from rotation_cloud.ports import AwsError, InUse, NotFound, Order, Registry, certificate_id_of
from tests.cloud.device import csr

THINGS = ("press-7", "press-8")
POLICIES = ("core", "more")
pytestmark = pytest.mark.xdist_group("cloud-registry")


@dataclass
class Site:
    """An account with two things and two policies; ``issue`` gives a new certificate's ARN."""

    registry: Registry
    issue: Callable[[], str]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with Account(Timeline()) as account:
        iot = account.client("iot")
        for thing in THINGS:
            iot.create_thing(thingName=thing)
        for policy in POLICIES:
            document = json.dumps({"Version": "2012-10-17", "Statement": []})
            iot.create_policy(policyName=policy, policyDocument=document)
        yield account


@pytest.fixture(params=["memory", "indexed", "aws"])
def site(request: pytest.FixtureRequest) -> Site:
    order = Order(csr("contract"), "x" * 36, THINGS[0], "job-1")
    if request.param == "aws":
        iot = request.getfixturevalue("account").client("iot")
        return Site(aws.IotRegistry(iot), lambda: IotIssuer(iot).issue(order).arn)
    registry = (MemoryRegistry if request.param == "memory" else IndexedRegistry)(Clock())
    registry.known.update(THINGS)
    return Site(registry, lambda: Issuer(registry).issue(order).arn)


def test_certificate_that_was_just_issued(site: Site) -> None:
    """It is ACTIVE, and attached to nothing."""
    arn = site.issue()
    assert site.registry.is_active(certificate_id_of(arn))
    assert list(site.registry.things(arn)) == []
    assert list(site.registry.policies(arn)) == []


def test_attaching_twice_is_no_error(site: Site) -> None:
    """Thing and policy are attached once, whoever does it again."""
    arn = site.issue()
    for _ in range(2):
        site.registry.attach_thing(arn, "press-7", SHARED)
        for policy in POLICIES:
            site.registry.attach_policy(arn, policy)
    assert site.registry.principals("press-7")[arn] == SHARED
    assert list(site.registry.things(arn)) == ["press-7"]
    assert sorted(site.registry.policies(arn)) == sorted(POLICIES)
    assert arn not in site.registry.principals("press-8")


def test_attached_to_two_things(site: Site) -> None:
    """Not exclusively, a certificate may be two things'; detached from one, it is the other's."""
    arn = site.issue()
    for thing in THINGS:
        site.registry.attach_thing(arn, thing, SHARED)
    assert sorted(site.registry.things(arn)) == sorted(THINGS)
    site.registry.detach_thing(arn, "press-7")
    assert arn not in site.registry.principals("press-7")
    assert arn in site.registry.principals("press-8")


def test_exclusively_attached(site: Site) -> None:
    """What is one thing's alone is told so, and cannot become another's too."""
    arn = site.issue()
    site.registry.attach_thing(arn, "press-7", EXCLUSIVE)
    assert site.registry.principals("press-7")[arn] == EXCLUSIVE
    with pytest.raises(AwsError):
        site.registry.attach_thing(arn, "press-8", SHARED)
    assert list(site.registry.things(arn)) == ["press-7"]


def test_thing_that_is_not_there(site: Site) -> None:
    """Nobody's certificates are asked for, and nothing is attached to it."""
    with pytest.raises(NotFound):
        site.registry.principals("press-9")
    with pytest.raises(NotFound):
        site.registry.attach_thing(site.issue(), "press-9", SHARED)


def test_deleted_in_the_right_order_only(site: Site) -> None:
    """ACTIVE, attached to a thing or with a policy it stays; after all that it goes."""
    registry, arn = site.registry, site.issue()
    registry.attach_thing(arn, "press-7", SHARED)
    registry.attach_policy(arn, "core")
    with pytest.raises(InUse):
        registry.delete(arn)
    registry.deactivate(arn)
    assert not registry.is_active(certificate_id_of(arn))
    for loosen in (partial(registry.detach_policy, arn, "core"), partial(_detach, registry, arn)):
        with pytest.raises(InUse):
            registry.delete(arn)
        loosen()
    registry.delete(arn)
    assert not registry.is_active(certificate_id_of(arn))
    assert arn not in registry.principals("press-7")
    gone = (
        *(partial(registry.deactivate, arn), partial(registry.delete, arn)),
        *(partial(registry.detach_policy, arn, "core"), partial(_detach, registry, arn)),
    )
    for act in (
        *gone,
        partial(registry.detach_policy, arn, "core"),
        partial(_detach, registry, arn),
    ):
        with pytest.raises(NotFound):
            act()


def _detach(registry: Registry, arn: str) -> None:
    registry.detach_thing(arn, "press-7")


def test_stray_is_what_is_attached_to_no_thing(site: Site) -> None:
    """A certificate is found by its key as long as no thing has it."""
    registry, arn, key = site.registry, site.issue(), public_key_of(csr("contract"))
    assert arn in registry.stray({key}, 0.0)
    assert registry.stray({"another"}, 0.0) == []
    assert arn not in registry.stray({key}, 1e11)
    registry.attach_thing(arn, "press-7", SHARED)
    assert arn not in registry.stray({key}, 0.0)
    registry.detach_thing(arn, "press-7")
    assert arn in registry.stray({key}, 0.0)
