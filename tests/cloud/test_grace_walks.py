"""Random walks: jobs, their ends, late and doubled events, restored images, and time.

At every step the certificate that the device uses is ACTIVE, and when all is over there is
exactly one.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from lab.fleet.account import RUNNING, Account
from lab.fleet.registry import THING
from rotation_cloud import grace
from rotation_cloud.documents import INVENTORY, Document
from tests.cloud.device import Device, code, ended_event, issued_id

STEPS, DAY = 40, 24 * 3600


class Walk:
    """A device that does what a device may do, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.account = Account()
        self.device = Device(self.account, is_patient=True)
        self.account.jobs.executions.clear()
        self.in_use = self.account.old
        self.image: str | None = None  # a pair that somebody kept a copy of
        self.job: str | None = None
        self.new: str | None = None
        self.is_committed = False
        self.jobs = 0
        self.events: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []

    def step(self) -> None:
        actions = [self.begin, self.create, self.commit, self.deliver_again, self.restore]
        actions += [self.end, self.deliver] * 2 + [self.wait, self.speak]
        self.chance.choice(actions)()
        self.account.clock.sleep(self.chance.randrange(1, 600))
        assert self.in_use in self.account.registry.active()

    def begin(self) -> None:
        if self.job is None:
            self.jobs += 1
            self.job, self.new, self.is_committed = f"job-{self.jobs}", None, False
            self.account.jobs.executions[THING, self.job] = replace(
                RUNNING, identity=f"1@{self.jobs}"
            )

    def create(self) -> None:
        if self.job is not None and self.new is None:
            answer = self.device.create(self.in_use, self.job, f"key-{self.jobs}")
            if code(answer) == "accepted":
                self.new = issued_id(self.account, self.job)

    def commit(self) -> None:
        if self.job is None or self.new is None or self.is_committed:
            return
        if code(self.device.commit(self.new, self.job)) == "accepted":
            self.is_committed, self.image, self.in_use = True, self.in_use, self.new

    def end(self) -> None:
        if self.job is None:
            return
        self.account.end(self.job)
        status = self.chance.choice(["TIMED_OUT", "CANCELED", "FAILED"])
        details = {}
        if self.is_committed:
            status = self.chance.choice(["SUCCEEDED", "SUCCEEDED", status])
        if status in ("SUCCEEDED", "FAILED"):
            details["certificateId"] = self.in_use
        at = self.account.clock.now()
        self.events.append(ended_event(status, self.job, at=at, **details))
        self.job = None

    def deliver(self) -> None:
        """One of the events that are on their way, not always the first."""
        if self.events:
            event = self.events.pop(self.chance.randrange(len(self.events)))
            self.sent.append(event)
            self.device.deliver(event)

    def deliver_again(self) -> None:
        if self.sent:
            self.device.deliver(self.chance.choice(self.sent))

    def restore(self) -> None:
        """The device comes back from an image, with its last certificate, and is heard."""
        if self.job is not None or self.events or self.image is None:
            return
        if self.image in self.account.registry.active():
            self.in_use, self.image = self.image, self.in_use
            self.speak()

    def speak(self) -> None:
        known = self.account.documents.get(THING, INVENTORY) or Document(THING, INVENTORY)
        body = {"principal": self.in_use, "heardAt": int(self.account.clock.now())}
        self.account.documents.write(replace(known, body=body))

    def wait(self) -> None:
        self.account.clock.sleep(self.chance.choice([3600, DAY, 4 * DAY, 8 * DAY]))
        self.close_what_is_over()

    def close_what_is_over(self) -> None:
        for given in list(self.account.workflows.started.values()):
            grace.close(self.account.cloud, THING, given["jobId"])

    def settle(self) -> None:
        """The job ends, all events arrive, and one more rotation succeeds."""
        self.end()
        while self.events:
            self.deliver()
        self.begin()
        self.create()
        self.commit()
        assert self.is_committed
        assert self.job is not None
        self.account.end(self.job)
        at = self.account.clock.now()
        done = ended_event("SUCCEEDED", self.job, at=at, certificateId=self.in_use)
        self.device.deliver(done)
        self.account.clock.sleep(8 * DAY)
        self.close_what_is_over()


@pytest.mark.parametrize("seeds", [range(n, n + 100) for n in range(0, 600, 100)], ids=str)
def test_walks(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, the certificate in use is ACTIVE, and in the end it is the only one."""
    monkeypatch.setattr(Account, "grace_days", 7)
    for seed in seeds:
        walk = Walk(seed)
        for _ in range(STEPS):
            walk.step()
        walk.settle()
        assert walk.account.registry.active() == {walk.in_use}, seed
        assert len(walk.account.registry.certificates) == 1, seed
