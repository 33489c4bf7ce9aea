"""Says whether the rotation that a workflow is for is due (see ``rotation_cloud/due.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws, steps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called by the state machine, which tries again what is raised."""
    return steps.validate(aws.cloud(os.environ), event)
