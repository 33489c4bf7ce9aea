"""Storage, when the power goes: at each phase of a rotation, and with the journal."""

from __future__ import annotations

from lab.scenarios.endings import FIRST, hold
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from lab.scenarios.storage import STORAGE

PHASES = (
    *("claiming", "preparing", "requesting", "staged", "probing"),
    *("switching", "proving", "committing", "committed"),
)


def _power_cut(phase: str) -> None:
    def play(stage: Stage) -> None:
        stage.start()
        job = stage.create_job()
        stage.wait_for_phase(phase)
        stage.device.power_off()
        stage.certificate_on_disk()
        stage.start()
        stage.wait_for_end(job, "succeeded", timeout=120)
        stage.verdict(rotated=True, job=job)

    play.__doc__ = f"The power is cut while the device is {phase}: it goes on after the boot."
    scenario(STORAGE, name=f"power-cut-while-{phase}")(play)


for _phase in PHASES:
    _power_cut(_phase)


@scenario(STORAGE)
def power_cut_while_rolling_back(stage: Stage) -> None:
    """The power is cut in the middle of a rollback: the old pair is in use after the boot."""
    stage.start()
    job = stage.create_job()
    stage.wait_for_phase("switching")
    (new,) = stage.active_certificates() - {stage.old.certificate_id}
    stage.deactivate(new)
    stage.wait_for_phase("rolling-back", timeout=90)
    stage.device.power_off()
    stage.certificate_on_disk()
    stage.start()
    stage.wait_for_end(job, "failed", timeout=120)
    stage.verdict(rotated=False, job=job, reason="prove-unanswered")


@scenario(STORAGE)
def dead_man_strikes(stage: Stage) -> None:
    """The dead-man's switch goes back to the old pair: the rotation notices, and says so."""
    stage.start()
    hold(stage, "proving")
    require(stage.device.timers == ("certkeeper-dead-man.timer",), "no switch is armed")
    stage.device.fire_timer("certkeeper-dead-man.timer")
    stage.wait_for_end(FIRST, "failed", timeout=90)
    stage.verdict(rotated=False, job=FIRST, reason="prove-unanswered")


def _journal_damaged(phase: str) -> None:
    def play(stage: Stage) -> None:
        stage.start()
        hold(stage, phase)
        stage.device.power_off()
        (stage.store / "journal.json").write_text("{")
        stage.device.outbound_fault = None
        stage.lab.https.come_back()
        stage.start()
        stage.wait_for_end(FIRST, "failed", timeout=120)
        rotated = phase in ("proving", "committing")
        stage.verdict(
            rotated=rotated, job=FIRST, status="failed", reason="journal-unreadable", told=1
        )

    play.__doc__ = (
        f"The journal is lost while the device is {phase}: the pair in use stays, the job fails."
    )
    scenario(STORAGE, name=f"journal-lost-while-{phase}")(play)


for _phase in ("requesting", "probing", "proving", "committing"):
    _journal_damaged(_phase)
