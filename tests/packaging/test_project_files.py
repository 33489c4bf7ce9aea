"""No file of the project knows the machine that it was made on, or whence packages come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.packaging.source import PROJECT, project_files

_HERE = Path(__file__).resolve()

#: A path that begins here: not the end of a longer one, nor of {kernel:rootPath}, $root or <root>.
_BEGINS = r"(?<![\w.}$)\]~*/:-])(?<!\w>)"
FORBIDDEN = {
    "a home folder": re.compile(_BEGINS + r"/(?:root|home/\w+|Users/\w+)/"),
    "a folder of one machine": re.compile(_BEGINS + r"/(?:work|workspace|mnt/\w+|builds)/"),
    "a package index": re.compile(
        r"pypi\.org|pythonhosted\.org|--(?:extra-)?index-url|--find-links(?! \"\$here/)"
        r"|--trusted-host|PIP_INDEX|UV_INDEX|piwheels\.org|registry\.npmjs|artifactory|jfrog",
        re.IGNORECASE,
    ),
}


def findings(text: str) -> list[str]:
    """What is forbidden in the text, each with its line."""
    return [
        f"line {number}: {what}: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


def texts() -> list[Path]:
    """Every text of the project but this one, which holds what it looks for."""
    return [path for path in project_files() if path != _HERE and b"\0" not in path.read_bytes()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Whoever clones the project finds no path and no host of somebody else's machine in it."""
    found = {
        str(path.relative_to(PROJECT)): said
        for path in texts()
        if (said := findings(path.read_text("utf-8")))
    }
    assert found == {}


def test_every_text_is_utf8_with_unix_lines() -> None:
    """Texts are UTF-8, without carriage returns, and end with their last line."""
    odd = []
    for path in texts():
        content = path.read_bytes()
        content.decode("utf-8")
        if b"\r\n" in content or (content and not content.endswith(b"\n")):
            odd.append(str(path.relative_to(PROJECT)))
    assert odd == []


@pytest.mark.parametrize(
    "line",
    [
        "cd /root/project",
        "PYTHON=/root/bin/python",
        '"/home/somebody/x"',
        "see /workspace/tree/src",
        "cat x >/root/y",
        "pip install --index-url https://x",
        "pip install --find-links /srv/wheels",
        "https://pypi.org/simple",
        "https://files.pythonhosted.org/x",
    ],
)
def test_the_rule_finds(line: str) -> None:
    """Each kind of name that is somebody else's is found."""
    assert findings(line)


@pytest.mark.parametrize(
    "line",
    [
        "{work:path}/venv",
        "ROOT/work/community.greengrass.CertificateKeeper",
        'f"{root}/work/{name}"',
        "<root>/work/x",
        "$root/work/x",
        "/greengrass/v2/work/x",
        "work/aws.greengrass.clientdevices.Auth/ca.pem",
        "s3://bucket/root/x",
        '--no-index --find-links "$here/wheels"',
        "https://example.com/home/page/x",
        "--root /tmp/certkeeper-lab/press-7",
    ],
)
def test_the_rule_leaves_our_own_words(line: str) -> None:
    """Recipe variables and the folders of a Greengrass root are nobody's machine."""
    assert not findings(line)
