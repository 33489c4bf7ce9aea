"""Alerts: what people hear of a certificate's end, once and in words, and what is not believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import THING, Stage
from lab.scenarios.traffic import Delayed, Held, to
from rotation_protocol import topics

ALERTS = "Alerts"
LADDER = {20: "20 days", 10: "10 days", 5: "5 days", 2: "2 days", 0: "less than a day"}
_ON_JOBS_ONLY = {"configuration": {"rotateBeforeDays": 0}}


def _ends_in(days: int) -> dict[str, Any]:
    """A device whose certificate ends in so many days and a half; it asks for no rotation."""
    return {"not_after": datetime.now(UTC) + timedelta(days=days, hours=12), **_ON_JOBS_ONLY}


def _wait_until_told(stage: Stage, count: int) -> list[str]:
    """The subjects of what people were told, once there are so many and nothing is under way."""
    stage.timeline.poll(
        lambda: len(stage.alerts_told()) >= count, f"{count} messages to people", 60
    )
    return _told(stage)


def _told(stage: Stage) -> list[str]:
    stage.backend.idle()
    return [str(entry.details["subject"]) for entry in stage.alerts_told()]


def _check_again(stage: Stage) -> None:
    """The component starts anew, checks, and its health message has arrived."""
    mark = stage.timeline.mark()
    stage.device.restart_component()
    stage.wait_for_line("checked ", after=mark)
    stage.timeline.wait_for("published", source="iot-core", after=mark, topic=topics.HEALTH)


@scenario(ALERTS, device=_ends_in(100))
def one_alert_per_rung(stage: Stage) -> None:
    """The component restarts again and again on every rung: people hear once of each rung."""
    stage.start()
    for days, said in LADDER.items():
        stage.device.move_clock(timedelta(days=100 - days))
        for _ in range(3):
            _check_again(stage)
        told = _wait_until_told(stage, 1)
        require(told[-1].endswith(f"certificate ends in {said}"), f"people were told {told}")
    told = _told(stage)
    require(len(told) == len(LADDER), f"people were told {told}")
    require(stage.inventory().certificate_id == stage.old.certificate_id, "the inventory is wrong")
    stage.device.move_clock(timedelta(0))
    stage.verdict(rotated=False, told=0)


@scenario(ALERTS, device=_ends_in(20))
def alert_of_a_retired_certificate(stage: Stage) -> None:
    """An alert is held up until its certificate is gone: it is no news, and no forgery."""
    delayed = Delayed(to(topics.ALERTS))
    stage.device.outbound_fault = delayed
    stage.start()
    require(delayed.seen.wait(60), "the device raised no alert")
    job = stage.rotate()
    stage.wait_for_idle()
    delayed.release()
    mark = stage.timeline.mark()
    _check_again(stage)
    stage.timeline.wait_for("published", source="iot-core", after=mark, topic=topics.ALERTS)
    require(_told(stage) == [], f"people were told {_told(stage)}")
    stage.verdict(rotated=True, job=job, told=0)
    entry = stage.inventory()
    require(entry.certificate_id == stage.certificate_on_disk(), "the inventory has the old one")
    require(entry.last_rotation_job == job, "the inventory does not know of the rotation")


@scenario(ALERTS, device=_ends_in(20))
def no_alert_while_rotating(stage: Stage) -> None:
    """A rung is crossed, and an older alert arrives, while the certificate is being replaced."""
    delayed, held = Delayed(to(topics.ALERTS)), Held(to("/commit"))

    def both(topic: str, payload: bytes) -> Iterable[tuple[str, bytes]]:
        return [out for kept in held(topic, payload) for out in delayed(*kept)]

    stage.device.outbound_fault = both
    stage.device.move_clock(timedelta(0))
    stage.start()
    require(delayed.seen.wait(60), "the device raised no alert")
    job = stage.create_job()
    require(held.seen.wait(90), "the device never came to the commit")
    delayed.release()
    stage.device.move_clock(timedelta(days=14))
    mark = stage.timeline.mark()
    _check_again(stage)
    stage.timeline.wait_for("published", source="iot-core", after=mark, topic=topics.ALERTS)
    stage.backend.idle()
    held.release()
    stage.wait_for_end(job, "succeeded", 90)
    require(_told(stage) == [], f"people were told {_told(stage)}")
    stage.device.move_clock(timedelta(0))
    stage.verdict(rotated=True, job=job, told=0)


@scenario(ALERTS, device=_ends_in(20), backend={"AutoRotateBelowDays": "30"})
def alert_starts_the_rotation(stage: Stage) -> None:
    """Nobody does anything, and the device may not ask: its alert starts the rotation, once."""
    stage.start()
    ended = stage.timeline.wait_for("succeeded", source="jobs", timeout=90)
    _check_again(stage)
    told = _wait_until_told(stage, 1)
    require(told == [f"WARNING: {THING}: certificate ends in 20 days"], f"people were told {told}")
    message = str(stage.alerts_told()[0].details["message"])
    require("A rotation has been started by itself" in message, f"people were told {message}")
    require(len(stage.timeline.find("queued", source="jobs")) == 1, "there is more than one job")
    stage.verdict(rotated=True, job=str(ended.details["job"]), told=0)
    entry = stage.inventory()
    require(entry.certificate_id == stage.certificate_on_disk(), "the inventory has the old one")
    require(entry.last_rotation > 0, "the inventory does not know of the rotation")


@scenario(ALERTS, device={"configuration": {"rotateBeforeDays": 0, "maxAgeDays": 20}})
def deadline_by_age(stage: Stage) -> None:
    """A certificate that ends in 2049 has a deadline by its age, and people hear of it."""
    stage.start()
    told = _wait_until_told(stage, 1)
    expected = f"WARNING: {THING}: certificate is too old in 19 days"
    require(told == [expected], f"people were told {told}")
    entry = stage.inventory()
    require(entry.deadline_reason == "max-age", f"the deadline is by {entry.deadline_reason}")
    require(datetime.fromtimestamp(entry.not_after, UTC).year == 2049, "notAfter is another")
    stage.verdict(rotated=False, told=0)


@scenario(ALERTS, device=_ends_in(6), backend={"AutoRotateBelowDays": "30"})
def forged_alert(stage: Stage) -> None:
    """Somebody alters an alert on its way, then floods the cloud: one notice, little work."""
    forged: list[dict[str, Any]] = []

    def alter(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if topic != topics.ALERTS:
            return [(topic, payload)]
        forged.append({**json.loads(payload), "daysRemaining": 1})
        return [(topic, json.dumps(forged[-1]).encode())]

    stage.device.outbound_fault = alter
    stage.start()
    _wait_until_told(stage, 1)
    sender = {"clientId": THING, "principal": stage.old.certificate_id}
    for number in range(100):
        stage.backend.invoke("AlertFunction", {**forged[0], **sender, "threshold": number})
    told = _told(stage)
    require(told == [f"SECURITY: {THING}: messages are not believed"], f"people were told {told}")
    calls = stage.backend.aws_calls
    looked = calls["iot", "DescribeCertificate"]
    require(looked < 20, f"the registry was asked {looked} times for 100 forgeries")
    require(calls["stepfunctions", "StartExecution"] == 0, "a rotation was started")
    require(not stage.timeline.find("dead-letter", source="lambda"), "there is a dead letter")
    stage.verdict(rotated=False, told=0)


@scenario(ALERTS, device=_ends_in(6))
def alert_replayed_by_another_device(stage: Stage) -> None:
    """Another device sends this one's alert again, under its own name and under the other's."""
    recorded: list[bytes] = []

    def record(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if topic == topics.ALERTS:
            recorded.append(payload)
        return [(topic, payload)]

    stage.device.outbound_fault = record
    stage.start()
    _wait_until_told(stage, 1)
    runtime = stage.device.layout.runtime
    other, identity = stage.lab.core_device("press-8", runtime=runtime)
    other.outbound_fault = _instead_of_health(recorded[0])
    other.start()
    told = _wait_until_told(stage, 2)
    require(told[1] == "SECURITY: press-8: messages are not believed", f"people were told {told}")
    message = stage.alerts_told()[1].details["message"]
    require("Reason:      other-thing" in str(message), f"people were told {message}")
    other.stop()
    # With an IoT policy that lets it connect as whom it likes.
    forged = {"clientId": THING, "principal": identity.certificate_id}
    stage.backend.invoke("AlertFunction", {**json.loads(recorded[0]), **forged})
    stage.backend.invoke("AlertFunction", {**json.loads(recorded[0]), **forged, "threshold": 3})
    require(len(_told(stage)) == 2, f"people were told {_told(stage)}")
    stage.verdict(rotated=False, told=0, strangers=frozenset({identity.certificate_id}))


def _instead_of_health(payload: bytes) -> Callable[[str, bytes], list[tuple[str, bytes]]]:
    return lambda topic, own: (
        [(topics.ALERTS, payload)] if topic == topics.HEALTH else [(topic, own)]
    )


@scenario(ALERTS, device=_ON_JOBS_ONLY)
def alert_of_a_lost_key(stage: Stage) -> None:
    """The private key is gone: nothing can be signed any more, and people hear of it."""
    stage.start()
    stage.wait_for_line("checked ")
    key = stage.device.layout.private_key_path
    away = key.with_suffix(".away")
    key.rename(away)
    _check_again(stage)
    told = _wait_until_told(stage, 1)
    expected = f"UNVERIFIED CRITICAL: {THING}: private key is gone or unreadable"
    require(told == [expected], f"people were told {told}")
    away.rename(key)
    stage.verdict(rotated=False, told=0)


def _failing(service: str, operation: str, code: str) -> Callable[..., str | None]:
    def fault(at: str, called: str, _: Mapping[str, Any]) -> str | None:
        return code if (at, called) == (service, operation) else None

    return fault


@scenario(ALERTS, device=_ends_in(6))
def alert_while_sns_fails(stage: Stage) -> None:
    """SNS takes nothing: the alert is a dead letter, and people hear of it when it is redriven."""
    stage.backend.aws_fault = _failing("sns", "Publish", "InternalErrorException")
    stage.start()
    letter = stage.timeline.wait_for("dead-letter", source="lambda", timeout=60)
    stage.backend.aws_fault = lambda *_: None
    for _ in range(3):
        stage.backend.invoke(str(letter.details["function"]), letter.details["event"])
        stage.backend.idle()
    told = _told(stage)
    expected = f"CRITICAL: {THING}: certificate ends in 6 days"
    require(told == [expected], f"people were told {told}")
    stage.verdict(rotated=False, told=0)


@scenario(ALERTS, device=_ends_in(6))
def alerts_twice(stage: Stage) -> None:
    """Every message comes twice at once, and one write to the table fails: told once."""
    failed: list[str] = []

    def fault(at: str, called: str, _: Mapping[str, Any]) -> str | None:
        if (at, called) == ("dynamodb", "PutItem") and not failed:
            failed.append(called)
            return "InternalServerError"
        return None

    stage.backend.aws_fault = fault
    stage.device.outbound_fault = lambda topic, payload: [(topic, payload)] * 2
    stage.start()
    told = _wait_until_told(stage, 1)
    stage.wait_for_line(f"published topic={topics.ALERTS} ")
    told = _told(stage)
    require(told == [f"CRITICAL: {THING}: certificate ends in 6 days"], f"people were told {told}")
    require(not stage.timeline.find("dead-letter", source="lambda"), "there is a dead letter")
    stage.device.outbound_fault = None
    stage.verdict(rotated=False, told=0)
