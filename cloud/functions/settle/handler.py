"""Says what came of a workflow's job, and ends one that has not ended (see ``attempt.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws, steps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called by the state machine, which tries again what is raised."""
    return steps.settle(aws.cloud(os.environ), event)
