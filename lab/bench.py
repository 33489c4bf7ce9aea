"""``python -m lab bench``: the figures of docs/benchmarks.md, measured and printed.

Each row is measured on the real component, started by its recipe on a core device of the
lab. Nothing here is asserted: a figure is what it is, on the machine that it names.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from certkeeper.core.alerting import judge
from certkeeper.core.link import JOB_SUBSCRIPTIONS
from certkeeper.core.settings import Settings
from certkeeper.edge.inspection import Request, inspect
from lab.account.authority import Authority, common_name, generate_private_key, private_key_pem
from lab.fleet import table
from lab.lab import Lab
from lab.nucleus.core_device import CoreDevice
from lab.scenarios.stage import CONFIGURATION, THING, Stage

IDLE_SECONDS = 60.0
ROTATIONS = 10
CERTIFICATES = 10
#: Of nucleus classic; "component-updates" is no matter of being ready.
SUBSCRIPTIONS = ("configuration-updates", "configuration-validation", *JOB_SUBSCRIPTIONS)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    goal: str
    peer: str


def run(only: str | None = None) -> int:
    """Measure and print; the exit code. ``only`` the "component", or the "fleet"."""
    if only != "fleet":
        component()
    if only != "component":
        table.bench()
    return 0


def component() -> None:
    """What takes time on a device."""
    rows = [check_of_ten_certificates(kind) for kind in ("ECDSA-P256", "RSA-2048")]
    with Lab() as lab:
        device, _ = lab.core_device(
            "press-7", not_after=datetime.now(UTC) + timedelta(days=200, hours=12)
        )
        print("measuring launch and stop (10 times) ...", flush=True)
        rows.append(launch(lab, device))
        rows.append(stop(lab, device))
        print(f"measuring {IDLE_SECONDS:g} s of idleness ...", flush=True)
        rows.extend(idle(lab, device))
    print(f"measuring {ROTATIONS} rotations on nucleus lite ...", flush=True)
    rows.extend(rotation())
    # Its rows are of this file's kind.
    from lab.bench_install import INSTALLATIONS, installation

    print(f"installing without a network ({INSTALLATIONS} times) ...", flush=True)
    rows.extend(installation())
    print(f"\nMeasured on {datetime.now(UTC):%Y-%m-%d}: {_machine()}.\n")
    print("| what | measured | goal | peer |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.goal} | {row.peer} |")
    print()


def check_of_ten_certificates(key_algorithm: str) -> Row:
    """Find, read and judge ten certificates, the libraries loaded, files in the cache.

    Nearly all the time for an RSA key goes into loading it: OpenSSL validates it, and so
    finds a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="cklab-") as folder:
        root = Path(folder)
        authority = Authority.create("Device CA")
        key = generate_private_key(key_algorithm)
        paths = [root / "thingCert.crt", *(root / f"{n}.pem" for n in range(CERTIFICATES - 1))]
        for path in paths:
            path.write_text(
                authority.issue_device_certificate(key.public_key(), common_name(path.stem))
            )
        (root / "privKey.key").write_text(private_key_pem(key))
        settings = Settings(watch=tuple(str(path) for path in paths[1:]))

        def once() -> None:
            inventory = inspect(Request(str(root), settings.watch))
            verdicts = judge(inventory, settings, datetime.now(UTC), None)
            assert len([v for v in verdicts if v.deadline]) == CERTIFICATES

        once()
        measured = _milliseconds([_timed(once) for _ in range(30)])
    what = f"one check of {CERTIFICATES} certificates, {key_algorithm}"
    return Row(what, measured, "< 10 ms", "none")


def launch(lab: Lab, device: CoreDevice) -> Row:
    """From the start of the run script to the last subscription in place."""
    times = []
    for _ in range(10):
        mark = lab.timeline.mark()
        device.start()
        begun = lab.timeline.wait_for("component-state", state="RUNNING", after=mark)
        done = [
            lab.timeline.wait_for(
                "subscribed",
                source="component",
                line=f"subscribed to={subscription}",
                after=mark,
            )
            for subscription in SUBSCRIPTIONS
        ]
        times.append(max(entry.at for entry in done) - begun.at)
        lab.timeline.wait_for("checked", source="component", after=mark)
        device.stop()
    return Row("launch to all subscriptions", _milliseconds(times), "< 260 ms", "260 ms")


def stop(lab: Lab, device: CoreDevice) -> Row:
    """From SIGTERM to the end of the process."""
    times = []
    for _ in range(10):
        mark = lab.timeline.mark()
        device.start()
        lab.timeline.wait_for("checked", source="component", after=mark)
        mark = lab.timeline.mark()
        device.stop()
        begun = lab.timeline.wait_for("component-state", state="STOPPING", after=mark)
        ended = lab.timeline.wait_for("component-exited", step="run", after=mark)
        times.append(ended.at - begun.at)
    return Row("stop to exit", _milliseconds(times), "< 200 ms", "3.4 s")


def idle(lab: Lab, device: CoreDevice) -> list[Row]:
    """Memory and CPU of the process, once its first check is over and delivered."""
    mark = lab.timeline.mark()
    device.start()
    lab.timeline.wait_for("checked", source="component", after=mark)
    lab.timeline.wait_for(
        "published",
        source="component",
        line="published topic=greengrass/health/certificates waiting=0",
        after=mark,
    )
    pid = device.component_pid
    before = _cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)  # the measurement itself
    cpu = _cpu_seconds(pid) - before
    rss, pss = _memory(pid, "Rss"), _memory(pid, "Pss")
    device.stop()
    return [
        Row("idle memory, RSS", f"{rss:.1f} MB", "< 28 MB", "38.9 MB"),
        Row("idle memory, PSS", f"{pss:.1f} MB", "< 20 MB", "29.7 MB"),
        Row(f"CPU in {IDLE_SECONDS:g} s idle", f"{cpu * 1000:.1f} ms", "< 9 ms", "9 ms"),
    ]


def rotation() -> list[Row]:
    """Rotations one after the other: the device's own time, the gap in MQTT, and AWS's calls.

    The new pair is active, and the nucleus told of it, when its old connection ends. The cloud's
    time is that from a message of the device to what AWS does or says.
    """
    own, gaps, calls = [], [], []
    with Lab() as lab:
        backend = lab.deploy_backend()
        device, old = lab.core_device(THING, runtime="lite", configuration=CONFIGURATION)
        stage = Stage(lab, backend, device, old)
        stage.start()
        _wait_until_heard(lab, 0)
        backend.idle()
        for _ in range(ROTATIONS):
            mark, before = lab.timeline.mark(), backend.aws_calls
            job = stage.rotate()
            # The check that follows, before the grace period passes on the lab's clock.
            _wait_until_heard(lab, mark)
            stage.wait_for_idle()
            stage.verdict(rotated=True, job=job)
            stage.take_for_old()
            own.append(_own_time(lab, mark, job))
            gaps.append(_at(lab, mark, "mqtt-connected") - _at(lab, mark, "mqtt-disconnected"))
            made = backend.aws_calls - before
            calls.append(sum(n for (service, _), n in made.items() if service == "iot"))
        device.stop()
    return [
        Row(
            "job notification to new pair active, less the cloud's time and the probe",
            _milliseconds(own),
            "< 60 ms",
            "104 ms",
        ),
        Row("MQTT downtime of a rotation on lite", _milliseconds(gaps), "< 100 ms", "none"),
        Row(
            "AWS IoT control-plane calls per rotation, one policy",
            " to ".join(str(n) for n in sorted({min(calls), max(calls)})),
            "at most 12",
            "23",
        ),
    ]


def _own_time(lab: Lab, mark: int, job: str) -> float:
    """Seconds from the job's notification to the end of the old connection, less what the device
    waited for: the claim, the certificate, and the probe."""
    jobs, prefix = f"$aws/things/{THING}/jobs", f"certkeeper/things/{THING}/certificate"

    def published(topic: str) -> float:
        return _at(lab, mark, "published", source="iot-core", topic=topic)

    claim = _at(lab, mark, "in-progress", job=job) - published(f"{jobs}/{job}/update")
    create = published(f"{prefix}/create/accepted") - published(f"{prefix}/create")
    probing = lab.timeline.wait_until(
        lambda entry: "phase=probing" in str(entry.details.get("line")), "a probe", after=mark
    )
    probe = _at(lab, mark, "probed") - probing.at
    whole = _at(lab, mark, "mqtt-disconnected") - published(f"{jobs}/notify-next")
    return whole - claim - create - probe


def _at(lab: Lab, mark: int, event: str, **details: Any) -> float:
    """When that happened first, in seconds."""
    return lab.timeline.wait_for(event, after=mark, **details).at


def _wait_until_heard(lab: Lab, after: int) -> None:
    """Until a health message has come to the backend."""
    lab.timeline.wait_for("function-invoked", after=after, function="HealthFunction")


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _milliseconds(seconds: list[float]) -> str:
    low, middle, high = (f(seconds) * 1000 for f in (min, statistics.median, max))
    return f"{middle:.1f} ms ({low:.1f} to {high:.1f}, {len(seconds)} runs)"


def _cpu_seconds(pid: int) -> float:
    """User and system time so far, to the nanosecond (proc(5), /proc/PID/schedstat)."""
    total = sum(
        int((task / "schedstat").read_text().split()[0])
        for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return total / 1e9


def _memory(pid: int, kind: str) -> float:
    """Megabytes (10**6 bytes) of a process (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(kind)


def _machine() -> str:
    begun = time.perf_counter()
    sum(range(10**7))
    speed = (time.perf_counter() - begun) * 1000
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, {platform.machine()}, "
        f"Python {platform.python_version()}, sum(range(10**7)) in {speed:.0f} ms"
    )
