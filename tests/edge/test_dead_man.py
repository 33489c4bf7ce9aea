"""The dead-man's switch: what is asked of systemd, and what the script does when it runs."""

from __future__ import annotations

import errno
import re
import stat
import subprocess
from pathlib import Path

import pytest

from certkeeper.edge import command, dead_man, file_store
from certkeeper.edge.dead_man import DeadManError
from certkeeper.edge.file_store import FileStore
from tests.edge.credentials import NEW, OLD, Pair, beside_each_other, pair_at, stage
from tests.edge.fake_commands import FakeCommands

STOPS = [["systemctl", "stop", "certkeeper-dead-man.timer"]]
RESTART = ["systemctl", "--no-block", "restart", "greengrass.service"]
ODD = ["plain", "a b", "it's", 'say "no"', "$HOME `id` $(id)", "-n", "back\\slash", "ü\nline", "%n"]
SYSTEMCTL, SYSTEMD_RUN = "systemctl", "systemd-run"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    """systemctl and systemd-run that succeed."""
    fake = FakeCommands(tmp_path / "bin", monkeypatch)
    fake.add(SYSTEMCTL)
    fake.add(SYSTEMD_RUN)
    return fake


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """The old pair in slot a, the new one in slot b and in use."""
    return switched(tmp_path)


def switched(root: Path) -> FileStore:
    store = beside_each_other(root)
    store.adopt()
    stage(store, "b")
    store.activate("b")
    return store


def arm(store: FileStore, runtime: str = "classic") -> None:
    dead_man.arm(store.folder, "a", "b", 300, runtime)


def expanded(word: str) -> str:
    """The word with variables put in, none of which is set (systemd.service(5))."""
    return re.sub(r"\$(\$|\w+|\{\w+\})", lambda found: "$" if found[1] == "$" else "", word)


def fires(commands: FakeCommands, code: int = 0) -> list[list[str]]:
    """What the script calls when the timer that was set starts it, as systemd would."""
    *_, set_timer = commands.called()
    assert set_timer[0] == SYSTEMD_RUN
    words = [expanded(word) for word in set_timer[set_timer.index("/bin/sh") :]]
    environment = {"PATH": "/nowhere"}
    ended = subprocess.run(
        words, env=environment, cwd="/", check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (code, "")
    return commands.called()


# -- arming ---------------------------------------------------------------------------


def test_what_is_asked_of_systemd(store: FileStore, commands: FakeCommands) -> None:
    """An older timer is stopped; a new one is to start the script once, on time."""
    arm(store)
    assert commands.called() == [
        *STOPS,
        [
            SYSTEMD_RUN,
            "--quiet",
            "--collect",
            "--unit=certkeeper-dead-man",
            "--on-active=300",
            "--timer-property=AccuracySec=1s",
            "/bin/sh",
            str(store.folder / "dead-man.sh"),
        ],
    ]


def test_the_script_is_the_owners_alone(store: FileStore, commands: FakeCommands) -> None:
    """Nobody else may change or read what root will run, and it is there before the timer is."""
    script = store.folder / "dead-man.sh"
    commands.add(SYSTEMD_RUN, f"test -s '{script}'")
    arm(store)
    assert stat.S_IMODE(script.stat().st_mode) == 0o700


@pytest.mark.parametrize("code", [0, 5])
def test_no_older_timer(store: FileStore, commands: FakeCommands, code: int) -> None:
    """That there is no older timer (systemctl then ends with 5) is fine, to arm and to disarm."""
    commands.add(SYSTEMCTL, f"exit {code}")
    arm(store)
    dead_man.disarm()


@pytest.mark.parametrize("name", [SYSTEMCTL, SYSTEMD_RUN])
def test_a_command_that_fails(store: FileStore, commands: FakeCommands, name: str) -> None:
    """What systemd says against it is told, in one line of bounded length."""
    flood = "head -c 9999 /dev/zero | tr '\\0' x"
    commands.add(name, f"echo not booted with systemd >&2; {flood}; exit 1")
    with pytest.raises(DeadManError, match=f"^{name} ended with 1: not booted with systemd x") as e:
        arm(store)
    assert len(str(e.value)) < 400


@pytest.mark.parametrize("missing", ["ln", "mv", "readlink", "rm", "sync", SYSTEMCTL, SYSTEMD_RUN])
def test_a_command_that_is_not_there(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Without a command that the script needs the switch is not armed, and it says which."""
    fake = FakeCommands(tmp_path / "alone", monkeypatch, alone=True)
    fake.link(*({"ln", "mv", "readlink", "rm", "sync"} - {missing}))
    for name in {SYSTEMCTL, SYSTEMD_RUN} - {missing}:
        fake.add(name)
    with pytest.raises(DeadManError, match=f"there is no {missing} on the path"):
        arm(store)


def test_a_command_that_hangs(
    store: FileStore, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that does not end is not waited for for ever."""
    commands.add(SYSTEMD_RUN, "exec sleep 60")
    monkeypatch.setattr(dead_man, "_stop", lambda _: None)
    monkeypatch.setattr(command, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(DeadManError, match="systemd-run has not ended"):
        arm(store)


def test_a_script_that_cannot_be_written(
    store: FileStore, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the script cannot be written, no timer is set, and it says why."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("certkeeper.edge.durable.write", full)
    with pytest.raises(DeadManError, match=r"dead-man\.sh: No space left on device"):
        arm(store)
    assert SYSTEMD_RUN not in [call[0] for call in commands.called()]


# -- the script -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "unit"), [("classic", "greengrass.service"), ("lite", "greengrass-lite.target")]
)
def test_it_goes_back(store: FileStore, commands: FakeCommands, runtime: str, unit: str) -> None:
    """Uncommitted, the old pair is in use again, and the nucleus is restarted to read it."""
    arm(store, runtime)
    assert fires(commands) == [["systemctl", "--no-block", "restart", unit]]
    assert (store.look(), pair_at(store)) == ((True, "a"), OLD)
    assert not (store.folder / ".dead-man.link").is_symlink()


@pytest.mark.parametrize("name", ODD)
def test_folders_of_any_name(tmp_path: Path, commands: FakeCommands, name: str) -> None:
    """Blanks, quotes, dollars, a leading dash or a line's end in the folder's name are no harm."""
    store = switched(tmp_path / name)
    arm(store)
    assert fires(commands) == [RESTART]
    assert pair_at(store) == OLD


def test_a_path_with_odd_folders(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script finds the commands that were found when it was written, wherever they are."""
    fake = FakeCommands(tmp_path / "b'i n$x", monkeypatch)
    fake.add(SYSTEMCTL)
    fake.add(SYSTEMD_RUN)
    arm(store)
    assert fires(fake) == [RESTART]


def test_committed(store: FileStore, commands: FakeCommands) -> None:
    """With the commit mark there it does nothing."""
    arm(store)
    store.mark_committed()
    assert fires(commands) == []
    assert pair_at(store) == NEW


def test_gone_back_already(store: FileStore, commands: FakeCommands) -> None:
    """If the old slot is in use, nothing is switched or restarted."""
    arm(store)
    store.activate("a")
    assert fires(commands) == []
    assert pair_at(store) == OLD


@pytest.mark.parametrize("name", ["certificate.pem", "private.key"])
@pytest.mark.parametrize("content", [None, b""])
def test_no_old_pair(
    store: FileStore, commands: FakeCommands, name: str, content: bytes | None
) -> None:
    """It does not go back to a slot that lacks a file, or has an empty one."""
    arm(store)
    path = store.folder / "a" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert fires(commands) == []
    assert pair_at(store) == NEW


def test_released_meanwhile(store: FileStore, commands: FakeCommands) -> None:
    """Where the store is gone, sh finds no script, and the pair stays as it is."""
    arm(store)
    *_, set_timer = commands.called()
    store.release()
    ended = subprocess.run(
        set_timer[set_timer.index("/bin/sh") :], check=False, capture_output=True
    )
    assert ended.returncode != 0
    assert commands.called() == []
    assert pair_at(store) == NEW


def test_what_an_earlier_run_left_is_no_hindrance(store: FileStore, commands: FakeCommands) -> None:
    """A link of a script that was cut off is replaced."""
    arm(store)
    (store.folder / ".dead-man.link").symlink_to("b")
    assert fires(commands) == [RESTART]
    assert pair_at(store) == OLD


def test_the_link_is_there_at_every_instant(store: FileStore, commands: FakeCommands) -> None:
    """While the script runs its commands, a whole pair is read."""
    seen = store.folder.parent / "seen"
    for name in ("ln", "mv", "rm", "sync"):
        real = next(f"{d}/{name}" for d in ("/usr/bin", "/bin") if Path(d, name).exists())
        look = f"cat '{store.certificate}' '{store.private_key}' >> '{seen}'"
        commands.add(name, f"{look}; '{real}' \"$@\"; code=$?; {look}; exit $code")
    arm(store)
    fires(commands)
    wholes = [pair.certificate + pair.private_key for pair in (OLD, NEW)]
    text = seen.read_bytes()
    assert text
    for whole in wholes:
        text = text.replace(whole, b"")
    assert text == b""


def test_an_mv_without_t(store: FileStore, commands: FakeCommands) -> None:
    """Where mv cannot rename over a link to a folder, the link is made anew by ln."""
    commands.add("mv", 'case "$1" in -T) exit 1;; esac; exec /bin/mv "$@"')
    arm(store)
    assert fires(commands)[-1] == RESTART
    assert (store.look(), pair_at(store)) == ((True, "a"), OLD)
    names = {path.name for path in (store.folder / "b").iterdir()}
    assert names == {"certificate.pem", "private.key"}


def test_a_link_that_cannot_be_replaced(store: FileStore, commands: FakeCommands) -> None:
    """If neither works, the nucleus is not restarted for nothing."""
    commands.add("mv", "exit 1")
    commands.add("ln", "exit 1")
    arm(store)
    assert [call for call in fires(commands, 1) if call[0] == SYSTEMCTL] == []
    assert pair_at(store) == NEW


def test_to_slot_b(store: FileStore, commands: FakeCommands) -> None:
    """It goes back from a to b as well."""
    store.activate("a")
    dead_man.arm(store.folder, "b", "a", 5, "classic")
    assert fires(commands) == [RESTART]
    assert pair_at(store) == Pair(NEW.certificate, NEW.private_key)


# -- disarming --------------------------------------------------------------------------


def test_disarming(commands: FakeCommands) -> None:
    """The timer is stopped, and a script that it has started already."""
    dead_man.disarm()
    assert commands.called() == [*STOPS, ["systemctl", "stop", "certkeeper-dead-man.service"]]


def test_disarming_that_fails(commands: FakeCommands) -> None:
    """A timer that cannot be stopped is told."""
    commands.add(SYSTEMCTL, "echo Access denied; exit 4")
    with pytest.raises(DeadManError, match="ended with 4: Access denied"):
        dead_man.disarm()


def test_names_of_the_store() -> None:
    """No name that the script uses needs quoting there."""
    for name in (
        *(file_store.CURRENT, file_store.COMMIT_MARK, file_store.DEAD_MAN_LINK),
        *(file_store.CERTIFICATE, file_store.PRIVATE_KEY),
    ):
        assert name.replace("-", "").replace(".", "").isalpha()
