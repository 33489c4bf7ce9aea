"""``python -m lab demo``: a core device whose certificate is about to end, start to finish.

Everything that it claims it has seen from outside the component: in the account, at the
MQTT endpoint, in the component's log as LocalDebugConsole would show it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lab.cloud_inbox import CloudInbox
from lab.lab import Lab
from lab.nucleus.recipe import Runtime
from lab.timeline import Entry, NotSeen

DAYS_LEFT = 6

#: What a newcomer wants to see; the rest is in the timeline all the same.
_SHOWN = {
    "account": {"opened", "device-registered"},
    "iot-core": {"connected", "refused", "publish-denied", "disconnected"},
    "nucleus": {"started", "component-state", "stopped", "unauthorized"},
    "component": None,
    "cloud": None,
    "demo": None,
}


_CERTIFICATE_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


class DemoFailed(Exception):
    """Something that the demo shows did not happen; says what."""


def run(runtimes: tuple[Runtime, ...]) -> int:
    """Run the demo for each kind of nucleus, and print it; the exit code."""
    try:
        with Lab(_print) as lab:
            inbox = CloudInbox(lab.iot_core, lab.account, lab.timeline)
            for number, runtime in enumerate(runtimes, 7):
                _watch_one_device(lab, f"press-{number}", runtime)
            inbox.close()
    except (DemoFailed, NotSeen) as failure:
        print(f"DEMO FAILED: {failure}")
        return 1
    print("DEMO PASSED")
    return 0


def _watch_one_device(lab: Lab, thing: str, runtime: Runtime) -> None:
    timeline = lab.timeline
    _chapter(f"{thing}: a core device on nucleus {runtime}, its certificate ends in 6 days")
    now = datetime.now(UTC)
    # Half a day over, so that whole days left are six however long this takes.
    end = now + timedelta(days=DAYS_LEFT, hours=12)
    device, identity = lab.core_device(
        thing, runtime=runtime, not_before=now - timedelta(days=359), not_after=end
    )
    device.start()
    alert = timeline.wait_for("alert-received", thing=thing)
    health = timeline.wait_for("health-received", thing=thing)
    _require(alert.details["severity"] == "CRITICAL", "the alert is not CRITICAL")
    _require(alert.details["type"] == "certificate.expiring", "the alert is of another type")
    _require(alert.details["daysRemaining"] == DAYS_LEFT, "the alert counts other days")
    _require(
        alert.details["certificateId"] == identity.certificate_id,
        "the alert is about another certificate",
    )
    _require(
        alert.details["principal"] == identity.certificate_id,
        "the alert came over another certificate's connection",
    )
    _require(alert.details["signature"] == "verified", f"signature {alert.details['signature']}")
    _require(health.details["status"] == "critical", "the health message does not say critical")
    _say("the alert's signature, against the certificate registered in the account")

    _chapter(f"{thing}: the component is restarted, and raises no second alert")
    restarted = timeline.mark()
    device.restart_component()
    checked = timeline.wait_for("checked", source="component", after=restarted)
    timeline.wait_for("health-received", after=restarted, thing=thing)
    _require("alerts=0" in str(checked.details["line"]), "the check after the restart alerted")
    alerts = len(timeline.find("alert-received", thing=thing))
    _require(alerts == 1, f"the cloud received {alerts} alerts, not one")
    _say("one alert in all; a health message from each of the two checks")
    device.stop()


def _require(holds: bool, failure: str) -> None:
    if not holds:
        raise DemoFailed(failure)


def _chapter(title: str) -> None:
    print(f"\n== {title}\n", flush=True)


def _say(what: str) -> None:
    print(f"{'':>9}  {'verified':<12} {what}", flush=True)


def _print(entry: Entry) -> None:
    if entry.source not in _SHOWN:
        return
    events = _SHOWN[entry.source]
    if events is not None and entry.event not in events:
        return
    if entry.source == "component":
        text = str(entry.details["line"])
    else:
        shown = {name: value for name, value in entry.details.items() if name != "component"}
        text = " ".join([entry.event, *(f"{name}={value}" for name, value in shown.items())])
    # The first 12 of a certificate id's 64 digits tell them apart.
    text = _CERTIFICATE_ID.sub(r"\1..", text)
    print(f"{entry.at:8.3f}s  {entry.source:<12} {text}", flush=True)
