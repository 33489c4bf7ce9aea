"""What AWS answers of a Fleet: the operations that ``deployment/account.py`` uses, and no other.

It also goes wrong where a test wants it to, and holds the caller to a policy.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from botocore import xform_name

from certkeeper import COMPONENT_NAME
from lab.iot_core.policy import evaluate
from tests.deployment.aws_wire import ApiError, Call, Cut
from tests.deployment.fleet import ACCOUNT, REGION, START, Fleet, IotJob, Made, group_arn

Asked = Mapping[str, Any]
_COUNTERS = {
    "numberOfQueuedThings": "QUEUED",
    "numberOfInProgressThings": "IN_PROGRESS",
    "numberOfSucceededThings": "SUCCEEDED",
    "numberOfFailedThings": "FAILED",
    "numberOfTimedOutThings": "TIMED_OUT",
    "numberOfRejectedThings": "REJECTED",
    "numberOfCanceledThings": "CANCELED",
    "numberOfRemovedThings": "REMOVED",
}


class FleetApi:
    """An ``aws_wire.Answering``; ``calls`` has every request that arrived."""

    def __init__(self, fleet: Fleet, policy: Mapping[str, Any]) -> None:
        """``policy`` is the caller's: what it does not allow is refused."""
        self.calls: list[Call] = []
        self.page_size = 3
        #: The next answers to an operation; each is used once.
        self.faults: defaultdict[str, list[Exception]] = defaultdict(list)
        #: From and until which second everything fails, and how.
        self.outages: list[tuple[float, float, Exception]] = []
        #: Operations whose next answers, so many, are not heard: they are done all the same.
        self.unheard: Counter[str] = Counter()
        #: How much longer a list of executions lags behind the counts, in lists.
        self.lag = 0
        self._fleet = fleet
        self._policy = policy
        self._tokens: dict[str, Asked] = {}
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Asked:
        with self._lock:
            self.calls.append(call)
            self._hinder(call)
            self._authorize(call)
            said: Asked = getattr(self, f"_{xform_name(call.operation)}")(call.arguments)
            if self.unheard[call.operation]:
                self.unheard[call.operation] -= 1
                raise Cut
            return said

    def asked(self, operation: str) -> list[Asked]:
        """The arguments of each call of an operation."""
        return [call.arguments for call in self.calls if call.operation == operation]

    def _hinder(self, call: Call) -> None:
        if call.region != REGION and call.operation != "GetCallerIdentity":
            raise ApiError("ResourceNotFoundException", "nothing is in this Region")
        for since, until, fault in self.outages:
            if since <= self._fleet.time < until:
                raise fault
        if self.faults[call.operation]:
            raise self.faults[call.operation].pop(0)

    def _authorize(self, call: Call) -> None:
        if call.service == "sts":
            return  # GetCallerIdentity needs no permission
        prefix = "greengrass" if call.service == "greengrassv2" else call.service
        action = f"{prefix}:{call.operation}"
        for resource in _resources(call):
            if not evaluate([self._policy], action, resource, {}).allowed:
                raise ApiError("AccessDeniedException", f"not allowed: {action} {resource}", 403)

    # -- sts, and groups -----------------------------------------------------------------

    def _get_caller_identity(self, _: Asked) -> Asked:
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/ada"
        return {"Arn": arn, "UserId": "AROA:ada", "Account": ACCOUNT}

    def _describe_thing_group(self, asked: Asked) -> Asked:
        name = asked["thingGroupName"]
        if name not in self._fleet.groups:
            raise ApiError("ResourceNotFoundException", f"Thing group {name} not found.")
        group = self._fleet.groups[name]
        dynamic = {"queryString": group.query, "status": group.status}
        told = {"thingGroupName": name, "thingGroupArn": group_arn(name)}
        return {**told, **(dynamic if group.query else {})}

    def _list_things_in_thing_group(self, asked: Asked) -> Asked:
        name = asked["thingGroupName"]
        every = self._fleet.members(name)
        return self._page(asked, "things", every if asked.get("recursive") else ())

    # -- components ----------------------------------------------------------------------

    def _describe_component(self, asked: Asked) -> Asked:
        arn = asked["arn"]
        name, _, version = arn.partition(":components:")[2].partition(":versions:")
        if name != COMPONENT_NAME or version not in self._fleet.versions:
            raise ApiError("ResourceNotFoundException", f"{arn} is not there")
        return {"arn": arn, "status": self._fleet.versions[version]}

    def _list_component_versions(self, asked: Asked) -> Asked:
        if not self._fleet.versions:
            raise ApiError("ResourceNotFoundException", f"{asked['arn']} is not there")
        versions = sorted(self._fleet.versions, reverse=True)
        return self._page(asked, "componentVersions", [{"componentVersion": v} for v in versions])

    # -- deployments ---------------------------------------------------------------------

    def _list_deployments(self, asked: Asked) -> Asked:
        found = [
            {**_summary(made), **_some(parentTargetArn=made.parent)}
            for made in self._fleet.deployments
            if (made.latest or asked.get("historyFilter") == "ALL")
            and asked.get("targetArn") in (None, made.target)
            and asked.get("parentTargetArn") in (None, made.parent)
        ]
        return self._page(asked, "deployments", found)

    def _get_deployment(self, asked: Asked) -> Asked:
        for made in self._fleet.deployments:
            if made.deployment_id == asked["deploymentId"]:
                job = {"iotJobId": made.job_id}
                return {**made.content, **_summary(made), **job, "__extra__": made.extra}
        raise ApiError("ResourceNotFoundException", f"{asked['deploymentId']} is not there")

    def _create_deployment(self, asked: Asked) -> Asked:
        content = dict(asked)
        token, target = content.pop("clientToken"), content.pop("targetArn")
        tags = content.get("tags", {"any": ""})
        if not tags or any(key.startswith("aws:") for key in tags):
            raise ApiError("ValidationException", f"tags {tags}")
        if token not in self._tokens:
            made = self._fleet.deploy(target.rpartition("/")[2], **content)
            told = {"deploymentId": made.deployment_id, "iotJobId": made.job_id}
            self._tokens[token] = told
        return self._tokens[token]

    # -- jobs ----------------------------------------------------------------------------

    def _describe_job(self, asked: Asked) -> Asked:
        job, now = self._job(asked), self._fleet.time
        states = [self._fleet.state(each) for each in job.executions if each.queued <= now]
        rolling = job.status == "IN_PROGRESS" and len(states) < len(job.executions)
        details: dict[str, Any] = {name: states.count(status) for name, status in _COUNTERS.items()}
        if rolling:
            details["processingTargets"] = [job.target]
        return {
            "job": {
                "jobId": job.job_id,
                "targetSelection": "CONTINUOUS",
                "status": job.status,
                "targets": [job.target],
                "isConcurrent": rolling,
                "namespaceId": "aws-gg-deployment",
                "jobProcessDetails": details,
                **_some(comment=job.why),
            }
        }

    def _list_job_executions_for_job(self, asked: Asked) -> Asked:
        if self.lag:
            self.lag -= 1
            return {"executionSummaries": []}
        found = [
            {
                "thingArn": f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{each.thing}",
                "jobExecutionSummary": {"status": asked["status"], "executionNumber": each.number},
            }
            for each in self._job(asked).executions
            if each.queued <= self._fleet.time and self._fleet.state(each) == asked["status"]
        ]
        return self._page(asked, "executionSummaries", found)

    def _describe_job_execution(self, asked: Asked) -> Asked:
        thing, number = asked["thingName"], asked["executionNumber"]
        [found] = [
            each
            for each in self._job(asked).executions
            if (each.thing, each.number) == (thing, number)
        ]
        details = dict(self._fleet.devices[thing].details)
        said = {"jobId": asked["jobId"], "status": self._fleet.state(found)}
        return {
            "execution": {**said, **({"statusDetails": {"detailsMap": details}} if details else {})}
        }

    def _job(self, asked: Asked) -> IotJob:
        if asked["jobId"] not in self._fleet.jobs:
            raise ApiError("ResourceNotFoundException", f"Job {asked['jobId']} cannot be found.")
        return self._fleet.jobs[asked["jobId"]]

    def _page(self, asked: Asked, name: str, items: Sequence[Any]) -> Asked:
        """A page of a list: never more than asked for, and few, so that there are several."""
        begin = int(asked.get("nextToken", 0))
        end = begin + min(asked.get("maxResults", 50), self.page_size)
        more = {"nextToken": str(end)} if end < len(items) else {}
        return {name: items[begin:end], **more}


def _summary(made: Made) -> dict[str, Any]:
    return {
        "targetArn": made.target,
        "revisionId": str(made.number),
        "deploymentId": made.deployment_id,
        "creationTimestamp": START + timedelta(seconds=made.created),
        "deploymentStatus": made.status,
        "isLatestForTarget": made.latest,
    }


def _some(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _resources(call: Call) -> list[str]:
    """The ARNs that a call is about (resource types of the Service Authorization Reference)."""
    asked = call.arguments
    if call.service == "iot":
        kinds = {"thingGroupName": "thinggroup", "jobId": "job", "thingName": "thing"}
        prefix = f"arn:aws:iot:{call.region}:{ACCOUNT}:"
        return [f"{prefix}{kind}/{asked[name]}" for name, kind in kinds.items() if name in asked]
    if "deploymentId" in asked:
        return [f"arn:aws:greengrass:{call.region}:{ACCOUNT}:deployments:{asked['deploymentId']}"]
    return [asked.get("arn", "*")]
