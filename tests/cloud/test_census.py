"""What the reconciler asks, over boto3 against an account; and at what pace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lab.account.account import Account, DeviceIdentity
from lab.timeline import Timeline
from rotation_cloud import aws
from rotation_cloud.census import IotCensus, IotJobEvents
from rotation_cloud.create import public_key_of
from rotation_cloud.pace import Pace
from rotation_cloud.ports import AwsError, Listed, Throttled
from tests.cloud.device import csr

pytestmark = pytest.mark.xdist_group("cloud-census")

POLICY = {"Version": "2012-10-17", "Statement": []}


@pytest.fixture
def account() -> Iterator[Account]:
    with Account(Timeline()) as opened:
        aws.forget_clients()
        yield opened
        aws.forget_clients()


@pytest.fixture
def device(account: Account) -> DeviceIdentity:
    return account.register_device("press-7", policy_document=POLICY)


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """A client of AWS IoT that gives the answers that a test lays down."""
    client = boto3.client("iot", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_certificates(account: Account, device: DeviceIdentity) -> None:
    """Every certificate, with its status; and the status and the key of any one."""
    iot = account.client("iot")
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=False)
    census = IotCensus(aws.client("iot"))
    listed = {one.arn: (one.status, one.is_active) for one in census.certificates()}
    assert listed == {
        device.certificate_arn: ("ACTIVE", True),
        made["certificateArn"]: ("INACTIVE", False),
    }
    assert census.status(device.certificate_id) == "ACTIVE"
    assert census.status(made["certificateId"]) == "INACTIVE"
    assert census.status("f" * 64) == ""
    assert census.public_key(made["certificateId"]) == public_key_of(csr())
    assert census.public_key("f" * 64) == ""


def test_every_page_of_certificates_is_read(stub: Stubber) -> None:
    """In pages of 250, the largest; a page that fails fails the whole."""
    when = datetime(2026, 11, 26, tzinfo=UTC)

    def page(name: str, **more: Any) -> dict[str, Any]:
        one = {
            "certificateArn": f"arn:aws:iot:eu-west-1:1:cert/{name}",
            "certificateId": name * 64,
            "status": "ACTIVE",
            "creationDate": when,
        }
        return {"certificates": [one], **more}

    stub.add_response("list_certificates", page("a", nextMarker="m"), {"pageSize": 250})
    stub.add_response("list_certificates", page("b"), {"pageSize": 250, "marker": "m"})
    arn = "arn:aws:iot:eu-west-1:1:cert/"
    assert list(IotCensus(stub.client).certificates()) == [
        Listed(f"{arn}{name}", "ACTIVE", when.timestamp()) for name in "ab"
    ]
    stub.add_response("list_certificates", page("a", nextMarker="m"))
    stub.add_client_error("list_certificates", "ThrottlingException")
    with pytest.raises(Throttled):
        list(IotCensus(stub.client).certificates())


def test_job_events(account: Account) -> None:
    """Switched on and off; the other kinds of events stay as they were."""
    iot = account.client("iot")
    iot.update_event_configurations(eventConfigurations={"CERTIFICATE": {"Enabled": True}})
    events = IotJobEvents(aws.client("iot"))
    assert not events.are_on()
    for on in (True, False):
        events.switch(on)
        assert events.are_on() is on
        found = iot.describe_event_configurations()["eventConfigurations"]
        assert found["CERTIFICATE"]["Enabled"]
        assert not found["JOB"]["Enabled"]


def test_what_aws_refuses(stub: Stubber) -> None:
    """A refusal is an AwsError, never a status or a switch that is off."""
    stub.add_client_error("describe_event_configurations", "UnauthorizedException")
    with pytest.raises(AwsError):
        IotJobEvents(stub.client).are_on()
    stub.add_client_error("describe_certificate", "UnauthorizedException")
    with pytest.raises(AwsError):
        IotCensus(stub.client).status("f" * 64)


def test_pace() -> None:
    """So many calls a second, evenly; who was slow need not make up for it, nor may."""
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    pace = Pace(4, lambda: now[0], sleep)
    for _ in range(3):
        pace()
    assert slept == [0.25, 0.25]
    now[0] += 10
    for _ in range(3):
        pace()
    assert slept == [0.25] * 4


def test_client_keeps_the_pace(account: Account, device: DeviceIdentity) -> None:
    """Each call of a paced client is counted, pages too; others' are not held up."""
    calls: list[str] = []
    paced = aws.client("iot", per_second=1000)
    assert paced is aws.client("iot", per_second=1000)
    assert paced is not aws.client("iot")
    paced.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    census = IotCensus(paced)
    list(census.certificates())
    census.status(device.certificate_id)
    assert calls == ["ListCertificates", "DescribeCertificate"]
    handlers = paced.meta.events._emitter._handlers  # botocore has no way to ask
    found = list(handlers.prefix_search("before-call.iot.DescribeCertificate"))
    assert any(isinstance(one, Pace) for one in found)
