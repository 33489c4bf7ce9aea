"""One stream of an IPC connection: a request, its answer or error, and the events after it.

Operations see it as their ``Call``. Source: ``OperationContinuationHandler`` of the
event-stream RPC server that classic uses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from lab.nucleus.eventstream import TERMINATE_STREAM, Message, MessageType
from lab.nucleus.operations import PREFIX, Request


class Stream:
    """One request and whatever is sent for it; operations see it as their ``Call``."""

    def __init__(self, send: Callable[[Message], None], number: int, component: str) -> None:
        self.component = component
        self.request = Request({})
        self.task: asyncio.Task[None] | None = None
        self._send_message = send
        self._number = number
        self._answered = False
        self._ended = False
        self._kept: list[tuple[str, Mapping[str, Any]]] = []
        self._on_close: list[Callable[[], None]] = []

    def event(self, model: str, payload: Mapping[str, Any]) -> None:
        """Send a message after the answer, or, before it, keep it until the answer is sent."""
        if not self._answered:
            self._kept.append((model, payload))
        elif not self._ended:
            self._send(MessageType.APPLICATION_MESSAGE, model, payload)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the stream ends, for whatever reason."""
        if self._ended:
            callback()
        else:
            self._on_close.append(callback)

    def answer(self, model: str, payload: Mapping[str, Any], *, flags: int) -> None:
        """Send the answer, and the events that were kept for it."""
        self._send(MessageType.APPLICATION_MESSAGE, model, payload, flags=flags)
        self._answered = True
        for event in self._kept:
            self.event(*event)

    def fail(self, model: str, payload: Mapping[str, Any]) -> None:
        """Send an error of the model, which ends the stream."""
        self._send(MessageType.APPLICATION_ERROR, model, payload, flags=TERMINATE_STREAM)

    def fail_unmodelled(self, content_type: str, payload: bytes) -> None:
        """Send an error that names no model, which ends the stream."""
        self._send_message(
            Message(
                MessageType.APPLICATION_ERROR,
                self._number,
                TERMINATE_STREAM,
                {":content-type": content_type},
                payload,
            )
        )

    def end(self) -> None:
        """Nothing more is sent, the operation is cancelled, and who wanted to know is told."""
        self._ended = True
        if self.task is not None:
            self.task.cancel()
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            callback()

    def _send(
        self, kind: MessageType, model: str, payload: Mapping[str, Any], *, flags: int = 0
    ) -> None:
        headers = {":content-type": "application/json", "service-model-type": PREFIX + model}
        body = json.dumps(payload).encode()
        self._send_message(Message(kind, self._number, flags, headers, body))
