"""What must hold of a fleet once all is settled, looked at from outside.

Every device is connected with one whole pair; the account holds that certificate, ACTIVE, and
no other; each execution has one end; no event is left over; people were told of each rotation
that did not succeed, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lab.fleet.device import Device
from lab.fleet.fleet import Fleet
from lab.fleet.registry import BASE

_GOOD_ENDS = frozenset({"succeeded", "deleted"})


def problems(fleet: Fleet) -> list[str]:
    """Whatever does not hold, in words; empty if all is well."""
    found = [problem for device in fleet.devices for problem in _of_device(fleet, device)]
    return [*found, *_of_account(fleet), *_of_jobs(fleet), *_of_people(fleet)]


def _of_device(fleet: Fleet, device: Device) -> Iterator[str]:
    store, thing = device.store, device.thing
    if not device.is_settled:
        yield f"{thing}: a rotation is under way"
    if not store.is_whole(store.current):
        yield f"{thing}: no whole pair is in use"
    if device.principal is None or device.principal != store.in_use:
        yield f"{thing}: it uses {store.in_use}, and is connected with {device.principal}"
    if store.may_strike:
        yield f"{thing}: the dead-man's switch is armed"
    if sum(pair.key is not None for pair in store.slots.values()) != 1:
        yield f"{thing}: its store holds more keys than one"
    attached = set(fleet.registry.principals(thing))
    if attached != {f"{BASE}:cert/{store.in_use}"}:
        yield f"{thing}: attached are {len(attached)} certificates"


def _of_account(fleet: Fleet) -> Iterator[str]:
    in_use = {f"{BASE}:cert/{device.store.in_use}" for device in fleet.devices}
    for arn, certificate in fleet.registry.certificates.items():
        if arn not in in_use:
            yield f"leaked: {arn}, {'ACTIVE' if certificate.is_active else 'INACTIVE'}"
        elif not certificate.is_active:
            yield f"in use and not ACTIVE: {arn}"
    for letter in fleet.functions.dead_letters:
        yield f"dead letter: {letter.function.name}, {letter.error}: {letter.event[:200]}"


def _of_jobs(fleet: Fleet) -> Iterator[str]:
    ends = Counter((thing, job) for thing, job, _, _ in fleet.iot_core.ended)
    for (thing, job), count in ends.items():
        if count > 1:
            yield f"{thing}: {job} has {count} ends"
    for device in fleet.devices:
        for job in fleet.jobs.pending(device.thing):
            yield f"{device.thing}: {job} has not ended"


def _of_people(fleet: Fleet) -> Iterator[str]:
    """A job that a device never took is no rotation: nobody is told of its end."""
    told = Counter((one["thingName"], one["jobId"]) for one in fleet.notices.told)
    for thing, job, status, _ in fleet.iot_core.ended:
        expected = status not in _GOOD_ENDS and fleet.records.get(thing, job) is not None
        count = told.pop((thing, job), 0)
        if count != expected:
            yield f"{thing}: {job} {status}, and people were told {count} times"
    if fleet.machines.failed:
        yield f"{fleet.machines.failed} workflows were handed over to a person"
    for (thing, job), count in told.items():
        yield f"{thing}: people were told {count} times of {job}, which has no end"
