"""Watching a deployment through trouble, to another end than usual, and once more."""

from __future__ import annotations

import pytest

from tests.deployment.account_site import Site, told
from tests.deployment.aws_wire import ApiError, Cut, NotAws
from tests.deployment.fleet import OFFLINE, Device
from tests.deployment.test_watch import BROKEN, DETAILS

# -- trouble on the way -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ApiError("ThrottlingException"), "throttled by AWS"),
        (ApiError("ServiceUnavailableException"), "ServiceUnavailableException"),
        (ApiError("InternalFailure", "", 500), "InternalFailure"),
        (Cut(), "Connection was closed"),
        (NotAws(), "the answer is not AWS's"),
    ],
)
def test_trouble_that_passes(site: Site, fault: Exception, said: str) -> None:
    """Throttled, without an answer, or with a wrong one: it asks again, and sees the end."""
    site.api.outages = [(4, 120, fault)]
    code, out = site.first()
    assert code == 0
    troubles = [line for line in told(out) if line.startswith("! ")]
    assert all(said in line for line in troubles)
    waits = [float(line.split()[-2]) for line in troubles]
    assert 3 <= len(waits) <= 8
    assert max(waits) > 2 * min(waits)
    assert "3 of 3 devices have it" in out


def test_trouble_that_stays(site: Site) -> None:
    """If nothing is heard for as long as patience lasts, the watch ends, and says why."""
    site.api.outages = [(4, 1e9, Cut())]
    code, out = site.first("--patience", "5")
    assert code == 3
    assert "no device has changed for too long (5 minutes; " in out
    assert "Connection was closed" in out


def test_trouble_between_two_calls(site: Site) -> None:
    """A reason that cannot be had at once is asked for again, and told once."""
    site.fleet.devices["press-2"] = BROKEN
    site.api.faults["DescribeJobExecution"] = [ApiError("ThrottlingException")] * 4
    out = site.first()[1]
    assert out.count("The component is broken.") == 1


def test_credentials_expire(site: Site) -> None:
    """Credentials that expire end the watch; the deployment goes on, and so can the watch."""
    site.api.outages = [(4, 30, ApiError("ExpiredTokenException", "expired", 403))]
    code, out = site.first()
    assert code == 3
    assert "the credentials are not accepted any more (the credentials have expired" in out
    assert "--watch presses" in out
    site.fleet.advance(30)
    run = site.run("--watch", "presses")
    assert (run.code, len(site.fleet.deployments)) == (0, 1)
    assert "3 of 3 devices have it" in run.out


def test_permissions_that_are_taken_away(site: Site) -> None:
    """A call that is refused ends the watch, with the call's name."""
    site.api.outages = [(4, 1e9, ApiError("UnauthorizedException", "no", 401))]
    code, out = site.first()
    assert code == 3
    assert "AWS does not let this be watched (DescribeJob: UnauthorizedException, no." in out


# -- another end --------------------------------------------------------------------------


def test_canceled(site: Site) -> None:
    """A deployment that somebody cancels has not reached everybody."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.cancel(site.fleet.deployments[0], why="Wrong one."))
    code, out = site.first()
    assert code == 1
    assert "canceled before it had reached every device (Wrong one.)" in out
    assert "succeeded 2, failed 0, canceled 1" in out
    assert "press-3 CANCELED" not in out


def test_aborted(site: Site) -> None:
    """A deployment that its own criteria have stopped says so."""
    site.fleet.devices["press-1"] = Device(ends=9, status="FAILED", details=DETAILS)
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.cancel(site.fleet.deployments[0], "FAILED"))
    code, out = site.first()
    assert code == 1
    assert "(its abort criteria were met)" in out
    assert "without it: press-1" in out


@pytest.mark.parametrize("superseded", ["INACTIVE", "CANCELED"])
def test_replaced(site: Site, superseded: str) -> None:
    """A deployment that another one takes the place of is over."""
    site.fleet.superseded = superseded
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.deploy("presses", components={}))
    code, out = site.first()
    assert code == 1
    assert "another deployment has taken the place of this one" in out


def test_deleted(site: Site) -> None:
    """A deployment whose job is gone cannot be watched any more."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, site.fleet.jobs.clear)
    code, out = site.first()
    assert code == 1
    assert "the deployment, or its job, has been deleted" in out


# -- looking again ------------------------------------------------------------------------


def test_watch(site: Site) -> None:
    """--watch looks at the latest deployment, and changes nothing."""
    site.fleet.deploy("presses", components={})
    run = site.run("--watch", "presses")
    assert (run.code, run.err) == (0, "")
    assert "revision 1 (ACTIVE" in run.out
    assert "3 of 3 devices have it" in run.out
    assert len(site.fleet.deployments) == 1


def test_watch_an_older_one(site: Site) -> None:
    """--base names another deployment to look at."""
    first = site.fleet.deploy("presses", components={})
    site.fleet.deploy("presses", components={})
    run = site.run("--watch", "presses", "--base", first.deployment_id)
    assert run.code == 1
    assert "another deployment has taken the place of this one" in run.out


def test_nothing_to_watch(site: Site) -> None:
    """A group without a deployment has nothing to look at."""
    run = site.run("--watch", "presses")
    assert run.code == 2
    assert "presses has no deployment that could be watched" in run.err
