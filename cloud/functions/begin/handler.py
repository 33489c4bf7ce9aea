"""Makes a workflow's job, whose end wakes it (see ``rotation_cloud/attempt.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws, steps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called by the state machine, which tries again what is raised."""
    return steps.begin(aws.cloud(os.environ), event)
