"""What the classic nucleus takes for a topic and a message, and which filter covers what.

Sources: ``MqttClient.isValidPublishRequest`` and ``MqttTopic.isSupersetOf`` of the nucleus.
"""

from __future__ import annotations

import re

MESSAGE_LIMIT = 128 * 1024
_MAX_TOPIC_LENGTH, _MAX_SLASHES = 256, 7
_BASIC_INGEST = re.compile(r"\$aws/rules/[^/]+/", re.IGNORECASE)


def check_message(topic: str, payload: bytes) -> None:
    """Raises ValueError, with the nucleus's words, for what it does not publish."""
    if len(payload) > MESSAGE_LIMIT:
        raise ValueError(
            f"The publishing message size {len(payload)} bytes exceeds the configured limit of "
            f"{MESSAGE_LIMIT} bytes"
        )
    if "#" in topic or "+" in topic:
        raise ValueError(
            "The topic of publish request should not contain wildcard characters of '#' or '+'"
        )
    check_topic(topic)


def check_topic(topic: str) -> None:
    """Raises ValueError for a topic, or topic filter, that AWS IoT would not take."""
    if not topic:
        raise ValueError("Topic must not be empty")
    # The segments before the topic of a Basic Ingest rule do not count.
    counted = _BASIC_INGEST.sub("", topic, count=1)
    if counted.count("/") > _MAX_SLASHES:
        raise ValueError(f"The topic of request must have no more than {_MAX_SLASHES} slashes (/)")
    if len(counted.encode()) > _MAX_TOPIC_LENGTH:
        raise ValueError(f"The topic size of request must be no larger than {_MAX_TOPIC_LENGTH}")


def covers(wide: str, narrow: str) -> bool:
    """Whether a topic filter takes in a topic, or another filter, in the classic nucleus's eyes.

    As AWS IoT, and unlike MQTT 5 (4.7.1.2), it does not let ``a/#`` match ``a``. Unlike
    both, it lets a leading wildcard match ``$aws``, and takes ``a/+`` to cover ``a/#``.
    """
    wide_levels, levels = wide.split("/"), narrow.split("/")
    for wanted, level in zip(wide_levels, levels, strict=False):
        if wanted == "#":
            return True
        if wanted not in ("+", level):
            return False
    return len(wide_levels) == len(levels)
