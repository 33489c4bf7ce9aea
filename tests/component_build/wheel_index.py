"""Tiny wheels in a folder, for tests that install something without a network."""

from __future__ import annotations

import ensurepip
import hashlib
import shutil
import sysconfig
import zipfile
from pathlib import Path


def tiny(folder: Path, version: str = "1.0", name: str = "tiny", tag: str = "py3-none-any") -> Path:
    """A wheel with one module that knows its version (PEP 427)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{information}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        )
        archive.writestr(
            f"{information}/RECORD",
            f"{name}.py,,\n{information}/METADATA,,\n{information}/WHEEL,,\n{information}/RECORD,,\n",
        )
    return path


def pinned(*wheels: Path) -> str:
    """The lines of a list with hashes that pins these wheels."""
    lines = []
    for wheel in wheels:
        name, version, _ = wheel.name.split("-", 2)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


def copy_pip(folder: Path) -> Path:
    """pip's own wheel, as Python comes with it: beside ensurepip, or where the distribution says.

    https://docs.python.org/3/using/configure.html#cmdoption-with-wheel-pkg-dir
    """
    elsewhere = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = Path(elsewhere) if elsewhere else Path(ensurepip.__file__).with_name("_bundled")
    [wheel] = wheels.glob("pip-*.whl")
    return Path(shutil.copy(wheel, folder))
