"""The timeline as a person wants to read it: what matters, one line an event."""

from __future__ import annotations

import re

from lab.timeline import Entry

#: What a newcomer wants to see; the rest is in the timeline all the same.
_SHOWN = {
    "account": {"opened", "device-registered"},
    "iot-core": {"connected", "refused", "publish-denied", "disconnected"},
    "nucleus": {"started", "component-state", "stopped", "unauthorized", "power-off"},
    "jobs": None,
    "workflow": None,
    "systemd": {"systemd-run", "ss", "systemctl"},
    "component": None,
    "cloud": None,
    "demo": None,
}
_CERTIFICATE_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def narrate(entry: Entry) -> None:
    """Print the entry, if it is one that matters."""
    if entry.source not in _SHOWN:
        return
    if (entry.source, entry.event) == ("cloud", "notification"):
        print(
            f"{entry.at:8.3f}s  {'cloud':<12} notification {entry.details['subject']}", flush=True
        )
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
