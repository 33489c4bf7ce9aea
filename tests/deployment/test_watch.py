"""Watching a deployment: what is told of each device, and when and how it ends."""

from __future__ import annotations

import pytest

from tests.deployment.account_site import Site
from tests.deployment.aws_wire import ApiError, Cut, NotAws
from tests.deployment.fleet import OFFLINE, Device, ThingGroup

DETAILS = {
    "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
    "deployment-failure-cause": "The component is broken.",
    "deployment-error-stack": "[DEPLOYMENT_FAILURE, COMPONENT_BROKEN]",
}
BROKEN = Device(ends=30, status="FAILED", details=DETAILS)


def lines(out: str) -> list[str]:
    """The lines with a time: what was told while it was watched, without the time."""
    return [line[11:] for line in out.splitlines() if line[2:3] == ":" and line[8:9] == "Z"]


def deploy(site: Site, *options: str) -> tuple[int, str]:
    """Deploys to ``presses``, and what was printed."""
    run = site.run("0.1.0", "presses", "--create", *options)
    assert run.err == ""
    return run.code, run.out


# -- the way of a deployment --------------------------------------------------------------


def test_progress(site: Site) -> None:
    """Each change of the numbers is a line; nothing else is."""
    site.fleet.rollout = 4
    code, out = deploy(site)
    assert code == 0
    assert lines(out) == [
        "queued 1, in progress 0, succeeded 0, failed 0, more to come",
        "queued 1, in progress 1, succeeded 0, failed 0, more to come",
        "queued 1, in progress 1, succeeded 1, failed 0",
        "queued 0, in progress 1, succeeded 2, failed 0",
        "queued 0, in progress 0, succeeded 3, failed 0",
    ]
    assert out.splitlines()[-1].endswith("3 of 3 devices have it")


def test_a_device_that_fails(site: Site) -> None:
    """A device that fails is named at once, with its nucleus's reason and what is left of it."""
    site.fleet.devices["press-2"] = BROKEN
    code, out = deploy(site)
    assert code == 1
    reason = (
        "press-2 FAILED: The component is broken. [COMPONENT_BROKEN]; it has gone back to what it "
        "ran before"
    )
    assert lines(out)[-2:] == [
        f"\u2717 {reason}",
        "queued 0, in progress 0, succeeded 2, failed 1",
    ]
    assert "2 of 3 devices have it" in out
    assert "without it: press-2" in out
    assert "python3 deploy_component_version.py --again 0.1.0 presses" in out
    assert "python3 deploy_component_version.py --rollback presses" in out


def test_a_lite_device_that_fails(site: Site) -> None:
    """A device that gives no reason is named too."""
    site.fleet.devices["press-2"] = Device(status="FAILED")
    assert "press-2 FAILED: the device gives no reason (nucleus lite" in deploy(site)[1]


def test_each_way_of_not_succeeding(site: Site) -> None:
    """Devices that reject it, take too long or were canceled do not have it either."""
    site.fleet.groups["presses"].things += ["press-4"]
    for thing, status in (
        ("press-1", "REJECTED"),
        ("press-2", "TIMED_OUT"),
        ("press-3", "CANCELED"),
    ):
        site.fleet.devices[thing] = Device(status=status)
    code, out = deploy(site)
    assert code == 1
    assert "press-1 REJECTED: the device rejected it" in out
    assert "press-2 TIMED_OUT: it did not finish within" in out
    assert "press-3 CANCELED: canceled before the device had finished" in out
    assert "1 of 4 devices has it" in out
    assert [asked["thingName"] for asked in site.api.asked("DescribeJobExecution")] == ["press-1"]


def test_a_fleet_that_fails(site: Site) -> None:
    """Of a fleet that fails, some are asked for their reason; all are counted."""
    site.fleet.groups["presses"].things = [f"press-{number}" for number in range(70)]
    site.fleet.devices.default_factory = lambda: Device(status="FAILED", details=DETAILS)
    site.api.page_size = 50
    code, out = deploy(site)
    assert code == 1
    assert len(site.api.asked("DescribeJobExecution")) == 50
    assert out.count("The component is broken.") == 50
    assert "press-49, and 20 more" in out


def test_each_failure_is_told_once(site: Site) -> None:
    """Failures that come one after the other are each told once, whatever is listed again."""
    for number, thing in enumerate(site.fleet.groups["presses"].things):
        site.fleet.devices[thing] = Device(ends=10 * (number + 1), status="FAILED", details=DETAILS)
    out = deploy(site)[1]
    assert out.count("The component is broken.") == 3
    assert len(site.api.asked("DescribeJobExecution")) == 3


def test_a_list_that_lags(site: Site) -> None:
    """Failures that are counted before they are listed are waited for, but not for ever."""
    site.fleet.devices["press-2"] = BROKEN
    site.api.lag = 2
    assert "The component is broken." in deploy(site)[1]
    site.api.lag = 1000
    code, out = deploy(site, "--again")
    assert code == 1
    assert "The component is broken." not in out
    assert "2 of 3 devices have it" in out


# -- the group while it lasts -------------------------------------------------------------


def test_an_empty_group(site: Site) -> None:
    """In a group without things it is done at once, and holds for whoever joins."""
    site.fleet.groups["presses"].things = []
    code, out = deploy(site)
    assert code == 0
    assert "the group is empty: whatever joins it will get this deployment" in out
    assert site.fleet.time == 0


def test_groups_below(site: Site) -> None:
    """Things in the groups below are devices of the deployment too."""
    site.fleet.groups["hall"] = ThingGroup(["press-4"])
    site.fleet.groups["presses"].below = ["hall"]
    assert "4 of 4 devices have it" in deploy(site)[1]


def test_a_device_joins(site: Site) -> None:
    """A device that joins while it is watched is waited for."""
    site.fleet.at(8, lambda: site.fleet.join("presses", "press-4"))
    assert "4 of 4 devices have it" in deploy(site)[1]


def test_a_device_that_is_not_queued_yet(site: Site) -> None:
    """A member that the job has not reached yet keeps it from being done, whatever is counted."""
    site.fleet.at(8, lambda: site.fleet.groups["presses"].things.append("press-4"))

    def reach() -> None:
        site.fleet.groups["presses"].things.remove("press-4")
        site.fleet.join("presses", "press-4")

    site.fleet.at(40, reach)
    code, out = deploy(site)
    assert code == 0
    assert "4 of 4 devices have it" in out
    assert site.fleet.time >= 49


def test_a_device_leaves(site: Site) -> None:
    """A device that leaves is none that lacks it."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.leave("presses", "press-3"))
    code, out = deploy(site)
    assert code == 0
    assert "2 of 2 devices have it" in out
    assert "left the group 1" in out


def test_a_device_that_comes_back(site: Site) -> None:
    """A device that leaves, comes back and fails again is told again: it is another attempt."""
    site.fleet.devices["press-3"] = Device(ends=9, status="FAILED", details=DETAILS)
    site.fleet.devices["press-2"] = Device(ends=60)

    def back() -> None:
        site.fleet.leave("presses", "press-3")
        site.fleet.join("presses", "press-3")

    site.fleet.at(20, back)
    deploy(site)
    asked = site.api.asked("DescribeJobExecution")
    assert [(each["thingName"], each["executionNumber"]) for each in asked] == [
        ("press-3", 1),
        ("press-3", 2),
    ]


def test_a_dynamic_group_that_is_being_built(site: Site) -> None:
    """While AWS IoT works out who is in the group, it is not done, even if nobody is."""
    group = site.fleet.groups["presses"]
    group.query, group.status, group.things = "attributes.hall:3", "BUILDING", []

    def built() -> None:
        site.fleet.join("presses", "press-1")
        group.status = "ACTIVE"

    site.fleet.at(60, built)
    code, out = deploy(site)
    assert code == 0
    assert "1 of 1 devices has it" in out


def test_a_device_that_is_offline(site: Site) -> None:
    """A device that is off is waited for as long as patience lasts, and named then."""
    site.fleet.devices["press-3"] = OFFLINE
    code, out = deploy(site, "--patience", "10")
    assert code == 3
    assert "no device has changed for too long (10 minutes)" in out
    assert "press-3 is still QUEUED" in out
    assert "it goes on; to look again: python3 deploy_component_version.py --watch presses" in out
    assert 600 <= site.fleet.time < 700


def test_a_slow_fleet(site: Site) -> None:
    """Patience counts from the last change, not from the beginning."""
    site.fleet.rollout = 500
    assert deploy(site, "--patience", "10")[0] == 0
    assert site.fleet.time > 1000


def test_a_long_silence(site: Site) -> None:
    """Where there is no terminal, a line comes at least every five minutes."""
    site.fleet.devices["press-3"] = Device(ends=1500)
    told = lines(deploy(site)[1])
    assert told.count("queued 0, in progress 1, succeeded 2, failed 0") == 5


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
    code, out = deploy(site)
    assert code == 0
    troubles = [line for line in lines(out) if line.startswith("! ")]
    assert all(said in line for line in troubles)
    waits = [float(line.split()[-2]) for line in troubles]
    assert 3 <= len(waits) <= 8
    assert max(waits) > 2 * min(waits)
    assert "3 of 3 devices have it" in out


def test_trouble_that_stays(site: Site) -> None:
    """If nothing is heard for as long as patience lasts, the watch ends, and says why."""
    site.api.outages = [(4, 1e9, Cut())]
    code, out = deploy(site, "--patience", "5")
    assert code == 3
    assert "no device has changed for too long (5 minutes; " in out
    assert "Connection was closed" in out


def test_trouble_between_two_calls(site: Site) -> None:
    """A reason that cannot be had at once is asked for again, and told once."""
    site.fleet.devices["press-2"] = BROKEN
    site.api.faults["DescribeJobExecution"] = [ApiError("ThrottlingException")] * 4
    out = deploy(site)[1]
    assert out.count("The component is broken.") == 1


def test_credentials_expire(site: Site) -> None:
    """Credentials that expire end the watch; the deployment goes on, and so can the watch."""
    site.api.outages = [(4, 30, ApiError("ExpiredTokenException", "expired", 403))]
    code, out = deploy(site)
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
    code, out = deploy(site)
    assert code == 3
    assert "AWS does not let this be watched (DescribeJob: UnauthorizedException, no." in out


# -- another end --------------------------------------------------------------------------


def test_canceled(site: Site) -> None:
    """A deployment that somebody cancels has not reached everybody."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.cancel(site.fleet.deployments[0], why="Wrong one."))
    code, out = deploy(site)
    assert code == 1
    assert "canceled before it had reached every device (Wrong one.)" in out
    assert "succeeded 2, failed 0, canceled 1" in out
    assert "press-3 CANCELED" not in out


def test_aborted(site: Site) -> None:
    """A deployment that its own criteria have stopped says so."""
    site.fleet.devices["press-1"] = Device(ends=9, status="FAILED", details=DETAILS)
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.cancel(site.fleet.deployments[0], "FAILED"))
    code, out = deploy(site)
    assert code == 1
    assert "(its abort criteria were met)" in out
    assert "without it: press-1" in out


@pytest.mark.parametrize("superseded", ["INACTIVE", "CANCELED"])
def test_replaced(site: Site, superseded: str) -> None:
    """A deployment that another one takes the place of is over."""
    site.fleet.superseded = superseded
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.deploy("presses", components={}))
    code, out = deploy(site)
    assert code == 1
    assert "another deployment has taken the place of this one" in out


def test_deleted(site: Site) -> None:
    """A deployment whose job is gone cannot be watched any more."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, site.fleet.jobs.clear)
    code, out = deploy(site)
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
