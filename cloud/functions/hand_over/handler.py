"""Hands a workflow over to a person (see ``rotation_cloud/review.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws, steps


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Called by the state machine, which tries again what is raised."""
    return steps.hand_over(aws.cloud(os.environ), event)
