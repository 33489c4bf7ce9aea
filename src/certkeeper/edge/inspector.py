"""Looks at the device from a child process, so that the daemon never holds a key.

The child (``python -m certkeeper inspect``) loads the X.509 library, reads and signs,
answers one JSON object on its standard output, and is gone: the private key is in
memory for milliseconds a day, and the daemon stays small (docs/decisions/0002).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from certkeeper.core import events
from certkeeper.core.settings import Settings
from certkeeper.edge import inventory_json
from certkeeper.ports import EventSink
from rotation_protocol.codec import alert_signing_bytes
from rotation_protocol.messages import Alert

#: Reading a few files; a hung one (a dead network mount) is given up.
TIMEOUT_SECONDS = 120.0
MAX_ANSWER = 4 * 1024 * 1024


class InspectionError(Exception):
    """The child gave no answer; says why."""


class ChildInspector:
    """One child at a time, for the Greengrass root ``root``; see ports.Inspector."""

    def __init__(
        self,
        post: EventSink,
        root: str,
        command: Sequence[str] = (sys.executable, "-m", "certkeeper", "inspect"),
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._post = post
        self._root = root
        self._command = tuple(command)
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def inspect(self, settings: Settings) -> None:
        """See ports.Inspector."""
        request = {
            "do": "inspect",
            "root": self._root,
            "watch": list(settings.watch),
            "certificateFilePath": settings.certificate_file_path,
            "privateKeyPath": settings.private_key_path,
        }

        def look() -> events.Event:
            return events.Inspected(inventory_json.decode(self._ask(request)["inventory"]))

        self._begin(look, events.InspectionFailed)

    def sign(self, alerts: tuple[Alert, ...], private_key_source: str | None) -> None:
        """See ports.Inspector."""
        if private_key_source is None:
            self._post(events.AlertsSigned(alerts, "there is no key that is the certificate's own"))
            return

        def sign() -> events.Event:
            contents = [alert_signing_bytes(alert).decode() for alert in alerts]
            answer = self._ask(
                {"do": "sign", "privateKeySource": private_key_source, "contents": contents}
            )
            signatures = _signatures(answer, len(alerts))
            return events.AlertsSigned(
                tuple(replace(alert, signature=s) for alert, s in zip(alerts, signatures))
            )

        self._begin(sign, lambda reason: events.AlertsSigned(alerts, reason))

    def close(self) -> None:
        """See ports.Inspector."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()

    def _begin(
        self, work: Callable[[], events.Event], failed: Callable[[str], events.Event]
    ) -> None:
        """Do the work beside the caller, and post what comes of it, whatever happens."""

        def run() -> None:
            try:
                event = work()
            except InspectionError as error:
                event = failed(str(error))
            except (KeyError, TypeError, ValueError) as error:
                event = failed(f"the answer is not understood: {error!r}"[:300])
            self._post(event)

        try:
            threading.Thread(target=run, name="inspector", daemon=True).start()
        except RuntimeError as error:
            self._post(failed(f"no thread could be started: {error}"))

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The child's answer to one request. Raises InspectionError."""
        try:
            child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            raise InspectionError(f"no process could be started: {error}") from None
        self._child = child
        if self._closed:
            child.kill()
        try:
            output, errors = child.communicate(json.dumps(request).encode(), self._timeout)
        except subprocess.TimeoutExpired:
            raise InspectionError(f"no answer within {self._timeout:g} s") from None
        finally:
            self._child = None
            _end(child)
        return _answer(output, errors, child.returncode)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave neither the process nor its pipes behind."""
    child.kill()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    # One that a dead disk holds in the kernel cannot be waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5.0)


def _signatures(answer: Mapping[str, Any], wanted: int) -> list[str]:
    signatures = answer["signatures"]
    one_each = isinstance(signatures, list) and len(signatures) == wanted
    if not one_each or not all(isinstance(signature, str) for signature in signatures):
        raise InspectionError("the answer has not one signature for each alert")
    return list(signatures)


def _answer(output: bytes, errors: bytes, code: int) -> dict[str, Any]:
    if code != 0:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise InspectionError(" ".join([f"the inspecting process ended with {code}:", *last])[:300])
    if len(output) > MAX_ANSWER:
        raise InspectionError(f"the answer has more than {MAX_ANSWER} bytes")
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        raise InspectionError("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise InspectionError("the answer is not an object")
    if "error" in answer:
        raise InspectionError(str(answer["error"])[:300])
    return answer
