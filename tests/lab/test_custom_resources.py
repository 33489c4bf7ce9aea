"""A custom resource is made by its function, and CloudFormation's rules for the answer hold."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab.cloud.custom_resources import ResourceFailed, ask
from lab.cloud.template import CustomResource, Template, TemplateError
from lab.lab import Lab
from lab.timeline import Timeline

pytestmark = pytest.mark.xdist_group("custom-resources")

RESOURCE = CustomResource("Switch", "Custom::Switch", {"ServiceTimeout": "5"}, "SwitchFunction")


def answering(**changed: Any) -> Callable[[str, Any], None]:
    """A function that answers at once; ``changed`` fields are not as they should be."""

    def invoke(function: str, event: Any) -> None:
        assert function == "SwitchFunction"
        answer = {
            "Status": "SUCCESS",
            "PhysicalResourceId": event.get("PhysicalResourceId", "switch-1"),
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
            **changed,
        }
        url = urlsplit(event["ResponseURL"])
        with closing(http.client.HTTPConnection(url.netloc, timeout=10)) as connection:
            connection.request("PUT", f"{url.path}?{url.query}", json.dumps(answer))
            with connection.getresponse() as response:
                assert response.status == 200

    return invoke


def test_asked_and_answered() -> None:
    """The answer's name is the resource's, and it is asked for by that name afterwards."""
    timeline = Timeline()
    assert ask(RESOURCE, "Create", answering(), timeline) == "switch-1"
    assert ask(RESOURCE, "Delete", answering(), timeline, "switch-1") == "switch-1"
    (made,) = timeline.find("create-success", source="cloudformation")
    assert made.details["physical_id"] == "switch-1"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"Status": "FAILED", "Reason": "no right to"}, "no right to"),
        ({"Status": "MAYBE"}, "not an answer"),
        ({"PhysicalResourceId": ""}, "not an answer"),
        ({"PhysicalResourceId": "switch-2"}, "replaced"),
        ({"RequestId": "another"}, "RequestId"),
        ({"Reason": "x" * 5000}, "bytes"),
    ],
)
def test_answer_that_is_none(changed: dict[str, Any], why: str) -> None:
    """What CloudFormation would not take is not taken here."""
    with pytest.raises(ResourceFailed, match=why):
        ask(RESOURCE, "Update", answering(**changed), Timeline(), "switch-1")


def test_no_answer() -> None:
    """Without an answer the time that the resource has is waited for, and no longer."""
    hasty = CustomResource("Switch", "Custom::Switch", {"ServiceTimeout": "0.1"}, "SwitchFunction")
    with pytest.raises(ResourceFailed, match="no answer"):
        ask(hasty, "Create", lambda _function, _event: None, Timeline())


def test_of_the_template() -> None:
    """The template's own: the function it names; a schedule, and what it says."""
    template = Template()
    (resource,) = template.custom_resources()
    assert (resource.name, resource.function) == ("JobExecutionEvents", "JobEventsFunction")
    assert template.scheduled("ReconcileFunction") == {"scheduled": True}
    with pytest.raises(TemplateError, match="CommitFunction"):
        template.scheduled("CommitFunction")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as opened:
        yield opened


def events_are_on(lab: Lab) -> bool:
    found = lab.account.client("iot").describe_event_configurations()
    return bool(found["eventConfigurations"]["JOB_EXECUTION"]["Enabled"])


@pytest.mark.parametrize("were_on", [False, True])
def test_job_events_from_stack_to_stacks_end(lab: Lab, were_on: bool) -> None:
    """Deployed, they are on; removed, they are as the stack found them."""
    if were_on:
        lab.account.client("iot").update_event_configurations(
            eventConfigurations={"JOB_EXECUTION": {"Enabled": True}}
        )
    assert events_are_on(lab) is were_on
    backend = lab.deploy_backend()
    assert events_are_on(lab)
    (made,) = lab.timeline.find("create-success", source="cloudformation")
    (resource,) = Template().custom_resources()
    physical_id = str(made.details["physical_id"])
    assert ask(resource, "Delete", backend.invoke, lab.timeline, physical_id) == physical_id
    assert events_are_on(lab) is were_on


def test_no_events_while_they_are_off(lab: Lab) -> None:
    """The lab's Jobs service says nothing of executions that end while nobody asked it to."""
    iot = lab.account.client("iot")
    heard: list[str] = []
    lab.iot_core.observe("$aws/events/jobExecution/#", lambda message: heard.append(message.topic))
    arn = iot.create_thing(thingName="press-7")["thingArn"]
    for number, on in enumerate((False, True)):
        iot.update_event_configurations(eventConfigurations={"JOB_EXECUTION": {"Enabled": on}})
        iot.create_job(jobId=f"job-{number}", targets=[arn], document="{}")
        iot.cancel_job_execution(jobId=f"job-{number}", thingName="press-7")
        lab.iot_core.connections()  # behind what is due on the loop
    assert heard == ["$aws/events/jobExecution/job-1/canceled"]
