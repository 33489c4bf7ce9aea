"""Offline: devices without a network, for months or at the worst moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lab.lab import Lab
from lab.scenarios.by_hand import give_new_pair, remove
from lab.scenarios.endings import FIRST, hold
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from rotation_protocol import topics

OFFLINE = "Offline"
_MONTHS = timedelta(days=240)
_NOW = datetime.now(UTC)
_ENDED = {"not_before": _NOW - timedelta(days=365), "not_after": _NOW - timedelta(hours=12)}


def _network_gone(lab: Lab) -> None:
    """The device reaches nothing of AWS any more."""
    lab.iot_core.go_away()
    lab.https.go_away()


def _network_back(lab: Lab) -> None:
    lab.iot_core.come_back()
    lab.https.come_back()


@scenario(OFFLINE)
def months_offline_with_a_job_queued(stage: Stage) -> None:
    """Eight months pass for a device that is switched off with a job queued: it rotates then."""
    job = stage.create_job()
    stage.lab.pass_time(_MONTHS.total_seconds())
    stage.device.move_clock(_MONTHS)
    stage.start()
    stage.wait_for_end(job, "succeeded")
    stage.verdict(rotated=True, job=job)


@scenario(OFFLINE)
def network_gone_at_the_switch(stage: Stage) -> None:
    """The network goes as the new pair is to be used, and the device gives up: the old pair is in
    use again, and the job has failed."""
    stage.start()
    release = hold(stage, "proving")
    _network_gone(stage.lab)
    release()
    stage.wait_for_phase("rolling-back", timeout=90)
    stage.certificate_on_disk()
    _network_back(stage.lab)
    stage.wait_for_end(FIRST, "failed", timeout=120)
    stage.verdict(rotated=False, job=FIRST, reason="prove-unanswered")


@scenario(OFFLINE)
def network_gone_and_power_cut(stage: Stage) -> None:
    """The network goes at the switch, and then the power: the device boots without a network,
    waits, and is in order once it is back."""
    stage.start()
    hold(stage, "proving")
    _network_gone(stage.lab)
    stage.device.power_off()
    stage.certificate_on_disk()
    stage.device.outbound_fault = None
    stage.device.start()
    stage.wait_for_line("rotating phase=rolling-back ", timeout=120)
    _network_back(stage.lab)
    stage.wait_for_end(FIRST, "failed", timeout=120)
    stage.verdict(rotated=False, job=FIRST)


@scenario(OFFLINE)
def credential_switched_off(stage: Stage) -> None:
    """The process is well, and its certificate was switched off by mistake: once it is on again
    the device is there, and can be rotated."""
    stage.start()
    process = stage.device.component_pid
    stage.deactivate(stage.old.certificate_id)
    stage.timeline.poll(lambda: stage.principal_connected() is None, "no connection")
    stage.activate(stage.old.certificate_id)
    stage.timeline.poll(lambda: stage.principal_connected() is not None, "a connection", 60)
    require(stage.device.component_pid == process, "it is another process")
    stage.verdict(rotated=True, job=stage.rotate())


@scenario(OFFLINE, device=_ENDED)
def expired_while_offline(stage: Stage) -> None:
    """The certificate ended while the device was off: AWS IoT lets it in no more. With a new pair
    by hand it is back, what it could not say before alarms nobody, and it can be rotated."""
    lost, policies = stage.old.certificate_id, stage.policies()
    stage.device.move_clock(-timedelta(hours=1))  # when it said so; it takes a person an hour
    stage.device.start()
    # Lite refuses the alert, which waits on disk; classic's spool takes it, and ends with it.
    is_lite = stage.device.layout.runtime == "lite"
    stage.wait_for_line("alert type=certificate.expired ")
    stage.wait_for_line(f"{'publish-failed' if is_lite else 'published'} topic={topics.ALERTS} ")
    stage.timeline.wait_for("refused", source="iot-core", principal=lost, timeout=60)
    require(stage.principal_connected() is None, "it is connected")
    stage.device.stop()
    give_new_pair(stage, policies)
    remove(stage, lost, policies)
    stage.device.move_clock(timedelta(0))
    mark = stage.timeline.mark()
    stage.start()
    if is_lite:
        stage.timeline.wait_for("published", source="iot-core", after=mark, topic=topics.ALERTS)
    stage.take_for_old()
    stage.verdict(rotated=True, job=stage.rotate())
    require(not stage.alerts_told(), f"people were told {stage.alerts_told()}")
