"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import (
    alerts,
    clock,
    cloud,
    endings,
    fleet,
    images,
    issuance,
    nuclei,
    offline,
    power,
    protocol,
    reconciler,
    registration,
    signers,
    storage,
    workflow,
)

__all__ = [
    "alerts",
    "clock",
    "cloud",
    "endings",
    "fleet",
    "images",
    "issuance",
    "nuclei",
    "offline",
    "power",
    "protocol",
    "reconciler",
    "registration",
    "signers",
    "storage",
    "workflow",
]
