"""Nuclei: what the nucleus does to its components, and what it lacks."""

from __future__ import annotations

from lab.scenarios.endings import FIRST, hold
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage

NUCLEI = "Nuclei"


@scenario(NUCLEI, runtimes=("lite",), device={"configuration": {"commitTimeoutSeconds": 300}})
def iotcored_restarted(stage: Stage) -> None:
    """iotcored is restarted in mid-rotation, which leaves every subscription deaf: the component
    notices that nothing is heard, subscribes anew, and goes on."""
    stage.start()
    release = hold(stage, "claiming")
    stage.device.restart_iotcored()
    release()
    stage.wait_for_end(FIRST, "succeeded", timeout=150)
    require(bool(stage.lines("unheard ")), "it was not deaf")
    stage.verdict(rotated=True, job=FIRST)


@scenario(NUCLEI, runtimes=("lite",))
def connections_cannot_be_broken(stage: Stage) -> None:
    """There is no ss on the device: the nucleus's target is restarted instead."""
    stage.device.without_commands({"ss"})
    stage.start()
    mark = stage.timeline.mark()
    job = stage.rotate(timeout=120)
    restarted = stage.timeline.find("systemctl", source="systemd", after=mark)
    require(
        any("restart greengrass-lite.target" in str(one.details) for one in restarted),
        "the target was not restarted",
    )
    stage.verdict(rotated=True, job=job)


@scenario(NUCLEI, runtimes=("classic",))
def deployment_waits(stage: Stage) -> None:
    """A deployment that comes in mid-rotation is held back until the rotation is over."""
    stage.start()
    release = hold(stage, "requesting")
    asked = stage.device.ask_deployment("d-1")
    held = [one.recheck_after_ms for one in asked.values()]
    require(len(held) == 1 and held[0] > 0, f"the deployment was not held back: {asked}")
    release()
    stage.wait_for_end(FIRST, "succeeded")
    stage.verdict(rotated=True, job=FIRST)
    after = stage.device.ask_deployment("d-1").values()
    require(all(one.recheck_after_ms == 0 for one in after), f"it is still held back: {after}")
