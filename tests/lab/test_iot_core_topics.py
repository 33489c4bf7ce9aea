"""Topics and filters by the rules of AWS IoT Core."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.iot_core.topics import FilterTree, filter_fault, matches, topic_fault


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/B", False),
        ("a/b", "a/b/", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/+", "/", True),
        ("+/b/+", "a/b/c", True),
        ("#", "a/b/c", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a/", True),
        ("a/#", "a", False),  # unlike the standard
        ("a/+/#", "a/b", False),
        ("a/+/#", "a/b/c", True),
        ("#", "$aws/things", False),
        ("+/things", "$aws/things", False),
        ("$aws/#", "$aws/things/x", True),
        ("$aws/+/x", "$aws/things/x", True),
        ("a/$b/+", "a/$b/c", True),
    ],
)
def test_matches(topic_filter: str, topic: str, expected: bool) -> None:
    """A filter matches as AWS documents it."""
    assert matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ("a/b/c/d/e/f/g/h", None),
        ("a/b/c/d/e/f/g/h/i", "more than 7 slashes"),
        ("x" * 256, None),
        ("x" * 257, "longer than 256 bytes"),
        ("ü" * 129, "longer than 256 bytes"),
        ("", "it is empty"),
        ("a/+", "a topic has no wildcards"),
        ("a#", "a topic has no wildcards"),
        ("$mine/x", "topics that begin with $ are reserved"),
        ("$aws/things/press-7/jobs/get", None),
        ("$aws/events/presence/connected/x", "only AWS IoT publishes events"),
        ("$aws/rules/rule/b/c/d/e/f/g/h/i", None),
        ("$aws/rules/rule/b/c/d/e/f/g/h/i/j", "more than 7 slashes"),
    ],
)
def test_topic_fault(topic: str, fault: str | None) -> None:
    """What a client may publish to, to the byte and the slash."""
    assert topic_fault(topic) == fault


@pytest.mark.parametrize(
    ("topic_filter", "fault"),
    [
        ("#", None),
        ("+/a/#", None),
        ("$aws/events/#", None),
        ("a/b/c/d/e/f/g/#", None),
        ("a/b/c/d/e/f/g/h/#", "more than 7 slashes"),
        ("a/#/b", "# stands alone in the last level"),
        ("a#", "# stands alone in the last level"),
        ("a/b+", "+ stands alone in its level"),
        ("", "it is empty"),
        ("x" * 257, "longer than 256 bytes"),
    ],
)
def test_filter_fault(topic_filter: str, fault: str | None) -> None:
    """What a client may subscribe to."""
    assert filter_fault(topic_filter) == fault


levels = st.sampled_from(["a", "b", "", "$aws"])
topics = st.lists(levels, min_size=1, max_size=4).map("/".join)
filters = st.tuples(
    st.lists(levels | st.just("+"), min_size=1, max_size=4), st.sampled_from([[], ["#"]])
).map(lambda parts: "/".join(parts[0] + parts[1]))


def naive_match(topic_filter: str, topic: str) -> bool:
    wanted, there = topic_filter.split("/"), topic.split("/")
    if there[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        if len(there) <= len(wanted):
            return False
        there = there[: len(wanted)]
    return len(wanted) == len(there) and all(
        w in ("+", t) for w, t in zip(wanted, there, strict=True)
    )


@given(st.sets(st.tuples(filters, st.integers(0, 3))), st.sets(st.integers(0, 3)), topics)
def test_the_tree_finds_what_matches(
    added: set[tuple[str, int]], removed: set[int], topic: str
) -> None:
    """A tree holds exactly what was added and not removed, and finds what a plain match finds."""
    tree = FilterTree[int]()
    for topic_filter, value in added:
        tree.add(topic_filter, value)
        tree.add(topic_filter, value)
    for topic_filter, value in added:
        if value in removed:
            tree.remove(topic_filter, value)
            tree.remove(topic_filter, value)
    expected = {(f, v) for f, v in added if v not in removed and naive_match(f, topic)}
    found = list(tree.matching(topic))
    assert len(found) == len(expected)
    assert set(found) == expected


@given(st.sets(filters))
def test_the_tree_forgets(added: set[str]) -> None:
    """A tree from which everything was removed is as small as a new one."""
    tree = FilterTree[int]()
    for topic_filter in added:
        tree.add(topic_filter, 1)
    for topic_filter in added:
        tree.remove(topic_filter, 1)
    assert tree._children == {}
