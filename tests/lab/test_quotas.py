"""The quotas of an account, and who is throttled."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from lab.cloud.quotas import PUBLISHED, THROTTLED, Quota, Quotas

IOT = "iot"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls(quotas: Quotas, number: int, operation: str = "UpdateCertificate") -> int:
    """How many of so many calls at once are let through."""
    return sum(quotas.take(IOT, operation) for _ in range(number))


def test_a_second_of_calls_at_once_and_no_more() -> None:
    """Ten a second: ten at once, then one each tenth of a second, and never more than ten."""
    clock = Clock()
    quotas = Quotas(clock=clock)
    assert calls(quotas, 25) == 10
    clock.now += 0.1
    assert calls(quotas, 5) == 1
    clock.now += 3600
    assert calls(quotas, 25) == 10
    assert quotas.throttled[IOT, "UpdateCertificate"] == 15 + 4 + 15


def test_each_call_has_its_own() -> None:
    """A call that is throttled takes nothing from another one."""
    quotas = Quotas(clock=Clock())
    assert calls(quotas, 30) == 10
    assert calls(quotas, 30, "DeleteCertificate") == 10
    assert calls(quotas, 30, "AttachPolicy") == 15


def test_some_share_one() -> None:
    """Reading the executions of a device and the list of those that wait are one quota."""
    quotas = Quotas(clock=Clock())
    both = ("DescribeJobExecution", "GetPendingJobExecutions")
    taken = [quotas.take("iot-jobs-data", both[number % 2]) for number in range(300)]
    assert sum(taken) == 200


def test_bucket_may_be_larger_than_a_second() -> None:
    """StartExecution has a bucket of its own size."""
    quotas = Quotas((Quota("stepfunctions", ("StartExecution",), 300, 1300),), Clock())
    assert sum(quotas.take("stepfunctions", "StartExecution") for _ in range(2000)) == 1300


def test_less_than_one_a_second() -> None:
    """A rate below one lets the first call through, and the next when its time has come."""
    clock = Clock()
    quotas = Quotas((Quota(IOT, ("UpdateCertificate",), 0.5),), clock)
    assert calls(quotas, 3) == 1
    clock.now += 1.9
    assert calls(quotas, 3) == 0
    clock.now += 0.1
    assert calls(quotas, 3) == 1


def test_what_is_not_named_is_let_through() -> None:
    """A call without a quota is nobody's business here."""
    assert all(Quotas(clock=Clock()).take("lambda", "Invoke") for _ in range(5000))


def test_answers_as_a_fault_of_the_lab() -> None:
    """The fault hook gets the error's code, or nothing."""
    quotas = Quotas((Quota(IOT, ("UpdateCertificate",), 1),), Clock())
    assert quotas.fault(IOT, "UpdateCertificate", {}) is None
    assert quotas.fault(IOT, "UpdateCertificate", {}) == THROTTLED


#: What devices do, which is no operation of the API.
OF_DEVICES = {"Connect", "AssumeRoleWithCertificate"}


@pytest.mark.parametrize(
    "quota", PUBLISHED, ids=lambda quota: f"{quota.service}-{quota.operations[0]}"
)
def test_quotas_are_of_calls_that_there_are(quota: Quota) -> None:
    """Each operation is in the API's model, and no quota is nought."""
    model = botocore.session.get_session().get_service_model(quota.service)
    assert set(quota.operations) <= {*model.operation_names, *OF_DEVICES}
    assert quota.per_second > 0


def test_no_call_has_two() -> None:
    """Each call is counted once."""
    named = [(q.service, operation) for q in PUBLISHED for operation in q.operations]
    assert len(named) == len(set(named))


def test_throttling_is_an_error_of_the_api() -> None:
    """AWS IoT and its Jobs data plane answer with the very code."""
    session = botocore.session.get_session()
    for service, operation in ((IOT, "UpdateCertificate"), ("iot-jobs-data", "UpdateJobExecution")):
        model = session.get_service_model(service).operation_model(operation)
        errors: list[Any] = model.error_shapes
        assert THROTTLED in {shape.error_code for shape in errors}
