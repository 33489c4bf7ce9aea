"""The simulation's calls of AWS are those that aws.py makes, and cost what they should."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.cloud.backend import Backend
from lab.cloud.quotas import PUBLISHED, Call, Quota, Quotas
from lab.fleet.calls import CALLS, Caller, Services
from lab.fleet.fleet import FleetClock
from lab.fleet.indexed import IndexedRegistry
from lab.fleet.registry import Registry
from lab.fleet.virtual_time import VirtualTime
from lab.lab import Lab
from rotation_cloud import aws
from rotation_cloud.documents import Document
from rotation_cloud.ports import AwsError, Cloud, Order, Throttled, certificate_id_of
from rotation_cloud.records import Record, State
from rotation_cloud.security_events import Activity, SecurityEvent
from tests.cloud.device import csr

THING = "press-7"
NOTHING: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}


class Real:
    """The ports over AWS, in a lab with a device that has a job; what they call is counted."""

    def __init__(self, backend: Backend, arn: str) -> None:
        self.backend = backend
        self.cloud: Cloud = aws.cloud(os.environ)
        self.arn, self.id = arn, certificate_id_of(arn)
        self.other = self.cloud.issuer.issue(Order(csr(), "x" * 36, THING, "job-1")).arn


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    with Lab() as lab:
        backend = lab.deploy_backend()
        device = lab.account.register_device(THING, policy_document=NOTHING)
        lab.account.client("iot").create_policy(
            policyName="core", policyDocument=json.dumps(NOTHING)
        )
        lab.account.client("iot").create_job(
            jobId="job-1",
            targets=[f"arn:aws:iot:{lab.account.region}:{lab.account.account_id}:thing/{THING}"],
            jobTemplateArn=backend.job_template_arn,
        )
        made = Real(backend, device.certificate_arn)
        made.cloud.registry.attach_policy(made.other, "core")
        yield made


def _order() -> Order:
    return Order(csr("b"), "y" * 36, THING, "job-1")


#: In this order: what is deleted has been detached before.
METHODS: dict[str, Callable[[Cloud, Real], object]] = {
    "registry.principals": lambda cloud, _: cloud.registry.principals(THING),
    "registry.things": lambda cloud, real: cloud.registry.things(real.arn),
    "registry.policies": lambda cloud, real: cloud.registry.policies(real.arn),
    "registry.is_active": lambda cloud, real: cloud.registry.is_active(real.id),
    "registry.registered": lambda cloud, real: cloud.registry.registered(real.id),
    "registry.attach_thing": lambda cloud, real: cloud.registry.attach_thing(
        real.other, THING, "NON_EXCLUSIVE_THING"
    ),
    "registry.attach_policy": lambda cloud, real: cloud.registry.attach_policy(real.other, "core"),
    "registry.deactivate": lambda cloud, real: cloud.registry.deactivate(real.other),
    "registry.detach_policy": lambda cloud, real: cloud.registry.detach_policy(real.other, "core"),
    "registry.detach_thing": lambda cloud, real: cloud.registry.detach_thing(real.other, THING),
    "registry.delete": lambda cloud, real: cloud.registry.delete(real.other),
    "issuer.issue": lambda cloud, _: cloud.issuer.issue(_order()),
    "jobs.pending": lambda cloud, _: cloud.jobs.pending(THING),
    "jobs.execution": lambda cloud, _: cloud.jobs.execution(THING, "job-1"),
    "jobs.ending": lambda cloud, _: cloud.jobs.ending(THING, "job-1"),
    "jobs.cancel": lambda cloud, _: cloud.jobs.cancel(THING, "job-1"),
    "jobs.create": lambda cloud, _: cloud.jobs.create("job-2", THING),
    "records.get": lambda cloud, _: cloud.records.get(THING, "job-1"),
    "records.of_thing": lambda cloud, _: cloud.records.of_thing(THING),
    "records.write": lambda cloud, _: cloud.records.write(Record(THING, "job-1", State.DONE)),
    "documents.get": lambda cloud, _: cloud.documents.get(THING, "#inventory"),
    "documents.write": lambda cloud, _: cloud.documents.write(Document(THING, "#inventory")),
    "documents.all": lambda cloud, _: list(cloud.documents.all("#inventory")),
    "answers.publish": lambda cloud, _: cloud.answers.publish("certkeeper/things/x/y", b"{}"),
    "notices.tell": lambda cloud, _: cloud.notices.tell("subject", {"whatToDo": "nothing"}),
    "alerts.tell": lambda cloud, _: cloud.alerts.tell("subject", "text", {"a": "b"}),
    "audit.record": lambda cloud, _: cloud.audit.record(
        SecurityEvent(Activity.ROTATION_SUCCEEDED, THING)
    ),
    "workflows.start": lambda cloud, _: cloud.workflows.start("rotate-1", {"thing": THING}),
    "workflows.end_task": lambda cloud, _: cloud.workflows.end_task("gone", {}),
}


@pytest.fixture(scope="module")
def made(real: Real) -> dict[str, dict[Call, int]]:
    """What aws.py called for each method."""
    found: dict[str, dict[Call, int]] = {}
    for name, method in METHODS.items():
        before = real.backend.aws_calls
        try:
            method(real.cloud, real)
        except AwsError:
            assert name == "workflows.end_task", name  # nobody waits with that token
        found[name] = dict(real.backend.aws_calls - before)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_each_method_makes_the_call_that_it_is_counted_for(
    made: dict[str, dict[Call, int]], name: str
) -> None:
    """The real port makes that one call, once."""
    assert made[name] == {CALLS[name]: 1}


def test_every_method_is_there() -> None:
    """Nothing is counted that was not looked at."""
    assert set(CALLS) == set(METHODS)


def test_every_call_has_a_quota() -> None:
    """No call of the functions is let through unseen."""
    named = {(quota.service, operation) for quota in PUBLISHED for operation in quota.operations}
    assert set(CALLS.values()) <= named


def test_search_for_a_stray_certificate(real: Real) -> None:
    """It costs a page of the list, and a look at each of the newest."""
    before = real.backend.aws_calls
    real.cloud.registry.stray({"no such key"}, 0.0)
    counted = real.backend.aws_calls - before
    time, services = _services()
    registry = IndexedRegistry(FleetClock(time))
    registry.known.add(THING)
    for number in range(counted["iot", "DescribeCertificate"]):
        registry.register(f"key-{number}")
    _run(time, lambda: _port(time, services, registry).stray({"no such key"}, 0.0))
    assert services.count == counted


# -- what a call costs -----------------------------------------------------------------------


def _services(*quotas: Quota) -> tuple[VirtualTime, Services]:
    time = VirtualTime(0.0)
    return time, Services(Quotas(quotas, lambda: time.now), random.Random(1))


def _port(time: VirtualTime, services: Services, registry: Registry) -> Registry:
    port: Registry = Caller(services, time.sleep).port("registry", registry)
    return port


def _run(time: VirtualTime, work: Callable[[], object]) -> list[object]:
    done: list[object] = []

    def task() -> None:
        try:
            done.append(work())
        except AwsError as error:
            done.append(error)

    time.begin(task)
    time.run(1000.0)
    return done


def test_a_call_takes_its_time() -> None:
    """The answer comes after the call's latency, and the call is counted."""
    time, services = _services()
    registry = Registry(FleetClock(time))
    arn = registry.register("key")
    ends: list[float] = []

    def work() -> None:
        _port(time, services, registry).deactivate(arn)
        ends.append(time.now)

    _run(time, work)
    assert 0.04 <= ends[0] <= 0.12
    assert services.count == {("iot", "UpdateCertificate"): 1}
    assert not registry.certificates[arn].is_active


def test_throttled_call_is_made_again() -> None:
    """Three tries, some time apart; then it is Throttled, and nothing was done."""
    time, services = _services(Quota("iot", ("UpdateCertificate",), 0.001))
    registry = Registry(FleetClock(time))
    first, second = registry.register("a"), registry.register("b")
    port = _port(time, services, registry)

    def work() -> None:
        port.deactivate(first)
        port.deactivate(second)

    assert [type(error) for error in _run(time, work)] == [Throttled]
    assert services.count["iot", "UpdateCertificate"] == 1 + 3
    assert not registry.certificates[first].is_active
    assert registry.certificates[second].is_active


def test_certificate_is_asked_for_once() -> None:
    """What may not be made twice is not tried again by itself (rotation_cloud/aws.py)."""
    time, services = _services(Quota("iot", ("CreateCertificateFromCsr",), 0.001))
    caller, call = Caller(services, time.sleep), ("iot", "CreateCertificateFromCsr")
    did = _run(time, lambda: [caller.make(call, lambda: None) for _ in range(2)])
    assert [type(error) for error in did] == [Throttled]
    assert services.count[call] == 2


def test_service_that_is_away_is_an_error() -> None:
    """Nothing is done, and it takes as long as botocore waits for a connection, three times."""
    time, services = _services()
    services.away = {"iot"}
    registry = Registry(FleetClock(time))
    arn = registry.register("key")
    ends: list[float] = []

    def work() -> None:
        try:
            _port(time, services, registry).deactivate(arn)
        finally:
            ends.append(time.now)

    (error,) = _run(time, work)
    assert type(error) is AwsError
    assert ends[0] >= 9.0
    assert registry.certificates[arn].is_active
