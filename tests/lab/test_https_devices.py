"""The HTTPS endpoint for devices: who is let in, and what the probe makes of its answers."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from certkeeper.edge.probe import Target, Verdict, probe
from lab.account.account import DeviceIdentity
from lab.account.policies import DEFAULT_ROLE_ALIAS
from lab.cloud.device_policy import core_device_policy
from lab.lab import Lab

DOCUMENT = {"operation": "ROTATE_CERTIFICATE"}
CREDENTIALS = f"/role-aliases/{DEFAULT_ROLE_ALIAS}/credentials"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One lab for all tests of this file: each registers a device of its own."""
    with Lab() as running:
        yield running


@dataclass(frozen=True)
class Device:
    """A registered device, with its pair in files."""

    identity: DeviceIdentity
    certificate: Path
    key: Path
    root_ca: Path

    def target(self, lab: Lab) -> Target:
        """Both endpoints, as a nucleus's configuration names them."""
        return Target(
            self.identity.thing_name,
            self.root_ca,
            lab.https.address,
            DEFAULT_ROLE_ALIAS,
            lab.https.address,
        )

    def connect(self, lab: Lab) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.root_ca))
        context.load_cert_chain(self.certificate, self.key)
        return http.client.HTTPSConnection(
            lab.https.host, lab.https.port, timeout=20, context=context
        )

    def ask(
        self, lab: Lab, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any, str | None]:
        """Status, body, and the error's name."""
        connection = self.connect(lab)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            return response.status, json.load(response), response.getheader("x-amzn-ErrorType")
        finally:
            connection.close()


@pytest.fixture
def device(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Device:
    """A device with the core policy."""
    return registered(lab, tmp_path, request.node.name)


def registered(lab: Lab, folder: Path, name: str, *more: dict[str, Any]) -> Device:
    """A device with the core policy, and further statements."""
    thing = "".join(c if c.isalnum() else "-" for c in name)[:60]
    region, account_id = lab.account.region, lab.account.account_id
    policy = core_device_policy(region=region, account_id=account_id)
    policy["Statement"] = [*policy["Statement"], *more]
    identity = lab.account.register_device(thing, policy_document=policy)
    device = Device(identity, folder / "cert.pem", folder / "key.pem", folder / "root.pem")
    device.certificate.write_text(identity.certificate_pem)
    device.key.write_text(identity.private_key_pem)
    device.root_ca.write_text(lab.account.server_authority.certificate_pem)
    return device


def with_jobs(lab: Lab, folder: Path, name: str) -> Device:
    """A device that may use the Jobs data plane over HTTPS, with one job in line."""
    thing_arn = f"arn:aws:iot:{lab.account.region}:{lab.account.account_id}:thing/{name}"
    allowed = {"Effect": "Allow", "Action": "iotjobsdata:*", "Resource": thing_arn}
    device = registered(lab, folder, name, allowed)
    lab.account.client("iot").create_job(
        jobId=f"job-{name}", targets=[thing_arn], document=json.dumps(DOCUMENT)
    )
    return device


def set_status(lab: Lab, device: Device, status: str) -> None:
    lab.account.client("iot").update_certificate(
        certificateId=device.identity.certificate_id,
        newStatus=status,  # type: ignore[arg-type]
    )


def test_attached_and_allowed_gets_credentials(lab: Lab, device: Device) -> None:
    """The account's temporary credentials for the role; the timeline says who, not what."""
    thing = device.identity.thing_name
    status, body, _ = device.ask(lab, "GET", CREDENTIALS, **{"x-amzn-iot-thingname": thing})
    assert status == 200
    given = body["credentials"]
    assert set(given) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert given["expiration"].endswith("Z")
    (entry,) = lab.timeline.find("credentials-given", thing=thing)
    assert entry.details["principal"] == device.identity.certificate_id
    said = "\n".join(f"{one} {one.details}" for one in lab.timeline.entries)
    assert given["secretAccessKey"] not in said
    assert given["sessionToken"] not in said


def test_probe_accepts(lab: Lab, device: Device) -> None:
    """The device's own probe finds its pair accepted."""
    assert probe(device.target(lab), device.certificate, device.key).verdict is Verdict.ACCEPTED


def test_another_things_name_is_refused(lab: Lab, device: Device) -> None:
    """A certificate that is not attached to the thing gets 403, which the probe understands."""
    target = replace(device.target(lab), thing_name="somebody-else")
    said = probe(target, device.certificate, device.key)
    assert said.verdict is Verdict.REFUSED
    assert "403 Invalid thing name passed" in said.detail


def test_policy_decides_on_the_role_alias(lab: Lab, device: Device) -> None:
    """Without iot:AssumeRoleWithCertificate the thing's own certificate gets 403."""
    lab.account.client("iot").detach_policy(
        policyName=device.identity.thing_name, target=device.identity.certificate_arn
    )
    said = probe(device.target(lab), device.certificate, device.key)
    assert said.verdict is Verdict.REFUSED
    assert "403 Access Denied" in said.detail


def test_unknown_role_alias(lab: Lab, device: Device) -> None:
    """404, which says nothing of the certificate."""
    target = replace(device.target(lab), role_alias="NoSuchAlias", data_endpoint=None)
    said = probe(target, device.certificate, device.key)
    assert said.verdict is Verdict.UNCLEAR
    assert "404 Role alias does not exist" in said.detail


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_not_active_gets_an_alert(lab: Lab, device: Device, status: str) -> None:
    """A certificate that is not ACTIVE ends the handshake, as at the MQTT endpoint."""
    set_status(lab, device, status)
    said = probe(device.target(lab), device.certificate, device.key)
    assert said.verdict is Verdict.REFUSED
    assert "UNKNOWN_CA" in said.detail
    entry = lab.timeline.wait_for(
        "refused", source="https", principal=device.identity.certificate_id
    )
    assert entry.details["why"] == f"certificate {status}"


def test_deregistered_gets_an_alert(lab: Lab, device: Device) -> None:
    """So does one that the account has deleted."""
    iot, identity = lab.account.client("iot"), device.identity
    set_status(lab, device, "INACTIVE")
    iot.detach_policy(policyName=identity.thing_name, target=identity.certificate_arn)
    iot.detach_thing_principal(thingName=identity.thing_name, principal=identity.certificate_arn)
    iot.delete_certificate(certificateId=identity.certificate_id)
    assert probe(device.target(lab), device.certificate, device.key).verdict is Verdict.REFUSED
    entry = lab.timeline.wait_for("refused", source="https", principal=identity.certificate_id)
    assert entry.details["why"] == "certificate not registered"


def test_deactivated_on_a_living_connection(lab: Lab, device: Device) -> None:
    """A connection outlives its certificate, its next request does not pass."""
    connection = device.connect(lab)
    path = f"/things/{device.identity.thing_name}/jobs"
    connection.request("GET", path)
    connection.getresponse().read()
    set_status(lab, device, "INACTIVE")
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 403
    assert json.load(response) == {"message": "certificate INACTIVE"}
    connection.close()


def test_core_policy_allows_no_jobs_over_https(lab: Lab, device: Device) -> None:
    """The topics of the core policy say nothing of the HTTPS API: 403, and the probe is unsure."""
    path = f"/things/{device.identity.thing_name}/jobs"
    assert device.ask(lab, "GET", path)[0::2] == (403, "ForbiddenException")
    target = replace(device.target(lab), credential_endpoint=None)
    assert probe(target, device.certificate, device.key).verdict is Verdict.UNCLEAR


def test_job_from_queue_to_end(lab: Lab, tmp_path: Path) -> None:
    """List, start, describe and update over HTTPS; documents are text there."""
    device = with_jobs(lab, tmp_path, "press-jobs")
    jobs, job = "/things/press-jobs/jobs", "/things/press-jobs/jobs/job-press-jobs"

    _, body, _ = device.ask(lab, "GET", jobs)
    assert [queued["jobId"] for queued in body["queuedJobs"]] == ["job-press-jobs"]
    _, body, _ = device.ask(lab, "PUT", f"{jobs}/$next", {"statusDetails": {"step": "one"}})
    assert body["execution"]["status"] == "IN_PROGRESS"
    assert json.loads(body["execution"]["jobDocument"]) == DOCUMENT
    _, body, _ = device.ask(lab, "GET", f"{jobs}/%24next?includeJobDocument=false")
    assert body["execution"]["statusDetails"] == {"step": "one"}
    assert "jobDocument" not in body["execution"]
    number = body["execution"]["executionNumber"]
    _, body, _ = device.ask(lab, "GET", f"{job}?executionNumber={number}")
    assert json.loads(body["execution"]["jobDocument"]) == DOCUMENT
    update = {"status": "SUCCEEDED", "includeJobExecutionState": True}
    _, body, _ = device.ask(lab, "POST", job, update)
    assert body["executionState"]["status"] == "SUCCEEDED"
    assert device.ask(lab, "GET", job)[0::2] == (410, "TerminalStateException")


@pytest.mark.parametrize(
    ("method", "suffix", "body", "expected"),
    [
        ("GET", "/jobs/no-such-job", None, (404, "ResourceNotFoundException")),
        ("GET", "/jobs/$next?executionNumber=two", None, (400, "InvalidRequestException")),
        ("GET", "/jobs/$next?includeJobDocument=1", None, (400, "InvalidRequestException")),
        ("POST", "/jobs/x", ["SUCCEEDED"], (400, "InvalidRequestException")),
        ("POST", "/jobs/x", {}, (400, "InvalidRequestException")),
        ("DELETE", "/jobs/x", None, (404, "ResourceNotFoundException")),
        ("GET", "/shadow", None, (404, "ResourceNotFoundException")),
    ],
)
def test_refusals_of_the_jobs_data_plane(
    lab: Lab, tmp_path: Path, method: str, suffix: str, body: object, expected: tuple[int, str]
) -> None:
    """Each has the status and the name that the API has for it."""
    name = f"press-{abs(hash((method, suffix, str(body))))}"
    device = with_jobs(lab, tmp_path, name)
    assert device.ask(lab, method, f"/things/{name}{suffix}", body)[0::2] == expected


def test_another_things_jobs_are_forbidden(lab: Lab, tmp_path: Path) -> None:
    """The policy names the thing."""
    device = with_jobs(lab, tmp_path, "press-one")
    assert device.ask(lab, "GET", "/things/press-two/jobs")[0::2] == (403, "ForbiddenException")


def test_away_and_back(lab: Lab, device: Device) -> None:
    """While the endpoint is away it cannot be reached; afterwards it is where it was."""
    held = device.connect(lab)
    held.connect()
    lab.https.go_away()
    try:
        said = probe(device.target(lab), device.certificate, device.key)
        assert said.verdict is Verdict.UNREACHABLE
        assert held.sock is not None
        with pytest.raises(OSError):  # noqa: PT011  (reset or closed, whichever is seen first)
            raise_if_closed(held.sock)
    finally:
        lab.https.come_back()
        held.close()
    assert probe(device.target(lab), device.certificate, device.key).verdict is Verdict.ACCEPTED


def raise_if_closed(connected: Any) -> None:
    """OSError for a connection that has ended, in whatever way."""
    if not connected.recv(1):
        raise ConnectionAbortedError


def test_malformed_request_is_answered_and_ends(lab: Lab, device: Device) -> None:
    """What is no HTTP gets 400 and the end of the connection."""
    context = ssl.create_default_context(cafile=str(device.root_ca))
    context.load_cert_chain(device.certificate, device.key)
    connection = device.connect(lab)
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(b"EHLO press-7\r\n\r\n")
    said = b""
    while piece := connection.sock.recv(4096):
        said += piece
    assert said.startswith(b"HTTP/1.1 400 ")
    connection.close()
