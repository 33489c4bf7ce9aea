"""What the reconciler finds between rotations, how far a run goes, and what it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.findings import MOST_SHOWN
from rotation_cloud.fleet import LOOKS
from rotation_cloud.ports import AwsError, Throttled
from rotation_cloud.reconciler import Orders, reconcile
from rotation_protocol.fields import WireError
from tests.cloud.account import RUNNING, THING, Account
from tests.cloud.disturbance import failing
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    PLENTY,
    arn,
    end_unheard,
    heard,
    look,
    only,
    rotating,
    said,
)


def at_rest(**body: Any) -> Account:
    """A device that was heard of; ``body`` is what its heartbeat says otherwise."""
    account = Account()
    account.jobs.executions.clear()
    heard(account, account.old, **body)
    return account


def fleet_of(count: int, *, silent: int = 0) -> Account:
    """Devices ``press-000`` and so on, each with a certificate; the first ones are silent."""
    account = Account()
    account.registry.certificates.clear()
    account.jobs.executions.clear()
    for number in range(count):
        name = f"press-{number:03}"
        certificate_id = account.registry.add(name, thing=name)
        heard(account, certificate_id, name)
    account.clock.sleep(10 * DAY)
    for document in list(account.documents.items.values())[silent:]:
        heard(account, str(document.body["certificateId"]), document.thing)
    return account


# --- between rotations --------------------------------------------------------------------------


def test_two_certificates() -> None:
    """Two ACTIVE certificates and no rotation: told, with the one that the device uses."""
    account = at_rest()
    other = account.registry.add("by hand")
    finding = only(look(account))
    assert (finding.kind.value, finding.result.value) == ("two-certificates", "left")
    assert f"{account.old} (the device's)" in finding.detail
    assert other in finding.detail
    account.registry.certificates[arn(other)].is_active = False
    assert look(account).findings == []


def test_two_certificates_of_a_rotation_under_way() -> None:
    """During a rotation two are as they should be."""
    account, _, _, _ = rotating()
    account.clock.sleep(2 * HOUR)
    assert look(account).findings == []


@pytest.mark.parametrize(
    ("late", "silent"), [(23 * HOUR, False), (24 * HOUR, False), (25 * HOUR, True)]
)
def test_silence(late: int, silent: bool) -> None:
    """A check that was announced is a day overdue: told, with the device's deadline."""
    account = at_rest(deadline=int(Account().clock.now()) + 90 * DAY)
    account.clock.sleep(DAY + late)
    report = look(account)
    assert said(report) == ([("silent", THING, "left")] if silent else [])
    if silent:
        assert "1970-04-12T13:46:40Z" in only(report).detail  # 90 days after its clock's begin


def test_silent_device_is_not_rotated() -> None:
    """Who is not heard gets no rotation either: it would only wait."""
    account = at_rest(deadline=int(Account().clock.now()) + 3 * DAY)
    account.clock.sleep(3 * DAY)
    assert said(look(account, auto_rotate_days=30)) == [("silent", THING, "left")]
    assert account.workflows.started == {}


@pytest.mark.parametrize(
    ("days", "auto", "found"),
    [
        (40, 30, []),
        (29, 30, [("due", THING, "repaired")]),
        (-1, 30, [("due", THING, "repaired")]),
        (29, 0, []),
        (6, 0, [("due", THING, "left")]),
        (-1, 0, [("due", THING, "left")]),
        (6, 3, [("due", THING, "left")]),
        (2, 3, [("due", THING, "repaired")]),
    ],
)
def test_near_its_deadline(days: int, auto: int, found: list[tuple[str, str, str]]) -> None:
    """Near its deadline with no rotation under way: one is started if it may be, else told."""
    account = at_rest(deadline=int(Account().clock.now()) + days * DAY)
    assert said(look(account, auto_rotate_days=auto)) == found
    started = [(one["thing"], one["cause"]) for one in account.workflows.started.values()]
    assert started == ([(THING, "reconciler")] if ("due", THING, "repaired") in found else [])


def test_near_its_deadline_with_a_job_waiting() -> None:
    """A rotation job that waits for the device is a rotation under way."""
    account = at_rest(deadline=int(Account().clock.now()) + DAY)
    account.jobs.executions[THING, "job-1"] = RUNNING
    assert look(account, auto_rotate_days=30).findings == []


def test_certificate_in_use_is_not_active() -> None:
    """What the device says that it uses opens nothing: told, and no rotation is started."""
    account = at_rest(deadline=int(Account().clock.now()) + DAY)
    account.registry.certificates[arn(account.old)].is_active = False
    finding = only(look(account, auto_rotate_days=30))
    assert (finding.kind.value, finding.result.value) == ("not-active", "left")
    assert finding.certificate_id == account.old
    assert account.workflows.started == {}


def test_heartbeat_that_a_rotation_has_overtaken() -> None:
    """Between a rotation and the next health message, the rotation has the say."""
    account, device, old, _ = rotating(committed=True)
    heard(account, old)
    account.clock.sleep(60)
    device.end("SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    assert look(account).findings == []


def test_thing_that_was_deleted() -> None:
    """A device whose thing is gone is forgotten, not told of for ever."""
    account = at_rest()
    account.registry.deleted_things.add(THING)
    account.clock.sleep(5 * DAY)
    assert said(look(account)) == [("thing-gone", THING, "repaired")]
    document = account.documents.get(THING, INVENTORY)
    assert document is not None
    assert 0 < document.expires_at <= account.clock.now()
    assert look(account).findings == []


@pytest.mark.parametrize(
    "body", [{}, {"heardAt": "soon", "certificateId": 7}, {"heardAt": None, "deadline": "x"}]
)
def test_inventory_that_cannot_be_read(body: dict[str, Any]) -> None:
    """What another version wrote, or a hand, says nothing and breaks nothing."""
    account = Account()
    account.jobs.executions.clear()
    account.documents.write(Document(THING, INVENTORY, body))
    assert look(account).findings == []


@pytest.mark.parametrize("next_check", [0, 10**10])
def test_clock_of_a_device_is_wrong(next_check: int) -> None:
    """A next check that a wrong clock announced does not make a device silent, nor hide it."""
    account = at_rest(nextCheck=next_check)
    account.clock.sleep(DAY + HOUR)
    assert look(account).findings == []
    account.clock.sleep(DAY)
    assert said(look(account)) == [("silent", THING, "left")]


# --- job-execution events -----------------------------------------------------------------------


def test_job_events_are_switched_on_again() -> None:
    """They were off: on again, found once, and recorded under its own name."""
    account = at_rest()
    account.job_events.on = False
    assert said(look(account, dry_run=True)) == [("job-events-off", "", "would-be-repaired")]
    assert account.job_events.are_on() is False
    assert said(look(account)) == [("job-events-off", "", "repaired")]
    assert account.job_events.on
    assert [one.activity.value for one in account.audit.events] == ["job-events-switched-on"]
    assert look(account).findings == []


@pytest.mark.parametrize("call", ["job_events.are_on", "job_events.switch"])
def test_job_events_cannot_be_switched(call: str) -> None:
    """That AWS does not let us is told, and holds up nothing else."""
    account = at_rest()
    account.job_events.on = False
    account.disturb(failing(call))
    report = look(account)
    assert report.examined == 1
    assert only(report).result.value in ("left", "failed")


# --- how far a run goes -------------------------------------------------------------------------


def test_calls_of_a_healthy_fleet() -> None:
    """A fleet in order costs one call of AWS IoT for each thing at the most, on one day of some."""
    account = fleet_of(40)
    account.disturb()
    report = look(account)
    assert (report.things, report.examined) == (40, 40)
    iot = [call for call in account.calls if call.startswith(("registry", "census", "jobs"))]
    assert len(iot) == 41  # and the list of certificates


def test_only_a_share_of_a_large_fleet_is_looked_at() -> None:
    """Of a fleet that is large, a share a day; within some days, each thing once."""
    account = Account()
    account.jobs.executions.clear()
    days = 3
    things = [f"press-{number:05}" for number in range(LOOKS * days)]
    for thing in things:
        heard(account, "x", thing)
        account.documents.items[thing, INVENTORY] = Document(
            thing, INVENTORY, {"heardAt": int(account.clock.now())}
        )
    counts = []
    for _ in range(days):
        account.disturb()
        counts.append(look(account).examined)
        account.clock.sleep(DAY / 2.5)
        account.clock.time = (account.clock.time // DAY + 1) * DAY
        for thing in things:  # nobody is silent
            account.documents.items[thing, INVENTORY] = Document(
                thing, INVENTORY, {"heardAt": int(account.clock.now())}
            )
    assert sum(counts) == len(things)
    assert max(counts) < LOOKS * 1.2


def test_stops_in_time_and_goes_on() -> None:
    """Out of time a run says where it stopped; the next one goes on behind that."""
    account = fleet_of(10, silent=10)
    seconds = iter([900.0] * 4 + [100.0] * 9)
    report = reconcile(account.cloud, Orders(50), lambda: next(seconds))
    assert report.to_json()["complete"] is False
    assert (report.stopped_after, report.examined) == ("press-003", 4)
    rest = reconcile(account.cloud, Orders(50, after=report.stopped_after or ""), lambda: PLENTY)
    assert [one.thing for one in rest.findings] == [f"press-{number:03}" for number in range(4, 10)]
    assert rest.stopped_after is None


def test_throttled_run_stops() -> None:
    """AWS is busy: the run does not insist, and says where it stopped."""
    account = fleet_of(5)
    account.disturb(failing("registry.principals", range(3, 4), Throttled))
    report = look(account)
    assert (report.stopped_after, report.examined) == ("press-001", 2)
    assert "throttl" in report.why.lower() or "failed" in report.why


def test_thing_that_cannot_be_examined() -> None:
    """One thing that fails is told, the others are looked at."""
    account = fleet_of(5)
    account.disturb(failing("registry.principals", range(3, 4), AwsError))
    report = look(account)
    assert said(report) == [("not-examined", "press-002", "left")]
    assert report.examined == 5


def unfinished(count: int) -> Account:
    """So many devices whose deadline is near."""
    account = fleet_of(count)
    for document in list(account.documents.items.values()):
        deadline = int(account.clock.now()) + DAY
        heard(account, str(document.body["certificateId"]), document.thing, deadline=deadline)
    return account


def test_limit_of_repairs() -> None:
    """No more repairs than allowed; the rest is told."""
    account = unfinished(5)
    report = look(account, most_repairs=2, auto_rotate_days=30)
    assert [result for _, _, result in said(report)] == ["repaired"] * 2 + ["left"] * 3
    assert len(account.workflows.started) == 2
    assert "the limit of 2 repairs" in report.findings[-1].detail


def test_failed_repair_counts_and_is_told() -> None:
    """A repair that AWS does not do is told, recorded as failed, and counts."""
    account = unfinished(3)
    account.disturb(failing("workflows.start"))
    report = look(account, most_repairs=2, auto_rotate_days=30)
    assert [result for _, _, result in said(report)] == ["failed", "failed", "left"]
    assert [one.succeeded for one in account.audit.events] == [False, False]


def test_dry_run_changes_nothing() -> None:
    """A dry run finds what a run would repair, and makes no call that changes anything."""
    account, _, old, new = rotating(committed=True)
    end_unheard(account, "SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    account.disturb()
    begun: list[str] = []
    orders = Orders(50, dry_run=True)
    report = reconcile(account.cloud, orders, lambda: PLENTY, begun.append)
    assert said(report) == [("unfinished", THING, "would-be-repaired")]
    changing = ("write", "tell", "switch", "start", "deactivate", "delete", "detach_thing")
    assert [call for call in account.calls if call.endswith(changing)] == []
    assert (begun, account.audit.events) == ([], [])
    assert account.registry.active() == {old, new}
    assert said(look(account)) == [("unfinished", THING, "repaired")]


# --- what it is asked, and answers ----------------------------------------------------------------


def test_one_thing() -> None:
    """Asked about one thing, it looks at that one and no other."""
    account = fleet_of(4, silent=4)
    assert said(look(account, thing="press-002")) == [("silent", "press-002", "left")]
    account.registry.known.add("press-00")
    assert look(account, thing="press-00").findings == []  # there is one, and all is well
    finding = only(look(account, thing="press-0"))
    assert (finding.kind.value, finding.detail) == ("not-examined", "there is no such thing")


def test_orders() -> None:
    """What may be asked for."""
    asked = {"dryRun": True, "thing": "press-7", "after": "press-6", "maxRepairs": 0}
    assert Orders.of(asked, 50, 30) == Orders(0, 30, True, "press-7", "press-6")
    assert Orders.of({}, 50, 30) == Orders(50, 30)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"dryrun": True}, "dryrun"),
        ({"dryRun": "true"}, "dryRun"),
        ({"dryRun": 1}, "dryRun"),
        ({"thing": 7}, "thing"),
        ({"maxRepairs": -1}, "maxRepairs"),
        ({"maxRepairs": True}, "maxRepairs"),
        ({"scheduled": False}, "scheduled"),
    ],
)
def test_orders_that_are_none(event: dict[str, Any], named: str) -> None:
    """What is misspelt or ill-typed is refused by its name: it must not repair by mistake."""
    with pytest.raises(WireError, match=named):
        Orders.of(event, 50, 30)


def test_answer() -> None:
    """The answer counts everything, and names what has to be done before what was done."""
    account = unfinished(MOST_SHOWN + 20)
    answer = look(account, most_repairs=MOST_SHOWN, auto_rotate_days=30).to_json()
    assert answer["counts"] == {"due repaired": MOST_SHOWN, "due left": 20}
    assert len(answer["findings"]) == MOST_SHOWN
    assert [one["result"] for one in answer["findings"][:21]] == ["left"] * 20 + ["repaired"]
    assert answer["complete"] is True
    assert "after" not in answer
