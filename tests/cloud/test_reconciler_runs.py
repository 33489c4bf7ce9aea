"""How far a run of the reconciler goes, what it is asked, and what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import THING
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.findings import MOST_SHOWN
from rotation_cloud.fleet import LOOKS
from rotation_cloud.ports import AwsError, Throttled
from rotation_cloud.reconciler import Orders, reconcile
from rotation_protocol.fields import WireError
from tests.cloud.reconciling import (
    DAY,
    HOUR,
    PLENTY,
    end_unheard,
    heard,
    look,
    only,
    rotating,
    said,
)


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
    """A repair that AWS does not do is told, and counts."""
    account = unfinished(3)
    account.disturb(failing("workflows.start"))
    report = look(account, most_repairs=2, auto_rotate_days=30)
    assert [result for _, _, result in said(report)] == ["failed", "failed", "left"]
    assert account.audit.events == []  # a workflow that begins says so itself


def test_dry_run_changes_nothing() -> None:
    """A dry run finds what a run would repair, and makes no call that changes anything."""
    account, _, old, new = rotating(committed=True)
    end_unheard(account, "SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    account.disturb()
    account.audit.events.clear()
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
