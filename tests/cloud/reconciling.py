"""What the reconciler's tests need of an account: ends nobody heard of, heartbeats, and a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.fleet.account import Account
from lab.fleet.disturbance import failing
from lab.fleet.registry import BASE, THING
from rotation_cloud.documents import INVENTORY, Document
from rotation_cloud.findings import Finding
from rotation_cloud.reconciler import Orders, Report, reconcile
from rotation_cloud.records import Record, State
from tests.cloud.device import Device, issued_id

HOUR, DAY = 3600, 24 * 3600
PLENTY = 900.0


def rotating(committed: bool = False) -> tuple[Account, Device, str, str]:
    """An account with a certificate issued, its device, the old id and the new one."""
    account = Account()
    device = Device(account)
    device.create(account.old)
    new = issued_id(account)
    if committed:
        device.commit(new)
    return account, device, account.old, new


def end_unheard(account: Account, status: str, job: str = "job-1", **details: str) -> None:
    """The job's execution ends, and its event is lost."""
    account.end(job, status, CertificateRotator="true", **details)


def heard(account: Account, certificate_id: str, thing: str = THING, **body: Any) -> None:
    """A health message comes now; ``body`` has what differs from a device that is fine."""
    now = int(account.clock.now())
    known = account.documents.get(thing, INVENTORY) or Document(thing, INVENTORY)
    fresh = {
        "certificateId": certificate_id,
        "principal": certificate_id,
        "heardAt": now,
        "observed": now,
        "nextCheck": now + DAY,
    }
    said = {**known.body, **fresh, **body}
    account.documents.write(Document(thing, INVENTORY, said, 0, known.version))


def look(account: Account, **orders: Any) -> Report:
    """One run, with time enough."""
    given: dict[str, Any] = {"most_repairs": 50, **orders}
    return reconcile(account.cloud, Orders(**given), lambda: PLENTY)


def said(report: Report) -> list[tuple[str, str, str]]:
    """The findings as (kind, thing, result)."""
    return [(one.kind.value, one.thing, one.result.value) for one in report.findings]


def only(report: Report) -> Finding:
    """The one finding there is."""
    (finding,) = report.findings
    return finding


def arn(certificate_id: str) -> str:
    return f"{BASE}:cert/{certificate_id}"


def record_of(account: Account, job: str = "job-1") -> Record:
    """What is known of the rotation."""
    return account.records.items[THING, job]


def half_made(state: State, in_doubt: bool) -> Account:
    """A creation that could not be undone, of a job that runs; its record ``state``.

    ``in_doubt``: the answer to it was lost, so nobody knows the certificate's name.
    """
    account = Account()
    device = Device(account)
    if in_doubt:  # made, the answer lost; looking for it fails too
        account.disturb(failing("registry.stray"), failing("issuer.issue", range(1, 2)))
    else:

        def both(name: str, number: int) -> None:
            failing("registry.attach_thing")(name, number)
            failing("registry.deactivate")(name, number)

        account.disturb(both)
    device.create(account.old)
    account.disturb()
    assert len(account.registry.active()) == 2
    record = record_of(account)
    assert record.state is State.UNDOING
    if state is State.ISSUING:  # as if the function had died before it could write that
        lease = int(account.clock.now()) + 60
        account.records.write(replace(record, state=State.ISSUING, lease=lease))
    account.notices.told.clear()
    return account
