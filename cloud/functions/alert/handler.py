"""Serves the alerts of devices (see ``rotation_cloud/alerts.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws
from rotation_cloud.alerts import Policy, receive


def handler(event: dict[str, Any], context: object) -> None:
    """The rule's event in. What is raised is delivered again."""
    receive(aws.cloud(os.environ), Policy.of(os.environ), event)
