"""The AWS account behind ``ports.Cloud``: the only file with boto3.

How the state of each device is had. A deployment to a thing group is a *continuous* IoT job,
which has an execution for each thing in the group and in the groups below it, and gets one for
each that joins later; the job stays IN_PROGRESS for good. DescribeJob counts the executions by
state, and says with ``isConcurrent`` and ``processingTargets`` whether there are things that it
has not reached yet. ListJobExecutionsForJob names the things in one state, up to 250 a page, and
DescribeJobExecution has what a device said of itself. (AWS IoT Developer Guide, "Jobs and job
execution states"; API references of DescribeJob and ListJobExecutionsForJob; Greengrass V2
Developer Guide, "Check deployment status".)

Two other lists would not do. ListCoreDevices by thing group has the devices that have
*successfully* had a deployment of the group. ListEffectiveDeployments is asked device by device,
and has the error codes of a failure, but not what the device said. (Their API references.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from certkeeper import COMPONENT_NAME
from deployment.aws_errors import translated
from deployment.plan import CARRIED
from deployment.ports import (
    Attempt,
    Caller,
    ComponentVersion,
    Content,
    Counts,
    Deployment,
    Group,
    Job,
    Passing,
    Revision,
)

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2 import GreengrassV2Client
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sts import STSClient

#: The largest page that both services give out (their API references; ListDeployments: 100).
_PAGE, _DEPLOYMENTS_PAGE = 250, 100


class Account:
    """See ports.Cloud."""

    def __init__(self, profile: str | None, region: str | None) -> None:
        """Credentials and Region as the AWS CLI finds them. Raises AwsError."""
        # The CLI reads AWS_REGION, boto3 only AWS_DEFAULT_REGION.
        region = region or os.environ.get("AWS_REGION")
        with translated("Session"):
            session = boto3.Session(profile_name=profile, region_name=region)
            # Throttled calls and lost connections are tried again at growing distances.
            config = Config(
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=5,
                read_timeout=20,
            )
            self._greengrass: GreengrassV2Client = session.client("greengrassv2", config=config)
            self._iot: IoTClient = session.client("iot", config=config)
            self._sts: STSClient = session.client("sts", config=config)
        for client in (self._greengrass, self._iot):
            client.meta.events.register("before-parse", _insist_on_json)
        self._greengrass.meta.events.register(
            "before-parse.greengrassv2.GetDeployment", _note_unknown_fields
        )
        self._caller: Caller | None = None

    def caller(self) -> Caller:
        if self._caller is None:
            with translated("GetCallerIdentity"):
                told = self._sts.get_caller_identity()
            self._caller = Caller(
                account=told["Account"],
                arn=told["Arn"],
                region=self._greengrass.meta.region_name,
                partition=told["Arn"].split(":")[1],
            )
        return self._caller

    def group(self, name: str) -> Group:
        with translated("DescribeThingGroup"):
            told = self._iot.describe_thing_group(thingGroupName=name)
        return Group(
            name=told["thingGroupName"],
            arn=told["thingGroupArn"],
            query=told.get("queryString") or None,
            building=told.get("status", "ACTIVE") != "ACTIVE",
        )

    def members(self, name: str, most: int) -> int:
        pages = _pages(self._iot, "list_things_in_thing_group", thingGroupName=name, recursive=True)
        return sum(1 for _ in islice((thing for page in pages for thing in page["things"]), most))

    def component(self, version: str) -> ComponentVersion:
        with translated("DescribeComponent"):
            status = self._greengrass.describe_component(
                arn=f"{self._component}:versions:{version}"
            ).get("status", {})
        return ComponentVersion(
            state=status.get("componentState", ""),
            message=status.get("message", ""),
            errors=status.get("errors", {}),
            guidance=status.get("vendorGuidance", "ACTIVE"),
            guidance_message=status.get("vendorGuidanceMessage", ""),
        )

    def versions(self, most: int) -> Sequence[str]:
        pages = _pages(self._greengrass, "list_component_versions", arn=self._component)
        found = (one["componentVersion"] for page in pages for one in page["componentVersions"])
        return list(islice(found, most))

    def revisions(self, group: Group, *, history: bool) -> Sequence[Revision]:
        pages = _pages(
            self._greengrass,
            "list_deployments",
            page_size=_DEPLOYMENTS_PAGE,
            targetArn=group.arn,
            historyFilter="ALL" if history else "LATEST_ONLY",
        )
        found = [
            Revision(
                deployment_id=one["deploymentId"],
                number=int(one.get("revisionId", 0)),
                status=one.get("deploymentStatus", ""),
                latest=bool(one.get("isLatestForTarget")),
                created=one.get("creationTimestamp"),
                parent=one.get("parentTargetArn") or None,
            )
            for page in pages
            for one in page["deployments"]
        ]
        # The API promises no order; the revision number counts up, for each target.
        return sorted(found, key=lambda revision: revision.number, reverse=True)

    def subdeployments(self, group: Group) -> Sequence[str]:
        pages = _pages(
            self._greengrass,
            "list_deployments",
            page_size=_DEPLOYMENTS_PAGE,
            parentTargetArn=group.arn,
            historyFilter="LATEST_ONLY",
        )
        found = [one for page in pages for one in page["deployments"]]
        return [one["targetArn"] for one in found if one.get("parentTargetArn") == group.arn]

    def deployment(self, deployment_id: str) -> Deployment:
        with translated("GetDeployment"):
            told: dict[str, Any] = dict(self._greengrass.get_deployment(deploymentId=deployment_id))
        return Deployment(
            content={name: told[name] for name in CARRIED if told.get(name)},
            job_id=told.get("iotJobId", ""),
            status=told.get("deploymentStatus", ""),
            latest=bool(told.get("isLatestForTarget")),
            unknown=tuple(told.get(_UNKNOWN, ())),
        )

    def create(self, target: str, content: Content, token: str) -> tuple[str, str]:
        with translated("CreateDeployment"):
            told = self._greengrass.create_deployment(
                targetArn=target, clientToken=token, **content
            )
        return told["deploymentId"], told.get("iotJobId", "")

    def job(self, job_id: str) -> Job:
        with translated("DescribeJob"):
            job = self._iot.describe_job(jobId=job_id)["job"]
        details = job.get("jobProcessDetails", {})
        return Job(
            status=job.get("status", ""),
            counts=Counts(
                queued=details.get("numberOfQueuedThings", 0),
                in_progress=details.get("numberOfInProgressThings", 0),
                succeeded=details.get("numberOfSucceededThings", 0),
                failed=details.get("numberOfFailedThings", 0),
                timed_out=details.get("numberOfTimedOutThings", 0),
                rejected=details.get("numberOfRejectedThings", 0),
                canceled=details.get("numberOfCanceledThings", 0),
                removed=details.get("numberOfRemovedThings", 0),
            ),
            rolling_out=bool(job.get("isConcurrent") or details.get("processingTargets")),
            why=" ".join(filter(None, (job.get("reasonCode"), job.get("comment")))),
        )

    def attempts(self, job_id: str, status: str, most: int) -> Sequence[Attempt]:
        pages = _pages(self._iot, "list_job_executions_for_job", jobId=job_id, status=status)
        found = (
            Attempt(
                thing=one["thingArn"].partition(":thing/")[2],
                number=one["jobExecutionSummary"].get("executionNumber", 1),
                status=one["jobExecutionSummary"]["status"],
            )
            for page in pages
            for one in page["executionSummaries"]
        )
        return list(islice(found, most))

    def details(self, job_id: str, attempt: Attempt) -> Mapping[str, str]:
        with translated("DescribeJobExecution"):
            told = self._iot.describe_job_execution(
                jobId=job_id, thingName=attempt.thing, executionNumber=attempt.number
            )
        return told["execution"].get("statusDetails", {}).get("detailsMap", {})

    @property
    def _component(self) -> str:
        caller = self.caller()
        where = f"{caller.partition}:greengrass:{caller.region}:{caller.account}"
        return f"arn:{where}:components:{COMPONENT_NAME}"


def _pages(
    client: Any, operation: str, page_size: int = _PAGE, **arguments: Any
) -> Iterator[dict[str, Any]]:
    """The pages of a list, each asked for when it is needed."""
    paginator = client.get_paginator(operation)
    pages = iter(paginator.paginate(PaginationConfig={"PageSize": page_size}, **arguments))
    name = client.meta.method_to_api_mapping[operation]
    while True:
        with translated(name):
            page = next(pages, None)
        if page is None:
            return
        yield page


def _insist_on_json(response_dict: Mapping[str, Any], **_: object) -> None:
    """A handler of botocore's ``before-parse``, to which any page would be an empty answer."""
    try:
        answer = json.loads(response_dict["body"])
    except ValueError:
        answer = None
    if response_dict["status_code"] < 300 and not isinstance(answer, dict):
        raise Passing("the answer is not AWS's; is there a proxy?")


# -- what this boto3 does not know ----------------------------------------------------
#
# botocore leaves out of an answer what its model has not got. A setting that AWS has added
# since would be lost in the next revision without a word, so it is looked for.

_UNKNOWN = "unknownFields"


def _note_unknown_fields(
    operation_model: OperationModel,
    response_dict: Mapping[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """A handler of botocore's ``before-parse``: adds the names to the parsed answer."""
    if response_dict["status_code"] < 300:
        found = _unknown(json.loads(response_dict["body"]), operation_model.output_shape, ())
        customized_response_dict[_UNKNOWN] = sorted(found)


def _unknown(value: object, shape: Shape | None, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _unknown(inner, shape.members[name], (*path, name))
            elif inner not in (None, [], {}, ""):
                yield ".".join((*path, name))
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for name, inner in value.items():
            yield from _unknown(inner, shape.value, (*path, name))
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for inner in value:
            yield from _unknown(inner, shape.member, path)
