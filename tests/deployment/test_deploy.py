"""Deploying, from the command line to what stands in the account afterwards."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from tests.deployment.account_site import SECRET, Site
from tests.deployment.aws_wire import ApiError
from tests.deployment.fleet import ThingGroup, group_arn
from tests.deployment.test_plan import OURS, WHOLE

NEW = "0.2.0"


@pytest.fixture
def whole(site: Site) -> Site:
    """A site whose group has a deployment with one of everything, and a newer version at hand."""
    site.fleet.versions[NEW] = {"componentState": "DEPLOYABLE"}
    content = {name: value for name, value in WHOLE.items() if name != "parentTargetArn"}
    site.fleet.deploy("presses", **copy.deepcopy(content))
    return site


def test_everything_is_kept(whole: Site) -> None:
    """The new revision holds all that the latest holds, but for the version."""
    before = copy.deepcopy(whole.fleet.deployments[0].content)
    run = whole.run(NEW, "presses")
    assert (run.code, run.err) == (0, "")
    first, second = whole.fleet.deployments
    before["components"][OURS]["componentVersion"] = NEW
    assert second.content == before
    assert (second.target, second.number, second.latest) == (first.target, 2, True)
    assert f'~ {OURS} componentVersion: "0.1.0" -> "0.2.0"' in run.out
    assert (
        "as it is: 1 component (com.example.PressControl), name, policies, rollout, tags" in run.out
    )
    assert run.out.splitlines()[-1].endswith("3 of 3 devices have it")


def test_the_history_is_read_only_if_it_is_needed(whole: Site) -> None:
    """A group may have thousands of revisions: without --base or --rollback none is listed."""
    whole.run(NEW, "presses")
    assert {each["historyFilter"] for each in whole.api.asked("ListDeployments")} == {"LATEST_ONLY"}
    whole.run("--rollback", "presses", "--dry-run")
    asked = whole.api.asked("ListDeployments")[3:]
    assert [each["historyFilter"] for each in asked] == ["ALL", "LATEST_ONLY"]


def test_a_subdeployment_keeps_its_parent(site: Site) -> None:
    """A group that is part of a larger one's deployment stays so."""
    site.fleet.groups["all"] = ThingGroup(below=["presses"])
    parent = group_arn("all")
    site.fleet.deploy("presses", components={}, parentTargetArn=parent)
    assert site.run("0.1.0", "presses").code == 0
    assert site.fleet.deployments[-1].parent == parent


def test_configuration(whole: Site, tmp_path: Path) -> None:
    """--config is merged into what the deployment merges, and shown key by key."""
    path = tmp_path / "c.yaml"
    path.write_text("thresholds: [20, 10]\nrotateWindow:\n  cron: cron(0 1 ? * SUN *)\n")
    run = whole.run("0.1.0", "presses", "--config", str(path))
    assert (run.code, run.err) == (0, "")
    ours = whole.fleet.deployments[-1].content["components"][OURS]
    assert json.loads(ours["configurationUpdate"]["merge"]) == {
        "maxAgeDays": 365,
        "rotateWindow": {"cron": "cron(0 1 ? * SUN *)", "minutes": 60},
        "thresholds": [20, 10],
    }
    assert f"+ {OURS} configuration thresholds: [20, 10]" in run.out


def test_a_configuration_that_would_be_refused(whole: Site, tmp_path: Path) -> None:
    """A configuration that the component would refuse is not deployed."""
    path = tmp_path / "c.json"
    path.write_text('{"maxAgeDays": "a year"}')
    run = whole.run("0.1.0", "presses", "--config", str(path))
    assert run.code == 2
    assert "maxAgeDays must be a whole number" in run.err
    assert len(whole.fleet.deployments) == 1


def test_no_configuration_file(whole: Site) -> None:
    """A file that cannot be read is an error before AWS is asked for anything."""
    run = whole.run("0.1.0", "presses", "--config", "/nonexistent/c.json")
    assert (run.code, whole.api.calls) == (2, [])
    assert "/nonexistent/c.json cannot be read" in run.err


def test_dry_run(whole: Site) -> None:
    """--dry-run shows the difference, and asks for nothing that changes anything."""
    run = whole.run(NEW, "presses", "--dry-run")
    assert (run.code, run.err) == (0, "")
    assert '"0.1.0" -> "0.2.0"' in run.out
    assert "Nothing was deployed" in run.out
    assert len(whole.fleet.deployments) == 1
    assert {
        call.operation.removeprefix("Describe").removeprefix("List").removeprefix("Get")
        for call in whole.api.calls
    } == {
        "CallerIdentity",
        "ThingGroup",
        "ThingsInThingGroup",
        "Component",
        "Deployments",
        "Deployment",
    }


def test_the_same_again(whole: Site) -> None:
    """If nothing would change, nothing is deployed, until it is asked for."""
    run = whole.run("0.1.0", "presses")
    assert (run.code, run.err) == (0, "")
    assert "Nothing would change, so nothing was deployed" in run.out
    assert len(whole.fleet.deployments) == 1
    assert whole.run("0.1.0", "presses", "--again").code == 0
    assert len(whole.fleet.deployments) == 2
    assert whole.fleet.deployments[0].content == whole.fleet.deployments[1].content


@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_the_same_after_one_that_did_not_get_far(whole: Site, status: str) -> None:
    """A deployment that was stopped is deployed anew although nothing changes."""
    whole.fleet.cancel(whole.fleet.deployments[0], status)
    base = ("--base", whole.fleet.deployments[0].deployment_id) if status == "CANCELED" else ()
    assert whole.run("0.1.0", "presses", *base).code == 0
    assert len(whole.fleet.deployments) == 2


def test_a_first_deployment_is_asked_for(site: Site) -> None:
    """A group without a deployment gets one only with --create."""
    run = site.run("0.1.0", "presses")
    assert (run.code, site.fleet.deployments) == (2, [])
    assert "presses has no deployment yet" in run.err
    assert "--create" in run.err
    run = site.run("0.1.0", "presses", "--create")
    assert (run.code, run.err) == (0, "")
    [made] = site.fleet.deployments
    assert made.content == {
        "deploymentName": "presses",
        "components": {OURS: {"componentVersion": "0.1.0"}},
    }


def test_create_does_no_harm(whole: Site) -> None:
    """With --create a group that has a deployment keeps what is in it."""
    assert whole.run(NEW, "presses", "--create").code == 0
    assert "com.example.PressControl" in whole.fleet.deployments[-1].content["components"]


def test_a_canceled_deployment(whole: Site) -> None:
    """What somebody has canceled is built on only if it is named."""
    whole.fleet.cancel(whole.fleet.deployments[0])
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (2, 1)
    assert f"--base {whole.fleet.deployments[0].deployment_id}" in run.err
    assert whole.run(NEW, "presses", "--base", whole.fleet.deployments[0].deployment_id).code == 0


def test_an_older_base(whole: Site) -> None:
    """--base builds on an older revision; the difference is to the latest."""
    whole.fleet.deploy("presses", components={"com.example.Other": {"componentVersion": "1.0.0"}})
    first = whole.fleet.deployments[0].deployment_id
    run = whole.run(NEW, "presses", "--base", first)
    assert (run.code, run.err) == (0, "")
    assert set(whole.fleet.deployments[-1].content["components"]) == {
        OURS,
        "com.example.PressControl",
    }
    assert '- com.example.Other componentVersion: "1.0.0"' in run.out
    assert "built on revision 1" in run.out


def test_somebody_else_deploys(whole: Site) -> None:
    """A deployment that was made while this one was prepared is not undone."""
    api, fleet = whole.api, whole.fleet
    listed = api._list_deployments

    def listed_and_then(asked: dict[str, str]) -> object:
        told = listed(asked)
        if len(api.asked("ListDeployments")) == 1:
            fleet.deploy("presses", components={})
        return told

    api._list_deployments = listed_and_then  # type: ignore[method-assign,assignment]
    run = whole.run(NEW, "presses")
    assert run.code == 2
    assert "somebody else has just deployed" in run.err
    assert len(fleet.deployments) == 2


def test_subdeployments_end(whole: Site) -> None:
    """A revision of the whole group's deployment ends those of its parts: they are named."""
    whole.fleet.groups["trial"] = ThingGroup(["press-1"])
    whole.fleet.deploy("trial", components={}, parentTargetArn=group_arn("presses"))
    run = whole.run(NEW, "presses", "--dry-run")
    assert f"! this takes the place of the subdeployment to {group_arn('trial')}" in run.out


def test_tags_of_a_stack(whole: Site) -> None:
    """Tags that only AWS may set stay behind, and it is said."""
    whole.fleet.deployments[0].content["tags"] = {"aws:cloudformation:stack-id": "x", "team": "a"}
    run = whole.run(NEW, "presses")
    assert (run.code, whole.fleet.deployments[-1].content["tags"]) == (0, {"team": "a"})
    assert "aws:cloudformation:stack-id" in run.out


def test_a_setting_that_boto3_does_not_know(whole: Site) -> None:
    """A setting newer than the installed boto3 is not dropped without a word."""
    job = {"jobExecutionsRetryConfig": {"numberOfRetries": 3}}
    whole.fleet.deployments[0].extra = {
        "iotJobConfiguration": job,
        "components": {OURS: {"runWith": {"umask": "0077"}}},
    }
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (2, 1)
    assert "iotJobConfiguration.jobExecutionsRetryConfig" in run.err
    assert f"components.{OURS}.runWith.umask" in run.err
    whole.fleet.deployments[0].extra = {"deploymentHealth": "GOOD"}
    run = whole.run(NEW, "presses")
    assert run.code == 0
    assert "! the installed boto3 does not know, and leaves out: deploymentHealth" in run.out


def test_no_answer_to_the_deployment(whole: Site) -> None:
    """A lost answer, throttling and an error of AWS's do not make two deployments of one."""
    whole.api.unheard["CreateDeployment"] = 1
    whole.api.faults["CreateDeployment"] = [
        *[ApiError("ThrottlingException")] * 4,
        *[ApiError("InternalServerException")] * 4,
        ApiError("RequestAlreadyInProgressException"),
    ]
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (0, 2)
    tokens = {asked["clientToken"] for asked in whole.api.asked("CreateDeployment")}
    assert len(tokens) == 1
    assert "throttled by AWS: asking again in" in run.out


def test_a_deployment_that_may_have_been_made(whole: Site) -> None:
    """If no try is answered it is not known whether it was made, and that is what it says."""
    whole.api.unheard["CreateDeployment"] = 100
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (3, 2)
    assert "It is not known whether it was deployed" in run.err
    assert "python3 deploy_component_version.py --watch presses" in run.err


def test_credentials_that_end_between_two_tries(whole: Site) -> None:
    """Nor is it known if the credentials expire after a try that was not answered."""
    whole.api.unheard["CreateDeployment"] = 4
    whole.api.outages = [(1, 1e9, ApiError("ExpiredTokenException", "", 403))]
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (3, 2)
    assert "the credentials have expired" in run.err


@pytest.mark.parametrize(
    "code", ["ValidationException", "ConflictException", "AccessDeniedException"]
)
def test_a_deployment_that_is_refused(whole: Site, code: str) -> None:
    """A refusal is told with its reason; nothing was deployed."""
    whole.api.faults["CreateDeployment"] = [ApiError(code, "because")]
    run = whole.run(NEW, "presses")
    assert (run.code, len(whole.fleet.deployments)) == (2, 1)
    assert f"CreateDeployment: {code}, because" in run.err


def test_no_secret_is_printed(whole: Site) -> None:
    """Neither the credentials nor another component's configuration are printed."""
    whole.fleet.deployments[0].content["components"]["com.example.PressControl"][
        "configurationUpdate"
    ]["merge"] = '{"password": "hunter2"}'
    for arguments in ((NEW, "presses"), ("--rollback", "presses"), ("--watch", "presses")):
        run = whole.run(*arguments)
        for secret in (SECRET, "AKIAEXAMPLE", "hunter2"):
            assert secret not in run.out + run.err
