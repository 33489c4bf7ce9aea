"""AWS IoT Core as a fleet meets it: who may connect, the Jobs topics, and the rules.

The Jobs service is the lab's own (lab/jobs), and the rules are those of the template, with
their SQL. Left out: policies, retained messages, and QoS: a message to a device that is not
connected is lost, one from a device arrives.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lab.cloud.quotas import Quotas
from lab.cloud.rules import Rule
from lab.cloud.sql import Query
from lab.cloud.sql_parser import parse
from lab.fleet.registry import ACCOUNT_ID, BASE, REGION, Registry
from lab.fleet.virtual_time import VirtualTime
from lab.iot_core.topics import matches
from lab.jobs.service import Jobs, JobsError
from rotation_protocol import topics

#: Seconds that a message takes one way; an estimate for a device on a good line.
LATENCY = 0.06
#: Within so many seconds the connection of a certificate that is no more ACTIVE ends ("a few
#: minutes", API reference, UpdateCertificate).
DISCONNECTED_WITHIN = 120.0


class Line(Protocol):
    """A device's connection, as AWS IoT Core sees it."""

    principal: str | None

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message arrives."""

    def drop(self) -> None:
        """AWS IoT ends the connection."""


@dataclass(frozen=True)
class Message:
    """As the rules see it."""

    topic: str
    payload: bytes
    client_id: str | None
    principal: str | None
    at: float


class IotCore:
    """``invoke`` takes a function's logical id and its event."""

    def __init__(
        self,
        time: VirtualTime,
        registry: Registry,
        rules: Iterable[Rule],
        invoke: Callable[[str, Any], None],
        quotas: Quotas,
        chance: random.Random,
    ) -> None:
        self.jobs = Jobs(ACCOUNT_ID, REGION, clock=lambda: time.now, publish=self.publish)
        self.jobs.control.update_event_configurations({"JOB_EXECUTION": {"Enabled": True}})
        self.jobs.fault = self._throttled
        self.is_away = False
        #: Messages "of rotations" and "of watching", from and to devices; "rules" triggered.
        self.messages: Counter[str] = Counter()
        self.ended: list[tuple[str, str, str, float]] = []  # thing, job, status, when
        self._time = time
        self._registry = registry
        self._rules: list[tuple[Query, str]] = [
            (parse(rule.sql, rule.sql_version), rule.function) for rule in rules
        ]
        self._invoke = invoke
        self._quotas = quotas
        self._chance = chance
        self._lines: dict[str, Line] = {}
        self._using: dict[str, str] = {}
        self._expiry: float | None = None
        registry.deactivated = self._deactivated

    # -- connections ---------------------------------------------------------------------------

    def connect(self, thing: str, certificate_id: str, line: Line) -> bool:
        """Whether the device is let in; then ``line`` gets what is sent to it."""
        if self.is_away or not self._quotas.take("iot-data", "Connect"):
            return False
        if not self.lets_in(thing, certificate_id):
            return False
        self._lines[thing] = line
        self._using[certificate_id] = thing
        return True

    def lets_in(self, thing: str, certificate_id: str) -> bool:
        """Whether the certificate is ACTIVE, the thing's, and allowed anything."""
        certificate = self._registry.certificates.get(f"{BASE}:cert/{certificate_id}")
        if certificate is None or not certificate.is_active:
            return False
        return thing in certificate.things and bool(certificate.policies)

    def go_away(self) -> None:
        """Nobody reaches it any more, and whoever is connected is so no longer."""
        self.is_away = True
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            line.drop()

    def disconnected(self, thing: str) -> None:
        """The device's connection has ended."""
        self._lines.pop(thing, None)

    def _deactivated(self, arn: str) -> None:
        certificate_id = arn.rpartition("/")[2]
        thing = self._using.get(certificate_id)
        if thing is None:
            return

        def end() -> None:
            line = self._lines.get(thing)
            if line is not None and line.principal == certificate_id:
                line.drop()

        self._time.after(self._chance.uniform(0.0, DISCONNECTED_WITHIN), end)

    # -- messages ------------------------------------------------------------------------------

    def take(self, thing: str, principal: str, topic: str, payload: bytes) -> None:
        """A message of the device is on its way."""

        def arrive() -> None:
            if self.is_away:
                return
            self.messages[f"{_kind(topic)} from devices"] += 1
            beginning = f"$aws/things/{thing}/jobs/"
            if topic.startswith(beginning):
                self._serve_job(thing, topic.removeprefix(beginning), payload)
            else:
                self._apply_rules(Message(topic, payload, thing, principal, self._time.now))

        self._time.after(self._latency(), arrive)

    def publish(self, topic: str, payload: bytes) -> None:
        """A message of the cloud: to the device that it is for, and to the rules."""
        if topic.startswith("$aws/events/"):
            self._note_end(topic, payload)
            self._apply_rules(Message(topic, payload, None, None, self._time.now))
            return
        levels = topic.split("/")
        if levels[-2:] == ["jobs", "notify"]:
            return  # the component does not subscribe to it
        thing = levels[levels.index("things") + 1]

        def arrive() -> None:
            line = self._lines.get(thing)
            if line is not None and not self.is_away:
                self.messages[f"{_kind(topic)} to devices"] += 1
                line.deliver(topic, payload)

        self._time.after(self._latency(), arrive)

    def _latency(self) -> float:
        return LATENCY * self._chance.uniform(0.5, 1.5)

    def _apply_rules(self, message: Message) -> None:
        for query, function in self._rules:
            if not matches(query.topic_filter, message.topic):
                continue
            event = query.evaluate(message)
            if event is not None:
                self.messages["rules"] += 1
                self._invoke(function, event)

    # -- jobs ----------------------------------------------------------------------------------

    def _serve_job(self, thing: str, rest: str, payload: bytes) -> None:
        def reply(topic: str, body: Mapping[str, Any]) -> None:
            self.publish(f"$aws/things/{thing}/jobs/{topic}", json.dumps(body).encode())

        self.jobs.serve(thing, rest, payload, reply)
        self.jobs.flush()
        self.watch_expiry()

    def _throttled(
        self, _thing: str, operation: str, _request: Mapping[str, Any]
    ) -> JobsError | Literal["drop"] | None:
        if self._quotas.take("iot-jobs-data", operation):
            return None
        return JobsError("RequestThrottled", "Rate exceeded")

    def watch_expiry(self) -> None:
        """Let time-outs and rollouts happen when they are due."""
        due = self.jobs.next_expiry()
        if due is None or (self._expiry is not None and self._expiry <= due):
            return
        self._expiry = due

        def expire() -> None:
            if self._expiry == due:
                self._expiry = None
                self.jobs.expire()
                self.watch_expiry()

        self._time.after(due - self._time.now, expire)

    def _note_end(self, topic: str, payload: bytes) -> None:
        levels = topic.split("/")
        if levels[2] == "jobExecution":
            thing = json.loads(payload)["thingArn"].rpartition("/")[2]
            self.ended.append((thing, levels[3], levels[4], self._time.now))


def _kind(topic: str) -> str:
    return "of watching" if topic in (topics.ALERTS, topics.HEALTH) else "of rotations"
