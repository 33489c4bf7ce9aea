"""Every scenario there is: importing this registers them, in the order of the list."""

from lab.scenarios import (
    clock,
    cloud,
    endings,
    issuance,
    protocol,
    reconciler,
    registration,
    signers,
    storage,
    workflow,
)

__all__ = [
    "clock",
    "cloud",
    "endings",
    "issuance",
    "protocol",
    "reconciler",
    "registration",
    "signers",
    "storage",
    "workflow",
]
