"""What every ports.Nucleus does: the fake, and the SDK's client against the lab's IPC server."""

from __future__ import annotations

import asyncio
import queue
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

from certkeeper import COMPONENT_NAME
from certkeeper.core import events
from certkeeper.core.record import Message
from certkeeper.edge.greengrass import SOCKET_VARIABLE, TOKEN_VARIABLE, Greengrass
from certkeeper.ports import Nucleus
from lab.loop import LoopThread
from lab.nucleus.configuration import ConfigurationStore
from lab.nucleus.ipc import IpcServer
from lab.nucleus.mqtt_proxy import SpoolError
from lab.timeline import Timeline
from tests.fakes import FakeNucleus

E = TypeVar("E")
ALLOWED, DENIED = "greengrass/alerts/certificates", "somewhere/else"
ACCESS = {
    "aws.greengrass.ipc.mqttproxy": {
        "test:1": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": [ALLOWED]}
    }
}

THING = "press-7"


@dataclass
class Stage:
    """A nucleus under test, and the strings by which the test plays its other side."""

    nucleus: Nucleus
    inbox: queue.SimpleQueue[events.Event]
    published: list[tuple[str, bytes, int]]
    change: Callable[[Mapping[str, Any]], None]
    drop: Callable[[], None]
    refuse_publishing: Callable[[], None]
    ask_validity: Callable[[Mapping[str, Any]], Callable[[], str]]
    kind: str = ""

    def next(self, kind: type[E]) -> E:
        """The next event of that type; others before it are passed over."""
        while True:
            event = self.inbox.get(timeout=20)
            if isinstance(event, kind):
                return event

    def open(self, attempt: int = 1) -> None:
        """Connect and subscribe, and wait until all of it stands."""
        self.nucleus.connect(attempt)
        assert self.next(events.Connected).attempt == attempt
        self.nucleus.subscribe(attempt)
        wanted = {"configuration-updates", "configuration-validation"}
        read = False
        while wanted or not read:
            event = self.inbox.get(timeout=20)
            if isinstance(event, events.Subscribed | events.SubscriptionRefused):
                wanted.discard(event.subscription)
            read = read or isinstance(event, events.ConfigurationRead)


@dataclass
class SpoolingMqtt:
    """The nucleus's MQTT, as far as IPC needs one."""

    published: list[tuple[str, bytes, int]] = field(default_factory=list)
    full: bool = False

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        if self.full:
            raise SpoolError("Message spool is full and the message could not be added.")
        self.published.append((topic, payload, qos))

    async def subscribe(self, topic_filter: str, qos: int, deliver: object) -> Any:
        raise AssertionError("the component subscribes to nothing")


@contextmanager
def fake_stage() -> Iterator[Stage]:
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    nucleus = FakeNucleus(inbox.put, {"maxAgeDays": 7})
    nucleus.denied_topics.add(DENIED)
    published: list[tuple[str, bytes, int]] = []

    def refuse() -> None:
        nucleus.publish_error = "ServiceError: Message spool is full"

    def ask(values: Mapping[str, Any]) -> Callable[[], str]:
        nucleus.validate("d-1", values)
        return lambda: nucleus.validity[-1][1]

    class Recording(list[Any]):
        def append(self, message: Message) -> None:
            published.append((message.topic, message.payload.encode(), 1))

    nucleus.published = Recording()
    yield Stage(
        nucleus,
        inbox,
        published,
        change=lambda values: nucleus.change(**values),
        drop=nucleus.drop,
        refuse_publishing=refuse,
        ask_validity=ask,
        kind="fake",
    )


@contextmanager
def real_stage(runtime: Literal["classic", "lite"]) -> Iterator[Stage]:
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    mqtt = SpoolingMqtt()
    store = ConfigurationStore(runtime)
    store.add(COMPONENT_NAME, {"maxAgeDays": 7, "accessControl": ACCESS})
    with tempfile.TemporaryDirectory(prefix="ck-") as folder, LoopThread() as loop:
        server = IpcServer(
            Path(folder) / "ipc.socket",
            runtime=runtime,
            thing_name="press-7",
            mqtt=mqtt,
            configuration=store,
            timeline=Timeline(),
        )
        loop.run(server.start())
        environment = {
            SOCKET_VARIABLE: f"{folder}/ipc.socket",
            TOKEN_VARIABLE: server.register(COMPONENT_NAME),
        }
        nucleus = Greengrass(inbox.put, THING, environment)

        def refuse() -> None:
            mqtt.full = True

        def ask(values: Mapping[str, Any]) -> Callable[[], str]:
            deployment = asyncio.run_coroutine_threadsafe(
                store.deploy(COMPONENT_NAME, merge=values, deployment_id="d-1"), loop.loop
            )

            def problem() -> str:
                error = deployment.exception(timeout=20)
                return "" if error is None else str(error)

            return problem

        yield Stage(
            nucleus,
            inbox,
            mqtt.published,
            change=lambda values: void(loop.run(store.deploy(COMPONENT_NAME, merge=values))),
            drop=lambda: loop.run(server.drop_connections()),
            refuse_publishing=refuse,
            ask_validity=ask,
            kind=runtime,
        )
        nucleus.close()
        loop.run(server.stop())


def void(_: object) -> None:
    """Drop a result."""


@pytest.fixture(params=["fake", "classic", "lite"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each implementation in turn; the real one on either kind of nucleus."""
    with fake_stage() if request.param == "fake" else real_stage(request.param) as one:
        yield one


def test_connects_reads_and_subscribes(stage: Stage) -> None:
    """After connect and subscribe the configuration is read, and its changes are subscribed to."""
    stage.nucleus.connect(3)
    assert stage.next(events.Connected).attempt == 3
    stage.nucleus.subscribe(3)
    subscribed = set()
    configuration = None
    while configuration is None or "configuration-updates" not in subscribed:
        event = stage.inbox.get(timeout=20)
        if isinstance(event, events.Subscribed):
            assert event.attempt == 3
            subscribed.add(event.subscription)
        if isinstance(event, events.ConfigurationRead):
            configuration = event.values
    assert configuration["maxAgeDays"] == 7


def test_change_is_told_and_can_be_read(stage: Stage) -> None:
    """A deployment's new value is announced, and is what the next read gives."""
    stage.open()
    if stage.kind == "classic":
        problem = stage.ask_validity({"maxAgeDays": 9})
        asked = stage.next(events.ValidationAsked)
        stage.nucleus.report_validity(asked.deployment_id, "")
        assert problem() == ""
    else:
        stage.change({"maxAgeDays": 9})
    assert stage.next(events.ConfigurationChanged).attempt == 1
    stage.nucleus.read_configuration(1)
    assert stage.next(events.ConfigurationRead).values["maxAgeDays"] == 9


def test_validation_is_asked_and_answered(stage: Stage) -> None:
    """Where the nucleus offers validation, a refusal reaches the deployment in our words."""
    stage.open()
    if stage.kind == "lite":
        stage.change({"maxAgeDays": "x"})  # lite asks nobody
        assert stage.next(events.ConfigurationChanged).attempt == 1
        return
    problem = stage.ask_validity({"maxAgeDays": "x"})
    asked = stage.next(events.ValidationAsked)
    assert asked.values["maxAgeDays"] == "x"
    stage.nucleus.report_validity(asked.deployment_id, "maxAgeDays must be a whole number")
    assert "maxAgeDays must be a whole number" in problem()


def test_what_a_nucleus_lacks_is_refused_not_fatal(stage: Stage) -> None:
    """An operation that is not offered is told as such, and the connection stays."""
    stage.nucleus.connect(1)
    stage.next(events.Connected)
    stage.nucleus.subscribe(1)
    if stage.kind == "lite":
        refused = stage.next(events.SubscriptionRefused)
        assert (refused.subscription, refused.unauthorized) == ("configuration-validation", False)
    message = Message("k", ALLOWED, "{}")
    stage.nucleus.publish(message)
    assert stage.next(events.Published).message == message


def test_publishes_with_qos_1(stage: Stage) -> None:
    """A message goes out byte for byte, QoS 1, and Published names it."""
    stage.open()
    message = Message("k", ALLOWED, '{"thingName":"Presse äöü"}')
    stage.nucleus.publish(message)
    assert stage.next(events.Published).message == message
    assert stage.published == [(ALLOWED, message.payload.encode(), 1)]


def test_unauthorized_topic_is_told_as_such(stage: Stage) -> None:
    """A topic that accessControl does not allow fails as unauthorized."""
    stage.open()
    message = Message("k", DENIED, "{}")
    stage.nucleus.publish(message)
    failed = stage.next(events.PublishFailed)
    assert failed.message == message
    assert failed.unauthorized


def test_refused_publish_is_told_with_its_reason(stage: Stage) -> None:
    """A publish that the nucleus does not take fails with a reason, and is not unauthorized."""
    stage.open()
    stage.refuse_publishing()
    stage.nucleus.publish(Message("k", ALLOWED, "{}"))
    failed = stage.next(events.PublishFailed)
    assert failed.reason
    assert not failed.unauthorized


def test_end_of_the_connection_is_told_and_another_can_be_made(stage: Stage) -> None:
    """When the nucleus hangs up that is told, and the next attempt has everything again."""
    stage.open(1)
    stage.drop()
    assert stage.next(events.Disconnected).attempt == 1
    stage.open(2)
    message = Message("k", ALLOWED, "{}")
    stage.nucleus.publish(message)
    assert stage.next(events.Published).message == message


def test_publish_without_connection_fails(stage: Stage) -> None:
    """Before connect, and after close, publishing fails rather than waits."""
    message = Message("k", ALLOWED, "{}")
    stage.nucleus.publish(message)
    assert stage.next(events.PublishFailed).message == message
    stage.open()
    stage.nucleus.close()
    stage.nucleus.publish(message)
    assert stage.next(events.PublishFailed).message == message


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, SOCKET_VARIABLE),
        ({SOCKET_VARIABLE: "/nowhere/ipc.socket"}, TOKEN_VARIABLE),
        ({SOCKET_VARIABLE: "/nowhere/ipc.socket", TOKEN_VARIABLE: "SECRETTOKEN"}, ""),
    ],
)
def test_no_nucleus_to_connect_to(environment: dict[str, str], said: str) -> None:
    """Without a socket, a token, or anybody listening, Disconnected says so, without the token."""
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    nucleus = Greengrass(inbox.put, THING, environment)
    nucleus.connect(5)
    event = inbox.get(timeout=20)
    assert isinstance(event, events.Disconnected)
    assert event.attempt == 5
    assert said in event.reason
    assert "SECRETTOKEN" not in repr(event)
    nucleus.close()


def test_wrong_token_is_refused() -> None:
    """A token that the nucleus does not know ends in Disconnected."""
    inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="ck-") as folder, LoopThread() as loop:
        server = IpcServer(
            Path(folder) / "ipc.socket",
            runtime="classic",
            thing_name="press-7",
            mqtt=SpoolingMqtt(),
            configuration=ConfigurationStore("classic"),
            timeline=Timeline(),
        )
        loop.run(server.start())
        socket = f"{folder}/ipc.socket"
        nucleus = Greengrass(inbox.put, THING, {SOCKET_VARIABLE: socket, TOKEN_VARIABLE: "WRONG"})
        nucleus.connect(1)
        event = inbox.get(timeout=20)
        assert isinstance(event, events.Disconnected)
        nucleus.close()
        loop.run(server.stop())
