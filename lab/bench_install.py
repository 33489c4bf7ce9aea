"""The rows of ``make bench`` on installing the component, and on the size of its artifact."""

from __future__ import annotations

import io
import os
import resource
import statistics
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

from component_build.errors import BuildError
from lab.bench import Row
from lab.offline import (
    BARE_PYTHON,
    OfflineFailed,
    build_with_wheels,
    cut_off,
    require_a_namespace,
)

INSTALLATIONS = 5


def installation() -> list[Row]:
    """The recipe's install script, in a namespace without a network, into an empty work folder.

    Beside the time on the clock stands the processor time, which does not depend on what else
    the machine does. Then the script once more, as at a later start of a classic nucleus.
    """
    what = "install, no network"
    goal, peer = "< 10 s", "network, up to 900 s"
    try:
        require_a_namespace()
        built = build_with_wheels(BARE_PYTHON)
    except (OfflineFailed, BuildError) as failure:
        return [Row(what, f"not measured: {failure}", goal, peer)]
    generic, packed = built.artifacts
    clock, processor, later = [], [], []
    with tempfile.TemporaryDirectory(prefix="cklab-") as scratch:
        folder = Path(scratch)
        with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
            archive.extractall(folder / "artifact")
        for number in range(INSTALLATIONS):
            work = folder / str(number)
            work.mkdir()
            command = cut_off(["sh", str(folder / "artifact" / "install.sh"), str(work)])
            first = _installed(command, "wheels")
            clock.append(first[0])
            processor.append(first[1])
            later.append(_installed(command, "kept")[0])
    return [
        Row(what, _seconds(clock), goal, peer),
        Row("the same, processor time", _seconds(processor), "", ""),
        Row("install again, nothing to do", _seconds(later), "", ""),
        Row("artifact without wheels", f"{len(generic.content) / 1e6:.1f} MB", "", ""),
        Row("artifact with those for one Python", f"{len(packed.content) / 1e6:.1f} MB", "", ""),
    ]


def _installed(command: list[str], packages: str) -> tuple[float, float]:
    """Seconds on the clock, and of the processor, until the packages are there, from where."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    path = os.pathsep.join([str(BARE_PYTHON), "/usr/bin", "/bin"])
    ended = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not ended.stdout.endswith(f" packages={packages}\n"):
        raise RuntimeError(f"not installed from {packages}: {ended.stdout}{ended.stderr}")
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _seconds(seconds: list[float]) -> str:
    low, middle, high = (f(seconds) for f in (min, statistics.median, max))
    return f"{middle:.1f} s ({low:.1f} to {high:.1f}, {len(seconds)} runs)"
