"""The reconciler's run of the day: once, to the end, told once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.fleet.account import Account
from lab.fleet.disturbance import failing, quiet
from lab.fleet.registry import THING
from rotation_cloud.daily import DIARY, EVERYTHING, TRIES, Unfinished, run_of_the_day
from rotation_cloud.findings import ADVICE, MOST_SHOWN, Finding, Kind, Result, counted, message
from rotation_cloud.ports import AwsError, RecordChanged, Throttled
from tests.cloud.reconciling import DAY, HOUR, PLENTY, end_unheard, heard, rotating


def day(account: Account, remaining: Callable[[], float] = lambda: PLENTY, most: int = 50) -> None:
    """The schedule's event comes."""
    run_of_the_day(account.cloud, most, 30, remaining)


def silent_fleet(count: int) -> Account:
    """So many devices, none of which is heard any more."""
    account = Account()
    account.registry.certificates.clear()
    account.jobs.executions.clear()
    for number in range(count):
        thing = f"press-{number:03}"
        heard(account, account.registry.add(thing, thing=thing), thing)
    account.clock.sleep(5 * DAY)
    return account


def told_of(account: Account) -> set[str]:
    """The things that the messages to people name."""
    return {name for one in account.notices.told for name in one if name.startswith("press-")}


def for_things(count: int) -> Callable[[], float]:
    """Time for so many things."""
    left = iter(range(count))
    return lambda: PLENTY if next(left, None) is not None else 0.0


def test_quiet_day() -> None:
    """Nothing found: nobody is told, and the day is done."""
    account = Account()
    day(account)
    assert account.notices.told == []
    assert account.documents.items[EVERYTHING, DIARY].body["complete"] is True


def test_told_once_a_day() -> None:
    """What is left is told once a day, however often the schedule's event comes."""
    account = silent_fleet(3)
    for _ in range(3):
        day(account)
    assert len(account.notices.told) == 1
    assert told_of(account) == {"press-000", "press-001", "press-002"}
    account.clock.sleep(DAY)
    day(account)
    assert len(account.notices.told) == 2


def test_run_that_needs_three() -> None:
    """A run that is out of time goes on where it stopped; all of it is one message."""
    account = silent_fleet(9)
    for _ in range(2):
        with pytest.raises(Unfinished):
            day(account, for_things(3))
        assert account.notices.told == []
    day(account, for_things(4))
    (told,) = account.notices.told
    assert len(told_of(account)) == 9
    assert told["found"] == "silent left: 9"
    assert "note" not in told


def test_run_that_needs_two_days() -> None:
    """What three runs did not manage is said, and the next day begins there."""
    account = silent_fleet(9)
    for attempt in range(TRIES):
        if attempt < TRIES - 1:
            with pytest.raises(Unfinished):
                day(account, for_things(1))
        else:
            day(account, for_things(1))
    assert "goes on tomorrow after press-002" in account.notices.told[0]["note"]
    day(account)  # one event more does nothing
    account.clock.sleep(DAY)
    day(account)
    assert len(account.notices.told) == 2
    names = {name for name in account.notices.told[1] if name.startswith("press-")}
    assert names == {f"press-{number:03}" for number in range(3, 9)}
    account.clock.sleep(DAY)
    day(account)
    assert len(told_of(account)) == 9


def test_throttled_run_goes_on() -> None:
    """AWS is busy: the same."""
    account = silent_fleet(5)
    account.disturb(failing("registry.principals", range(3, 4), Throttled))
    with pytest.raises(Unfinished):
        day(account)
    day(account)
    assert len(told_of(account)) == 5


def test_limit_holds_for_the_day() -> None:
    """The limit of repairs is one of the day, not of the run."""
    account = silent_fleet(6)
    for document in list(account.documents.items.values()):
        heard(
            account,
            str(document.body["certificateId"]),
            document.thing,
            deadline=int(account.clock.now()) + DAY,
        )
    with pytest.raises(Unfinished):
        day(account, for_things(3), most=4)
    assert len(account.workflows.started) == 3
    day(account, most=4)
    assert len(account.workflows.started) == 4
    assert account.notices.told[0]["found"] == "due repaired: 4, due left: 2"


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("call", ["notices.tell", "documents.write", "documents.get"])
@pytest.mark.parametrize("lost", [False, True], ids=["failed", "lost"])
def test_call_that_fails(call: str, number: int, lost: bool) -> None:
    """A call that fails is raised, so that the event comes again: everything is told."""
    account = silent_fleet(3)
    fault = failing(call, range(number, number + 1))
    account.disturb(quiet, fault) if lost else account.disturb(fault)
    for _ in range(TRIES):
        try:
            day(account)
        except (AwsError, RecordChanged):
            account.clock.sleep(60)
    assert told_of(account) == {"press-000", "press-001", "press-002"}
    # Twice only where nobody can know that it was told: its answer, or the mark, was lost.
    unknown = {("notices.tell", 1, True), ("documents.write", 3, False)}
    assert len(account.notices.told) == 1 + ((call, number, lost) in unknown)


def test_fleet_that_cannot_be_read() -> None:
    """Without the table there is no run: raised, for a retry and at last a dead letter."""
    account = silent_fleet(3)
    account.disturb(failing("records.all"))
    for _ in range(TRIES):
        with pytest.raises(AwsError):
            day(account)
    account.disturb()
    account.clock.sleep(DAY)
    day(account)
    assert len(told_of(account)) == 3


def test_cut_off_in_a_repair() -> None:
    """A run that dies in a repair does not begin with that one again."""
    account, _, _, _ = rotating(committed=True)
    end_unheard(account, "SUCCEEDED")
    account.clock.sleep(2 * HOUR)
    heard(account, account.registry.add("next", thing="press-8"), "press-8")

    def die(name: str, _number: int) -> None:
        if name == "registry.deactivate":
            raise KeyboardInterrupt

    account.disturb(die)
    with pytest.raises(KeyboardInterrupt):
        day(account)
    assert account.documents.items[EVERYTHING, DIARY].body["after"] == THING
    day(account)  # the repair would kill it again
    account.disturb()
    account.clock.sleep(DAY)
    day(account)
    assert len(account.registry.active()) == 2


def test_two_runs_of_the_day_at_once() -> None:
    """The event comes twice at once: one run goes on, and people hear once."""
    account = silent_fleet(3)
    is_nested = False

    def twin(name: str, _number: int) -> None:
        nonlocal is_nested
        if name == "records.all" and not is_nested:
            is_nested = True
            day(account)

    account.disturb(twin)
    with pytest.raises(RecordChanged):
        day(account)
    day(account)
    assert len(account.notices.told) == 1


# --- what people read ---------------------------------------------------------------------------


def test_message() -> None:
    """What is to be done comes first, each kind has its advice, and every thing its line."""
    findings = [
        Finding(Kind.UNFINISHED, "press-1", Result.REPAIRED, "why", "job-1", "c1"),
        Finding(Kind.SILENT, "press-2", Result.LEFT, "last heard long ago"),
        Finding(Kind.TWO_CERTIFICATES, "press-2", Result.LEFT, "a, b"),
        Finding(Kind.JOB_EVENTS_OFF, "", Result.REPAIRED, "off"),
    ]
    subject, body = message("2026-11-26", findings, counted(findings), "")
    assert subject == "CertKeeper reconciler: 2 repaired, 2 to look at"
    assert body["press-2"] == "silent, left: last heard long ago"
    assert body["press-2 (2)"] == "two-certificates, left: a, b"
    assert body["press-1"] == "unfinished, repaired, job job-1, certificate c1: why"
    assert body["the account"] == "job-events-off, repaired: off"
    assert list(body).index("press-2") < list(body).index("press-1")
    assert ADVICE[Kind.SILENT] in body["whatToDo"]
    assert ADVICE[Kind.DUE] not in body["whatToDo"]


def test_message_is_never_too_large() -> None:
    """However much is found, a message fits into SNS (256 KiB) and the diary into its item."""
    findings = [
        Finding(kind, "t" * 128, Result.LEFT, "d" * 5000, "j" * 64, "c" * 64)
        for kind in Kind
        for _ in range(200)
    ]
    subject, body = message("2026-11-26", findings, counted(findings), "note")
    assert len(subject) <= 100
    assert sum(len(name) + len(value) for name, value in body.items()) < 128 * 1024
    assert body["leftOut"].startswith(f"{len(findings) - MOST_SHOWN} more")


def test_every_kind_has_its_advice() -> None:
    """Nothing is found about which people are not told what to do."""
    assert set(ADVICE) == set(Kind)


@pytest.mark.parametrize("finding", [Finding(Kind.DUE, "t", Result.LEFT, "d", "j", "c")])
def test_finding_is_kept(finding: Finding) -> None:
    """A finding comes back from the diary as it went in."""
    assert Finding.from_json(finding.to_json()) == finding
    bare = Finding(Kind.DUE, "", Result.LEFT)
    assert Finding.from_json(bare.to_json()) == bare
