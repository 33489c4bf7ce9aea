"""What the reconciler found, what became of it, and what people are told to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What is not as it should be."""

    JOB_EVENTS_OFF = "job-events-off"
    UNFINISHED = "unfinished"  # the job has ended, and what follows from it was not done
    HALF_MADE = "half-made"  # a creation stopped, and left a certificate
    LEFTOVER = "leftover"  # a finished rotation decided against it, and it is still ACTIVE
    STRAY = "stray"  # issued, its name lost before anybody noted it
    ORPHAN = "orphan"  # issued, kept by its rotation, and attached to nothing any more
    DUE = "due"  # near its deadline, and no rotation under way
    THING_GONE = "thing-gone"  # a device is remembered whose thing was deleted
    STALLED = "stalled"  # a rotation that does not come to its end
    NOT_ACTIVE = "not-active"  # what the device uses, or is about to use, opens nothing
    TWO_CERTIFICATES = "two-certificates"
    SILENT = "silent"
    NOT_EXAMINED = "not-examined"


class Result(StrEnum):
    """What became of it."""

    REPAIRED = "repaired"
    WOULD_BE_REPAIRED = "would-be-repaired"  # in a dry run
    FAILED = "failed"  # the repair was tried, and AWS did not do it
    LEFT = "left"  # it is for people


ADVICE: Mapping[Kind, str] = {
    Kind.JOB_EVENTS_OFF: "Find out who switches the account's job-execution events off.",
    Kind.UNFINISHED: "See that job-execution events arrive and that the queue of dead letters is "
    "empty. Where it was left, one of the two certificates has to go, and which one is not safe "
    "to say: find out which one the device uses, and deactivate the other one.",
    Kind.HALF_MADE: "If it was left, find out which certificate the device uses, and deactivate "
    "the other one.",
    Kind.LEFTOVER: "If no device uses it, deactivate and delete it.",
    Kind.STRAY: "If no device uses it, deactivate and delete it.",
    Kind.ORPHAN: "If its thing was taken out of service, deactivate and delete the certificate: "
    "until then whoever has its key may connect.",
    Kind.DUE: "Rotate the device now (docs/operations.md, Rotate one device), or set "
    "AutoRotateBelowDays.",
    Kind.THING_GONE: "Nothing, if the thing was deleted on purpose.",
    Kind.STALLED: "See that the device is online and its component runs; cancel the job if not. "
    "Give rotation jobs a time limit.",
    Kind.NOT_ACTIVE: "The device is let in no more, or will not be at its next connection: if "
    "nobody revoked the certificate on purpose, set it ACTIVE again now.",
    Kind.TWO_CERTIFICATES: "If that is not on purpose, find out which one the device uses, and "
    "deactivate the other one.",
    Kind.SILENT: "The device is offline, stopped, broken, or not allowed to publish: see to it "
    "before its deadline. If it was taken out of service, delete its thing.",
    Kind.NOT_EXAMINED: "Look at the detail and at the function's log; the next run tries again.",
}

#: Of each list, in an answer or a message: more than people read, less than a message takes.
MOST_SHOWN = 100
_MAX_DETAIL = 400


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one thing (in the sense of AWS IoT; empty: the account)."""

    kind: Kind
    thing: str
    result: Result
    detail: str = ""
    job_id: str = ""
    certificate_id: str = ""

    def to_json(self) -> dict[str, str]:
        fields = {**asdict(self), "detail": self.detail[:_MAX_DETAIL]}
        return {_NAMES.get(name, name): str(value) for name, value in fields.items() if value}

    @classmethod
    def from_json(cls, given: Mapping[str, str]) -> Finding:
        return cls(
            Kind(given["kind"]),
            given.get("thing", ""),
            Result(given["result"]),
            given.get("detail", ""),
            given.get("jobId", ""),
            given.get("certificateId", ""),
        )


_NAMES = {"job_id": "jobId", "certificate_id": "certificateId"}


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind and result, such as ``{"silent left": 3}``, the most first."""
    count = Counter(f"{one.kind.value} {one.result.value}" for one in findings)
    return dict(count.most_common())


def message(day: str, findings: Sequence[Finding], counts: Mapping[str, int], note: str) -> Any:
    """Subject and body of what people are told; ``findings`` may be fewer than ``counts``.

    What people have to do something about comes first.
    """
    left = sum(number for name, number in counts.items() if not name.endswith("repaired"))
    repaired = sum(counts.values()) - left
    subject = f"CertKeeper reconciler: {repaired} repaired, {left} to look at"
    ordered = sorted(findings, key=lambda one: one.result is Result.REPAIRED)
    body = {
        "day": day,
        "status": "RECONCILED",
        "found": ", ".join(f"{name}: {number}" for name, number in counts.items()),
    }
    for one in ordered[:MOST_SHOWN]:
        said = [f"{one.kind.value}, {one.result.value}"]
        said += [f"job {one.job_id}"] if one.job_id else []
        said += [f"certificate {one.certificate_id}"] if one.certificate_id else []
        body[_name(one.thing or "the account", body)] = ": ".join(
            filter(None, (", ".join(said), one.detail[:_MAX_DETAIL]))
        )
    more = sum(counts.values()) - len(ordered[:MOST_SHOWN])
    if more > 0:
        body["leftOut"] = f"{more} more: invoke the function with dryRun to see them"
    if note:
        body["note"] = note
    kinds = [kind for kind in Kind if any(name.startswith(f"{kind.value} ") for name in counts)]
    body["whatToDo"] = " ".join(f"[{kind.value}] {ADVICE[kind]}" for kind in kinds)
    return subject, body


def _name(wanted: str, taken: Mapping[str, str]) -> str:
    """The name, with a number behind it if there is one like it."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted} ({number})"
    return name
