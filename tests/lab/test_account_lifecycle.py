"""An account opens empty, leads nowhere but to itself, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import moto
import pytest
from moto.iot.models import FakeCertificate, FakeThingGroup, IoTBackend
from moto.iot.responses import IoTResponse

from lab.account.account import Account
from lab.account.moto_corrections import MotoVersionUnknown
from lab.cloud.device_policy import core_device_policy
from lab.timeline import Timeline

pytestmark = pytest.mark.xdist_group("account-lifecycle")


def attributes_of_moto() -> dict[tuple[str, str], object]:
    """What the corrections may change."""
    return {
        (owner.__name__, name): value
        for owner in (FakeCertificate, FakeThingGroup, IoTBackend, IoTResponse)
        for name, value in vars(owner).items()
    }


def test_two_accounts_in_sequence_share_nothing() -> None:
    """What one account held is unknown to the next: registry, tables, topics, authorities."""
    with Account(Timeline()) as first:
        policy = core_device_policy(region=first.region, account_id=first.account_id)
        device = first.register_device("press-7", policy_document=policy)
        first.client("iot").create_thing_group(thingGroupName="presses")
        first.client("dynamodb").create_table(
            TableName="rotations",
            KeySchema=[{"AttributeName": "thing", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "thing", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        first.client("sns").create_topic(Name="alerts")
        assert first.registry.certificate(device.certificate_id) is not None
    with Account(Timeline()) as second:
        iot = second.client("iot")
        assert iot.list_things()["things"] == []
        assert iot.list_certificates()["certificates"] == []
        assert iot.list_policies()["policies"] == []
        assert iot.list_thing_groups()["thingGroups"] == []
        assert second.client("dynamodb").list_tables()["TableNames"] == []
        assert second.client("sns").list_topics()["Topics"] == []
        assert second.registry.certificate(device.certificate_id) is None
        for mine, theirs in (
            (second.iot_authority, first.iot_authority),
            (second.server_authority, first.server_authority),
            (second.own_authority, first.own_authority),
        ):
            assert mine.certificate.public_key() != theirs.certificate.public_key()


def test_only_one_account_is_open_at_a_time() -> None:
    """A second account is refused while one is open, and the open one goes on."""
    with Account(Timeline()) as account:
        with pytest.raises(RuntimeError, match="another Account is open"):
            Account(Timeline()).__enter__()
        assert account.client("iot").list_things()["things"] == []


def test_account_leaves_no_thread_no_port_and_no_correction() -> None:
    """After closing, its server and moto's classes are as before it was opened."""
    moto_before, threads_before = attributes_of_moto(), set(threading.enumerate())
    with Account(Timeline()) as account:
        address = urlsplit(account.endpoint_url)
        assert address.hostname == "127.0.0.1"
        assert address.port
        assert attributes_of_moto() != moto_before
        account.client("iot").list_things()
    assert attributes_of_moto() == moto_before
    assert not hasattr(IoTBackend, "iot_authority")
    assert not hasattr(FakeThingGroup, "certificate_id")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port)).close()
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(timeout=10)  # one that has just answered
        assert not thread.is_alive()


def test_account_closes_after_an_error_inside() -> None:
    """An error in the with statement passes through, and the next account opens."""
    moto_before = attributes_of_moto()

    def fail_inside() -> None:
        with Account(Timeline()):
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail_inside()
    assert attributes_of_moto() == moto_before
    with Account(Timeline()):
        pass


def test_another_version_of_moto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another moto no account opens, and the error names both versions."""
    moto_before = attributes_of_moto()
    with monkeypatch.context() as patched:
        patched.setattr(moto, "__version__", "5.2.6")
        with pytest.raises(MotoVersionUnknown, match=r"moto 5\.2\.5, but 5\.2\.6 is installed"):
            Account(Timeline()).__enter__()
    assert attributes_of_moto() == moto_before
    with Account(Timeline()):
        pass


def test_client_needs_an_open_account() -> None:
    """Before and after it is open, an account gives no client."""
    account = Account(Timeline())
    with pytest.raises(RuntimeError, match="not open"):
        account.client("iot")
    with account:
        assert account.client("iot") is account.client("iot")
    with pytest.raises(RuntimeError, match="not open"):
        account.client("iot")


def test_account_tells_the_timeline_and_no_secret() -> None:
    """Opening, registering and closing are recorded, without a key."""
    timeline = Timeline()
    with Account(timeline) as account:
        policy = core_device_policy(region=account.region, account_id=account.account_id)
        device = account.register_device("press-7", policy_document=policy)
    assert [entry.event for entry in timeline.entries] == ["opened", "device-registered", "closed"]
    registered = timeline.find(
        "device-registered", source="account", thing="press-7", certificate_id=device.certificate_id
    )
    assert len(registered) == 1
    everything = "".join(repr(entry) for entry in timeline.entries)
    assert device.private_key_pem.splitlines()[1] not in everything


# --- the user's own AWS -----------------------------------------------------------


@pytest.fixture
def users_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A user whose AWS settings break or mislead whoever reads them; the AWS_ variables."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[not closed\n")
    (tmp_path / ".aws" / "credentials").write_text("[not closed\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    variables = {
        "AWS_PROFILE": "the-user-s",
        "AWS_ACCESS_KEY_ID": "AKIATHEUSERS",
        "AWS_SECRET_ACCESS_KEY": "the user's secret",
        "AWS_SESSION_TOKEN": "the user's token",
        "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / ".aws" / "credentials"),
        "AWS_ENDPOINT_URL_IOT": "http://127.0.0.1:9/",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_DEFAULTS_MODE": "auto",
    }
    for name, value in {
        **variables,
        "HOME": str(tmp_path),
        "HTTP_PROXY": "http://127.0.0.1:9/",
        "http_proxy": "http://127.0.0.1:9/",
    }.items():
        monkeypatch.setenv(name, value)
    return variables


def aws_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def test_client_uses_nothing_of_the_user_s_aws(users_aws: dict[str, str]) -> None:
    """Requests go to the account with dummy credentials, whatever the user's settings say."""
    sent: list[Any] = []
    with Account(Timeline()) as account:
        iot = account.client("iot")
        iot.meta.events.register("before-send", lambda request, **_: sent.append(request))
        assert iot.list_things()["things"] == []
        assert iot.meta.region_name == "eu-west-1"
    (request,) = sent
    assert request.url.startswith(account.endpoint_url)
    assert b"Credential=lab/" in request.headers["Authorization"]
    assert "X-Amz-Security-Token" not in request.headers


def test_any_boto3_client_of_the_process_leads_to_the_account(
    users_aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that makes its own client while an account is open reaches that account only."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Account(Timeline()) as account:
        account.client("iot").create_thing(thingName="press-7")
        with contextlib.closing(boto3.Session().client("iot")) as own:
            assert own.meta.endpoint_url == account.endpoint_url
            assert [thing["thingName"] for thing in own.list_things()["things"]] == ["press-7"]


def test_user_s_aws_variables_are_put_back(users_aws: dict[str, str]) -> None:
    """While an account is open none of the user's AWS variables is seen; then all are back."""
    with Account(Timeline()):
        during = aws_variables()
    assert not set(during.items()) & set(users_aws.items())
    assert during["AWS_EC2_METADATA_DISABLED"] == "true"
    assert during["AWS_CONFIG_FILE"] == during["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert aws_variables() == users_aws
