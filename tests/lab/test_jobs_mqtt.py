"""The Jobs service over a real MQTT connection."""

from __future__ import annotations

import json
import queue
from pathlib import Path
from typing import Any

from lab.jobs.mqtt import attach
from lab.jobs.service import Jobs
from tests.lab.iot_core_paho import PahoClient
from tests.lab.iot_core_site import ACCOUNT, REGION, WAIT, running_site
from tests.lab.jobs_desk import DOCUMENT, THING

TOPICS = f"$aws/things/{THING}/jobs/"


def received(client: PahoClient) -> tuple[str, dict[str, Any]]:
    message = client.message()
    return message.topic.removeprefix(TOPICS), json.loads(message.payload)


def test_device_does_a_job_over_mqtt(tmp_path: Path) -> None:
    """A device is notified of a job, starts it, ends it, and hears that nothing is left; the
    answers reach the one who asked only, the event reaches the rules.
    """
    with running_site(tmp_path) as site:
        jobs = Jobs(ACCOUNT, REGION, publish=site.core.publish, timeline=site.timeline)
        jobs.control.update_event_configurations({"JOB_EXECUTION": {"Enabled": True}})
        attach(site.core, jobs)
        events: queue.Queue[Any] = queue.Queue()
        site.core.observe("$aws/events/jobExecution/#", events.put)
        answers: queue.Queue[Any] = queue.Queue()
        site.core.observe(TOPICS + "+/update/#", answers.put)
        device = site.device(THING)
        with PahoClient(site, device, THING) as client, PahoClient(site, device, "other") as other:
            for each in (client, other):
                each.subscribe(TOPICS + "notify-next")
                each.subscribe(TOPICS + "+/get/+")
                each.subscribe(TOPICS + "+/update/+")
            request = {"jobId": "rotate-1", "document": DOCUMENT, "targets": ["arn"]}
            jobs.control.create_job(request, [THING])
            topic, body = received(client)
            assert (topic, body["execution"]["jobId"]) == ("notify-next", "rotate-1")

            client.publish(TOPICS + "$next/get", b'{"clientToken":"a"}')
            topic, body = received(client)
            assert (topic, body["clientToken"]) == ("$next/get/accepted", "a")
            assert body["execution"]["jobDocument"] == json.loads(DOCUMENT)

            client.publish(TOPICS + "rotate-1/update", b'{"status":"QUEUED","clientToken":"b"}')
            topic, body = received(client)
            assert (topic, body["code"], body["clientToken"]) == (
                "rotate-1/update/rejected",
                "InvalidRequest",
                "b",
            )

            client.publish(TOPICS + "rotate-1/update", b'{"status":"SUCCEEDED","clientToken":"c"}')
            topic, body = received(client)
            assert (topic, body["clientToken"]) == ("rotate-1/update/accepted", "c")
            topic, body = received(client)
            assert (topic, set(body)) == ("notify-next", {"timestamp"})

            assert [received(other)[0] for _ in range(2)] == ["notify-next", "notify-next"]
            assert other.messages.empty()
        event = events.get(timeout=WAIT)
        assert event.topic == "$aws/events/jobExecution/rotate-1/succeeded"
        assert answers.empty()
        site.timeline.wait_for("succeeded", source="jobs", job="rotate-1", thing=THING)
