"""Going back to what the group had before."""

from __future__ import annotations

import pytest

from tests.deployment.account_site import Site
from tests.deployment.fleet import Device
from tests.deployment.test_plan import OURS

PRESS = "com.example.PressControl"


def components(**versions: str) -> dict[str, dict[str, str]]:
    names = {"ours": OURS, "press": PRESS}
    return {names[name]: {"componentVersion": version} for name, version in versions.items()}


@pytest.mark.parametrize("superseded", ["INACTIVE", "CANCELED"])
def test_back_to_the_one_before(site: Site, superseded: str) -> None:
    """The whole content of the revision before is deployed again, whatever AWS calls it now."""
    site.fleet.superseded = superseded
    site.fleet.deploy(
        "presses", components=components(ours="0.1.0", press="1.0.0"), tags={"a": "b"}
    )
    site.fleet.deploy("presses", components=components(ours="0.2.0", press="2.0.0"))
    run = site.run("--rollback", "presses")
    assert (run.code, run.err) == (0, "")
    first, second, third = site.fleet.deployments
    assert third.content == first.content
    assert (third.number, second.latest, third.latest) == (3, False, True)
    assert "back to revision 1" in run.out
    assert f'~ {OURS} componentVersion: "0.2.0" -> "0.1.0"' in run.out
    assert f'~ {PRESS} componentVersion: "2.0.0" -> "1.0.0"' in run.out


def test_dry_run(site: Site) -> None:
    """With --dry-run it shows what would go back."""
    site.fleet.deploy("presses", components=components(ours="0.1.0"))
    site.fleet.deploy("presses", components=components(ours="0.2.0"))
    run = site.run("--rollback", "presses", "--dry-run")
    assert (run.code, len(site.fleet.deployments)) == (0, 2)
    assert '"0.2.0" -> "0.1.0"' in run.out


def test_past_repeats(site: Site) -> None:
    """Revisions that hold the same as the latest (--again) are passed over."""
    site.fleet.deploy("presses", components=components(ours="0.1.0"))
    for _ in range(3):
        site.fleet.deploy("presses", components=components(ours="0.2.0"))
    assert site.run("--rollback", "presses").code == 0
    assert site.fleet.deployments[-1].content == site.fleet.deployments[0].content


def test_a_rollback_that_fails(site: Site) -> None:
    """After a rollback that failed on a device nothing is proposed that would go forward."""
    site.fleet.deploy("presses", components=components(ours="0.1.0"))
    site.fleet.deploy("presses", components=components(ours="0.2.0"))
    site.fleet.devices["press-1"] = Device(status="FAILED")
    run = site.run("--rollback", "presses")
    assert run.code == 1
    assert "without it: press-1" in run.out
    assert "--rollback" not in run.out


def test_twice(site: Site) -> None:
    """A rollback is a deployment: the next one goes back from it, that is forward."""
    site.fleet.deploy("presses", components=components(ours="0.1.0"))
    site.fleet.deploy("presses", components=components(ours="0.2.0"))
    site.run("--rollback", "presses")
    run = site.run("--rollback", "presses")
    assert run.code == 0
    assert "back to revision 2" in run.out


def test_further_back(site: Site) -> None:
    """--base names the one to go back to."""
    first = site.fleet.deploy("presses", components=components(ours="0.1.0"))
    site.fleet.deploy("presses", components=components(ours="0.2.0"))
    site.fleet.deploy("presses", components=components(ours="0.3.0"))
    assert site.run("--rollback", "presses", "--base", first.deployment_id).code == 0
    assert site.fleet.deployments[-1].content == first.content


def test_from_a_canceled_one(site: Site) -> None:
    """What was canceled can be gone back from without a word: devices may have got it."""
    site.fleet.deploy("presses", components=components(ours="0.1.0"))
    site.fleet.cancel(site.fleet.deploy("presses", components=components(ours="0.2.0")))
    assert site.run("--rollback", "presses").code == 0
    assert site.fleet.deployments[-1].content["components"] == components(ours="0.1.0")


def test_to_before_the_component(site: Site) -> None:
    """If the component goes, that is said, with what to do first."""
    site.fleet.deploy("presses", components=components(press="1.0.0"))
    site.fleet.deploy("presses", components=components(press="1.0.0", ours="0.1.0"))
    run = site.run("--rollback", "presses", "--dry-run")
    assert f"! this removes {OURS} from the devices" in run.out


@pytest.mark.parametrize("made", [0, 1, 2])
def test_nothing_to_go_back_to(site: Site, made: int) -> None:
    """Where there is nothing else before, nothing is deployed."""
    for _ in range(made):
        site.fleet.deploy("presses", components=components(ours="0.1.0"))
    run = site.run("--rollback", "presses")
    assert (run.code, len(site.fleet.deployments)) == (2, made)
    assert ("nothing to roll back to" if made else "has no deployment") in run.err
