"""A program under the tracer runs as it would alone, and dies just before the point."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.crash.tracer import KILLED
from tests.crash.traced import LIMIT_SECONDS, PROJECT, Stage

# Replaces a file as it should be done: eight points.
REPLACE = """
import os, sys
os.chdir(sys.argv[1])
new = os.open("new.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.write(new, b"new")
os.fsync(new)
os.close(new)
os.rename("new.tmp", "state")
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
os.close(folder)
"""
OLD, NEW = {"state": "old"}, {"state": "new"}
REPLACED = [
    ("openat", "new.tmp", OLD),
    ("write", "new.tmp", OLD | {"new.tmp": ""}),
    ("fsync", "new.tmp", OLD | {"new.tmp": "new"}),
    ("close", "new.tmp", OLD | {"new.tmp": "new"}),
    ("rename", "new.tmp -> state", OLD | {"new.tmp": "new"}),
    ("openat", "", NEW),
    ("fsync", "", NEW),
    ("close", "", NEW),
]
# Threads, a child, and a grandchild that outlives its parent; each leaves its number.
FAMILY = """
import os, subprocess, sys, threading
folder = sys.argv[1]
def sign(name):
    with open(f"{folder}/{name}", "w") as file:
        file.write(str(os.getpid()))
thread = threading.Thread(target=sign, args=("thread",))
thread.start()
thread.join()
waiting, done = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        sign("grandchild")
        os.close(waiting)
        os.write(done, b"x")
        os.close(done)
        while True:
            threading.Event().wait()
    os._exit(0)
os.close(done)
os.wait()
os.read(waiting, 1)
child = "import os, sys, threading; open(sys.argv[1], 'w').write(str(os.getpid()));"
forever = "print(flush=True); threading.Event().wait()"
child = subprocess.Popen([sys.executable, "-I", "-c", child + forever, folder + "/child"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
sign("daemon")
os.chmod(folder + "/daemon", 0o600)
"""
# Says when it is ready, tells of SIGTERM, and repeats what it is told.
TALKER = """
import os, signal, sys
def end(number, frame):
    os.write(1, b"asked to end\\n")  # print may be at work already
    os._exit(5)
signal.signal(signal.SIGTERM, end)
print(os.getpid(), flush=True)
for line in sys.stdin:
    print("heard", line, end="", flush=True)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage.under(tmp_path)


def gone(process: int) -> bool:
    """Whether there is no such process, and no zombie of it either."""
    return not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("place", range(len(REPLACED) + 1))
def test_killed_before_each_point_the_files_are_as_the_calls_before_it_left_them(
    stage: Stage, place: int
) -> None:
    """The call that is the point has not been made, and all those before it have been."""
    (stage.folder / "state").write_text("old")
    code = stage.run(REPLACE, kill_before=place + 1, begin="openat:new.tmp")
    if place < len(REPLACED):
        assert code == KILLED
        assert stage.files() == REPLACED[place][2]
        assert len(stage.points()) == place + 1
    else:
        assert code == 0
        assert stage.files() == NEW


def test_counting_begins_once_a_file_is_there(stage: Stage) -> None:
    """Whoever makes it: what comes before is no point, and what follows is."""
    program = "import os, socket, sys\nsocket.socket().connect_ex(('127.0.0.1', 9))\n" + "".join(
        f"os.mkdir(sys.argv[1] + '/{name}')\n" for name in ("before", "go", "after")
    )
    assert stage.run(program, kill_before=1, begin=stage.folder / "go") == KILLED
    assert {path.name for path in stage.folder.iterdir()} == {"before", "go"}
    (point,) = stage.points()
    assert (point.call, Path(point.target).name) == ("mkdir", "after")


def test_points_are_written_down_with_what_they_are_about(stage: Stage) -> None:
    """Each point says which call it is, of what program, and on which file."""
    assert stage.run(REPLACE, begin="openat:new.tmp") == 0
    points = stage.points()
    names = [point.target.replace(f"{stage.folder}/", "") for point in points]
    folder = str(stage.folder)
    expected = [(call, target or folder) for call, target, _ in REPLACED]
    assert [(p.call, name) for p, name in zip(points, names, strict=True)] == expected
    assert [point.index for point in points] == list(range(1, len(points) + 1))
    assert {point.process for point in points} == {"daemon"}
    assert points[0].command.startswith(f"{Path(sys.executable).name} -I -c")


def test_counting_is_the_same_each_time(tmp_path: Path) -> None:
    """A program that does the same has the same points, imports and start-up left out."""
    stage = Stage.under(tmp_path)
    counts = []
    for _ in range(2):
        assert stage.run("import json, ssl\n" + REPLACE) == 0
        counts.append(stage.points())
    assert counts[0] == counts[1]
    assert {point.target.split("/")[1] for point in counts[0]} == {tmp_path.parts[1]}


def test_threads_children_and_orphans_are_followed(stage: Stage) -> None:
    """Points of every thread and process count, and say whose they are."""
    assert stage.run(FAMILY) == 0
    written = {
        (Path(point.target).name, point.process)
        for point in stage.points()
        if point.call == "write" and point.target.startswith(str(stage.folder))
    }
    assert written == {
        ("thread", "daemon"),
        ("daemon", "daemon"),
        ("child", "child"),
        ("grandchild", "child"),
    }


@pytest.mark.parametrize("killed", [True, False])
def test_nothing_is_left_of_the_program(stage: Stage, killed: bool) -> None:
    """However it ends: no process, no orphan, no zombie."""
    code = stage.run(FAMILY, kill_before=1 if killed else None, begin="chmod:/daemon")
    assert code == (KILLED if killed else 0)
    processes = [int(number) for number in stage.files().values()]
    assert len(processes) == 4
    assert all(map(gone, processes))


def test_a_program_that_is_to_be_started_is_not(stage: Stage) -> None:
    """Killed before the exec, the other program has never run."""
    program = "import os, sys; os.execv('/bin/sh', ['sh', '-c', f'echo > {sys.argv[1]}/ran'])"
    assert stage.run(program, kill_before=1, begin="execve:/sh") == KILLED
    assert stage.files() == {}
    assert stage.run(program, begin="execve:/sh") == 0
    assert stage.files() == {"ran": "\n"}


def test_connections_and_streams_are_points(stage: Stage) -> None:
    """Sockets are named by whom they reach, and what is printed into a pipe counts too."""
    program = """
import socket, sys
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind(sys.argv[1] + "/socket")
    server.listen()
    client.connect(sys.argv[1] + "/socket")
    client.sendall(b"x")
print("done")
"""
    with stage.running(stage.command(program, begin="connect:/socket")) as tracer:
        assert tracer.communicate(timeout=LIMIT_SECONDS)[0] == "done\n"
    peer = f"socket unix:{stage.folder}/socket"
    assert [(point.call, point.target) for point in stage.points()] == [
        ("connect", peer),
        ("sendto", peer),
        ("close", peer),
        ("close", f"socket unix:{stage.folder}/socket"),
        ("write", "stdout (pipe)"),
    ]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", -signal.SIGUSR1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_programs_end_is_the_tracers(stage: Stage, program: str, code: int) -> None:
    """An exit status and a signal that was died of are passed on."""
    assert stage.run(program) == code


def test_a_program_that_is_not_there_is_said_so(stage: Stage) -> None:
    """As a shell does it: status 127, and a word."""
    finished = subprocess.run(
        [sys.executable, "-m", "lab.crash.tracer", "--count", stage.record, "--", "no-such-thing"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert finished.returncode == 127
    assert finished.stderr == "no-such-thing: command not found\n"


@pytest.mark.parametrize("to_group", [True, False])
def test_sigterm_reaches_the_program(stage: Stage, to_group: bool) -> None:
    """Sent to the tracer or, as the nucleus does it, to its group: the program ends itself."""
    with stage.running(stage.command(TALKER)) as tracer:
        assert tracer.stdout is not None
        tracer.stdout.readline()
        (os.killpg if to_group else os.kill)(tracer.pid, signal.SIGTERM)
        assert tracer.stdout.read() == "asked to end\n"
        assert tracer.wait(LIMIT_SECONDS) == 5


def test_a_stopped_program_goes_on_with_sigcont(stage: Stage) -> None:
    """SIGSTOP stops it, tracer or no tracer, and what it is told then waits for SIGCONT."""
    with stage.running(stage.command(TALKER)) as tracer:
        assert tracer.stdin is not None
        assert tracer.stdout is not None
        process = int(tracer.stdout.readline())
        os.kill(process, signal.SIGSTOP)
        heard: list[str] = []
        listener = threading.Thread(target=lambda: heard.extend(tracer.stdout or ()))
        listener.start()
        tracer.stdin.write("something\n")
        tracer.stdin.close()
        # Resumed by mistake, it would read, speak and end.
        listener.join(0.2)
        assert heard == []
        os.kill(process, signal.SIGCONT)
        listener.join(LIMIT_SECONDS)
        assert heard == ["heard something\n"]
        assert tracer.wait(LIMIT_SECONDS) == 0


def test_the_program_dies_with_its_tracer(stage: Stage) -> None:
    """A tracer that is killed takes the program with it, even one that makes no call."""
    program = """
import os, threading
print(os.getpid(), flush=True)
threading.Event().wait(120)
"""
    with stage.running(stage.command(program)) as tracer:
        assert tracer.stdout is not None
        watch = os.pidfd_open(int(tracer.stdout.readline()))
        try:
            tracer.kill()
            assert select.select([watch], [], [], LIMIT_SECONDS)[0]
        finally:
            os.close(watch)


def test_many_threads_at_work_are_not_disturbed(stage: Stage) -> None:
    """Threads that write, and wait for one another, all come to their end."""
    program = """
import sys, threading
barrier = threading.Barrier(8)
def work(name):
    for turn in range(20):
        with open(f"{sys.argv[1]}/{name}", "a") as file:
            file.write(f"{turn} ")
        barrier.wait()
threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    assert stage.run(program) == 0
    whole = "".join(f"{turn} " for turn in range(20))
    assert stage.files() == {str(name): whole for name in range(8)}
    assert sum(point.call == "write" for point in stage.points()) == 160


def test_ignored_folders_are_no_points(tmp_path: Path) -> None:
    """A folder named by --ignore counts no more than Python's own library."""
    stage = Stage.under(tmp_path)
    command = stage.command(REPLACE)
    command.insert(command.index("--"), f"--ignore={stage.folder}")
    subprocess.run(command, cwd=PROJECT, check=True, timeout=LIMIT_SECONDS)
    assert stage.points() == []
    assert stage.files() == NEW
