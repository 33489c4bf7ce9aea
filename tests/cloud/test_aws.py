"""The ports over boto3, against an account: a whole rotation, and what AWS answers otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab.account.account import Account, DeviceIdentity
from lab.fleet.account import RUNNING, Answers, Clock, Documents, Jobs, Notices, Records
from lab.timeline import Timeline
from rotation_cloud import aws
from rotation_cloud.answering import answer_commit, answer_create
from rotation_cloud.create import public_key_of
from rotation_cloud.finish import Ended, finish
from rotation_cloud.iot_jobs import IotJobs
from rotation_cloud.issuers import PrivateCaIssuer
from rotation_cloud.ports import (
    AlreadyThere,
    AwsError,
    Cloud,
    NotFound,
    Order,
    Refused,
    Registered,
    Throttled,
    certificate_id_of,
)
from rotation_cloud.sns import SnsAlerts, SnsNotices
from tests.cloud.device import csr, ended_event, event

pytestmark = pytest.mark.xdist_group("cloud-aws")

POLICY = {"Version": "2012-10-17", "Statement": []}


def order(request: str) -> Order:
    return Order(request, "t" * 36, "press-7", "job-1")


@dataclass
class Site:
    """An account with one device; the Jobs service and the messages are fakes."""

    account: Account
    device: DeviceIdentity
    cloud: Cloud
    answers: Answers

    def statuses(self) -> dict[str, str]:
        certificates = self.account.client("iot").list_certificates()["certificates"]
        return {one["certificateId"]: one["status"] for one in certificates}


@pytest.fixture
def site() -> Iterator[Site]:
    with Account(Timeline()) as account:
        aws.forget_clients()
        device = account.register_device("press-7", policy_document=POLICY)
        clock, answers = Clock(), Answers()
        jobs = Jobs(clock)
        jobs.executions["press-7", "job-1"] = RUNNING
        environment = {
            "TOPIC_PREFIX": "certkeeper",
            "TABLE_NAME": "unused",
            "FAILURE_TOPIC_ARN": "unused",
            "EVENT_BUS_NAME": "security-events",
        }
        cloud = replace(
            aws.cloud(environment),
            jobs=jobs,
            records=Records(),
            documents=Documents(),
            answers=answers,
            notices=Notices(),
            clock=clock,
        )
        yield Site(account, device, cloud, answers)
        aws.forget_clients()


def test_whole_rotation(site: Site) -> None:
    """Create, commit, finish: the new certificate stands in the old one's place."""
    old = site.device.certificate_id
    answer_create(site.cloud, {**event("create", old), "jobId": "job-1", "csr": csr()})
    kind, fields = site.answers.sent[-1]
    assert kind == "accepted"
    certificate = x509.load_pem_x509_certificate(fields["certificatePem"].encode())
    new = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == public_key_of(csr())
    assert site.statuses() == {old: "ACTIVE", new: "ACTIVE"}
    answer_commit(site.cloud, {**event("commit", new), "jobId": "job-1"})
    assert site.answers.sent[-1] == ("accepted", {"jobId": "job-1"})
    ended = Ended.of(ended_event("SUCCEEDED", certificateId=new))
    assert ended is not None
    for _ in range(2):
        finish(site.cloud, ended)
    assert site.statuses() == {new: "ACTIVE"}
    registry = site.account.registry
    assert registry.thing_names(new) == ["press-7"]
    assert registry.policy_documents(new) == [POLICY]


def test_errors_of_the_registry(site: Site) -> None:
    """What is not there, and what may not be, is told apart."""
    registry, arn = site.cloud.registry, site.device.certificate_arn
    gone = arn[:-1] + ("0" if arn[-1] != "0" else "1")
    with pytest.raises(NotFound):
        registry.principals("press-8")
    with pytest.raises(NotFound):
        registry.deactivate(gone)
    with pytest.raises(NotFound):
        registry.detach_thing(gone, "press-7")
    with pytest.raises(Refused):
        site.cloud.issuer.issue(order("no CSR"))
    with pytest.raises(NotFound):
        registry.registered(certificate_id_of(gone))
    certificate_id = site.device.certificate_id
    iot = site.account.client("iot")
    described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    created = described["creationDate"].timestamp()
    found = Registered(arn, site.device.certificate_pem, "ACTIVE", created=created)
    assert registry.registered(certificate_id) == found
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    assert not registry.registered(certificate_id).is_active
    assert registry.things(arn) == ["press-7"]
    assert registry.policies(arn) == ["press-7"]
    assert registry.principals("press-7") == {arn: "NON_EXCLUSIVE_THING"}


def test_whether_a_certificate_is_active(site: Site) -> None:
    """ACTIVE, INACTIVE, and gone."""
    registry, certificate_id = site.cloud.registry, site.device.certificate_id
    assert registry.is_active(certificate_id)
    registry.deactivate(site.device.certificate_arn)
    assert not registry.is_active(certificate_id)
    assert not registry.is_active("f" * 64)


def test_stray_certificates(site: Site) -> None:
    """A certificate is found by its key while it is attached to no thing."""
    issued = site.cloud.issuer.issue(order(csr()))
    key = public_key_of(csr())
    assert site.cloud.registry.stray({key}, 0) == [issued.arn]
    assert site.cloud.registry.stray({"other"}, 0) == []
    assert site.cloud.registry.stray({key}, 1e11) == []
    site.cloud.registry.attach_thing(issued.arn, "press-7", "NON_EXCLUSIVE_THING")
    assert site.cloud.registry.stray({key}, 0) == []


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """A client of AWS IoT that gives the answers that a test lays down."""
    client = boto3.client("iot", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_every_page_is_read(stub: Stubber) -> None:
    """Policies, principals and things on further pages count as well."""
    registry = aws.IotRegistry(stub.client)
    first, second = ({"policyName": name, "policyArn": name} for name in "ab")
    stub.add_response("list_attached_policies", {"policies": [first], "nextMarker": "m"})
    stub.add_response(
        "list_attached_policies", {"policies": [second]}, {"target": "arn", "marker": "m"}
    )
    assert registry.policies("arn") == ["a", "b"]
    for name, following in (("a", {"nextToken": "t"}), ("b", {})):
        found = [{"principal": name, "thingPrincipalType": "EXCLUSIVE_THING"}]
        stub.add_response("list_thing_principals_v2", {"thingPrincipalObjects": found, **following})
    assert registry.principals("t") == {"a": "EXCLUSIVE_THING", "b": "EXCLUSIVE_THING"}
    stub.add_response("list_principal_things", {"things": ["a"], "nextToken": "t"})
    stub.add_response("list_principal_things", {"things": ["b"]})
    assert registry.things("arn") == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", Throttled),
        ("ResourceAlreadyExistsException", AlreadyThere),
        ("LimitExceededException", Throttled),
        ("ServiceUnavailableException", AwsError),
    ],
)
def test_job_that_cannot_be_made(stub: Stubber, code: str, kind: type[AwsError]) -> None:
    """Why a job cannot be made is told apart."""
    stub.add_client_error("create_job", code)
    with pytest.raises(AwsError) as raised:
        IotJobs(stub.client, None, "template").create("job-1", "arn")
    assert type(raised.value) is kind


def execution_with(**answer: Any) -> Any:
    """The port's answer if the data plane gives this execution."""

    class Client:
        def describe_job_execution(self, **arguments: Any) -> dict[str, Any]:
            assert arguments["includeJobDocument"] is True
            return {"execution": answer}

    return IotJobs(None, Client(), "").execution("t", "j")


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        ('{"operation":"ROTATE_CERTIFICATE"}', "ROTATE_CERTIFICATE"),
        ('{"operation":7}', None),
        ("[]", None),
        ("garbage", None),
        (None, None),
    ],
)
def test_job_document(document: str | None, operation: str | None) -> None:
    """Whatever a document holds, the operation is text or none."""
    found = execution_with(
        status="IN_PROGRESS", jobDocument=document, executionNumber=2, queuedAt=5
    )
    assert (found.operation, found.identity, found.number) == (operation, "2@5", 2)
    assert not found.ended
    assert execution_with(status="TIMED_OUT").ended


class Pca:
    """Private CA that takes its time: GetCertificate works at the ``ready``-th call."""

    def __init__(self, account: Account, ready: int) -> None:
        self._account = account
        self._ready = ready
        self.tokens: list[str] = []

    def issue_certificate(self, **arguments: Any) -> dict[str, str]:
        self.tokens.append(arguments["IdempotencyToken"])
        assert arguments["Validity"] == {"Type": "DAYS", "Value": 30}
        assert arguments["TemplateArn"].startswith("arn:aws:acm-pca:::template/EndEntityClientAuth")
        self._pem = self._account.own_authority.issue_device_certificate_from_csr(
            arguments["Csr"].decode()
        )
        return {"CertificateArn": "arn"}

    def get_certificate(self, **_arguments: Any) -> dict[str, str]:
        self._ready -= 1
        if self._ready > 0:
            raise ClientError({"Error": {"Code": "RequestInProgressException"}}, "GetCertificate")
        return {"Certificate": self._pem.strip(), "CertificateChain": "chain"}


def private_ca(site: Site, pca: Pca) -> PrivateCaIssuer:
    return PrivateCaIssuer(
        aws.client("iot"),
        pca,
        site.cloud.clock.sleep,
        ca_arn="arn:aws:acm-pca:eu-west-1:1:certificate-authority/x",
        days=30,
        algorithm="SHA256WITHECDSA",
    )


def test_private_ca(site: Site) -> None:
    """A private CA's certificate is fetched once it is ready, and registered ACTIVE, leaf only."""
    issuer = private_ca(site, Pca(site.account, ready=3))
    issued = issuer.issue(order(csr()))
    certificate_id = issued.arn.rpartition("/")[2]
    assert site.statuses()[certificate_id] == "ACTIVE"
    assert "chain" not in issued.pem


def test_private_ca_that_is_slow(site: Site) -> None:
    """A private CA that is not ready in time is asked again later: nothing was registered."""
    with pytest.raises(Throttled):
        private_ca(site, Pca(site.account, ready=100)).issue(order(csr()))
    assert set(site.statuses()) == {site.device.certificate_id}


def test_private_ca_registered_before(site: Site) -> None:
    """A certificate that an attempt before registered, and left INACTIVE, is ACTIVE again."""
    pca = Pca(site.account, ready=0)
    issuer = private_ca(site, pca)
    first = issuer.issue(order(csr()))
    site.cloud.registry.deactivate(first.arn)
    cast("Any", pca).issue_certificate = lambda **_: {"CertificateArn": "arn"}
    assert issuer.issue(order(csr())) == first
    assert site.statuses()[first.arn.rpartition("/")[2]] == "ACTIVE"


def subscribed(site: Site) -> tuple[str, Callable[[], dict[str, Any]]]:
    """A topic, and what gives the message that was published to it."""
    sns, sqs = site.account.client("sns"), site.account.client("sqs")
    topic = sns.create_topic(Name="people")["TopicArn"]
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])

    def received() -> dict[str, Any]:
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        body: dict[str, Any] = json.loads(message["Body"])
        return body

    return topic, received


def test_notice_is_json(site: Site) -> None:
    """A notice is published with its subject, as JSON that people can read."""
    topic, received = subscribed(site)
    SnsNotices(aws.client("sns"), topic).tell("subject", {"thingName": "press-7"})
    body = received()
    assert body["Subject"] == "subject"
    assert json.loads(body["Message"]) == {"thingName": "press-7"}


def test_alert_is_words_with_attributes(site: Site) -> None:
    """An alert is published as its text, with what a subscription may filter by."""
    topic, received = subscribed(site)
    SnsAlerts(aws.client("sns"), topic).tell("subject", "a\nb", {"severity": "CRITICAL"})
    body = received()
    assert (body["Subject"], body["Message"]) == ("subject", "a\nb")
    assert body["MessageAttributes"] == {"severity": {"Type": "String", "Value": "CRITICAL"}}
