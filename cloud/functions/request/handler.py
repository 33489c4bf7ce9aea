"""Serves what devices publish on ``.../certificate/request`` (see ``request.py``)."""

from __future__ import annotations

import os
from typing import Any

from rotation_cloud import aws
from rotation_cloud.answering import answer_request


def handler(event: dict[str, Any], context: object) -> None:
    """The rule's event in; the answer is published. What is raised is delivered again."""
    answer_request(aws.cloud(os.environ), event)
