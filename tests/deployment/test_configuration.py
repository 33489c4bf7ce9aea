"""The configuration file: what is read, what is refused, and how it is merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from certkeeper import __version__
from deployment.configuration import checked, read
from deployment.ports import CannotDeploy


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"maxAgeDays": 365, "rotateWindow": {"minutes": 60}, "watch": null}'),
        ("c.yaml", "maxAgeDays: 365\nrotateWindow:\n  minutes: 60\nwatch:\n"),
        (
            "c.yml",
            "# JSON is YAML too\n"
            '{"maxAgeDays": 365, "rotateWindow": {"minutes": 60}, "watch": null}',
        ),
        ("c", "\ufeffmaxAgeDays: 365\nrotateWindow: {minutes: 60}\nwatch: null\n"),
    ],
)
def test_reads(tmp_path: Path, name: str, text: str) -> None:
    """JSON and YAML say the same, with or without a byte order mark."""
    path = written(tmp_path, name, text)
    assert read(path) == {"maxAgeDays": 365, "rotateWindow": {"minutes": 60}, "watch": None}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.json", "{", "is not JSON"),
        ("c.json", '{"a": 1, "a": 2}', "the key a stands there twice"),
        ("c.json", '{"a": NaN}', "not JSON"),
        ("c.json", "[1]", "must hold an object"),
        ("c.json", "[" * 30000, "not JSON"),
        ("c.yaml", "", "must hold an object"),
        ("c.yaml", "maxAgeDays: 365\n  x: [", "line 2"),
        ("c.yaml", "a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: the key c stands there twice"),
        ("c.yaml", "a: &x [1]\nb: *x\n", "line 2: aliases are not taken"),
        ("c.yaml", "a: 2026-11-26\n", "not JSON serializable"),
        ("c.yaml", "a: .nan\n", "not JSON"),
        ("c.yaml", "a: !!python/object:os.system x\n", "line 1"),
        ("c.yaml", "a: \x00\n", "not JSON or YAML"),
        ("c.yaml", "? [1]\n: 2\n", "not JSON or YAML"),
        ("c.yaml", "a: " + "x" * 70000, "larger than"),
    ],
)
def test_refuses(tmp_path: Path, name: str, text: str, said: str) -> None:
    """A file that cannot be a configuration is an error that names the file and the reason."""
    path = written(tmp_path, name, text)
    with pytest.raises(CannotDeploy) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there, or is none, or is no text, is an error too."""
    (tmp_path / "latin").write_bytes(b"a: \xe4\n")
    for name, said in (("none", "No such file"), (".", "Is a directory"), ("latin", "utf-8")):
        with pytest.raises(CannotDeploy, match=said):
            read(tmp_path / name)


# -- checking -----------------------------------------------------------------------------


def test_a_valid_configuration() -> None:
    """What the component would accept passes, accessControl included."""
    assert checked({"maxAgeDays": 365, "accessControl": {"x": 1}}, __version__) == []


def test_an_invalid_configuration() -> None:
    """Every key that is at fault is named, before anything is deployed."""
    with pytest.raises(CannotDeploy) as refused:
        checked({"maxAgeDays": -1, "schedule": "daily", "deadManSeconds": 60}, __version__)
    for key in ("maxAgeDays", "schedule", "deadManSeconds"):
        assert key in str(refused.value)


def test_another_version() -> None:
    """Of another version the settings are not known here: what they say is a note."""
    [note] = checked({"probe": "someday"}, "99.0.0")
    assert "probe" in note
    assert "99.0.0" in note


def test_a_misspelled_key() -> None:
    """A key that does not exist is noted, with the one that was probably meant."""
    [note] = checked({"logLevl": "DEBUG"}, __version__)
    assert "did you mean logLevel?" in note


def test_too_long_for_lite() -> None:
    """A value that nucleus lite cannot keep is noted."""
    paths = [f"/etc/ssl/{number:04}.pem" for number in range(50)]
    notes = checked({"watch": paths}, __version__)
    assert len(json.dumps(paths)) > 1024
    assert len(notes) == 1
    assert "lite" in notes[0]


def test_a_pin_is_not_repeated() -> None:
    """A PIN in a path that is refused is not in what is said."""
    with pytest.raises(CannotDeploy) as refused:
        checked({"privateKeyPath": "pkcs12:object=x;pin-value=123456"}, __version__)
    assert "privateKeyPath" in str(refused.value)
    assert "123456" not in str(refused.value)
