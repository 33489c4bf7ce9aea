"""What has to be right before anything is deployed. Each check says what to do if it is not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from certkeeper import COMPONENT_NAME
from deployment.ports import CannotDeploy, Cloud, Group, NotFound, Revision

#: CreateThingGroup's API reference.
_GROUP_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_MOST_VERSIONS = 10


def group(cloud: Cloud, name: str) -> Group:
    """The thing group of this name. Raises CannotDeploy if there is none."""
    if name.startswith("arn:"):
        raise CannotDeploy(f"give the thing group's name, not its ARN: {name.rpartition('/')[2]}")
    if not _GROUP_NAME.fullmatch(name):
        raise CannotDeploy(f"{name!r} is no name of a thing group: letters, digits, : _ and - only")
    try:
        return cloud.group(name)
    except NotFound:
        caller = cloud.caller()
        raise CannotDeploy(
            f"there is no thing group {name} in {caller.region} of account {caller.account}. Is it "
            f"the right Region (--region) and account (--profile)? A thing's name will not do: put "
            f"the thing into a group"
        ) from None


def component_version(cloud: Cloud, version: str) -> list[str]:
    """Notes on the component's version. Raises CannotDeploy if it cannot be deployed."""
    try:
        found = cloud.component(version)
    except NotFound:
        raise CannotDeploy(_no_such_version(cloud, version)) from None
    name = f"{COMPONENT_NAME} {version}"
    said = " ".join(filter(None, (found.message, _problems(found.errors))))
    if found.state in ("REQUESTED", "INITIATED"):
        raise CannotDeploy(f"{name} is still being made ({found.state}): try again in a minute")
    if found.state != "DEPLOYABLE":
        raise CannotDeploy(f"{name} cannot be deployed: it is {found.state}. {said}".rstrip())
    if found.guidance == "DELETED":
        raise CannotDeploy(f"{name} has been deleted by its publisher. {found.guidance_message}")
    if found.guidance == "DISCONTINUED":
        return [f"{name} is discontinued: {found.guidance_message or 'choose another version'}"]
    return []


def unchanged(cloud: Cloud, target: Group, before: Sequence[Revision]) -> None:
    """Raises CannotDeploy if somebody has deployed to the group since ``before`` was listed."""
    was, now = (
        {revision.deployment_id for revision in revisions if revision.latest}
        for revisions in (before, cloud.revisions(target, history=False))
    )
    if was != now:
        raise CannotDeploy(
            f"somebody else has just deployed to the group "
            f"({', '.join(sorted(now)) or 'nothing is left'}), and this would undo it: look, "
            f"and try again"
        )


def _no_such_version(cloud: Cloud, version: str) -> str:
    try:
        versions: Sequence[str] = cloud.versions(_MOST_VERSIONS)
    except NotFound:
        versions = ()
    caller = cloud.caller()
    where = f"in {caller.region} of account {caller.account}"
    if not versions:
        return (
            f"there is no component {COMPONENT_NAME} {where}: publish it first, or name another "
            f"Region (--region) or account (--profile)"
        )
    return (
        f"{COMPONENT_NAME} has no version {version} {where}; the newest are: {', '.join(versions)}"
    )


def _problems(errors: object) -> str:
    return ", ".join(f"{k}: {v}" for k, v in errors.items()) if isinstance(errors, dict) else ""
