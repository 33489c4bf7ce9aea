"""What is looked at before anything is deployed, and what is said if it is not right."""

from __future__ import annotations

import pytest

from tests.deployment.account_site import Site
from tests.deployment.aws_wire import ApiError, NotAws
from tests.deployment.fleet import ThingGroup


@pytest.fixture(autouse=True)
def _nothing_is_deployed(site: Site) -> object:
    """Whatever is wrong here, nothing is deployed."""
    site.fleet.deploy("presses", components={})
    yield
    assert site.api.asked("CreateDeployment") == []
    assert len(site.fleet.deployments) == 1


def refused(site: Site, *arguments: str) -> str:
    """What the standard error says, in one line, of a command that deploys nothing."""
    run = site.run(*(arguments or ("0.1.0", "presses")))
    assert run.code == 2
    [line] = run.err.splitlines()
    return line.removeprefix("deploy_component_version.py: ")


# -- credentials and Region ---------------------------------------------------------------


def test_no_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials it says how to get some."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = refused(site)
    assert said.startswith("no AWS credentials are found: sign in again")
    assert "--profile" in said


def test_half_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret is named."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "AWS_SECRET_ACCESS_KEY" in refused(site)


def test_no_such_profile(site: Site) -> None:
    """A profile that does not exist is an error that says where to look."""
    said = refused(site, "--profile", "nobody", "0.1.0", "presses")
    assert "(nobody) could not be found" in said
    assert "aws configure list-profiles" in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "the credentials have expired: sign in again"),
        ("InvalidClientTokenId", "AWS does not accept the credentials (InvalidClientTokenId)"),
        ("SignatureDoesNotMatch", "is this machine's clock right?"),
    ],
)
def test_credentials_that_are_not_accepted(site: Site, code: str, said: str) -> None:
    """Credentials that are old or wrong are told apart, each with its remedy."""
    site.api.faults["GetCallerIdentity"] = [ApiError(code, "no", 403)]
    assert said in refused(site)


def test_no_region(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Region it says how to name one."""
    monkeypatch.delenv("AWS_REGION")
    assert "no AWS Region is set: name it (--region, or AWS_REGION)" in refused(site)


def test_regions_of_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION counts, as in the AWS CLI, and AWS_DEFAULT_REGION; --region before both."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.setenv(name, "eu-central-1")
        assert site.run("--dry-run", "0.1.0", "presses").code == 0
    assert "us-west-2" in refused(site, "--region", "us-west-2", "0.1.0", "presses")


def test_a_region_that_is_none(site: Site) -> None:
    """A Region that cannot be one is refused before anything is asked."""
    said = refused(site, "--region", "eu central", "0.1.0", "presses")
    assert "eu central" in said
    assert site.api.calls == []


def test_another_region(site: Site) -> None:
    """In another Region the group is not there, and Region and account are named."""
    said = refused(site, "--region", "eu-west-1", "0.1.0", "presses")
    assert "there is no thing group presses in eu-west-1 of account 123456789012" in said
    assert "--region" in said


def test_no_network(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that cannot be reached is named."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = refused(site)
    assert "http://127.0.0.1:9" in said
    assert "Is the network up, and is there such a Region?" in said


def test_a_sign_in_page(site: Site) -> None:
    """A network that answers with a page of its own is recognized."""
    site.api.faults["DescribeThingGroup"] = [NotAws()]
    assert "the answer is not AWS's; is there a proxy?" in refused(site)


def test_not_allowed(site: Site) -> None:
    """A call that the caller's policy does not allow is named, with where the policy is."""
    site.api._policy = {"Version": "2012-10-17", "Statement": []}
    said = refused(site)
    assert "DescribeThingGroup: AccessDeniedException" in said
    assert "docs/operations.md" in said


# -- the group ----------------------------------------------------------------------------


def test_no_such_group(site: Site) -> None:
    """A group that is not there is an error that also thinks of a thing's name."""
    said = refused(site, "0.1.0", "press-1")
    assert "there is no thing group press-1" in said
    assert "A thing's name will not do" in said


def test_an_arn(site: Site) -> None:
    """For an ARN it says which name is meant."""
    said = refused(site, "0.1.0", "arn:aws:iot:eu-central-1:123456789012:thinggroup/presses")
    assert said == "give the thing group's name, not its ARN: presses"


@pytest.mark.parametrize("name", ["", "two words", "a" * 129, "a/b", "münchen"])
def test_no_group_name(site: Site, name: str) -> None:
    """What cannot be a name is refused without asking."""
    assert "is no name of a thing group" in refused(site, "0.1.0", name)


def test_what_is_in_the_group(site: Site) -> None:
    """The members are counted, with those of the groups below."""
    site.fleet.groups["hall"] = ThingGroup(["press-3", "press-4"])
    site.fleet.groups["presses"].below = ["hall"]
    run = site.run("--dry-run", "0.1.0", "presses")
    assert "thing group presses: 4 in it now" in run.out


def test_a_dynamic_group(site: Site) -> None:
    """A dynamic group is called one, with its query, and while it is built that is said."""
    site.fleet.groups["presses"].query = "attributes.hall:3"
    site.fleet.groups["presses"].status = "BUILDING"
    run = site.run("--dry-run", "0.1.0", "presses")
    assert "dynamic thing group (attributes.hall:3) presses: 3 in it now" in run.out
    assert "! AWS IoT is still working out who is in this group" in run.out


# -- the component ------------------------------------------------------------------------


def test_no_such_version(site: Site) -> None:
    """A version that was not published is an error with those that were."""
    site.fleet.versions = {f"0.{n}.0": {"componentState": "DEPLOYABLE"} for n in range(1, 6)}
    said = refused(site, "9.9.9", "presses")
    assert "has no version 9.9.9 in eu-central-1 of account 123456789012" in said
    assert said.endswith("0.5.0, 0.4.0, 0.3.0, 0.2.0, 0.1.0")


def test_no_such_component(site: Site) -> None:
    """A component that was never published is another error."""
    site.fleet.versions = {}
    assert "there is no component community.greengrass.CertificateKeeper" in refused(site)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"componentState": "REQUESTED"}, "is still being made (REQUESTED)"),
        ({"componentState": "INITIATED"}, "is still being made (INITIATED)"),
        (
            {
                "componentState": "FAILED",
                "message": "artifact",
                "errors": {"s3://bucket/x.zip": "no such key"},
            },
            "it is FAILED. artifact s3://bucket/x.zip: no such key",
        ),
        ({"componentState": "DEPRECATED"}, "it is DEPRECATED"),
        (
            {
                "componentState": "DEPLOYABLE",
                "vendorGuidance": "DELETED",
                "vendorGuidanceMessage": "by mistake",
            },
            "has been deleted by its publisher. by mistake",
        ),
    ],
)
def test_a_version_that_cannot_be_deployed(site: Site, status: dict[str, str], said: str) -> None:
    """A version that Greengrass would not deploy is refused here, with its reason."""
    site.fleet.versions["0.1.0"] = status
    assert said in refused(site)


def test_a_discontinued_version(site: Site) -> None:
    """A version that is discontinued can be deployed, and is noted."""
    site.fleet.versions["0.1.0"] |= {"vendorGuidance": "DISCONTINUED"}
    run = site.run("--dry-run", "0.1.0", "presses")
    assert run.code == 0
    assert "is discontinued" in run.out
