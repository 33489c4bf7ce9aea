"""A command of the system, run to its end: in bounded time, with bounded output."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time

TIMEOUT_SECONDS = 10.0
MAX_OUTPUT = 1024 * 1024
_SHOWN = 300


class CommandError(Exception):
    """A command that could not be run, or did not say that it succeeded; says which and why.
    ``code`` is its exit code if it ended by itself."""

    def __init__(self, why: str, code: int | None = None) -> None:
        super().__init__(why)
        self.code = code


def run(*words: str) -> str:
    """What the command writes (errors too), if it succeeds. Its name is looked up on PATH.

    Raises CommandError; a command that takes longer than ten seconds is killed.
    """
    path = shutil.which(words[0])
    if path is None:
        raise CommandError(f"there is no {words[0]} on the path")
    try:
        child = subprocess.Popen(  # noqa: S603  # words of ours, and no shell
            [path, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    with child:
        try:
            said = _output(child, words[0])
        except CommandError:
            child.kill()
            raise
    text = said.decode("utf-8", "replace")
    if child.returncode != 0:
        shown = " ".join(text.split())[:_SHOWN]
        why = f"{words[0]} ended with {child.returncode}: {shown}"
        raise CommandError(why, child.returncode)
    return text


def _output(child: subprocess.Popen[bytes], name: str) -> bytes:
    """All that it writes until it has ended. Raises CommandError before."""
    if child.stdout is None:
        raise CommandError(f"{name} has no output")
    end = time.monotonic() + TIMEOUT_SECONDS
    said = bytearray()
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise CommandError(f"{name} has not ended after {TIMEOUT_SECONDS:.0f} seconds")
        chunk = os.read(child.stdout.fileno(), 65536)
        if not chunk:
            break
        said += chunk
        if len(said) > MAX_OUTPUT:
            raise CommandError(f"{name} writes more than {MAX_OUTPUT} bytes")
    try:
        child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        why = f"{name} has not ended after {TIMEOUT_SECONDS:.0f} seconds"
        raise CommandError(why) from None
    return bytes(said)
