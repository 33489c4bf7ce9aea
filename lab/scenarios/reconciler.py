"""Reconciler: what lost events and broken clean-ups leave is found and finished, and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.scenarios.endings import FIRST, hold
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import THING, Stage
from rotation_protocol.jobs import ROTATE

RECONCILER = "Reconciler"

HOUR = 3600.0
_FUNCTION = "ReconcileFunction"


def _switch_job_events(stage: Stage, on: bool) -> None:
    iot = stage.lab.account.client("iot")
    iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": on}})


def _job_events_are_on(stage: Stage) -> bool:
    found = stage.lab.account.client("iot").describe_event_configurations()
    return bool(found["eventConfigurations"]["JOB_EXECUTION"]["Enabled"])


def _daily_run(stage: Stage) -> None:
    """The schedule's event, hours later: what is young is left alone."""
    stage.wait_for_idle()
    stage.lab.pass_time(2 * HOUR)
    stage.backend.tick(_FUNCTION)
    stage.backend.idle()


def _job_without_limit(stage: Stage) -> str:
    """A rotation job as an operator makes it who gives it no time limit; its id."""
    iot = stage.lab.account.client("iot")
    arn = iot.describe_thing(thingName=THING)["thingArn"]
    document = json.dumps({"operation": ROTATE})
    iot.create_job(jobId="without-limit", targets=[arn], document=document)
    return "without-limit"


def _told(stage: Stage) -> dict[str, str]:
    """The last message to people."""
    message: dict[str, str] = json.loads(str(stage.notifications()[-1].details["message"]))
    return message


def _require_counts(report: Mapping[str, Any], expected: Mapping[str, int]) -> None:
    require(report["counts"] == expected, f"found were {report['counts']}, not {expected}")


@scenario(RECONCILER)
def job_events_off(stage: Stage) -> None:
    """Somebody switches job-execution events off: a rotation is finished all the same, and they
    are on again."""
    stage.start()
    _switch_job_events(stage, False)
    job = stage.rotate()
    stage.wait_for_idle()
    matched = stage.timeline.find("rule-matched", source="rules", function="FinishFunction")
    require(not matched, "an event came all the same")
    require(len(stage.active_certificates()) == 2, "nothing was left over")
    _daily_run(stage)
    told = _told(stage)
    require("unfinished, repaired" in told[THING], f"people read {told}")
    require("job-events-off, repaired" in told["the account"], f"people read {told}")
    require(_job_events_are_on(stage), "job-execution events are off still")
    stage.backend.tick(_FUNCTION)  # the same day's, once more
    stage.backend.idle()
    stage.verdict(rotated=True, job=job, told=1)
    stage.verdict(rotated=True, job=stage.rotate(), told=1)


@scenario(RECONCILER)
def job_events_off_and_cancelled(stage: Stage) -> None:
    """The same for a rotation that is cancelled: the new certificate goes, and its end is told."""
    stage.start()
    _switch_job_events(stage, False)
    let_go_on = hold(stage, "proving")
    stage.cancel_execution(FIRST)
    let_go_on()
    stage.wait_for_line("rotation-failed ")
    stage.wait_for_idle()
    require(len(stage.active_certificates()) == 2, "nothing was left over")
    _daily_run(stage)
    stage.verdict(rotated=False, job=FIRST, status="canceled", told=2)


@scenario(RECONCILER, backend={"GracePeriodDays": "0"})
def clean_up_given_up(stage: Stage) -> None:
    """A clean-up fails until its event is a dead letter, and nobody redrives it: a dry run says
    what would be done, the next run does it."""
    stage.start()
    stage.backend.aws_fault = lambda _, operation, __: (
        "InternalFailureException" if operation == "DeleteCertificate" else None
    )
    job = stage.rotate()
    stage.timeline.wait_for("dead-letter", source="lambda", timeout=60)
    stage.wait_for_idle()
    stage.backend.aws_fault = lambda *_: None
    stage.lab.pass_time(2 * HOUR)
    before = stage.backend.aws_calls["iot", "DeleteCertificate"]
    dry = stage.backend.call(_FUNCTION, {"dryRun": True})
    _require_counts(dry, {"unfinished would-be-repaired": 1})
    require(stage.backend.aws_calls["iot", "DeleteCertificate"] == before, "it was no dry run")
    report = stage.backend.call(_FUNCTION, {"thing": THING})
    _require_counts(report, {"unfinished repaired": 1})
    _require_counts(stage.backend.call(_FUNCTION, {}), {})
    stage.verdict(rotated=True, job=job, told=len(stage.notifications()))


@scenario(RECONCILER)
def creation_given_up(stage: Stage) -> None:
    """AWS fails in a creation and in its undoing, and the power goes: what was made is taken back
    while the job waits, and the device gets another one when it is back."""
    stage.start()
    stage.backend.aws_fault = lambda _, operation, __: (
        "InternalFailureException"
        if operation in ("AttachThingPrincipal", "UpdateCertificate")
        else None
    )
    job = _job_without_limit(stage)
    stage.timeline.wait_for("notification", source="cloud", timeout=60)
    stage.device.power_off()
    stage.backend.idle()
    stage.backend.aws_fault = lambda *_: None
    require(len(stage.active_certificates()) == 2, "nothing was left over")
    _require_counts(stage.backend.call(_FUNCTION, {}), {})
    stage.lab.pass_time(2 * HOUR)
    report = stage.backend.call(_FUNCTION, {})
    _require_counts(report, {"half-made repaired": 1})
    active = stage.active_certificates()
    require(active == {stage.old.certificate_id}, f"ACTIVE are {active}")
    stage.device.start()
    stage.wait_for_end(job, "succeeded", timeout=120)
    stage.verdict(rotated=True, job=job, told=len(stage.notifications()))


@scenario(RECONCILER)
def in_the_midst_of_a_rotation(stage: Stage) -> None:
    """The reconciler looks at every phase of a rotation, and hours late: it finds nothing."""
    stage.start()
    job = _job_without_limit(stage)
    for phase in ("requesting", "staged", "probing", "proving", "committing", "committed"):
        stage.wait_for_phase(phase)
        stage.lab.pass_time(HOUR)
        _require_counts(stage.backend.call(_FUNCTION, {}), {})
    stage.wait_for_end(job, "succeeded")
    stage.verdict(rotated=True, job=job, told=0)


@scenario(RECONCILER)
def second_certificate_by_hand(stage: Stage) -> None:
    """An operator attaches another certificate: people are told of it, and it is not touched."""
    iot = stage.lab.account.client("iot")
    stage.start()
    job = stage.rotate()
    stage.verdict(rotated=True, job=job)
    other = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_thing_principal(thingName=THING, principal=other["certificateArn"])
    report = stage.backend.call(_FUNCTION, {"thing": THING})
    found = [one for one in report["findings"] if one["kind"] == "two-certificates"]
    require(len(found) == 1, f"found were {report['findings']}")
    require(found[0]["result"] == "left", "it was not left")
    require(other["certificateId"] in found[0]["detail"], "the certificate is not named")
    attached = stage.certificates_in_account()
    kept = {other["certificateId"]: "ACTIVE", stage.certificate_on_disk(): "ACTIVE"}
    require(attached == kept, f"attached are {attached}")


@scenario(RECONCILER)
def grace_period_without_end(stage: Stage) -> None:
    """The workflow that was to end a grace period was stopped: the reconciler ends it."""
    stage.start()
    job = stage.rotate()
    stage.wait_for_idle()
    states = stage.lab.account.client("stepfunctions")
    arn = stage.backend.workflow_arn
    for one in states.list_executions(stateMachineArn=arn)["executions"]:
        states.stop_execution(executionArn=one["executionArn"])
    stage.pass_grace()
    require(len(stage.active_certificates()) == 2, "nothing was left over")
    stage.lab.pass_time(2 * HOUR)
    report = stage.backend.call(_FUNCTION, {"thing": THING})
    require(report["counts"].get("unfinished repaired") == 1, f"found were {report['counts']}")
    stage.verdict(rotated=True, job=job)


def _wait_until_heard(stage: Stage) -> None:
    """Until the device's health message has come to the inventory."""
    stage.timeline.poll(
        lambda: stage.inventory().certificate_id == stage.old.certificate_id,
        "the device in the inventory",
    )


@scenario(RECONCILER)
def silent_device(stage: Stage) -> None:
    """A device is switched off and nobody notices: after two days people are told, once a day."""
    stage.start()
    _wait_until_heard(stage)
    stage.device.stop()
    stage.lab.pass_time(12 * HOUR)
    stage.backend.tick(_FUNCTION)
    stage.backend.idle()
    require(not stage.notifications(), "people were told of a device that is not late")
    for day in (1, 2):
        stage.lab.pass_time(48 * HOUR)
        for _ in range(2):
            stage.backend.tick(_FUNCTION)
            stage.backend.idle()
        told = _told(stage)
        require("silent, left" in told[THING], f"people read {told}")
        require(len(stage.notifications()) == day, "people were told twice on a day")
    stage.device.start()
    stage.verdict(rotated=False, told=2)


@scenario(
    RECONCILER,
    device={
        "not_after": datetime.now(UTC) + timedelta(days=20, hours=12),
        "configuration": {"rotateBeforeDays": 0, "thresholds": [1]},
    },
    backend={"AutoRotateBelowDays": "30"},
)
def near_its_deadline(stage: Stage) -> None:
    """A device raises no alert and asks for nothing, and its certificate ends in 20 days: the
    reconciler starts its rotation."""
    stage.start()
    _wait_until_heard(stage)
    dry = stage.backend.call(_FUNCTION, {"dryRun": True})
    _require_counts(dry, {"due would-be-repaired": 1})
    require(not stage.timeline.find("queued", source="jobs"), "it was no dry run")
    stage.backend.tick(_FUNCTION)
    ended = stage.timeline.wait_for("succeeded", source="jobs", timeout=90)
    stage.wait_for_idle()
    told = _told(stage)
    require("due, repaired" in told[THING], f"people read {told}")
    stage.verdict(rotated=True, job=str(ended.details["job"]), told=1)
