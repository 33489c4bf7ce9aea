"""The version of a component: which ones there are, and how it gets into the package.

Sources: Semantic Versioning 2.0.0; the reference of gdk-config.json and of component recipes
in the AWS IoT Greengrass developer guide.
"""

from __future__ import annotations

import re

from component_build.errors import BuildError

#: To gdk: one patch above the newest published version, worked out when it publishes.
NEXT_PATCH = "NEXT_PATCH"
LONGEST = 64

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PART = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_ASSIGNED = re.compile(r'^__version__ = "[^"]*"$', re.MULTILINE)
# Its folder is the one place on a device that knows the version then: both kinds of nucleus
# unpack an archive into .../NAME/VERSION/ARCHIVE.
_FROM_FOLDER = """from pathlib import Path

__version__ = Path(__file__).resolve().parents[2].name"""


def problem(version: str) -> str | None:
    """What is wrong with this version, or None."""
    if version == NEXT_PATCH:
        return None
    if len(version) > LONGEST:
        return f"{version!r} has more than {LONGEST} characters"
    if not _SEMVER.fullmatch(version):
        return (
            f"{version!r} is no semantic version (https://semver.org): "
            f"write MAJOR.MINOR.PATCH, such as 1.4.0 or 1.5.0-rc.1, or {NEXT_PATCH}"
        )
    return None


def stamped(source: str, version: str) -> str:
    """The source of a module, with its ``__version__`` set to this.

    With NEXT_PATCH the number is not known yet: there the module reads it off the folder
    that the nucleus unpacks it into. Raises BuildError if it does not set it exactly once.
    """
    line = _FROM_FOLDER if version == NEXT_PATCH else f'__version__ = "{version}"'
    text, found = _ASSIGNED.subn(lambda _: line, source)
    if found != 1:
        raise BuildError(
            f'the package sets its version in {found} lines, not in one: write __version__ = "..." '
            "once in src/certkeeper/__init__.py"
        )
    return text
