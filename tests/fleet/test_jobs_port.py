"""The functions' view of jobs in the simulation is the one that aws.py has of the lab's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from lab.fleet.jobs_port import ServiceJobs
from lab.lab import Lab
from rotation_cloud import aws
from rotation_cloud.ports import AlreadyThere, JobExecutions, NotFound

THING = "press-7"
DOCUMENT = '{"operation":"ROTATE_CERTIFICATE"}'


@dataclass
class Desk:
    """Two views of the jobs of one thing."""

    lab: Lab
    real: JobExecutions
    simulated: JobExecutions

    def same(self, job_id: str) -> object:
        """What both say of the thing's execution."""
        execution = self.real.execution(THING, job_id)
        assert self.simulated.execution(THING, job_id) == execution
        assert list(self.simulated.pending(THING)) == list(self.real.pending(THING))
        ending, other = self.real.ending(THING, job_id), self.simulated.ending(THING, job_id)
        if ending is None or other is None:
            assert ending is other
        else:  # boto3 has milliseconds
            assert replace(other, at=0, queued=0) == replace(ending, at=0, queued=0)
            assert other.at == pytest.approx(ending.at, abs=0.002)
            assert other.queued == pytest.approx(ending.queued, abs=0.002)
        return execution, ending


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Lab() as lab:
        lab.deploy_backend()
        lab.account.register_device(THING, policy_document={"Statement": []})
        template = {"document": DOCUMENT}
        simulated = ServiceJobs(lab.jobs, template, lambda: None)
        yield Desk(lab, aws.cloud(os.environ).jobs, simulated)


@pytest.mark.parametrize("maker", ["real", "simulated"])
def test_life_of_a_job(desk: Desk, maker: str) -> None:
    """From its making to its end both say the same of it, whoever made it."""
    job_id = f"job-{maker}"
    jobs: JobExecutions = getattr(desk, maker)
    jobs.create(job_id, THING)
    assert desk.same(job_id)
    desk.lab.jobs.start_next_pending_job_execution(THING)
    assert desk.same(job_id)
    details = {"certificateId": "abc"}
    update = {"status": "SUCCEEDED", "statusDetails": details}
    desk.lab.jobs.update_job_execution(THING, job_id, update)
    _, ending = desk.same(job_id), desk.simulated.ending(THING, job_id)
    assert ending is not None
    assert (ending.status, ending.details) == ("SUCCEEDED", details)


def test_job_that_is_there_already(desk: Desk) -> None:
    """A second one of the same id is told apart."""
    desk.simulated.create("job-twice", THING)
    for jobs in (desk.simulated, desk.real):
        with pytest.raises(AlreadyThere):
            jobs.create("job-twice", THING)
    desk.simulated.cancel(THING, "job-twice")
    assert desk.same("job-twice")


def test_cancelling(desk: Desk) -> None:
    """What waits is cancelled; what has ended stays as it is; what is not there is told."""
    desk.simulated.create("job-cancelled", THING)
    for jobs in (desk.simulated, desk.real):
        jobs.cancel(THING, "job-cancelled")
        _, ending = desk.same("job-cancelled"), jobs.ending(THING, "job-cancelled")
        assert ending is not None
        assert ending.status == "CANCELED"
    for jobs in (desk.simulated, desk.real):
        with pytest.raises(NotFound):
            jobs.cancel(THING, "no-such-job")


def test_job_that_is_not_there(desk: Desk) -> None:
    """There is no execution of it, and no end."""
    for jobs in (desk.simulated, desk.real):
        assert jobs.execution(THING, "no-such-job") is None
        with pytest.raises(NotFound):
            jobs.ending(THING, "no-such-job")
