"""A child process that is asked line by line: a JSON object in, a line back, within a time.

What it says on standard error is read along, lest it wait there for ever, and its last line
is kept for whoever wants to know why it ended. Neither a child that does not read nor one
that does not answer can hold its caller up for longer than the time it was given.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

MAX_ANSWER = 1024 * 1024
#: How long a child that was asked to end may take, and one that was killed.
END_SECONDS = 5.0
_PIECE = 64 * 1024
_LAST_WORDS = 2000
#: How often to look whether the child is still there: a grandchild may keep its pipes open.
_LOOK_SECONDS = 1.0


class ChildError(Exception):
    """The child gave no answer; says why."""


class LineChild:
    """One child, from its start to its end. For one thread; ``kill`` is for any."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises ChildError."""
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                tuple(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                bufsize=0,
            )
        except OSError as error:
            raise ChildError(f"no process could be started: {error}") from None
        self._pipes = _pipes(self._process)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._last_words = b""

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], timeout: float) -> bytes:
        """The line that it answers within ``timeout`` seconds. Raises ChildError; such a child is
        good for nothing any more."""
        to_child, from_child, errors = self._pipes
        unsent = memoryview(json.dumps(request).encode() + b"\n")
        answer = b""
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(to_child, selectors.EVENT_WRITE)
            selector.register(from_child, selectors.EVENT_READ)
            selector.register(errors, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                left = end - time.monotonic()
                if left <= 0:
                    raise ChildError(f"no answer within {timeout:g} s")
                ready = [key.fileobj for key, _ in selector.select(min(left, _LOOK_SECONDS))]
                if to_child in ready:
                    unsent = unsent[self._write(to_child, unsent) :]
                    if not unsent:
                        selector.unregister(to_child)
                if errors in ready and not self._hear(errors):
                    selector.unregister(errors)
                if from_child in ready:
                    piece = from_child.read(_PIECE) or b""
                    answer += piece
                    if not piece:
                        raise self._ended()
                    if len(answer) > MAX_ANSWER:
                        raise ChildError(f"the answer has more than {MAX_ANSWER} bytes")
                elif not ready and not self.is_alive():
                    raise self._ended()
        return answer

    def kill(self) -> None:
        """End it at once; it is not waited for."""
        self._process.kill()

    def end(self, at_once: bool) -> None:
        """Leave neither the process nor its pipes behind; unless ``at_once``, it may finish."""
        with contextlib.suppress(OSError):
            self._pipes[0].close()
        if not at_once:
            self._wait()
        self._process.kill()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        self._wait()  # one that a dead disk holds in the kernel cannot be waited for

    def _wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def _write(self, pipe: IO[bytes], content: memoryview) -> int:
        try:
            return pipe.write(content) or 0
        except OSError:
            raise self._ended() from None

    def _hear(self, errors: IO[bytes]) -> bool:
        """Read what it says on standard error; False if there will be no more."""
        piece = errors.read(_PIECE)
        self._last_words = (self._last_words + (piece or b""))[-_LAST_WORDS:]
        return piece != b""

    def _ended(self) -> ChildError:
        self._wait()
        self._hear(self._pipes[2])
        words = self._last_words.decode("utf-8", "replace").strip().splitlines()[-1:]
        code = self._process.poll()
        how = "hung up" if code is None else f"ended with {code}"
        return ChildError(" ".join([f"the rotating process {how}:", *words])[:300])


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    pipes = (process.stdin, process.stdout, process.stderr)
    to_child, from_child, errors = (pipe for pipe in pipes if pipe is not None)
    return to_child, from_child, errors
