"""A signer of the operator's own: what it may answer, and that nothing bad is registered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab import signer
from lab.account.account import Account
from lab.account.authority import Authority, common_name, generate_private_key
from lab.timeline import Timeline
from rotation_cloud import aws
from rotation_cloud.ports import AwsError, Order, Refused, Throttled
from rotation_cloud.signer import MAX_ANSWER_BYTES, SignerIssuer
from tests.cloud.device import csr

pytestmark = pytest.mark.xdist_group("cloud-signer")

TOKEN = "t" * 36


class Signer:
    """A function of the account whose answer a test lays down."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.answer: Any = None
        self.asked: list[Any] = []
        self.ca = Authority.create("Device CA")
        self.now = datetime.now(UTC)
        self.arn = account.make_function("signer", self._invoked)

    def _invoked(self, event: Any) -> Any:
        self.asked.append(event)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def issue(self) -> str:
        """The issuer's certificate (PEM), by its registered ARN."""
        issuer = SignerIssuer(
            aws.client("iot"),
            aws.client("lambda", attempts=1),
            lambda: self.now.timestamp(),
            function_arn=self.arn,
        )
        made = issuer.issue(Order(csr(), TOKEN, "press-7", "job-1"))
        described = self.registered()[made.arn]
        assert described["certificatePem"] == made.pem
        return made.arn

    def registered(self) -> dict[str, dict[str, Any]]:
        """Every certificate of the account, by its ARN."""
        iot = self.account.client("iot")
        listed = iot.list_certificates()["certificates"]
        every = [
            iot.describe_certificate(certificateId=one["certificateId"])["certificateDescription"]
            for one in listed
        ]
        return {one["certificateArn"]: dict(one) for one in every}

    def chain(self, leaf: str | None = None) -> dict[str, str]:
        return {"certificateChain": (leaf or self.leaf()) + self.ca.certificate_pem}

    def leaf(self, **window: datetime) -> str:
        return self.ca.issue_device_certificate_from_csr(csr(), **window)


@pytest.fixture
def own() -> Iterator[Signer]:
    with Account(Timeline()) as account:
        aws.forget_clients()
        yield Signer(account)
        aws.forget_clients()


def test_certificate_is_registered(own: Signer) -> None:
    """The leaf is registered ACTIVE, without its CA where AWS IoT does not know that one."""
    own.answer = own.chain()
    arn = own.issue()
    described = own.registered()[arn]
    assert described["status"] == "ACTIVE"
    assert "caCertificateId" not in described
    (asked,) = own.asked
    assert asked == {"csr": csr(), "thingName": "press-7", "jobId": "job-1", "token": TOKEN}


def test_certificate_of_a_registered_ca(own: Signer) -> None:
    """It is registered with its CA where AWS IoT knows that one."""
    ca_id = own.account.register_ca(own.ca.certificate_pem)
    own.answer = own.chain()
    arn = own.issue()
    assert own.registered()[arn]["caCertificateId"] == ca_id


def test_certificate_of_a_ca_that_was_deactivated(own: Signer) -> None:
    """A CA that an operator deactivated is not got round by registering without it."""
    ca_id = own.account.register_ca(own.ca.certificate_pem)
    own.account.client("iot").update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    own.answer = own.chain()
    with pytest.raises(AwsError, match="CertificateStateException"):
        own.issue()
    assert own.registered() == {}


def test_the_same_certificate_again(own: Signer) -> None:
    """A signer that remembers gives the same one: it is one in the registry, and ACTIVE again."""
    own.answer = own.chain()
    arn = own.issue()
    certificate_id = arn.rpartition("/")[2]
    own.account.client("iot").update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    assert own.issue() == arn
    assert own.registered()[arn]["status"] == "ACTIVE"


def test_only_the_leaf_is_kept(own: Signer) -> None:
    """What stands beside the certificates in the answer goes nowhere."""
    own.answer = {"certificateChain": "SECRET\n" + own.chain()["certificateChain"], "more": 1}
    arn = own.issue()
    assert "SECRET" not in own.registered()[arn]["certificatePem"]


@cache
def of_another_key() -> str:
    key = generate_private_key("ECDSA-P256").public_key()
    return Authority.create("Device CA").issue_device_certificate(key, common_name("press-7-a"))


def broken_chain(own: Signer, what: str) -> str:
    """A chain with one thing wrong."""
    now, leaf, ca = own.now, own.leaf(), own.ca.certificate_pem
    day, year = timedelta(days=1), timedelta(days=365)
    key = x509.load_pem_x509_csr(csr().encode()).public_key()
    stranger = Authority.create("Device CA")
    chains = {
        "another key": of_another_key() + ca,
        "another subject": own.ca.issue_device_certificate(key, common_name("press-8")) + ca,  # type: ignore[arg-type]
        "expired": own.leaf(not_before=now - year, not_after=now - day) + ca,
        "not yet valid": own.leaf(not_before=now + day, not_after=now + year) + ca,
        "no CA beside it": leaf,
        "another CA of the same name": leaf + stranger.certificate_pem,
        "CA first": ca + leaf,
        "signed by a leaf": leaf + leaf,
        "too long": leaf + ca * 8,
        "an expired CA": of_an_expired_ca(own),
        "garbage": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + ca,
        "nothing": "",
    }
    return chains[what]


def of_an_expired_ca(own: Signer) -> str:
    ca = Authority.create("Device CA", not_after=own.now - timedelta(days=1))
    return ca.issue_device_certificate_from_csr(csr()) + ca.certificate_pem


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("another key", "another key"),
        ("another subject", "subject CN=press-8"),
        ("expired", "not valid now (number 1"),
        ("not yet valid", "not valid now (number 1"),
        ("no CA beside it", "has 1 certificates"),
        ("another CA of the same name", "not signed by the next one"),
        ("CA first", "another key"),
        ("signed by a leaf", "no CA (number 2"),
        ("too long", "has 9 certificates"),
        ("an expired CA", "not valid now (number 2"),
        ("garbage", "not PEM of certificates"),
        ("nothing", "not PEM of certificates"),
    ],
)
def test_chain_that_is_wrong(own: Signer, what: str, said: str) -> None:
    """A chain that a device could not use is said to be wrong, and nothing is registered."""
    own.answer = {"certificateChain": broken_chain(own, what)}
    with pytest.raises(AwsError) as raised:
        own.issue()
    assert type(raised.value) is AwsError
    assert said in str(raised.value)
    assert own.registered() == {}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ({"refused": "press-7 is scrap"}, Refused, "press-7 is scrap"),
        ({"refused": "a\nb\x1b[31m" + "c" * 500}, Refused, "a b [31mc"),
        ({"busy": ""}, Throttled, "busy: no reason given"),
        ({}, AwsError, "has no certificateChain"),
        ({"certificateChain": 7}, AwsError, "has no certificateChain"),
        (["x"], AwsError, "no JSON object"),
        (None, AwsError, "no JSON object"),
        ({"certificateChain": "x" * MAX_ANSWER_BYTES}, AwsError, "longer than 65536 bytes"),
        (KeyError("a secret"), AwsError, "failed (KeyError)"),
    ],
    ids=["refused", "controls", "busy", "empty", "number", "list", "null", "long", "error"],
)
def test_answers_are_told_apart(own: Signer, answer: Any, kind: type[AwsError], said: str) -> None:
    """Refused, busy, broken: each is what the device has to know, and no secret is repeated."""
    own.answer = answer
    with pytest.raises(AwsError) as raised:
        own.issue()
    assert type(raised.value) is kind
    assert said in str(raised.value)
    assert "a secret" not in str(raised.value)
    assert len(str(raised.value)) < 300
    assert own.registered() == {}


def test_signer_that_is_gone(own: Signer) -> None:
    """A function that is not there is a fault of the backend's, not of the request."""
    issuer = SignerIssuer(
        aws.client("iot"), aws.client("lambda"), own.now.timestamp, function_arn="arn:x"
    )
    with pytest.raises(AwsError) as raised:
        issuer.issue(Order(csr(), TOKEN, "press-7", "job-1"))
    assert not isinstance(raised.value, (Refused, Throttled))


def test_registration_that_is_refused_is_the_signers_fault(own: Signer) -> None:
    """What AWS IoT refuses to register is not held against the device's request."""

    class Iot:
        def register_certificate(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "InvalidRequestException"}}, "RegisterCertificate")

    own.answer = own.chain()
    issuer = SignerIssuer(
        Iot(),
        aws.client("lambda"),
        own.now.timestamp,
        function_arn=own.arn,
    )
    with pytest.raises(AwsError) as raised:
        issuer.issue(Order(csr(), TOKEN, "press-7", "job-1"))
    assert type(raised.value) is AwsError


def test_environment_chooses_the_signer() -> None:
    """ISSUER and SIGNER_FUNCTION_ARN make it the issuer."""
    environment = {
        "TOPIC_PREFIX": "certkeeper",
        "TABLE_NAME": "unused",
        "FAILURE_TOPIC_ARN": "unused",
        "EVENT_BUS_NAME": "unused",
        "ISSUER": "signer",
        "SIGNER_FUNCTION_ARN": "arn:aws:lambda:eu-west-1:123456789012:function:signer",
        "AWS_REGION": "eu-west-1",
    }
    with Account(Timeline()):
        aws.forget_clients()
        assert isinstance(aws.cloud(environment).issuer, SignerIssuer)
        aws.forget_clients()


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example signer gives what the contract says, and refuses what is no request."""
    ca_pem = signer.make_ca(tmp_path / "ca")
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("CA_FOLDER", str(tmp_path / "ca"))
    answer = signer.handler({"csr": csr(), "thingName": "x", "jobId": "y"}, None)
    leaf, ca = x509.load_pem_x509_certificates(answer["certificateChain"].encode())
    assert ca == x509.load_pem_x509_certificate(ca_pem.encode())
    leaf.verify_directly_issued_by(ca)
    kind = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    asked = x509.load_pem_x509_csr(csr().encode()).public_key()
    assert leaf.public_key().public_bytes(*kind) == asked.public_bytes(*kind)
    assert "refused" in signer.handler({"csr": "x"}, None)
