"""Fleet: several devices at once. What takes thousands of them is simulated (lab/fleet)."""

from __future__ import annotations

from lab.cloud.quotas import PUBLISHED, Quota, Quotas
from lab.scenarios.scenario import require, scenario
from lab.scenarios.stage import TERMINAL, Stage

FLEET = "Fleet"
#: One call of each kind a second, of each quota that AWS publishes for AWS IoT.
SMALL = tuple(Quota(q.service, q.operations, 1) for q in PUBLISHED if q.service == "iot")


#: The component's own patience, not that of other scenarios.
PATIENT = {"commitTimeoutSeconds": 300}


@scenario(FLEET, device={"configuration": PATIENT})
def small_quotas(stage: Stage) -> None:
    """Three devices rotate at once in an account that may make one call of a kind a second: they
    are throttled, ask again, and all succeed."""
    runtime = stage.device.layout.runtime
    others = []
    for thing in ("press-8", "press-9"):
        device, old = stage.lab.core_device(thing, runtime=runtime, configuration=PATIENT)
        others.append(Stage(stage.lab, stage.backend, device, old))
    every = (stage, *others)
    for one in every:
        one.start()
    quotas = Quotas(SMALL)
    stage.backend.aws_fault = quotas.fault
    arn = f"arn:aws:iot:{stage.lab.account.region}:{stage.lab.account.account_id}:thing"
    stage.lab.account.client("iot").create_job(
        jobId="rotate-all",
        targets=[f"{arn}/{one.device.thing_name}" for one in every],
        jobTemplateArn=stage.backend.job_template_arn,
        jobExecutionsRolloutConfig={"maximumPerMinute": 1000},
    )
    stage.timeline.poll(lambda: len(_ends(stage)) == len(every), "the end of all", 240)
    require(set(_ends(stage)) == {"succeeded"}, f"they ended {_ends(stage)}")
    require(quotas.throttled.total() > 0, "nothing was throttled")
    # What the lab tries again it tries at once: the old certificates are retired without quotas.
    stage.backend.aws_fault = lambda *_: None
    for one in every:
        strangers = {
            certificate
            for other in every
            if other is not one
            for certificate in (other.certificate_on_disk(), other.old.certificate_id)
        }
        one.verdict(rotated=True, told=0, strangers=frozenset(strangers))


def _ends(stage: Stage) -> list[str]:
    return [
        entry.event
        for entry in stage.timeline.entries
        if entry.source == "jobs" and entry.event in TERMINAL
    ]
