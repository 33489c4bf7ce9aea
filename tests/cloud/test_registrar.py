"""Registration over boto3, against an account: a device is let in, and an operator's deny list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.account.account import Account
from lab.account.authority import Authority
from lab.cloud.template import Template
from lab.fleet.account import Audit, Notices
from lab.timeline import Timeline
from rotation_cloud import aws, documents
from rotation_cloud.admission import Reason
from rotation_cloud.documents import Document
from rotation_cloud.ports import Cloud, NotFound
from rotation_cloud.registration import Terms, register
from tests.packaging.source import PROJECT

pytestmark = pytest.mark.xdist_group("cloud-registrar")

CA = Authority.create("Factory CA")
POLICY = '{"Version": "2012-10-17", "Statement": []}'


class Site:
    """An account that knows the CA, and the template's table."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.iot = account.client("iot")
        self.ca_id = account.register_ca(CA.certificate_pem, automatic=True)
        self.iot.create_policy(policyName="core", policyDocument=POLICY)
        table = Template().tables()[0]
        names = ("TableName", "AttributeDefinitions", "KeySchema", "BillingMode")
        account.client("dynamodb").create_table(**{name: table[name] for name in names})
        environment = {
            "TOPIC_PREFIX": "certkeeper",
            "TABLE_NAME": table["TableName"],
            "FAILURE_TOPIC_ARN": "unused",
            "EVENT_BUS_NAME": "unused",
        }
        self.table = str(table["TableName"])
        self.notices = Notices()
        self.cloud: Cloud = replace(
            aws.cloud(environment), notices=self.notices, audit=Audit(), registers=True
        )

    def present(self, name: str) -> str:
        """A new certificate of that name, presented and looked at; its id."""
        identity = self.account.certify(name, CA)
        said = presented(self, identity.certificate_pem)
        assert said is not None
        topic, payload = said
        assert topic == f"$aws/events/certificates/registered/{self.ca_id}"
        event = json.loads(payload)
        assert event["certificateStatus"] == "PENDING_ACTIVATION"
        register(self.cloud, Terms("core"), event)
        return identity.certificate_id

    def status(self, certificate_id: str) -> str:
        found = self.iot.describe_certificate(certificateId=certificate_id)
        return str(found["certificateDescription"]["status"])


@pytest.fixture
def site() -> Iterator[Site]:
    with Account(Timeline()) as account:
        aws.forget_clients()
        yield Site(account)
        aws.forget_clients()


def test_registered_as_aws_has_it(site: Site) -> None:
    """Thing, exclusive attachment, policy, and ACTIVE."""
    certificate_id = site.present("saw-1")
    assert site.status(certificate_id) == "ACTIVE"
    (attached,) = site.iot.list_thing_principals_v2(thingName="saw-1")["thingPrincipalObjects"]
    assert attached["thingPrincipalType"] == "EXCLUSIVE_THING"
    policies = site.iot.list_attached_policies(target=attached["principal"])["policies"]
    assert [one["policyName"] for one in policies] == ["core"]


def test_errors_of_the_registrar(site: Site) -> None:
    """What is not there is NotFound; a thing that is there with attributes stays as it is."""
    registrar = site.cloud.registrar
    with pytest.raises(NotFound):
        registrar.ca("0" * 64)
    with pytest.raises(NotFound):
        registrar.activate("arn:aws:iot:eu-west-1:123456789012:cert/" + "0" * 64)
    site.iot.create_thing(thingName="saw-2", attributePayload={"attributes": {"hall": "3"}})
    registrar.create_thing("saw-2")
    assert site.iot.describe_thing(thingName="saw-2")["attributes"] == {"hall": "3"}
    assert registrar.ca(site.ca_id).status == "ACTIVE"


@pytest.mark.parametrize("body", [{}, {"body": {"M": {"why": {"S": "stolen"}}}}], ids=str)
def test_what_an_operator_writes(site: Site, body: dict[str, dict[str, dict[str, str]]]) -> None:
    """An item of the deny list may be its key alone, or say why."""
    item = {"thing": {"S": "saw-1"}, "jobId": {"S": "#denied"}, **body}
    site.account.client("dynamodb").put_item(TableName=site.table, Item=item)
    assert site.status(site.present("saw-1")) == "PENDING_ACTIVATION"
    (told,) = site.notices.told
    assert told["detail"].endswith("stolen" if body else "no reason given")
    assert list(site.cloud.documents.all(documents.DENIED)) == [
        Document("saw-1", "#denied", {"why": "stolen"} if body else {})
    ]


def test_event_of_auto_registration(site: Site) -> None:
    """A certificate of no CA, or of one without auto-registration, is not registered."""
    stranger = site.account.certify("saw-1", Authority.create("Stranger"))
    assert presented(site, stranger.certificate_pem) is None
    site.iot.update_ca_certificate(certificateId=site.ca_id, newAutoRegistrationStatus="DISABLE")
    ours = site.account.certify("saw-1", CA)
    assert presented(site, ours.certificate_pem) is None
    site.iot.update_ca_certificate(
        certificateId=site.ca_id, newAutoRegistrationStatus="ENABLE", newStatus="INACTIVE"
    )
    assert presented(site, ours.certificate_pem) is None
    assert site.iot.list_certificates()["certificates"] == []
    site.iot.update_ca_certificate(certificateId=site.ca_id, newStatus="ACTIVE")
    assert presented(site, ours.certificate_pem) is not None
    described = site.iot.describe_certificate(certificateId=ours.certificate_id)
    assert described["certificateDescription"]["caCertificateId"] == site.ca_id
    site.iot.update_certificate(certificateId=ours.certificate_id, newStatus="ACTIVE")
    assert presented(site, ours.certificate_pem) is None
    site.iot.update_certificate(certificateId=ours.certificate_id, newStatus="REVOKED")
    assert presented(site, ours.certificate_pem) is None


def presented(site: Site, pem: str) -> tuple[str, bytes] | None:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    return site.account.auto_registration.presented(der)


def test_registration_is_deployed_if_switched_on() -> None:
    """Function and rule are there only then; the rule hears the one CA, or all of them."""
    assert "RegisterFunction" not in Template().functions()
    assert not any("registered" in rule.sql for rule in Template().rules())
    every, one = "$aws/events/certificates/registered/#", "f" * 64
    for parameters, topic in (
        ({}, every),
        ({"RegistrationCaId": one}, every.replace("#", one)),
    ):
        template = Template({"RegistersDevices": "true", **parameters})
        sql = [rule.sql for rule in template.rules() if rule.function == "RegisterFunction"]
        assert sql == [f"SELECT * FROM '{topic}'"]
    environment = template.functions()["RegisterFunction"].environment
    assert Terms.of(environment) == Terms("certkeeper-core-device", one)
    named = Template({"RegistersDevices": "true", "DevicePolicyName": "mine"})
    assert Terms.of(named.functions()["RegisterFunction"].environment) == Terms("mine")


def test_operations_names_every_reason() -> None:
    """docs/operations.md has a row for each reason, and no other one."""
    text = (PROJECT / "docs" / "operations.md").read_text()
    table = text[text.index("| `reason` | meaning |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.M)[1:] == [one.value for one in Reason]


def test_ca_registered_twice(site: Site) -> None:
    """A CA is registered once; its description tells what was chosen."""
    with pytest.raises(site.iot.exceptions.ResourceAlreadyExistsException):
        site.account.register_ca(CA.certificate_pem)
    described = site.iot.describe_ca_certificate(certificateId=site.ca_id)
    found = described["certificateDescription"]
    assert (found["autoRegistrationStatus"], found["certificateMode"]) == ("ENABLE", "SNI_ONLY")
    assert found["validity"]["notAfter"] == CA.certificate.not_valid_after_utc
