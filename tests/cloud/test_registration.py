"""A device presents a certificate of an own CA: who is let in, as what, and who stays out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.documents import REGISTRATION
from rotation_cloud.ports import AwsError
from rotation_cloud.registration import Terms, register
from rotation_cloud.security_events import Activity
from rotation_protocol.fields import WireError
from tests.cloud.factory import CA_ID, DAY, SAW, TERMS, Factory, event


def test_new_device_is_let_in() -> None:
    """Its thing is made, it has thing and policy, it is ACTIVE, and an event says so."""
    factory = Factory()
    device = factory.device()
    assert factory.present(device)
    assert factory.admitted(device)
    assert SAW in factory.account.registry.known
    (said,) = factory.account.audit.events
    assert (said.activity, said.thing, said.succeeded) == (Activity.DEVICE_REGISTERED, SAW, True)
    assert said.certificate_id == device
    assert factory.account.notices.told == []


def test_activation_comes_last() -> None:
    """Nothing is done to the registry after the activation."""
    factory = Factory()
    factory.present(factory.device())
    writes = ("registrar.create_thing", "registry.attach", "registrar.activate")
    made = [call for call in factory.account.calls if call.startswith(writes)]
    assert made[-1] == "registrar.activate"
    assert len(made) == 4


def test_thing_that_is_there_is_used() -> None:
    """A known thing without a certificate is taken as it is, under either setting."""
    for terms in (TERMS, replace(TERMS, creates_things=False)):
        factory = Factory(terms)
        factory.account.registry.known.add(SAW)
        device = factory.device()
        assert factory.present(device)
        assert factory.admitted(device)
        assert "registrar.create_thing" not in factory.account.calls


def test_unknown_thing_where_only_known_ones_are_let_in() -> None:
    """It stays out until somebody makes the thing."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    assert not factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing"]
    factory.account.registry.known.add(SAW)
    assert factory.present(device)


def test_attachment_by_hand_is_kept() -> None:
    """A certificate that an operator attached already, not exclusively, is not attached again."""
    factory = Factory()
    device = factory.device()
    factory.account.registry.known.add(SAW)
    factory.of(device).things[SAW] = "NON_EXCLUSIVE_THING"
    assert factory.present(device)
    assert factory.of(device).things == {SAW: "NON_EXCLUSIVE_THING"}


def test_event_is_not_believed() -> None:
    """What the event says beside the id counts for nothing; without an id it is no event."""
    factory = Factory(replace(TERMS, ca_id=CA_ID))
    device = factory.device()
    assert factory.present(device)  # the event names another CA
    with pytest.raises(WireError):
        register(factory.account.cloud, TERMS, {"caCertificateId": CA_ID})


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "gone"])
def test_certificate_that_waits_no_more(status: str) -> None:
    """Redelivered after the activation, an operator's decision, or its deletion: no call more."""
    factory = Factory()
    device = factory.device()
    found = factory.of(device)
    found.is_pending, found.is_active = False, status == "ACTIVE"
    if status == "gone":
        del factory.account.registry.certificates[found.arn]
    register(factory.account.cloud, TERMS, event(device))
    assert factory.account.calls == ["registry.registered"]


# -- things in use -----------------------------------------------------------------------


def test_thing_with_an_active_certificate_is_not_taken_over() -> None:
    """A second certificate of the same name stays out, and the first one works on."""
    factory = Factory()
    first, second = factory.device(), factory.device()
    assert factory.present(first)
    assert not factory.present(second)
    assert factory.admitted(first)
    assert factory.of(second).things == {}
    assert factory.of(second).policies == set()
    (told,) = factory.account.notices.told
    assert (told["reason"], told["certificateId"]) == ("thing-in-use", second)
    assert first in told["detail"]
    factory.account.clock.sleep(100)
    factory.present(second)
    claim = factory.account.documents.items[SAW, REGISTRATION]
    assert claim.body["certificateId"] == first  # who is refused keeps nobody waiting


def test_certificate_of_aws_iot_counts_too() -> None:
    """A thing whose certificate is not the CA's is in use all the same."""
    factory = Factory()
    assert not factory.present(factory.device(THING))
    assert list(factory.refusals()) == ["thing-in-use"]


@pytest.mark.parametrize("how", ["deactivated", "ended", "deleted"])
def test_thing_whose_certificate_opens_nothing(how: str) -> None:
    """Provisioned anew, after its certificate was deactivated, deleted or has ended."""
    factory = Factory()
    first = factory.device(ends=timedelta(days=10))
    assert factory.present(first)
    if how == "deactivated":
        factory.of(first).is_active = False
    elif how == "ended":
        factory.account.clock.sleep(11 * DAY)
    else:
        del factory.account.registry.certificates[factory.of(first).arn]
    second = factory.device()
    assert factory.present(second)
    assert factory.admitted(second)


def test_replacing() -> None:
    """Where it is allowed, the new one is let in, the old one is shut out, and people hear."""
    factory = Factory(replace(TERMS, replaces=True))
    first, second = factory.device(), factory.device()
    assert factory.present(first)
    before = factory.account.clock.time
    assert factory.present(second)
    assert factory.account.clock.time == before  # the first one's claim was over
    assert factory.admitted(second)
    assert not factory.of(first).is_active
    (told,) = factory.account.notices.told
    assert (told["status"], told["certificateId"]) == ("CERTIFICATE_REPLACED", second)
    assert first in told["detail"]
    said = [(one.activity, one.certificate_id) for one in factory.account.audit.events[1:]]
    retired = (Activity.CERTIFICATE_RETIRED, first)
    assert said == [retired, (Activity.DEVICE_REGISTERED, second)]


def test_certificate_that_is_attached_elsewhere() -> None:
    """A certificate of another thing stays out, and is attached to no second one."""
    factory = Factory()
    device = factory.device()
    factory.of(device).things[THING] = "EXCLUSIVE_THING"
    assert not factory.present(device)
    assert list(factory.refusals()) == ["attached-elsewhere"]
    assert factory.of(device).things == {THING: "EXCLUSIVE_THING"}
    assert factory.account.registry.known == {THING}


# -- what people hear --------------------------------------------------------------------


def test_refusal_is_told_once_a_day() -> None:
    """However often the device tries, for whichever reason, people hear of it once a day."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    for _ in range(50):
        factory.present(device)
        factory.account.clock.sleep(DAY / 60)
    assert len(list(factory.refusals())) == 1
    factory.terms = replace(TERMS, ca_id="d" * 64)
    factory.account.clock.sleep(DAY / 6)
    factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing", "unknown-ca"]
    refused = [one for one in factory.account.audit.events if not one.succeeded]
    assert [one.reason for one in refused] == ["unknown-thing", "unknown-ca"]
    other = factory.device()
    factory.present(other)
    assert len(list(factory.refusals())) == 3


def test_refusal_that_could_not_be_told_is_told_later() -> None:
    """A notice that failed is not counted as told."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    factory.account.disturb(failing("notices.tell"))
    factory.present(device)
    assert factory.dead_letters
    factory.account.disturb()
    factory.present(device)
    assert list(factory.refusals()) == ["unknown-thing"]


def test_two_that_would_tell_at_once() -> None:
    """Of two events at once one tells."""
    factory = Factory(replace(TERMS, creates_things=False))
    device = factory.device()
    nested = False

    def second(name: str, _: int) -> None:
        nonlocal nested
        if name == "documents.write" and not nested:
            nested = True
            register(factory.account.cloud, factory.terms, event(device))

    factory.account.disturb(second)
    factory.present(device)
    assert nested
    assert list(factory.refusals()) == ["unknown-thing"]


def test_terms_of_the_environment() -> None:
    """Each parameter arrives."""
    environment = {
        "DEVICE_POLICY_NAME": "p",
        "REGISTRATION_CA_ID": CA_ID,
        "REGISTRATION_NAME_ATTRIBUTE": "OU",
        "REGISTRATION_THINGS": "known",
        "REGISTRATION_OF_THING_IN_USE": "replace",
    }
    assert Terms.of(environment) == Terms("p", CA_ID, "OU", creates_things=False, replaces=True)
    other = {"REGISTRATION_THINGS": "create", "REGISTRATION_OF_THING_IN_USE": "refuse"}
    assert Terms.of({**environment, **other}) == Terms("p", CA_ID, "OU")


def test_policy_that_is_missing_lets_nobody_in() -> None:
    """An activation without the policy does not happen."""
    factory = Factory()
    device = factory.device()
    factory.account.disturb(failing("registry.attach_policy", error=AwsError))
    assert not factory.present(device)
    assert not factory.of(device).is_active
