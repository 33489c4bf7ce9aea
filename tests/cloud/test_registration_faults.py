"""Registration while AWS fails, events repeat, and several want the same thing.

Whatever happens, at every instant: no certificate of the factory is ACTIVE without its policy and
its thing, and each thing has one at the most; and in the end the device is let in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from lab.fleet.disturbance import Hook, failing, quiet
from lab.fleet.registry import THING
from rotation_cloud.documents import REGISTRATION
from rotation_cloud.ports import AwsError, RecordChanged, Throttled
from rotation_cloud.registration import BeingRegistered, register
from tests.cloud.factory import POLICY, SAW, TERMS, Factory, event

CALLS = (
    *("registry.registered", "registrar.ca", "registrar.create_thing", "registrar.activate"),
    *("registry.things", "registry.principals", "registry.attach_policy", "registry.attach_thing"),
    *("documents.get", "documents.write"),
)


def check(factory: Factory) -> None:
    """What must hold at every instant."""
    active = [one for one in factory.account.registry.certificates.values() if one.is_active]
    for one in active:
        if one.ca_id:
            assert one.policies == {POLICY}
            assert list(one.things) == [SAW]
    assert sum(SAW in one.things for one in active) <= 1
    assert factory.account.registry.known <= {THING, SAW}


def checked(factory: Factory, hook: Hook = quiet) -> Hook:
    def both(name: str, number: int) -> None:
        check(factory)
        hook(name, number)

    return both


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("how", ["failed", "throttled", "lost"])
def test_one_failed_call(call: str, number: int, how: str) -> None:
    """A call that fails once, done or not: the device is in after the event's repetition."""
    factory = Factory()
    fault = failing(call, range(number, number + 1), Throttled if how == "throttled" else AwsError)
    before, after = (quiet, fault) if how == "lost" else (fault, quiet)
    factory.account.disturb(checked(factory, before), checked(factory, after))
    device = factory.device()
    assert factory.present(device)
    assert factory.admitted(device)
    assert factory.dead_letters == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_call_that_fails_for_good(call: str, lost: bool) -> None:
    """The device stays out, or is in whole; once it is mended the next try lets it in."""
    factory = Factory()
    device = factory.device()
    fault = failing(call)
    before, after = (quiet, fault) if lost else (fault, quiet)
    factory.account.disturb(checked(factory, before), checked(factory, after))
    for _ in range(3):
        factory.present(device)
        factory.account.clock.sleep(600)
    assert factory.dead_letters or factory.of(device).is_active
    factory.account.disturb(checked(factory), checked(factory))
    assert factory.present(device)
    assert factory.admitted(device)


def calls_of(replaces: bool = False) -> int:
    factory = Factory(replace(TERMS, replaces=replaces))
    if replaces:
        factory.present(factory.device())
        factory.account.clock.sleep(100)  # until nobody can be at work on the first one
        factory.account.calls.clear()
    factory.present(factory.device())
    return len(factory.account.calls)


@pytest.mark.parametrize("at", range(calls_of()))
@pytest.mark.parametrize("is_done", [False, True])
def test_process_dies(at: int, is_done: bool) -> None:
    """A function that is killed before or after any call: the next try lets the device in."""
    factory = Factory()
    device = factory.device()

    def die(_name: str, _number: int) -> None:
        if len(factory.account.calls) == at + 1:
            raise KeyboardInterrupt

    before, after = (quiet, die) if is_done else (die, quiet)
    factory.account.disturb(before, after)
    with suppress(KeyboardInterrupt):  # there is no "after" a call that says NotFound
        register(factory.account.cloud, TERMS, event(device))
    check(factory)
    factory.account.disturb()
    assert factory.present(device)
    assert factory.admitted(device)


def nested(factory: Factory, at: int, act: Callable[[], None]) -> Hook:
    """Does something else in the midst, before the call of that number."""
    has_acted = False

    def hook(_name: str, _number: int) -> None:
        nonlocal has_acted
        check(factory)
        if len(factory.account.calls) == at + 1 and not has_acted:
            has_acted = True
            with suppress(AwsError, RecordChanged, BeingRegistered):
                act()

    return hook


@pytest.mark.parametrize("at", range(calls_of()))
def test_event_twice_at_once(at: int) -> None:
    """The same event in the midst of itself: the device is in, with one thing."""
    factory = Factory()
    device = factory.device()
    again = nested(factory, at, lambda: register(factory.account.cloud, TERMS, event(device)))
    factory.account.disturb(again)
    factory.present(device)
    factory.account.disturb(checked(factory))
    assert factory.present(device)
    assert factory.admitted(device)
    assert list(factory.refusals()) == []


def test_device_that_tries_again_at_once() -> None:
    """Its own half-made registration keeps a device out no longer than the fault lasts."""
    factory = Factory()
    device = factory.device()
    factory.account.disturb(failing("registrar.activate", range(1, 2)))
    with pytest.raises(AwsError):
        register(factory.account.cloud, TERMS, event(device))
    register(factory.account.cloud, TERMS, event(device))
    assert factory.admitted(device)


@pytest.mark.parametrize("at", range(calls_of()))
def test_two_certificates_at_once(at: int) -> None:
    """Two certificates of the same name, one in the midst of the other: one is let in."""
    factory = Factory()
    first, second = factory.device(), factory.device()
    other = nested(factory, at, lambda: register(factory.account.cloud, TERMS, event(second)))
    factory.account.disturb(other, checked(factory))
    with suppress(AwsError, RecordChanged, BeingRegistered):
        register(factory.account.cloud, TERMS, event(first))
    factory.account.disturb(checked(factory), checked(factory))
    for _ in range(3):
        for one in (first, second):
            factory.present(one)
        factory.account.clock.sleep(100)
    assert [factory.admitted(first), factory.admitted(second)].count(True) == 1
    assert list(factory.refusals()) == ["thing-in-use"]


def test_claim_of_somebody_else_is_left_alone() -> None:
    """Whoever took the thing over meanwhile keeps it."""
    factory = Factory()
    device = factory.device()
    items = factory.account.documents.items

    def take_over(name: str, _: int) -> None:
        if name == "documents.get" and "registrar.activate" in factory.account.calls:
            known = items[SAW, REGISTRATION]
            items[SAW, REGISTRATION] = replace(known, body={**known.body, "certificateId": "x"})

    factory.account.disturb(take_over)
    assert factory.present(device)
    assert items[SAW, REGISTRATION].body["certificateId"] == "x"
    assert items[SAW, REGISTRATION].body["lease"] > factory.account.clock.time


def calls_before_activation() -> int:
    factory = Factory()
    factory.present(factory.device())
    return factory.account.calls.index("registrar.activate")


@pytest.mark.parametrize("at", range(calls_before_activation() + 1))
def test_half_registered_certificate_blocks_nobody(at: int) -> None:
    """A device that vanished in the midst of its registration leaves its thing to another one."""
    factory = Factory()
    first, second = factory.device(), factory.device()

    def die(_name: str, _number: int) -> None:
        if len(factory.account.calls) == at + 1:
            raise KeyboardInterrupt

    factory.account.disturb(die)
    with pytest.raises(KeyboardInterrupt):
        register(factory.account.cloud, TERMS, event(first))
    factory.account.disturb(checked(factory))
    assert factory.present(second)
    assert factory.admitted(second)
    assert not factory.present(first)


@pytest.mark.parametrize("at", range(calls_of(replaces=True)))
@pytest.mark.parametrize("is_done", [False, True])
def test_replacing_that_is_interrupted(at: int, is_done: bool) -> None:
    """The next try completes it: one certificate is ACTIVE, and people were told of it."""
    factory = Factory(replace(TERMS, replaces=True))
    first, second = factory.device(), factory.device()
    factory.present(first)
    factory.account.clock.sleep(100)

    def die(_name: str, _number: int) -> None:
        if len(factory.account.calls) == at + 1:
            raise KeyboardInterrupt

    before, after = (quiet, die) if is_done else (die, quiet)
    factory.account.disturb(before, after)
    with pytest.raises(KeyboardInterrupt):
        register(factory.account.cloud, factory.terms, event(second))
    check(factory)
    factory.account.disturb(checked(factory))
    assert factory.present(second)
    assert factory.admitted(second)
    assert not factory.of(first).is_active
    assert factory.account.notices.told


@pytest.mark.parametrize("call", ["notices.tell", "registry.deactivate"])
def test_replacing_while_aws_fails(call: str) -> None:
    """Nothing is replaced unheard, nor beside a certificate that cannot be shut out."""
    factory = Factory(replace(TERMS, replaces=True))
    first, second = factory.device(), factory.device()
    factory.present(first)
    factory.account.disturb(checked(factory, failing(call)))
    assert not factory.present(second)
    assert factory.admitted(first)
    factory.account.disturb(checked(factory))
    assert factory.present(second)
    assert not factory.of(first).is_active
