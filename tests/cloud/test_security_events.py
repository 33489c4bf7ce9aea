"""Every step says what happened, once, in the schema that docs/security-events.md describes."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, THING
from rotation_cloud.attempt import Attempt, begin
from rotation_cloud.bus import SOURCE, EventBridgeAudit
from rotation_cloud.ports import AwsError, Throttled
from rotation_cloud.retirement import retire
from rotation_cloud.security_events import Activity, SecurityEvent, as_ocsf
from tests.cloud.code_calls import reached_from
from tests.cloud.deployment import deployed
from tests.cloud.device import Device, issued_id
from tests.packaging.source import PROJECT

DOCUMENT = (PROJECT / "docs" / "security-events.md").read_text("utf-8")
#: Named, and no function records them as yet.
NOT_YET: set[Activity] = set()


def said(account: Account) -> list[tuple[Activity, str, str]]:
    return [(event.activity, event.certificate_id, event.reason) for event in account.audit.events]


def test_every_step_of_a_rotation() -> None:
    """Issued, committed, retired, succeeded: each once, however often the events come."""
    account = Account()
    device = Device(account)
    for _ in range(2):
        device.create(account.old)
    new = issued_id(account)
    for _ in range(2):
        device.commit(new)
    account.clock.sleep(30)
    for _ in range(2):
        device.end("SUCCEEDED", certificateId=new)
    assert said(account) == [
        (Activity.CERTIFICATE_ISSUED, new, ""),
        (Activity.CERTIFICATE_COMMITTED, new, ""),
        (Activity.CERTIFICATE_RETIRED, account.old, ""),
        (Activity.ROTATION_SUCCEEDED, new, ""),
    ]
    assert {event.thing for event in account.audit.events} == {THING}
    assert {event.job_id for event in account.audit.events} == {"job-1"}
    assert account.audit.events[-1].seconds == 30


def test_rotation_that_failed() -> None:
    """The reason is the device's, or how the job ended; the new certificate is retired."""
    account = Account()
    device = Device(account)
    device.create(account.old)
    new = issued_id(account)
    for _ in range(2):
        device.end("FAILED", reason="probe-refused", certificateId=account.old)
    assert said(account)[1:] == [
        (Activity.CERTIFICATE_RETIRED, new, ""),
        (Activity.ROTATION_FAILED, account.old, "probe-refused"),
    ]
    assert not account.audit.events[2].succeeded


def test_rotation_that_was_given_up() -> None:
    """A job that ended without the device's word has its status for a reason."""
    account = Account()
    Device(account).end("TIMED_OUT")
    assert said(account) == [(Activity.ROTATION_FAILED, "", "timed_out")]


def test_job_of_a_workflow() -> None:
    """A job that a workflow makes is said, once, however often the step is repeated."""
    account = Account()
    account.jobs.executions.clear()
    attempt = Attempt(THING, "execution", 1)
    for token in ("first", "second"):
        begin(account.cloud, attempt, token)
    assert said(account) == [(Activity.ROTATION_REQUESTED, "", "")]
    assert account.audit.events[0].job_id == attempt.job_id


def test_what_is_refused() -> None:
    """A stranger's request is said, with the certificate of his connection."""
    account = Account()
    device = Device(account)
    device.create("f" * 64)
    device.create(account.old)
    device.commit("f" * 64)
    assert said(account) == [
        (Activity.REQUEST_REFUSED, "f" * 64, "not-allowed"),
        (Activity.CERTIFICATE_ISSUED, issued_id(account), ""),
        (Activity.REQUEST_REFUSED, "f" * 64, "other-principal"),
    ]
    assert [event.succeeded for event in account.audit.events] == [False, True, False]


@pytest.mark.parametrize("error", [Throttled, AwsError])
def test_what_may_be_asked_again(error: type[AwsError]) -> None:
    """What only AWS kept from being done is not held against the device."""
    account = Account()
    account.disturb(failing("jobs.execution", error=error))
    Device(account).create(account.old)
    assert said(account) == []


def test_shared_certificate_is_kept() -> None:
    """An old certificate that other things use is said to be kept, and why."""
    account = Account()
    device = Device(account)
    account.registry.certificates[f"{BASE}:cert/{account.old}"].things["press-8"] = (
        "NON_EXCLUSIVE_THING"
    )
    device.create(account.old)
    device.commit(issued_id(account))
    device.end("SUCCEEDED")
    assert (Activity.CERTIFICATE_KEPT, account.old, "shared") in said(account)


def test_what_is_gone_is_not_retired_again() -> None:
    """A certificate that is not there any more was retired by somebody else."""
    account = Account()
    retire(account.cloud, f"{BASE}:cert/{'f' * 64}", (), THING)
    assert said(account) == []


# --- the schema

#: Required of the class and of the objects in it, with their types.
#: https://schema.ocsf.io/1.3.0/classes/entity_management
REQUIRED: dict[str, type] = {
    **dict.fromkeys(("activity_id", "category_uid", "class_uid", "severity_id"), int),
    **dict.fromkeys(("time", "type_uid"), int),
    **dict.fromkeys(("entity", "metadata"), dict),
}
ACTIVITIES = {
    1: "Create", 2: "Read", 3: "Update", 4: "Delete", 5: "Move", 6: "Enroll", 7: "Unenroll",
    8: "Enable", 9: "Disable", 10: "Activate", 11: "Deactivate", 12: "Suspend", 13: "Resume",
}  # fmt: skip


@pytest.mark.parametrize("activity", Activity)
@pytest.mark.parametrize("succeeded", [True, False])
def test_shape_is_ocsfs(activity: Activity, succeeded: bool) -> None:
    """Whatever happens, what the class requires is there, and ids and names agree."""
    event = SecurityEvent(activity, THING, succeeded, "job-1", "f" * 64, "reason", "detail", 3)
    shaped = as_ocsf(event, "uid", 1_000.5)
    for name, kind in REQUIRED.items():
        assert type(shaped[name]) is kind, name
    assert (shaped["category_uid"], shaped["class_uid"]) == (3, 3004)
    assert shaped["type_uid"] == 300400 + shaped["activity_id"]
    wanted = ACTIVITIES.get(shaped["activity_id"], activity.value)
    assert shaped["activity_name"] == wanted
    assert shaped["time"] == 1_000_500
    assert (shaped["status_id"], shaped["status"]) == (
        (1, "Success") if succeeded else (2, "Failure")
    )
    assert shaped["severity_id"] >= (1 if succeeded else 3)
    assert shaped["metadata"]["version"] == "1.3.0"
    assert shaped["metadata"]["product"]["name"]
    assert shaped["metadata"]["event_code"] == activity.value
    assert shaped["entity"]["type"]
    assert shaped["device"] == {"type_id": 7, "type": "IOT", "name": THING}
    json.dumps(shaped)


def test_what_is_empty_is_left_out() -> None:
    """An event of the account has no device, and one without a job nothing to correlate."""
    shaped = as_ocsf(SecurityEvent(Activity.JOB_EVENTS_SWITCHED_ON, ""), "uid", 1)
    assert {"device", "unmapped", "duration", "status_code"} & set(shaped) == set()
    assert "correlation_uid" not in shaped["metadata"]


# --- the document


def rows() -> dict[str, list[str]]:
    """The table of activities: each row's cells, by its first."""
    table = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].strip("`") in set(Activity)}


def test_document_has_every_activity() -> None:
    """docs/security-events.md says of each activity which class activity it is, and of what."""
    assert set(rows()) == set(Activity)
    for code, (ocsf, entity, *_rest) in rows().items():
        shaped = as_ocsf(SecurityEvent(Activity(code), THING), "uid", 1)
        known = ACTIVITIES.get(shaped["activity_id"], "Other")
        assert ocsf == f"{shaped['activity_id']} {known}"
        assert entity == shaped["entity"]["type"]


def test_documents_example_is_one() -> None:
    """The example is what the code makes of that event."""
    (text,) = re.findall(r"^```json\n(\{.*?)^```$", DOCUMENT, re.M | re.S)
    example = json.loads(text)
    event = SecurityEvent(
        Activity.ROTATION_FAILED,
        example["device"]["name"],
        succeeded=False,
        job_id=example["metadata"]["correlation_uid"],
        certificate_id=example["unmapped"]["certificateId"],
        reason=example["status_code"],
        detail=example["status_detail"],
        seconds=example["duration"] // 1000,
    )
    assert as_ocsf(event, example["metadata"]["uid"], example["time"] / 1000) == example


def test_every_activity_is_recorded_somewhere() -> None:
    """Each is named in the code that some function of the template leads to."""
    template, name = deployed(), "rotation_cloud.security_events.Activity"
    reached = {
        each
        for function in template.functions()
        for each in reached_from(template.handler(function))
    }
    assert {each for each in Activity if f"{name}.{each.name}" not in reached} == NOT_YET


# --- on the bus


class Events:
    """EventBridge's client: what it was given, and what it answers."""

    def __init__(self, **answer: Any) -> None:
        self.entries: list[dict[str, Any]] = []
        self._answer = {"FailedEntryCount": 0, **answer}

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.entries.extend(Entries)
        return self._answer


EVENT = SecurityEvent(Activity.CERTIFICATE_ISSUED, THING, job_id="job-1", certificate_id="f" * 64)


def test_event_on_the_bus(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to the bus by its name, with its activity for a type, and is counted."""
    events = Events()
    EventBridgeAudit(events, "bus").record(EVENT)
    (entry,) = events.entries
    assert (entry["EventBusName"], entry["Source"]) == ("bus", SOURCE)
    assert entry["DetailType"] == "certificate-issued"
    detail = json.loads(entry["Detail"])
    assert detail["entity"] == {"type": "certificate", "uid": "f" * 64}
    assert json.loads(capsys.readouterr().out)["CertificateIssued"] == 1


def test_event_that_is_lost(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the bus does not take fails nothing: it is in the log, and counted all the same."""
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}
    with caplog.at_level(logging.INFO):
        EventBridgeAudit(Events(**answer), "bus").record(EVENT)
    assert "security-event-lost ThrottlingException" in caplog.text
    assert '"event_code": "certificate-issued"' in caplog.text
    assert json.loads(capsys.readouterr().out)["CertificateIssued"] == 1
