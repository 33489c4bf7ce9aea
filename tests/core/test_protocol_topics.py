"""Which topics a component may publish to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_protocol.topics import ALERTS, HEALTH, topic_problem
from tests.core.strategies import any_text, examples


@pytest.mark.parametrize(
    "topic",
    [ALERTS, HEALTH, "a", "/", "a//b", "1/2/3/4/5/6/7/8", "x" * 256, "ü" * 128, "a b", "{x}"],
)
def test_topic_to_publish_to(topic: str) -> None:
    """AWS IoT takes up to 256 bytes of UTF-8 and seven slashes; empty levels are levels."""
    assert topic_problem(topic) is None


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("", "empty"),
        ("x" * 257, "256 bytes"),
        ("ü" * 129, "256 bytes"),
        ("1/2/3/4/5/6/7/8/9", "7 slashes"),
        ("$aws/things/x", "$"),
        ("$SYS", "$"),
        ("a/+/b", "+"),
        ("#", "#"),
        ("a?", "?"),
        ("*", "*"),
        ("a\x00", "control"),
        ("a\u2028b", "control"),
        ("a\ud800", "control"),
    ],
)
def test_topic_that_is_none(topic: str, problem: str) -> None:
    """Whatever AWS IoT or nucleus lite would refuse later is refused here, in words."""
    assert problem in str(topic_problem(topic))


@examples(100)
@given(any_text | st.text("ab/+#$", max_size=20))
def test_any_text_is_judged(text: str) -> None:
    """What passes is a topic name of MQTT without wildcards, within the limits."""
    if topic_problem(text) is None:
        assert 0 < len(text.encode()) <= 256
        assert text.count("/") <= 7
        assert not set(text) & set("+#?*\x00")
