"""The picture in the README is what the command shows today."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.deployment import picture
from tests.packaging.source import PROJECT


def test_the_picture_is_a_recording(tmp_path: Path) -> None:
    """docs/deploy.svg is what is recorded now (make picture)."""
    assert picture.PATH.read_text("utf-8") == picture.picture(picture.recorded(tmp_path))


def test_the_picture_tells_the_story() -> None:
    """It is one well-formed SVG with a frame for each look, and ends with the summary."""
    root = ElementTree.parse(picture.PATH).getroot()
    frames = [each for each in root if each.get("class") == "frame"]
    assert len(frames) > 8
    texts = ["".join(frame.itertext()).replace("\u00a0", " ") for frame in frames]
    assert all(picture.COMMAND in text for text in texts)
    assert "more to come" in texts[0]
    assert "11 of 12 devices have it" in texts[-1]
    assert "Ctrl-C" not in texts[-1]


@pytest.mark.parametrize("pattern", [r"https?://(?!www\.w3\.org)", r"\burl\(", r"<script"])
def test_the_picture_stands_alone(pattern: str) -> None:
    """It fetches nothing from anywhere, and runs nothing."""
    assert not re.search(pattern, picture.PATH.read_text("utf-8"))


def test_the_readme_shows_it() -> None:
    """The README has the picture, and the command that is seen in it does what the text says."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    assert "](docs/deploy.svg)" in readme
    assert "deploy_component_version.py" in readme
