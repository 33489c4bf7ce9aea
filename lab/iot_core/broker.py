"""Routes messages: from clients and the cloud to subscribers, observers and reserved services.

Holds the sessions and the retained messages. Asks nobody for permission: ``client`` does.
As AWS has it, a retained message goes to a new subscriber only if the filter is exactly
its topic, and a basic-ingest topic reaches rules (observers) but no subscriber.
(AWS IoT Developer Guide, "MQTT" and "Reserved topics".) Lives on the lab's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from lab.iot_core.message import Message
from lab.iot_core.packets import Subscription
from lab.iot_core.session import Session
from lab.iot_core.topics import BASIC_INGEST, FilterTree

Observer = Callable[[Message], None]


class Reply(Protocol):
    """Sends a message straight to the client that asked, unless it has gone; from any thread."""

    def __call__(self, topic: str, payload: bytes, qos: int = 1) -> None: ...


Handler = Callable[[Message, Reply], None]


class Subscriber(Protocol):
    """A connected client, as the broker needs it."""

    def deliver(self, message: Message) -> None:
        """Take a message at the QoS and with the retain flag that it bears."""

    def reply(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """See Reply."""

    def take_over(self) -> None:
        """Leave now: another connection came with the same client id."""


class Broker:
    """Callbacks are called one by one on the loop, after the call that caused them."""

    def __init__(self) -> None:
        self._clients: dict[str, Subscriber] = {}
        self._sessions: dict[str, Session] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._subscribed = FilterTree[str]()
        self._observers = FilterTree[Observer]()
        self._reserved = FilterTree[Handler]()
        self._retained: dict[str, Message] = {}

    def attach(
        self, client_id: str, client: Subscriber, *, clean_start: bool, expiry: float
    ) -> tuple[Session, bool]:
        """Give the client its session, and whether it existed before; seconds of ``expiry``."""
        if client_id in self._clients:
            self._clients[client_id].take_over()
        if client_id in self._ends:
            self._ends.pop(client_id).cancel()
        if clean_start:
            self._forget(client_id)
        present = client_id in self._sessions
        session = self._sessions.setdefault(client_id, Session(client_id))
        session.expiry = expiry
        self._clients[client_id] = client
        return session, present

    def detach(self, client_id: str) -> None:
        """The client is gone; its session ends when its expiry is over."""
        del self._clients[client_id]
        expiry = self._sessions[client_id].expiry
        if expiry:
            loop = asyncio.get_running_loop()
            self._ends[client_id] = loop.call_later(expiry, self._forget, client_id)
        else:
            self._forget(client_id)

    def _forget(self, client_id: str) -> None:
        self._ends.pop(client_id, None)
        session = self._sessions.pop(client_id, None)
        for topic_filter in session.subscriptions if session else ():
            self._subscribed.remove(topic_filter, client_id)

    def subscribe(self, session: Session, subscription: Subscription) -> Message | None:
        """Add or replace a subscription; gives the retained message that the client is to get."""
        new = subscription.topic_filter not in session.subscriptions
        session.subscriptions[subscription.topic_filter] = subscription
        self._subscribed.add(subscription.topic_filter, session.client_id)
        if subscription.retain_handling == 2 or (subscription.retain_handling == 1 and not new):
            return None
        retained = self._retained.get(subscription.topic_filter)
        return retained and replace(retained, qos=min(retained.qos, subscription.qos))

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Whether there was such a subscription."""
        self._subscribed.remove(topic_filter, session.client_id)
        return session.subscriptions.pop(topic_filter, None) is not None

    def publish(self, message: Message, publisher: Subscriber | None = None) -> None:
        """Route an accepted message; the cloud, which is no ``publisher``, asks no service."""
        loop = asyncio.get_running_loop()
        if publisher is not None:
            for _, handler in self._reserved.matching(message.topic):
                loop.call_soon(handler, message, publisher.reply)
                return
        if message.retain:
            self._retain(message)
        for _, observer in self._observers.matching(message.topic):
            loop.call_soon(observer, message)
        if not message.topic.startswith(BASIC_INGEST):
            self._deliver(message)

    def _retain(self, message: Message) -> None:
        if message.payload:
            self._retained[message.topic] = message
        else:
            self._retained.pop(message.topic, None)

    def _deliver(self, message: Message) -> None:
        """Once to each subscribed client, at the best QoS that its matching filters grant."""
        granted: dict[str, Subscription] = {}
        for topic_filter, client_id in self._subscribed.matching(message.topic):
            subscription = self._sessions[client_id].subscriptions[topic_filter]
            if subscription.no_local and client_id == message.client_id:
                continue
            if client_id not in granted or granted[client_id].qos < subscription.qos:
                granted[client_id] = subscription
        for client_id, subscription in granted.items():
            copy = replace(
                message,
                qos=min(message.qos, subscription.qos),
                retain=message.retain and subscription.retain_as_published,
            )
            if client_id in self._clients:
                self._clients[client_id].deliver(copy)
            elif copy.qos:
                self._sessions[client_id].keep(copy)

    def observe(self, topic_filter: str, observer: Observer) -> None:
        self._observers.add(topic_filter, observer)

    def stop_observing(self, topic_filter: str, observer: Observer) -> None:
        self._observers.remove(topic_filter, observer)

    def reserve(self, topic_filter: str, handler: Handler) -> None:
        self._reserved.add(topic_filter, handler)
