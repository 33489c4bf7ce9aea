"""``python -m lab demo``: a core device whose certificate is about to end, and is replaced.

Everything that it claims it has seen from outside the component: in the account, at the
MQTT endpoint, in the component's log as LocalDebugConsole would show it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from certkeeper.store_commands import fingerprint
from lab.cloud_inbox import CloudInbox
from lab.lab import Lab
from lab.narration import narrate
from lab.nucleus.recipe import Runtime
from lab.scenarios.issuance import deactivate_when
from lab.scenarios.scenario import VerdictFailed
from lab.scenarios.stage import CONFIGURATION, Stage
from lab.scenarios.traffic import Held, to
from lab.timeline import NotSeen

DAYS_LEFT = 6
#: After so many the next alert comes, and that one starts the rotation.
DAYS_PASS = 4


class DemoFailed(Exception):
    """Something that the demo shows did not happen; says what."""


def run(runtimes: tuple[Runtime, ...], component: Path | None = None) -> int:
    """Run the demo for each kind of nucleus, and print it; the exit code.

    The devices' component is the build in ``component``, or the project as it stands.
    """
    try:
        for number, runtime in enumerate(runtimes, 7):
            with Lab(narrate, component=component) as lab:
                _show(lab, f"press-{number}", runtime)
    except (DemoFailed, NotSeen, VerdictFailed) as failure:
        print(f"DEMO FAILED: {failure}")
        return 1
    print("\nDEMO PASSED")
    return 0


def _show(lab: Lab, thing: str, runtime: Runtime) -> None:
    inbox = CloudInbox(lab.iot_core, lab.account, lab.timeline)
    now = datetime.now(UTC)
    device, identity = lab.core_device(
        thing,
        runtime=runtime,
        not_before=now - timedelta(days=359),
        # Half a day over, so that whole days left are six however long this takes.
        not_after=now + timedelta(days=DAYS_LEFT, hours=12),
        # The device does not ask by itself here: the backend has the word.
        configuration={**CONFIGURATION, "rotateBeforeDays": 0},
    )
    backend = lab.deploy_backend(AutoRotateBelowDays=str(DAYS_LEFT - DAYS_PASS + 1))
    stage = Stage(lab, backend, device, identity)
    try:
        _warned(stage, runtime)
        _warned_once(stage)
        _told(stage)
        _rotated(stage)
        _refused_by_the_probe(stage)
        _refused_at_the_commit(stage)
    finally:
        device.stop()
        inbox.close()


def _warned(stage: Stage, runtime: Runtime) -> None:
    thing, timeline = stage.device.thing_name, stage.timeline
    _chapter(f"{thing}: a core device on nucleus {runtime}, its certificate ends in 6 days")
    stage.device.move_clock(timedelta(0))  # so that it can be moved later
    stage.device.start()
    alert = timeline.wait_for("alert-received", thing=thing)
    health = timeline.wait_for("health-received", thing=thing)
    in_use = stage.old.certificate_id
    _require(alert.details["severity"] == "CRITICAL", "the alert is not CRITICAL")
    _require(alert.details["type"] == "certificate.expiring", "the alert is of another type")
    _require(alert.details["daysRemaining"] == DAYS_LEFT, "the alert counts other days")
    _require(alert.details["certificateId"] == in_use, "the alert is about another certificate")
    _require(alert.details["principal"] == in_use, "the alert came over another connection")
    _require(alert.details["signature"] == "verified", f"signature {alert.details['signature']}")
    _require(health.details["status"] == "critical", "the health message does not say critical")
    _say("the alert's signature, against the certificate registered in the account")


def _warned_once(stage: Stage) -> None:
    thing, timeline = stage.device.thing_name, stage.timeline
    _chapter(f"{thing}: the component is restarted, and raises no second alert")
    restarted = timeline.mark()
    stage.device.restart_component()
    checked = timeline.wait_for("checked", source="component", after=restarted)
    timeline.wait_for("health-received", after=restarted, thing=thing)
    _require("alerts=0" in str(checked.details["line"]), "the check after the restart alerted")
    alerts = len(timeline.find("alert-received", thing=thing))
    _require(alerts == 1, f"the cloud received {alerts} alerts, not one")
    _say("one alert in all; a health message from each of the two checks")


def _told(stage: Stage) -> None:
    thing = stage.device.thing_name
    _chapter(f"{thing}: what the backend has made of it")
    stage.backend.idle()
    told, entry = stage.alerts_told(), stage.inventory()
    _require(len(told) == 1, f"people were told {len(told)} times of one alert")
    subject, text = str(told[0].details["subject"]), str(told[0].details["message"])
    _require(subject == f"CRITICAL: {thing}: certificate ends in {DAYS_LEFT} days", subject)
    _require("verified against the certificate" in text, "the backend verified no signature")
    _require(entry.certificate_id == stage.old.certificate_id, "the inventory has another one")
    print("  what people were told (SNS): " + subject + "\n")
    print("".join(f"    {line}\n" for line in text.splitlines()))
    deadline = datetime.fromtimestamp(entry.deadline, UTC)
    print(
        f"  in the inventory: {thing} {entry.status}, replace by {deadline:%Y-%m-%d %H:%M} UTC, "
        f"{entry.key_algorithm}, component {entry.component_version}\n"
    )
    _say("the backend believed the signature, told people once, and noted the device")


def _rotated(stage: Stage) -> None:
    thing = stage.device.thing_name
    _chapter(f"{thing}: {DAYS_PASS} days pass, nobody does anything, and the next alert rotates it")
    old = stage.old.certificate_id
    print(f"  old certificate  {fingerprint(old)}\n", flush=True)
    stage.wait_until_listening()
    _require(not stage.workflows.all(), "a workflow was started too early")
    passed = timedelta(days=DAYS_PASS)
    stage.lab.pass_time(passed.total_seconds())
    stage.device.move_clock(passed)
    stage.device.restart_component()
    job = stage.workflows.wait_for_job("succeeded")
    stage.wait_for_idle()
    (workflow,) = stage.workflows.all()
    _require(stage.workflows.given(workflow)["cause"] == "alert", "it was not the alert")
    new = stage.certificate_on_disk()
    _require(stage.active_certificates() == {old, new}, "not both certificates are ACTIVE")
    print(f"\n  old certificate  {fingerprint(old)}\n  new certificate  {fingerprint(new)}\n")
    _say("the alert has started the workflow, which made the job: nobody else did anything")
    _say("key and certificate on the disk match, and the key is its owner's alone")
    _say("the nucleus is connected with the new certificate")
    _say("the old one is still ACTIVE in the account, until its grace period is over")
    days = stage.backend.grace_seconds // (24 * 3600)
    _chapter(f"{thing}: {days} days pass on the cloud's clock, and the workflow goes on")
    stage.verdict(rotated=True, job=job, told=0)
    _require(stage.workflows.status(workflow) == "SUCCEEDED", "the workflow has not succeeded")
    _say("the old one is gone from the account; the new one is its only ACTIVE one")
    _say("the job has one end, and so has the workflow: SUCCEEDED")
    stage.take_for_old()


def _refused_by_the_probe(stage: Stage) -> None:
    thing = stage.device.thing_name
    _chapter(f"{thing}: the cloud refuses the next certificate: the probe sees it in time")
    mark = stage.timeline.mark()
    deactivate_when(stage, "/create/accepted")
    job = stage.create_job()
    stage.wait_for_end(job, "failed", timeout=90)
    stage.verdict(rotated=False, job=job, reason="probe-refused", told=1)
    stage.device.inbound_fault = None
    moved = stage.timeline.find("connected", source="iot-core", after=mark)
    _require(not moved, "the nucleus connected anew")
    _print_last_notice(stage)
    _say("nothing was changed: the same certificate, over the same connection")
    _say("the refused certificate is gone from the account, and people were told")


def _refused_at_the_commit(stage: Stage) -> None:
    thing = stage.device.thing_name
    _chapter(f"{thing}: one that passes the probe; its job is cancelled before the commit arrives")
    held = Held(to("/commit"))
    stage.device.outbound_fault = held
    job = stage.create_job()
    _require(held.seen.wait(90), "the device never came to the commit")
    stage.cancel_execution(job)
    stage.backend.idle()
    held.release()
    stage.wait_for_line("rotation-failed ", timeout=90)
    stage.verdict(rotated=False, job=job, status="canceled", told=2)
    _print_last_notice(stage)
    _say("rolled back: the device is online with the pair that it had before")
    _say("the other certificate is gone from the account, and people were told")


def _print_last_notice(stage: Stage) -> None:
    notice = stage.notifications()[-1].details
    text = str(notice["message"]).replace("\n", "\n    ")
    print(f"\n  what people were told (SNS): {notice['subject']}\n    {text}\n", flush=True)


def _require(holds: bool, failure: str) -> None:
    if not holds:
        raise DemoFailed(failure)


def _chapter(title: str) -> None:
    print(f"\n== {title}\n", flush=True)


def _say(what: str) -> None:
    print(f"{'':>9}  {'verified':<12} {what}", flush=True)
