"""Any state of registry and records: the reconciler never takes what a device uses, or what is
not CertKeeper's; and a second run finds nothing to do.

A state is drawn from what can be, not from what the code produces: any record in any state of
two rotations in a row, with each of its certificates there, INACTIVE, detached, shared or gone.
What a device uses follows from the record, as the protocol has it; or it does not, and then the
device has shown it since: by what it said, or by asking with it for the next certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, note
from hypothesis import strategies as st

from lab.fleet.account import Account
from lab.fleet.registry import BASE, SHARED, THING
from rotation_cloud.findings import Kind, Result
from rotation_cloud.fleet import Fleet
from rotation_cloud.ports import Ending, Execution
from rotation_cloud.records import KEPT_SECONDS, Record, State, Which
from rotation_protocol.jobs import ROTATE
from tests.cloud.reconciling import DAY, HOUR, arn, heard, look
from tests.core.strategies import examples

NOW = 20_000_000
OTHER = "press-8"
GRACE_DAYS = 7


@dataclass
class World:
    """An account, what the device uses, whether that is a surprise, and which certificates may go:
    those that CertKeeper issued, and those that an unfinished rotation is to replace."""

    account: Account
    used: str
    is_surprise: bool = False
    at_stake: set[str] = field(default_factory=set)


def put(account: Account, name: str, condition: str, created: float) -> str:
    """A certificate in that condition; its id."""
    certificate_id = account.registry.add(name)
    certificate = account.registry.certificates[arn(certificate_id)]
    certificate.created = created
    certificate.is_active = condition != "inactive"
    if condition == "detached":
        certificate.things.clear()
    if condition == "shared":
        certificate.things[OTHER] = SHARED
    if condition == "gone":
        del account.registry.certificates[certificate.arn]
    return certificate_id


CONDITIONS = st.sampled_from(["there", "there", "there", "inactive", "detached", "shared", "gone"])


@st.composite
def rotations(draw: st.DrawFn, world: World, job: str, started: int, old: str) -> str:
    """One rotation away from ``old``; the certificate that the device uses after it."""
    account = world.account
    state = draw(st.sampled_from(State))
    has_new = state not in (State.ISSUING, State.UNDOING) or draw(st.booleans())
    new = put(account, f"new of {job}", draw(CONDITIONS), started + 5) if has_new else None
    retire = None
    if state in (State.GRACE, State.RETIRING, State.DONE):
        retire = draw(st.sampled_from(Which))
    is_committed = state is State.COMMITTED or retire is Which.OLD
    used = new if is_committed and new is not None else old
    world.is_surprise = new is not None and draw(st.integers(0, 3)) == 0
    if world.is_surprise and new is not None:
        used = old if used == new else new
    finished_at = started + draw(st.integers(0, 10 * HOUR))
    record = Record(
        THING,
        job,
        state,
        account_arn=BASE,
        execution=draw(st.sampled_from(["1@100", ""])),
        public_key=f"key of {job}",
        old=old,
        new=new,
        policies=("core",),
        attachment=SHARED,
        unsure=draw(st.booleans()),
        started=started,
        lease=draw(st.sampled_from([0, started + 60, NOW + 60])),
        retire=retire,
        ended=finished_at if retire is not None else 0,
        grace_ends=finished_at + GRACE_DAYS * DAY if state is State.GRACE else 0,
        told=draw(st.booleans()),
        expires_at=finished_at + KEPT_SECONDS if state is State.DONE else 0,
    )
    account.records.write(record)
    world.at_stake |= {new} if new is not None else set()
    world.at_stake |= {old} if state is not State.DONE else set()
    for name in draw(st.lists(st.sampled_from(["a", "b"]), unique=True)):
        put(account, f"foreign {name} of {job}", draw(CONDITIONS), started + 7)
    if record.unsure and draw(st.booleans()):
        stray = account.registry.register(record.public_key)
        account.registry.certificates[stray].created = started + 5
        world.at_stake.add(stray.rpartition("/")[2])
    _job(draw, account, job, state, used, finished_at)
    return used


def _job(
    draw: st.DrawFn, account: Account, job: str, state: State, used: str, ended_at: int
) -> None:
    """The Jobs service may know the job's end, an end that the device reported, or nothing."""
    kind = draw(st.sampled_from(["running", "ended", "reported", "gone"]))
    if kind == "running" and state not in (State.GRACE, State.DONE):
        running = Execution("IN_PROGRESS", ended=False, operation=ROTATE, identity="1@100")
        account.jobs.executions[THING, job] = running
    elif kind != "gone":
        account.jobs.executions[THING, job] = Execution("ENDED", ended=True)
        details = {"certificateId": used} if kind == "reported" else {}
        status = draw(st.sampled_from(["SUCCEEDED", "FAILED"]))
        if kind == "ended":
            status = draw(st.sampled_from(["TIMED_OUT", "CANCELED", "REJECTED"]))
        account.jobs.endings[THING, job] = Ending(status, details, ended_at)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    account = Account()
    grace_seconds = draw(st.sampled_from([0, GRACE_DAYS * DAY]))
    account.cloud = replace(account.cloud, grace_seconds=grace_seconds)
    account.registry.certificates.clear()
    account.jobs.executions.clear()
    account.clock.time = NOW - 60 * DAY
    used = put(account, "first", draw(CONDITIONS), 0)
    world = World(account, used)
    started = NOW - draw(st.integers(0, 20 * DAY))
    for number in range(draw(st.integers(0, 2))):
        world.used = draw(rotations(world, f"job-{number}", started, world.used))
        started = min(NOW, started + draw(st.integers(1, 5 * DAY)))
    # What the device says is true, whenever it said it.
    account.clock.time = NOW - draw(st.sampled_from([0, HOUR, 3 * DAY]))
    if world.is_surprise:
        account.clock.time = NOW
    if world.is_surprise or draw(st.booleans()):
        deadline = NOW + draw(st.sampled_from([-1, 3, 20, 300])) * DAY
        heard(account, world.used, deadline=deadline)
    account.clock.time = NOW
    return world


@examples(600)
@given(worlds())
def test_never_what_is_in_use_nor_what_is_not_ours(world: World) -> None:
    """The certificate in use is as it was, and so is every one that no rotation is about."""
    account = world.account
    before = {
        one.arn: (one.is_active, dict(one.things), set(one.policies))
        for one in account.registry.certificates.values()
    }
    had_one = bool(_usable(account))
    note(shown(account))
    for auto_rotate_days in (0, 30):
        note(str(look(account, auto_rotate_days=auto_rotate_days).findings))
    after = {
        one.arn: (one.is_active, dict(one.things), set(one.policies))
        for one in account.registry.certificates.values()
    }
    for one, state in before.items():
        if one == arn(world.used) or one.rpartition("/")[2] not in world.at_stake:
            assert after.get(one) == state
        if OTHER in state[1]:
            assert after[one][0] == state[0]
    assert set(after) <= set(before)
    assert bool(_usable(account)) == had_one


def shown(account: Account) -> str:
    """Everything, for whoever looks for the cause of a failure."""
    parts = account.records.items, account.registry.certificates, account.documents.items
    return "\n".join(map(str, (*parts, account.jobs.executions, account.jobs.endings)))


def _usable(account: Account) -> set[str]:
    """What lets the thing in."""
    found = account.registry.certificates.values()
    return {one.arn for one in found if one.is_active and THING in one.things}


@examples(300)
@given(worlds())
def test_second_run_finds_nothing_to_do(world: World) -> None:
    """What was repaired stays repaired: a run after a run repairs nothing, and finds no more."""
    account = world.account
    first = look(account, auto_rotate_days=30)
    for name in account.workflows.started:  # makes its job at once
        running = Execution("QUEUED", ended=False, operation=ROTATE, identity="1@200")
        account.jobs.executions[THING, name] = running
    second = look(account, auto_rotate_days=30)
    note(f"{first.findings}\n{second.findings}\n{shown(account)}")
    assert {one.result.value for one in second.findings} <= {"left"}
    # Of a rotation that has come further there may be something else to tell.
    moved = {one.job_id for one in first.findings if one.result is Result.REPAIRED}
    known = {(one.kind, one.job_id) for one in first.findings}
    found = {(one.kind, one.job_id) for one in second.findings if one.job_id not in moved}
    assert found <= known | {(one.kind, "") for one in second.findings if moved}


#: What only a look at the thing itself can tell.
UNSEEN = {Kind.TWO_CERTIFICATES, Kind.ORPHAN, Kind.THING_GONE}


@examples(400)
@given(worlds())
def test_what_is_wrong_looks_wrong(world: World) -> None:
    """In a large fleet a thing is looked at if it looks wrong: so whatever is wrong does."""
    account = world.account
    note(shown(account))
    looks_wrong = Fleet.seen(account.cloud).looks_wrong(THING, NOW, 30)
    found = look(account, dry_run=True, auto_rotate_days=30).findings
    assert looks_wrong or {one.kind for one in found} <= UNSEEN


@examples(200)
@given(worlds(), st.integers(0, 3))
def test_limit_is_kept(world: World, most: int) -> None:
    """Whatever is found, no more is repaired than may be."""
    report = look(world.account, most_repairs=most, auto_rotate_days=30)
    repaired = [one for one in report.findings if one.result.value in ("repaired", "failed")]
    assert len(repaired) <= report.repairs <= most
