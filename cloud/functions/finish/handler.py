"""Serves the events of job executions that ended (see ``rotation_cloud/finish.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws
from rotation_cloud.finish import Ended, finish


def handler(event: dict[str, Any], context: object) -> None:
    """The rule's event in. What is raised is delivered again."""
    ended = Ended.of(event)
    if ended is not None:
        finish(aws.cloud(os.environ), ended)
