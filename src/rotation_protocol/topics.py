"""The MQTT topics on which a device and the cloud talk, and what makes a topic valid.

The limits are those of AWS IoT Core ("AWS IoT Core message broker and protocol
limits and quotas": 256 bytes, seven slashes) and of nucleus lite, which refuses
topics with ``?``.
"""

from __future__ import annotations

ALERTS = "greengrass/alerts/certificates"
HEALTH = "greengrass/health/certificates"

#: What a device asks of the cloud in a rotation (``rotation``).
CREATE = "create"
COMMIT = "commit"
REQUEST = "request"

#: The default of ``topicPrefix``; with the other one the peer's backend is spoken to.
PREFIX = "certkeeper"
PEER_PREFIX = "awslabs"

MAX_TOPIC_BYTES = 256
MAX_TOPIC_SLASHES = 7


def topic_problem(topic: str) -> str | None:
    """Why a component may not publish to ``topic``, in words; None if it may."""
    if not topic:
        return "is empty"
    if len(topic.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        return f"is longer than {MAX_TOPIC_BYTES} bytes"
    if topic.count("/") > MAX_TOPIC_SLASHES:
        return f"has more than {MAX_TOPIC_SLASHES} slashes"
    if topic.startswith("$"):
        return "begins with $, which AWS reserves"
    if any(character in topic for character in "+#?*"):
        return "holds one of + # ? *, which a topic to publish to may not"
    if not topic.isprintable():
        return "holds a control character"
    return None


def rotation(prefix: str, thing_name: str, action: str) -> str:
    """Where a device asks for ``action``; the answers come on ``/accepted`` and ``/rejected``."""
    return f"{prefix}/things/{thing_name}/certificate/{action}"


def jobs(thing_name: str, rest: str) -> str:
    """A topic of the AWS IoT Jobs service for a thing, such as ``jobs(thing, "notify-next")``.

    https://docs.aws.amazon.com/iot/latest/developerguide/jobs-mqtt-api.html
    """
    return f"$aws/things/{thing_name}/jobs/{rest}"
