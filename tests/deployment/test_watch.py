"""Watching a deployment: what is told of each device, and when and how it ends."""

from __future__ import annotations

from tests.deployment.account_site import Site, told
from tests.deployment.fleet import OFFLINE, Device, ThingGroup

DETAILS = {
    "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
    "deployment-failure-cause": "The component is broken.",
    "deployment-error-stack": "[DEPLOYMENT_FAILURE, COMPONENT_BROKEN]",
}
BROKEN = Device(ends=30, status="FAILED", details=DETAILS)


# -- the way of a deployment --------------------------------------------------------------


def test_progress(site: Site) -> None:
    """Each change of the numbers is a line; nothing else is."""
    site.fleet.rollout = 4
    code, out = site.first()
    assert code == 0
    assert told(out) == [
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
    code, out = site.first()
    assert code == 1
    reason = (
        "press-2 FAILED: The component is broken. [COMPONENT_BROKEN]; it has gone back to what it "
        "ran before"
    )
    assert told(out)[-2:] == [
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
    assert "press-2 FAILED: the device gives no reason (nucleus lite" in site.first()[1]


def test_each_way_of_not_succeeding(site: Site) -> None:
    """Devices that reject it, take too long or were canceled do not have it either."""
    site.fleet.groups["presses"].things += ["press-4"]
    for thing, status in (
        ("press-1", "REJECTED"),
        ("press-2", "TIMED_OUT"),
        ("press-3", "CANCELED"),
    ):
        site.fleet.devices[thing] = Device(status=status)
    code, out = site.first()
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
    code, out = site.first()
    assert code == 1
    assert len(site.api.asked("DescribeJobExecution")) == 50
    assert out.count("The component is broken.") == 50
    assert "press-49, and 20 more" in out


def test_each_failure_is_told_once(site: Site) -> None:
    """Failures that come one after the other are each told once, whatever is listed again."""
    for number, thing in enumerate(site.fleet.groups["presses"].things):
        site.fleet.devices[thing] = Device(ends=10 * (number + 1), status="FAILED", details=DETAILS)
    out = site.first()[1]
    assert out.count("The component is broken.") == 3
    assert len(site.api.asked("DescribeJobExecution")) == 3


def test_a_list_that_lags(site: Site) -> None:
    """Failures that are counted before they are listed are waited for, but not for ever."""
    site.fleet.devices["press-2"] = BROKEN
    site.api.lag = 2
    assert "The component is broken." in site.first()[1]
    site.api.lag = 1000
    code, out = site.first("--again")
    assert code == 1
    assert "The component is broken." not in out
    assert "2 of 3 devices have it" in out


# -- the group while it lasts -------------------------------------------------------------


def test_an_empty_group(site: Site) -> None:
    """In a group without things it is done at once, and holds for whoever joins."""
    site.fleet.groups["presses"].things = []
    code, out = site.first()
    assert code == 0
    assert "the group is empty: whatever joins it will get this deployment" in out
    assert site.fleet.time == 0


def test_groups_below(site: Site) -> None:
    """Things in the groups below are devices of the deployment too."""
    site.fleet.groups["hall"] = ThingGroup(["press-4"])
    site.fleet.groups["presses"].below = ["hall"]
    assert "4 of 4 devices have it" in site.first()[1]


def test_a_device_joins(site: Site) -> None:
    """A device that joins while it is watched is waited for."""
    site.fleet.at(8, lambda: site.fleet.join("presses", "press-4"))
    assert "4 of 4 devices have it" in site.first()[1]


def test_a_device_that_is_not_queued_yet(site: Site) -> None:
    """A member that the job has not reached yet keeps it from being done, whatever is counted."""
    site.fleet.at(8, lambda: site.fleet.groups["presses"].things.append("press-4"))

    def reach() -> None:
        site.fleet.groups["presses"].things.remove("press-4")
        site.fleet.join("presses", "press-4")

    site.fleet.at(40, reach)
    code, out = site.first()
    assert code == 0
    assert "4 of 4 devices have it" in out
    assert site.fleet.time >= 49


def test_a_device_leaves(site: Site) -> None:
    """A device that leaves is none that lacks it."""
    site.fleet.devices["press-3"] = OFFLINE
    site.fleet.at(20, lambda: site.fleet.leave("presses", "press-3"))
    code, out = site.first()
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
    site.first()
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
    code, out = site.first()
    assert code == 0
    assert "1 of 1 devices has it" in out


def test_a_device_that_is_offline(site: Site) -> None:
    """A device that is off is waited for as long as patience lasts, and named then."""
    site.fleet.devices["press-3"] = OFFLINE
    code, out = site.first("--patience", "10")
    assert code == 3
    assert "no device has changed for too long (10 minutes)" in out
    assert "press-3 is still QUEUED" in out
    assert "it goes on; to look again: python3 deploy_component_version.py --watch presses" in out
    assert 600 <= site.fleet.time < 700


def test_a_slow_fleet(site: Site) -> None:
    """Patience counts from the last change, not from the beginning."""
    site.fleet.rollout = 500
    assert site.first("--patience", "10")[0] == 0
    assert site.fleet.time > 1000


def test_a_long_silence(site: Site) -> None:
    """Where there is no terminal, a line comes at least every five minutes."""
    site.fleet.devices["press-3"] = Device(ends=1500)
    lines = told(site.first()[1])
    assert lines.count("queued 0, in progress 1, succeeded 2, failed 0") == 5
