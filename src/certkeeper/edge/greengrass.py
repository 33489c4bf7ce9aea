"""The Greengrass nucleus over IPC, through the AWS IoT Device SDK.

Nothing here blocks: each call begins something, and its outcome is posted as an event
from the SDK's own thread. Errors are told apart by their class, since nucleus lite
leaves their message empty (docs/protocol.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable

from awscrt.io import (
    ClientBootstrap,
    DefaultHostResolver,
    EventLoopGroup,
    SocketDomain,
    SocketOptions,
)

from certkeeper.core import events, inbound
from certkeeper.core.record import Message
from certkeeper.edge.ipc_sdk import (
    Connection,
    GreengrassCoreIPCClient,
    GreengrassCoreIPCClientV2,
    LifecycleHandler,
    MessageAmendment,
    model,
)
from certkeeper.ports import EventSink

SOCKET_VARIABLE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN_VARIABLE = "SVCUID"  # noqa: S105  # the name of the variable, not the token

CONFIGURATION_UPDATES = "configuration-updates"
CONFIGURATION_VALIDATION = "configuration-validation"
COMPONENT_UPDATES = "component-updates"


class Greengrass:
    """One connection to the nucleus at a time; see ports.Nucleus."""

    def __init__(
        self, post: EventSink, thing_name: str, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._post = post
        self._thing_name = thing_name
        self._environment = environment
        #: The topic filters asked for in this connection, and those of them in place.
        self._asked: set[str] = set()
        self._standing: set[str] = set()
        self._bootstrap: ClientBootstrap | None = None
        self._client: GreengrassCoreIPCClientV2 | None = None

    def connect(self, attempt: int) -> None:
        """See ports.Nucleus."""
        self.close()
        socket = self._environment.get(SOCKET_VARIABLE)
        token = self._environment.get(TOKEN_VARIABLE)
        if not socket or not token:
            missing = SOCKET_VARIABLE if not socket else TOKEN_VARIABLE
            reason = f"{missing} is not set: this process was not started by the nucleus"
            self._post(events.Disconnected(attempt, reason))
            return
        if self._bootstrap is None:
            loops = EventLoopGroup(num_threads=1)
            self._bootstrap = ClientBootstrap(loops, DefaultHostResolver(loops))
        options = SocketOptions()
        options.domain = SocketDomain.Local
        connection = Connection(
            host_name=socket,
            port=0,
            bootstrap=self._bootstrap,
            socket_options=options,
            connect_message_amender=MessageAmendment.create_static_authtoken_amender(token),
        )
        self._client = GreengrassCoreIPCClientV2(
            client=GreengrassCoreIPCClient(connection), executor=None
        )
        self._begin(
            lambda: connection.connect(_Lifecycle(attempt, self._post)),
            lambda _: events.Connected(attempt),
            lambda error: events.Disconnected(attempt, _reason(error)),
        )

    def subscribe(self, attempt: int) -> None:
        """See ports.Nucleus."""
        if self._client is None:
            return
        self._begin_subscription(
            attempt,
            CONFIGURATION_UPDATES,
            self._client.subscribe_to_configuration_update_async,
            lambda _: events.ConfigurationChanged(attempt),
            key_path=[],
        )
        self.read_configuration(attempt)
        self._begin_subscription(
            attempt,
            CONFIGURATION_VALIDATION,
            self._client.subscribe_to_validate_configuration_updates_async,
            lambda event: _validation(attempt, event),
        )
        self._begin_subscription(
            attempt,
            COMPONENT_UPDATES,
            self._client.subscribe_to_component_updates_async,
            _announcement,
        )

    def subscribe_jobs(self, attempt: int, topic_prefix: str) -> None:
        """See ports.Nucleus."""
        if self._client is None:
            return
        filters = inbound.filters(self._thing_name, topic_prefix)
        # Those of this connection, whatever an answer of an earlier one still does.
        asked, standing = self._asked, self._standing

        def settle(topic_filter: str, refused: bool) -> None:
            if refused:
                asked.discard(topic_filter)
                return
            standing.add(topic_filter)
            if standing.issuperset(filters.values()):
                self._post(events.Online(attempt))

        for name, topic_filter in filters.items():
            if topic_filter in asked:
                continue
            asked.add(topic_filter)
            self._begin_subscription(
                attempt,
                name,
                self._client.subscribe_to_iot_core_async,
                _inbound,
                partial(settle, topic_filter),
                topic_name=topic_filter,
                qos=model.QOS.AT_LEAST_ONCE,
            )

    def read_configuration(self, attempt: int) -> None:
        """See ports.Nucleus."""
        if self._client is None:
            return

        def failed(error: BaseException) -> events.Event:
            if isinstance(error, model.ResourceNotFoundError):
                return events.ConfigurationRead(attempt, {})
            return events.Disconnected(attempt, f"reading the configuration: {_reason(error)}")

        self._begin(
            self._client.get_configuration_async,
            lambda response: events.ConfigurationRead(attempt, response.value or {}),
            failed,
        )

    def report_validity(self, deployment_id: str, problem: str) -> None:
        """See ports.Nucleus."""
        if self._client is None:
            return
        accepted = model.ConfigurationValidityStatus.ACCEPTED
        rejected = model.ConfigurationValidityStatus.REJECTED
        report = model.ConfigurationValidityReport(
            status=rejected if problem else accepted,
            deployment_id=deployment_id,
            message=problem[:1000] or None,
        )
        # A report that comes too late changes nothing: the nucleus has decided by then.
        with contextlib.suppress(RuntimeError):
            self._client.send_configuration_validity_report_async(
                configuration_validity_report=report
            )

    def defer_update(self, deployment_id: str, milliseconds: int) -> None:
        """See ports.Nucleus."""
        if self._client is None:
            return
        # Too late an answer changes nothing: the update has begun by then.
        with contextlib.suppress(RuntimeError):
            self._client.defer_component_update_async(
                deployment_id=deployment_id,
                message="a certificate rotation is under way",
                recheck_after_ms=milliseconds,
            )

    def publish(self, message: Message) -> None:
        """See ports.Nucleus."""
        self._hand_over(
            message.topic,
            message.payload.encode("utf-8"),
            lambda: events.Published(message),
            lambda reason, unauthorized: events.PublishFailed(message, reason, unauthorized),
        )

    def send(self, topic: str, payload: bytes) -> None:
        """See ports.Nucleus."""
        self._hand_over(
            topic,
            payload,
            lambda: None,
            lambda reason, unauthorized: events.SendFailed(topic, reason, unauthorized),
        )

    def _hand_over(
        self,
        topic: str,
        payload: bytes,
        taken: Callable[[], events.Event | None],
        failed: Callable[[str, bool], events.Event],
    ) -> None:
        if self._client is None:
            self._post(failed("not connected", False))
            return
        publish = self._client.publish_to_iot_core_async
        self._begin(
            lambda: publish(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload),
            lambda _: taken(),
            lambda error: failed(_reason(error), _unauthorized(error)),
        )

    def close(self) -> None:
        """See ports.Nucleus."""
        client, self._client = self._client, None
        self._asked, self._standing = set(), set()
        if client is not None:
            client.close(executor_wait=False)

    def _begin_subscription(
        self,
        attempt: int,
        name: str,
        operation: Callable[..., tuple[Future[Any], Any]],
        on_event: Callable[[Any], events.Event | None],
        settled: Callable[[bool], None] = lambda refused: None,
        **arguments: Any,
    ) -> None:
        """``operation`` is one of the client's ``subscribe_to_..._async``; ``settled`` is told
        whether it was refused, after the event that says so."""
        established: list[bool] = []

        def received(event: Any) -> None:
            posted = on_event(event)
            if posted is not None:
                self._post(posted)

        def closed() -> None:
            # Also called for a stream that was refused; only the end of one that stood
            # means that the nucleus is going away.
            if established:
                self._post(events.Disconnected(attempt, f"the nucleus ended {name}"))

        def subscribed(_: Any) -> None:
            established.append(True)
            self._post(events.Subscribed(attempt, name))
            settled(False)

        def refused(error: BaseException) -> None:
            reason, unauthorized = _reason(error), _unauthorized(error)
            self._post(events.SubscriptionRefused(attempt, name, reason, unauthorized))
            settled(True)

        def begin() -> Future[Any]:
            response, _ = operation(
                on_stream_event=received,
                on_stream_error=lambda error: True,
                on_stream_closed=closed,
                **arguments,
            )
            return response

        self._begin(begin, subscribed, refused)

    def _begin(
        self,
        begin: Callable[[], Future[Any]],
        succeeded: Callable[[Any], events.Event | None],
        failed: Callable[[BaseException], events.Event | None],
    ) -> None:
        """Post what comes of ``begin``. What the SDK cannot even begin, for want of a socket
        or on a connection that has just ended, it raises as RuntimeError: a failure too."""

        def done(finished: Future[Any]) -> None:
            error = finished.exception()
            tell(succeeded(finished.result()) if error is None else failed(error))

        def tell(event: events.Event | None) -> None:
            if event is not None:
                self._post(event)

        try:
            future = begin()
        except RuntimeError as error:
            tell(failed(error))
            return
        future.add_done_callback(done)


class _Lifecycle(LifecycleHandler):  # type: ignore[misc]  # the SDK has no types
    """Tells of the end of an established connection."""

    def __init__(self, attempt: int, post: EventSink) -> None:
        super().__init__()
        self._attempt = attempt
        self._post = post

    def on_disconnect(self, reason: Exception | None) -> None:
        said = "closed" if reason is None else _reason(reason)
        self._post(events.Disconnected(self._attempt, said))


def _validation(attempt: int, event: Any) -> events.Event | None:
    asked = event.validate_configuration_update_event
    if asked is None:
        return None
    return events.ValidationAsked(attempt, asked.deployment_id or "", asked.configuration or {})


def _announcement(event: Any) -> events.Event | None:
    asked = event.pre_update_event
    return None if asked is None else events.UpdateAnnounced(asked.deployment_id or "")


def _inbound(event: Any) -> events.Event | None:
    message = event.message
    if message is None or not message.topic_name:
        return None
    return inbound.event_of(message.topic_name, message.payload or b"")


def _unauthorized(error: BaseException) -> bool:
    return isinstance(error, model.UnauthorizedError)


def _reason(error: BaseException) -> str:
    message = getattr(error, "message", None) or str(error)
    return f"{type(error).__name__}: {message}"[:300] if message else type(error).__name__
