"""Serves the health messages of devices (see ``rotation_cloud/health.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws
from rotation_cloud.health import receive


def handler(event: dict[str, Any], context: object) -> None:
    """The rule's event in. What is raised is delivered again."""
    receive(aws.cloud(os.environ), event)
