"""Serves the events of certificates that AWS IoT registered by itself (``registration.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws
from rotation_cloud.registration import Terms, register


def handler(event: dict[str, Any], context: object) -> None:
    """The rule's event in. What is raised is delivered again."""
    register(aws.cloud(os.environ), Terms.of(os.environ), event)
