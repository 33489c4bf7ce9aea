"""What goes to the rotating child and what comes back, as JSON: the daemon's side of it.

An answer is believed only if it is one of those that the step can have; edge/rotating_child.py
writes them. Of the contents only the types are looked at: the child is ours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Callable

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.store import SLOTS, Slot, Store
from rotation_protocol.reasons import FailureReason

VERDICTS = ("accepted", "refused", "unclear", "unreachable")


class AnswerError(ValueError):
    """What came back is no answer to the step; says why."""


def survey_request(survey: effects.Survey, root: str, thing_name: str) -> dict[str, Any]:
    """The request that every child gets first."""
    return {
        "do": "survey",
        "root": root,
        "thingName": thing_name,
        "certificateFilePath": survey.settings.certificate_file_path,
        "privateKeyPath": survey.settings.private_key_path,
    }


def request(step: RotatorStep) -> dict[str, Any]:
    """The request for a step other than Survey and EndRotator, which are none."""
    if isinstance(step, effects.Prepare):
        return {
            "do": "prepare",
            "keyAlgorithm": step.key_algorithm,
            "signingAlgorithm": step.signing_algorithm,
        }
    if isinstance(step, effects.Stage):
        return {
            "do": "stage",
            "slot": step.slot,
            "csr": step.csr,
            "certificatePem": step.certificate_pem,
        }
    if isinstance(step, effects.Probe):
        return {"do": "probe", "slots": list(step.slots)}
    if isinstance(step, effects.Arm):
        slots = {"oldSlot": step.old_slot, "newSlot": step.new_slot}
        return {"do": "arm", **slots, "seconds": step.seconds}
    if isinstance(step, effects.Activate):
        return {"do": "activate", "slot": step.slot}
    if isinstance(step, effects.Reconnect):
        return {"do": "reconnect", "strength": step.strength}
    if isinstance(step, effects.Disarm):
        return {"do": "disarm"}
    if isinstance(step, effects.Wipe):
        return {"do": "wipe", "slot": step.slot}
    raise TypeError(f"{type(step).__name__} is no request of its own")


def event(step: RotatorStep, line: bytes) -> events.Event:
    """The event in the answer to the step. Raises AnswerError."""
    try:
        fields = json.loads(line)
        name = fields["event"]
        if name == _FAILED.get(type(step).__name__, "StepFailed"):
            return _failure(step, fields)
        expected, decode = _ANSWERS[type(step).__name__]
        if name != expected:
            raise AnswerError(f"the answer is {name!r}, not {expected}")
        return decode(_Fields(fields))
    except AnswerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AnswerError(f"the answer is not understood ({type(error).__name__})") from None


class _Fields:
    """An object's fields, each of the type that is asked for."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        return str(self._typed(name, str))

    def flag(self, name: str) -> bool:
        return bool(self._typed(name, bool))

    def optional(self, name: str) -> str | None:
        return None if self._fields[name] is None else self.text(name)

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise AnswerError(f"{name} is none of {', '.join(choices)}")
        return value

    def slot(self, name: str = "slot") -> str:
        return self.one_of(name, SLOTS)

    def objects(self, name: str) -> list[_Fields]:
        return [_Fields(item) for item in self._typed(name, list)]

    def object(self, name: str) -> _Fields:
        return _Fields(self._typed(name, dict))

    def _typed(self, name: str, kind: type) -> Any:
        value = self._fields[name]
        if type(value) is not kind:
            raise AnswerError(f"{name} is not of type {kind.__name__}")
        return value


def _failure(step: RotatorStep, fields: Mapping[str, Any]) -> events.Event:
    answer = _Fields(fields)
    if isinstance(step, effects.Survey):
        return events.SurveyFailed(answer.text("reason"))
    name = answer.one_of("step", (type(step).__name__,))
    return events.StepFailed(name, FailureReason(answer.text("reason")), answer.text("detail"))


def _surveyed(answer: _Fields) -> events.Event:
    slots = answer.object("slots")
    current = answer.optional("current")
    journal = answer.optional("journal")
    if current not in (None, *SLOTS):
        raise AnswerError("current is no slot")
    return events.Surveyed(
        Store(
            folder=answer.text("folder"),
            runtime=answer.text("runtime"),
            adopted=answer.flag("adopted"),
            current=current,
            slots={name: _slot(slots.object(name)) for name in SLOTS},
            in_use=answer.optional("inUse"),
            journal=None if journal is None else base64.b64decode(journal, validate=True),
        )
    )


def _slot(answer: _Fields) -> Slot:
    return Slot(answer.flag("hasKey"), answer.optional("certificateId"), answer.flag("whole"))


def _prepared(answer: _Fields) -> events.Event:
    return events.Prepared(
        old_slot=answer.slot("oldSlot"),
        new_slot=answer.slot("newSlot"),
        csr=answer.text("csr"),
        old_certificate_id=answer.text("oldCertificateId"),
        key_algorithm=answer.text("keyAlgorithm"),
    )


def _probed(answer: _Fields) -> events.Event:
    return events.Probed(
        tuple(
            events.ProbeResult(one.slot(), one.one_of("verdict", VERDICTS), one.text("detail"))
            for one in answer.objects("results")
        )
    )


def _reconnected(answer: _Fields) -> events.Event:
    return events.Reconnected(answer.text("means"), answer.flag("restartsUs"))


#: By step: how its failure is called if not StepFailed; and its answer, and who reads that.
_FAILED = {"Survey": "SurveyFailed"}
_ANSWERS: dict[str, tuple[str, Callable[[_Fields], events.Event]]] = {
    "Survey": ("Surveyed", _surveyed),
    "Prepare": ("Prepared", _prepared),
    "Stage": ("Staged", lambda answer: events.Staged(answer.text("certificateId"))),
    "Probe": ("Probed", _probed),
    "Arm": ("Armed", lambda _: events.Armed()),
    "Activate": ("Activated", lambda answer: events.Activated(answer.slot())),
    "Reconnect": ("Reconnected", _reconnected),
    "Disarm": ("Disarmed", lambda _: events.Disarmed()),
    "Wipe": ("Wiped", lambda answer: events.Wiped(answer.slot())),
}
