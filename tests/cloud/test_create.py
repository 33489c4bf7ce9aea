"""A device asks for a certificate: what it is answered, and what there is afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, EXCLUSIVE, SHARED, THING
from rotation_cloud.answering import answer_create
from rotation_cloud.ports import Execution, Throttled
from rotation_cloud.records import State
from rotation_protocol.fields import WireError
from tests.cloud.device import Device, code, create_event, ended_event, issued_id

pytestmark = pytest.mark.usefixtures("with_and_without_grace")


@pytest.fixture
def device(account: Account) -> Device:
    return Device(account)


@pytest.mark.parametrize("attachment", [SHARED, EXCLUSIVE])
def test_new_certificate_is_like_the_old_one(attachment: str) -> None:
    """The new certificate is ACTIVE, with all policies of the old one, attached in its way."""
    account = Account(attachment, policies=("a", "b", "c"))
    answer = Device(account).create(account.old)
    new = f"{BASE}:cert/{issued_id(account)}"
    assert answer == ("accepted", {"certificatePem": f"PEM of {new}", "jobId": "job-1"})
    certificate = account.registry.certificates[new]
    assert certificate.is_active
    assert certificate.policies == {"a", "b", "c"}
    assert certificate.things == {THING: attachment}
    assert account.registry.active() == {account.old, issued_id(account)}
    assert account.notices.told == []


def test_repeat_gets_the_same(account: Account, device: Device) -> None:
    """The same request again gets the same certificate, over either connection."""
    first = device.create(account.old)
    assert device.create(account.old) == first
    assert device.create(issued_id(account)) == first
    assert len(account.registry.active()) == 2


def test_another_key_replaces_the_first(account: Account, device: Device) -> None:
    """A device that lost its key asks with another one: the first certificate goes."""
    device.create(account.old, key="a")
    first = issued_id(account)
    assert code(device.create(account.old, key="b")) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}
    assert first != issued_id(account)


def test_late_request_does_not_undo_a_newer_one(account: Account, device: Device) -> None:
    """A request that was superseded and comes again, late, changes nothing and is not answered."""
    device.create(account.old, key="a")
    device.create(account.old, key="b")
    active = account.registry.active()
    assert device.create(account.old, key="a") is None
    assert account.registry.active() == active


def test_certificate_in_use_is_never_undone(account: Account, device: Device) -> None:
    """Another key, asked for over the new certificate, is refused: the device lives on it."""
    device.create(account.old, key="a")
    new = issued_id(account)
    assert code(device.create(new, key="b")) == "job-ended"
    assert new in account.registry.active()


@pytest.mark.parametrize("client_id", ["press-70", "press", "", "n/a", "x#press-7"])
def test_client_id_of_another_is_refused(account: Account, device: Device, client_id: str) -> None:
    """The client id before # is the thing's name, not its beginning."""
    message = create_event(account.old, clientId=client_id)
    assert code(device.send(answer_create, message)) == "not-allowed"
    assert account.registry.active() == {account.old}


def test_second_client_of_the_nucleus_may_ask(account: Account, device: Device) -> None:
    """The nucleus's further connections carry #2 and so on."""
    message = create_event(account.old, clientId=f"{THING}#2")
    assert code(device.send(answer_create, message)) == "accepted"


def test_principal_of_another_thing_is_refused(account: Account, device: Device) -> None:
    """A certificate that is not attached to the thing gets nothing; nor does part of an id."""
    assert code(device.create("f" * 64)) == "not-allowed"
    assert code(device.create(account.old[1:])) == "not-allowed"
    assert code(device.create("")) == "not-allowed"
    assert account.registry.active() == {account.old}


def test_third_party_does_not_get_the_record(account: Account, device: Device) -> None:
    """The repeat's answer from the record is for the old certificate and the new one only."""
    device.create(account.old)
    assert code(device.create("f" * 64)) == "not-allowed"


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        (None, "no-such-job"),
        (replace(RUNNING, status="QUEUED"), "no-such-job"),
        (replace(RUNNING, operation="REBOOT"), "no-such-job"),
        (replace(RUNNING, operation=None), "no-such-job"),
        (Execution("FAILED", ended=True), "job-ended"),
    ],
)
def test_job_must_be_a_rotation_in_progress(
    account: Account, device: Device, execution: Execution | None, expected: str
) -> None:
    """Without a rotation job in progress there is no certificate."""
    if execution is None:
        account.jobs.executions.clear()
    else:
        account.jobs.executions[THING, "job-1"] = execution
    assert code(device.create(account.old)) == expected
    assert account.registry.active() == {account.old}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"csr": "garbage"}, "csr-refused"),
        ({"csr": ""}, "invalid-request"),
        ({"csr": "x" * 4097}, "invalid-request"),
        ({"csr": 7}, "invalid-request"),
        ({"csr": None}, "invalid-request"),
        ({"jobId": None}, "invalid-request"),
        ({"jobId": "a/b"}, "invalid-request"),
    ],
)
def test_bad_messages_are_answered(
    account: Account, device: Device, fields: dict[str, Any], expected: str
) -> None:
    """A message that is not one is rejected, and nothing is made."""
    assert code(device.send(answer_create, create_event(account.old, **fields))) == expected
    assert account.registry.active() == {account.old}
    assert account.records.items == {}


@pytest.mark.parametrize("field", ["thingName", "topic", "clientId", "principal"])
def test_event_of_another_rule_is_an_error(account: Account, field: str) -> None:
    """An event without what our rule adds is not answered: there is nobody to answer."""
    message = create_event(account.old)
    del message[field]
    with pytest.raises(WireError, match=field):
        answer_create(account.cloud, message)
    with pytest.raises(WireError, match="topic"):
        answer_create(account.cloud, create_event(account.old, topic="certkeeper/things/x"))


def test_refused_csr_is_told(account: Account, device: Device) -> None:
    """A CSR that AWS refuses leaves nothing, says so to the device, and to people."""
    account.issuer.refuses = True
    assert code(device.create(account.old)) == "csr-refused"
    assert account.registry.active() == {account.old}
    assert [told["reason"] for told in account.notices.told] == ["csr-refused"]


def test_throttling_is_not_told(account: Account, device: Device) -> None:
    """Throttled: everything is undone, the device may ask again, and nobody is bothered."""
    account.disturb(failing("registry.attach_policy", range(1, 2), Throttled))
    assert code(device.create(account.old)) == "throttled"
    assert account.registry.active() == {account.old}
    assert account.notices.told == []
    assert code(device.create(account.old)) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_answer_that_does_not_fit_is_undone(account: Account, device: Device) -> None:
    """A certificate that nucleus lite would never receive is taken back, and people are told."""
    account.issuer.padding = "x" * 5000
    assert code(device.create(account.old)) == "internal"
    assert account.registry.active() == {account.old}
    assert len(account.notices.told) == 1


def test_busy_while_another_works(account: Account, device: Device) -> None:
    """While the lease lasts a second request waits; after it, it takes over."""
    device.create(account.old)
    record = account.records.items[THING, "job-1"]
    lease = int(account.clock.now()) + 60
    account.records.items[THING, "job-1"] = replace(record, state=State.ISSUING, lease=lease)
    assert code(device.create(account.old)) == "busy"
    account.clock.sleep(60)
    assert code(device.create(account.old)) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_attempt_that_died_unnoted_is_found(account: Account, device: Device) -> None:
    """A process that died between the certificate and its record leaves nothing behind."""

    def die(name: str, _number: int) -> None:
        if name == "issuer.issue":
            raise KeyboardInterrupt

    account.disturb(after=die)
    with pytest.raises(KeyboardInterrupt):
        answer_create(account.cloud, create_event(account.old, key="a"))
    assert len(account.registry.active()) == 2
    account.disturb()
    account.clock.sleep(60)
    assert code(device.create(account.old, key="b")) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_leftovers_do_not_block(account: Account, device: Device) -> None:
    """An older job's record, and a second certificate on the thing, are no obstacle."""
    device.create(account.old, "job-1", "a")
    account.registry.add("third")
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert code(device.create(account.old, "job-2", "b")) == "accepted"


def test_later_job_proves_the_new_certificate(account: Account, device: Device) -> None:
    """A later request over an uncommitted certificate shows that the device uses it: it stays."""
    device.create(account.old, "job-1", "a")
    first = issued_id(account)
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert code(device.create(first, "job-2", "b")) == "accepted"
    device.end("TIMED_OUT", "job-1")
    assert account.registry.active() == {first, issued_id(account, "job-2")}
    device.end("TIMED_OUT", "job-2")
    assert account.registry.active() == {first}


def test_later_job_proves_the_return_to_the_old(account: Account, device: Device) -> None:
    """A later request over the old certificate shows that the device went back: it stays."""
    device.create(account.old, "job-1", "a")
    device.commit(issued_id(account))
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert code(device.create(account.old, "job-2", "b")) == "accepted"
    device.end("SUCCEEDED", "job-1")
    assert account.old in account.registry.active()
    device.end("FAILED", "job-2")
    assert account.registry.active() == {account.old}


def test_certificate_that_is_being_retired_gets_none(account: Account, device: Device) -> None:
    """A later request over a certificate that is just being taken away has to wait."""
    device.create(account.old, "job-1", "a")
    new = issued_id(account)
    account.disturb(failing("registry.deactivate"))
    device.end("TIMED_OUT", "job-1")
    account.disturb()
    account.jobs.executions[THING, "job-2"] = RUNNING
    assert code(device.create(new, "job-2", "b")) == "busy"
    assert account.registry.active() == {account.old, new}
    assert code(device.create(account.old, "job-2", "b")) == "accepted"


def test_repeat_in_a_later_run_gets_a_new_certificate(account: Account, device: Device) -> None:
    """What an earlier run of the job was given goes with it, so the same key gets another."""
    device.create(account.old)
    first = issued_id(account)
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create(account.old)) == "accepted"
    assert issued_id(account) != first
    assert account.registry.active() == {account.old, issued_id(account)}


def test_job_that_runs_again_gets_a_new_certificate(account: Account, device: Device) -> None:
    """A failed execution that the job retries starts afresh, though the job's id is the same."""
    device.create(account.old, key="a")
    device.end("FAILED")
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create(account.old, key="b")) == "accepted"
    assert account.registry.active() == {account.old, issued_id(account)}


def test_end_of_an_earlier_run_does_not_count(account: Account, device: Device) -> None:
    """The late event of the first run does not retire what the second run was given."""
    device.create(account.old, key="a")
    account.jobs.executions[THING, "job-1"] = replace(RUNNING, identity="2@200", number=2)
    assert code(device.create(account.old, key="b")) == "accepted"
    device.deliver(ended_event("FAILED"))
    assert account.registry.active() == {account.old, issued_id(account)}
    device.end("FAILED")
    assert account.registry.active() == {account.old}


def test_ended_or_committed_job_is_over(account: Account, device: Device) -> None:
    """After the commit, and after the end, the job gives no certificate any more."""
    device.create(account.old)
    new = issued_id(account)
    device.commit(new)
    assert code(device.create(new, key="b")) == "job-ended"
    device.end("SUCCEEDED")
    assert code(device.create(new, key="b")) == "job-ended"
    account.jobs.executions[THING, "job-1"] = RUNNING  # a status that lags behind
    assert code(device.create(new, key="b")) == "job-ended"
    assert account.registry.active() == {new}
