"""Protocol: a job that is cancelled, deleted or timed out while the device works on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.scenarios import traffic
from lab.scenarios.protocol import PROTOCOL
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import Stage
from rotation_protocol.jobs import ROTATE


def hold(stage: Stage, phase: str) -> Callable[[], None]:
    """Keep the device in a phase; what lets it go on."""
    if phase == "probing":
        stage.lab.https.go_away()
        stage.create_job()
        stage.wait_for_phase("probing")
        return stage.lab.https.come_back
    matches = {
        "claiming": traffic.to("/update"),
        "requesting": traffic.to("/create"),
        "proving": traffic.to(f"{FIRST}/get"),
        "committing": traffic.to("/commit"),
    }[phase]
    held = traffic.Held(matches)
    stage.device.outbound_fault = held
    stage.create_job()
    require(held.seen.wait(60), f"the device was never {phase}")
    return held.release


#: The first job that is made.
FIRST = f"{ROTATE.lower().replace('_', '-')}-1"
_ENDINGS: Mapping[str, tuple[Callable[[Stage], None], str]] = {
    "cancelled": (lambda stage: stage.cancel_execution(FIRST), "canceled"),
    "deleted": (lambda stage: stage.delete_job(FIRST), "deleted"),
    "timed-out": (lambda stage: stage.time_out(), "timed-out"),
}
_PHASES = ("claiming", "requesting", "probing", "proving", "committing")


def _gone(phase: str, ending: str) -> None:
    end, status = _ENDINGS[ending]

    def play(stage: Stage) -> None:
        stage.start()
        let_go_on = hold(stage, phase)
        end(stage)
        stage.backend.idle()
        let_go_on()
        # Of a job that was deleted before anything was made, nobody needs to hear.
        told = 0 if phase == "claiming" or (phase, ending) == ("requesting", "deleted") else 1
        stage.verdict(rotated=False, job=FIRST, status=status, told=told)
        again = stage.rotate()
        stage.verdict(rotated=True, job=again, told=told)

    play.__doc__ = (
        f"The job is {ending.replace('-', ' ')} while the device is {phase}: the old pair stays, "
        "and the next job works."
    )
    scenario(PROTOCOL, name=f"job-{ending}-while-{phase}")(play)


for _phase in _PHASES:
    for _ending in _ENDINGS:
        if (_phase, _ending) != ("claiming", "timed-out"):  # a queued job does not time out
            _gone(_phase, _ending)
