"""What the new deployment has to be. Pure: nothing is asked, nothing is done.

A deployment cannot be changed; a new one takes the place of the target's latest, with all that
it holds. So the new one starts from the whole content of a *base*, usually the latest revision,
and differs from it only in what was asked for. (Greengrass V2 Developer Guide, "Revise
deployments".)
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployment.ports import CannotDeploy, Content, Deployment, Revision

#: What GetDeployment tells and CreateDeployment takes, beside the target.
CARRIED = (
    "deploymentName",
    "components",
    "deploymentPolicies",
    "iotJobConfiguration",
    "parentTargetArn",
    "tags",
)
#: Keys that AWS keeps for itself: no request may set them (Tagging API reference).
_RESERVED = "aws:"

_NUMBER = r"(0|[1-9]\d*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


def version_problem(version: str) -> str | None:
    """Why it is not a version as Greengrass has them (semantic versioning, at most 64 long)."""
    if _VERSION.fullmatch(version) and len(version) <= 64:
        return None
    meant = version.removeprefix("v")
    hint = f": write {meant}" if _VERSION.fullmatch(meant) else ", such as 0.1.0"
    return f"{version!r} is not a version{hint}"


def latest_of(revisions: Sequence[Revision], wanted: str | None) -> Revision | None:
    """The group's latest revision; None if it has no deployment. Raises CannotDeploy.

    A group may be the target of two deployments: its own, and as a part of a larger group, a
    subdeployment. ``wanted``, the id of any revision of one of them, says which is meant.
    """
    latest = [revision for revision in revisions if revision.latest]
    if wanted is not None:
        parent = named(revisions, wanted).parent
        latest = [revision for revision in latest if revision.parent == parent]
    if len(latest) > 1:
        choice = "; ".join(
            f"{one.deployment_id} (parent: {one.parent or 'none'})" for one in latest
        )
        raise CannotDeploy(
            f"the group is the target of more than one deployment, its own and as a "
            f"subdeployment. Say which is meant, with --base and its ID: {choice}"
        )
    return latest[0] if latest else None


def base_of(
    latest: Revision | None, revisions: Sequence[Revision], wanted: str | None
) -> Revision | None:
    """The revision to build on: the one named, else the latest; None if there is none at all.

    Raises CannotDeploy where a person has to choose.
    """
    if wanted is not None:
        return named(revisions, wanted)
    if latest is not None and latest.status == "CANCELED":
        raise CannotDeploy(
            f"the group's latest deployment, {latest}, was canceled: perhaps somebody wanted to "
            f"stop what is in it. Say what to build on: --base {latest.deployment_id} is the "
            f"canceled one; --rollback --dry-run shows the one before it"
        )
    return latest


def named(revisions: Sequence[Revision], wanted: str) -> Revision:
    """The revision of this id. Raises CannotDeploy."""
    for revision in revisions:
        if revision.deployment_id == wanted:
            return revision
    known = ", ".join(f"{one.deployment_id} ({one.number})" for one in revisions[:5]) or "none"
    raise CannotDeploy(f"--base {wanted} is no deployment of this group; the newest are: {known}")


def earlier(latest: Revision, revisions: Sequence[Revision]) -> list[Revision]:
    """The revisions before the latest, the newest first.

    It goes by the numbers, not by the status: whether AWS calls a revision that was replaced
    INACTIVE or CANCELED is documented both ways.
    """
    return [
        revision
        for revision in revisions
        if revision.number < latest.number and revision.parent == latest.parent
    ]


def first(group: str) -> Content:
    """The content of a group's first deployment: a name, and Greengrass's defaults for the rest."""
    return {"deploymentName": group, "components": {}}


def kept(base: Deployment) -> Content:
    """The base's content, fit for CreateDeployment.

    Raises CannotDeploy if it would lose something.
    """
    lost = [name for name in base.unknown if name.split(".")[0] in CARRIED]
    if lost:
        raise CannotDeploy(
            f"the deployment has settings that the installed boto3 does not know, and that would "
            f"be lost: {', '.join(lost)}. Install a newer boto3, and try again"
        )
    return fit(base.content)


def fit(content: Content) -> Content:
    """A copy of the content without what no request may hold."""
    copied: Content = {"components": {}, **copy.deepcopy(content)}
    tags = {key: value for key, value in copied.pop("tags", {}).items() if not _reserved(key)}
    return {**copied, "tags": tags} if tags else copied


def notes(base: Deployment) -> list[str]:
    """What a person should know of what does not go over from the base."""
    said = []
    reserved = sorted(filter(_reserved, base.content.get("tags", {})))
    if reserved:
        said.append(
            f"not carried over, since AWS sets these tags itself: {', '.join(reserved)}. If a "
            f"CloudFormation stack manages this deployment, change the stack instead"
        )
    outer = [name for name in base.unknown if name.split(".")[0] not in CARRIED]
    if outer:
        said.append(f"the installed boto3 does not know, and leaves out: {', '.join(outer)}")
    return said


def with_component(
    content: Content, component: str, version: str, change: Mapping[str, Any]
) -> Content:
    """The content with the component in this version, and the change merged into what it merges.

    What else is said of the component (``reset``, ``runWith``) stays. Raises CannotDeploy.
    """
    result = copy.deepcopy(content)
    specification = result["components"].setdefault(component, {})
    specification["componentVersion"] = version
    if change:
        update = specification.setdefault("configurationUpdate", {})
        update["merge"] = json.dumps(merged(merge_of(specification), change))
    return result


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the change merged into it; neither is changed.

    As a nucleus merges: objects key by key, everything else, lists too, as a whole; null is a
    value. (Greengrass V2 Developer Guide, "Update component configurations".)
    """
    result = dict(base)
    for key, value in change.items():
        before = result.get(key)
        if isinstance(value, Mapping):
            result[key] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def merge_of(specification: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a component's entry merges. Raises CannotDeploy if it is not JSON."""
    text = specification.get("configurationUpdate", {}).get("merge")
    try:
        values = json.loads(text or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise CannotDeploy(
            "the deployment's merge configuration is not a JSON object: mend it in the console"
        )
    return values


def _reserved(key: str) -> bool:
    return key.lower().startswith(_RESERVED)
