"""Retires a certificate at the end of its grace period (see ``rotation_cloud/grace.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws, steps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called by the state machine, which tries again what is raised."""
    return steps.retire(aws.cloud(os.environ), event)
