"""``python -m lab crash``: the component is killed before each call of a rotation, and booted.

Five runs are counted, and each of their points is tried on a fresh device: a whole rotation
on nucleus lite with the adoption of the store, where one process goes from the claim to the
end; on classic, where the nucleus is restarted in the middle, the rotation up to that and the
one after it; and on both, from the refusal of its commit on, one that is rolled back.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab.crash.points import Point, read_points
from lab.crash.sweep import Outcome, Part, Report, Verdict, sample, sweep, workers
from lab.crash.tracer import KILLED, command_line
from lab.lab import Lab
from lab.nucleus.core_device import PROJECT
from lab.nucleus.recipe import Runtime
from lab.scenarios.scenario import VerdictFailed
from lab.scenarios.stage import CONFIGURATION, TERMINAL, THING, Stage
from lab.timeline import NotSeen

#: The first thing that a rotation writes down. A rollback begins with the refusal: what comes
#: before it is the rotation's.
BEGIN = "openat:.journal.json.new"
PATIENCE = 150.0


@dataclass(frozen=True)
class Run:
    """What is counted: on which nucleus, in which start of the component's process, and whether
    the commit is refused."""

    name: str
    runtime: Runtime
    start: int
    refused: bool


RUNS = (
    Run("rotation and adoption, lite", "lite", 1, False),
    Run("rollback from the refusal on, lite", "lite", 1, True),
    Run("rotation up to the restart, classic", "classic", 1, False),
    Run("rotation after the restart, classic", "classic", 2, False),
    Run("rollback from the refusal on, classic", "classic", 2, True),
)


@dataclass(frozen=True)
class Trial:
    """See sweep.Trial."""

    run: Run

    def __call__(self, kill_before: int) -> Verdict:
        """See sweep.Trial; the point is where it was killed in this run, not in the counted one."""
        with tempfile.TemporaryDirectory(prefix="cklab-") as folder:
            record = Path(folder) / "points"
            verdict = self._verdict(kill_before, record)
            points = read_points(record) if record.exists() else []
        return replace(verdict, point=points[-1] if points else None)

    def _verdict(self, kill_before: int, record: Path) -> Verdict:
        with Lab() as lab:
            stage = _stage(lab, self.run, kill_before, record)
            stage.device.start()
            stage.wait_until_listening()
            job = stage.create_job()
            killed = stage.timeline.wait_until(
                lambda entry: (
                    (entry.event == "component-exited" and entry.details["code"] == KILLED)
                    or (entry.source == "jobs" and entry.event in TERMINAL)
                ),
                "the kill, or the end of the job",
                timeout=PATIENCE,
            )
            if killed.source == "jobs" and not _killed_late(stage):
                return Verdict(Outcome.NOT_REACHED)
            stage.device.power_off()
            return _judged(stage, job)


def _killed_late(stage: Stage) -> bool:
    """After the end of the job there is still something to tidy up, and to be killed in."""
    try:
        stage.timeline.wait_for("component-exited", code=KILLED, timeout=5)
    except NotSeen:
        return False
    return True


def _judged(stage: Stage, job: str) -> Verdict:
    """Boot the device, let it finish, and look from outside."""
    try:
        stage.certificate_on_disk()
    except (VerdictFailed, OSError, ValueError) as failure:
        return Verdict(Outcome.BRICKED, f"before the boot: {failure}")
    stage.device.start()
    try:
        ended = stage.timeline.wait_until(
            lambda entry: (
                entry.source == "jobs"
                and entry.details.get("job") == job
                and entry.event in TERMINAL
            ),
            "the end of the job",
            timeout=PATIENCE,
        )
        rotated = ended.event == "succeeded"
        stage.wait_for_idle()
        stage.verdict(rotated=rotated, job=job, status=ended.event, told=len(stage.notifications()))
    except (VerdictFailed, NotSeen) as failure:
        said = str(failure).splitlines()[0][:200]
        return Verdict(Outcome.STUCK if _is_alive(stage) else Outcome.BRICKED, said)
    return Verdict(Outcome.TOOK_NEW if rotated else Outcome.KEPT_OLD)


def _is_alive(stage: Stage) -> bool:
    """Whether the pair on the disk matches, and AWS IoT lets the nucleus in with it."""
    try:
        on_disk = stage.certificate_on_disk()
    except (VerdictFailed, OSError, ValueError):
        return False
    return stage.certificates_in_account().get(on_disk) == "ACTIVE"


def _stage(lab: Lab, run: Run, kill_before: int | None, record: Path | None) -> Stage:
    """A device whose component is traced in the start that is asked for, and no other."""
    backend = lab.deploy_backend()
    device, old = lab.core_device(THING, runtime=run.runtime, configuration=CONFIGURATION)
    root = device.layout.root
    skip, armed, refusal = (Path(f"{root}.{what}") for what in ("skip", "armed", "refusal"))
    if run.start > 1:
        skip.touch()
    armed.touch()
    command = command_line(
        ["env", "PYTHONPATH=@", sys.executable],
        kill_before=kill_before,
        record=record,
        begin=refusal if run.refused else BEGIN,
        ignore=[root / "packages"],
    )
    traced = shlex.join(command).replace("PYTHONPATH=@", 'PYTHONPATH="$PYTHONPATH"')
    python = Path(f"{root}.commands") / "bin" / "python3"
    python.write_text(
        "#!/bin/sh\n"
        '# The component\'s Python: under the tracer in one start of "run", else plain.\n'
        'if [ "$3" = run ]; then\n'
        f"    if rm {shlex.quote(str(skip))} 2>/dev/null; then :\n"
        f"    elif rm {shlex.quote(str(armed))} 2>/dev/null; then\n"
        f"        export LAB={shlex.quote(str(PROJECT))}\n"
        f'        exec env PYTHONPATH="$LAB:$LAB/src" {traced} "$@"\n'
        "    fi\n"
        "fi\n"
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    stage = Stage(lab, backend, device, old)
    if run.refused:
        device.outbound_fault = _refuse_the_commit(lab, refusal)
    return stage


def _refuse_the_commit(lab: Lab, refusal: Path) -> Callable[[str, bytes], list[tuple[str, bytes]]]:
    """``refusal`` is a file that is there once it has happened."""

    def refuse(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if not topic.endswith("/commit"):
            return [(topic, payload)]
        refusal.touch()
        said = {"errorMsg": "a fault of the lab", "errorCode": "not-issued"}
        lab.iot_core.publish(f"{topic}/rejected", json.dumps(said).encode())
        return []

    return refuse


def count(run: Run) -> list[Point]:
    """The points of a run that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="cklab-") as folder, Lab() as lab:
        record = Path(folder) / "points"
        stage = _stage(lab, run, None, record)
        stage.device.start()
        stage.wait_until_listening()
        job = stage.create_job()
        stage.wait_for_end(job, "failed" if run.refused else "succeeded", PATIENCE)
        stage.wait_for_idle()
        stage.verdict(rotated=not run.refused, job=job, told=len(stage.notifications()))
        stage.device.stop()
        return read_points(record)


def main(size: int | None, part: Part, processes: int) -> int:
    """Count, sweep and print; the exit code: 0 if nothing is stuck or bricked."""
    report = Report()
    with workers(processes) as pool:
        print(f"counting the points of {len(RUNS)} runs ...", flush=True)
        counted = list(pool.map(count, RUNS))
        for number, (run, points) in enumerate(zip(RUNS, counted, strict=True)):
            asked = points if size is None else sample(points, _share(size, number))
            chosen = part.choose(asked)
            print(f"\n== {run.name}: {len(points)} points, {len(chosen)} tried", flush=True)
            found = sweep(Trial(run), chosen, pool, say=lambda line: print(line, flush=True))
            print(f"\n{found.table()}", flush=True)
            report.tried.extend(found.tried)
    print(f"\n== in all\n\n{report.table()}")
    for tried in report.bad:
        print(tried)
    calls = Counter(tried.counted.call for tried in report.tried)
    print(f"calls: {', '.join(f'{call} {n}' for call, n in calls.most_common())}")
    return 1 if report.bad else 0


def _share(size: int, number: int) -> int:
    """So many of ``size`` points for that run, as even as can be."""
    return size // len(RUNS) + (number < size % len(RUNS))
