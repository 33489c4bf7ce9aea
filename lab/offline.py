"""``python -m lab offline``: installed and started where there is no network.

The artifact with this machine's wheels is built first, which takes a package index. What
follows happens in a network namespace in which there is nothing but loopback: an account, and
a device of each kind whose Python has none of the packages. It installs by the recipe, from
the wheels; then the component checks, and its health message arrives.

Left out: other architectures than this machine's.
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import certkeeper
from component_build.build import Build, build, write
from component_build.errors import BuildError
from component_build.project import load
from component_build.wheels import ARCHITECTURES, PYTHONS, fetch
from lab.cloud_inbox import CloudInbox
from lab.lab import Lab
from lab.narration import narrate
from lab.nucleus.core_device import PROJECT
from lab.nucleus.recipe import Runtime
from lab.timeline import NotSeen

#: A Python of this machine without the packages: the one that the lab's environment is made of.
BARE_PYTHON = Path(sys.base_prefix) / "bin"
INSTALL_SECONDS = 300.0

_SET_INTERFACE_FLAGS = 0x8914  # SIOCSIFFLAGS, netdevice(7)
_INTERFACE_UP = 0x1


class OfflineFailed(Exception):
    """What was to be seen and was not."""


def run(runtimes: Sequence[Runtime], python: Path, folder: Path | None) -> int:
    """Build, cut the network off, and look; the exit code.

    ``python`` is the folder of the devices' Python; ``folder`` a build with wheels for it,
    made unless given.
    """
    with tempfile.TemporaryDirectory(prefix="cklab-") as scratch:
        try:
            require_a_namespace()
            if folder is None:
                folder = Path(scratch)
                write(build_with_wheels(python), folder)
        except (OfflineFailed, BuildError) as failure:
            print(f"OFFLINE FAILED: {failure}")
            return 1
        command = [sys.executable, "-m", "lab", "offline", "--within", "--build", str(folder)]
        command += ["--python", str(python)]
        command += ["--runtime", runtimes[0] if len(runtimes) == 1 else "both"]
        return subprocess.run(cut_off(command), check=False).returncode


def build_with_wheels(python: Path) -> Build:
    """The component with the wheels for this machine and the Python in this folder.

    Raises BuildError if they cannot be fetched, or there are none for such a machine.
    """
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        said = subprocess.run([python / "python3", "-c", asked], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"no python3 runs in {python}: name another with --python") from error
    version = said.stdout.decode().strip()
    machine = platform.machine()
    architectures = [name for name, tag in ARCHITECTURES.items() if tag == machine]
    if version not in PYTHONS or not architectures:
        raise BuildError(f"no wheels are made for Python {version} on {machine}")
    wheels = fetch(PROJECT, architectures, [version], print)
    return build(load(PROJECT), version=certkeeper.__version__, wheels=wheels)


def cut_off(command: Sequence[str]) -> list[str]:
    """The command in a network namespace of its own (unshare(1)): there is no way out of it."""
    privilege = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *privilege, "--net", *command]


def require_a_namespace() -> None:
    """Raises OfflineFailed where the network cannot be cut off, with the reason."""
    try:
        tried = subprocess.run(cut_off(["true"]), capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise OfflineFailed("there is no unshare (util-linux) here") from error
    if tried.returncode != 0:
        raise OfflineFailed(
            f"no network namespace can be made here ({tried.stderr.strip()}): run it as root"
        )


def within(runtimes: Sequence[Runtime], python: Path, folder: Path) -> int:
    """The part without a network; the exit code."""
    try:
        if (interfaces := [name for _, name in socket.if_nameindex()]) != ["lo"]:
            raise OfflineFailed(f"the network is not cut off: {', '.join(interfaces)}")
        _raise_loopback()
        with Lab(narrate, component=folder) as lab:
            inbox = CloudInbox(lab.iot_core, lab.account, lab.timeline)
            for number, runtime in enumerate(runtimes, 7):
                _show(lab, f"press-{number}", runtime, python)
            inbox.close()
    except (OfflineFailed, NotSeen) as failure:
        print(f"OFFLINE FAILED: {failure}")
        return 1
    print("\nINSTALLED AND STARTED WITHOUT A NETWORK")
    return 0


def _show(lab: Lab, thing: str, runtime: Runtime, python: Path) -> None:
    print(f"\n== {thing}: nucleus {runtime}, no network, Python in {python}\n", flush=True)
    mark = lab.timeline.mark()
    device, _ = lab.core_device(thing, runtime=runtime, python=python)
    device.start()
    installed = lab.timeline.wait_for(
        "component-exited", after=mark, step="install", timeout=INSTALL_SECONDS
    )
    begun = lab.timeline.wait_for("component-state", after=mark, state="NEW")
    [done] = [
        str(entry.details["line"])
        for entry in lab.timeline.entries[mark:]
        if str(entry.details.get("line", "")).startswith("install-done ")
    ] or ["no install-done"]
    if not done.endswith("packages=wheels"):
        raise OfflineFailed(f"not installed from the wheels: {done}")
    lab.timeline.wait_for("checked", source="component", after=mark)
    lab.timeline.wait_for("health-received", after=mark, thing=thing)
    seconds = installed.at - begun.at
    print(f"\n  installed in {seconds:.1f} s; it checked, and the cloud heard of it")
    device.stop()


def _raise_loopback() -> None:
    """In a new namespace it is down (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_INTERFACE_FLAGS, struct.pack("16sh22x", b"lo", _INTERFACE_UP))
