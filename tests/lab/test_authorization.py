"""What ``accessControl`` allows, on classic and on lite."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.nucleus.authorization import COMPONENT_METRIC, MQTT_PROXY, PUBSUB, AccessControl
from lab.nucleus.policy_resource import classic_topic_pattern, glob
from lab.nucleus.recipe import Runtime
from tests.lab.ipc_device import COMPONENT, policies

PUBLISH, SUBSCRIBE = "aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"
LOCAL_PUBLISH = "aws.greengrass#PublishToTopic"
RUNTIMES: tuple[Runtime, ...] = ("classic", "lite")


def access(policies: object, runtime: Runtime, **more: Any) -> AccessControl:
    return AccessControl(policies, COMPONENT, runtime, "press-7", **more)


def allows(
    runtime: Runtime,
    resource: str,
    topic: str,
    *,
    service: str = MQTT_PROXY,
    operation: str = PUBLISH,
) -> bool:
    """Whether a policy with one resource allows one topic."""
    return access(policies(service, [operation], [resource]), runtime).allows(
        service, operation, topic
    )


# Resource of the policy, requested topic, allowed on classic, allowed on lite.
MQTT_CASES = [
    ("a/b", "a/b", True, True),
    ("a/b", "a/bc", False, False),
    ("a/b", "A/b", False, False),
    ("*", "a/b/c", True, True),
    ("*", "$aws/things/x", True, True),
    ("a/*", "a/b/c", True, True),
    ("a/*", "a/", True, True),
    ("a/*", "a", False, False),
    ("a*c", "abbbc", True, True),
    ("a*c", "a/b/c", True, True),
    ("a*c", "ac", True, True),
    ("a*b*c", "axbxbxc", True, True),
    ("a*b*c", "acb", False, False),
    ("*/jobs/*", "x/jobs/y", True, True),
    ("$aws/things/*/jobs/*", "$aws/things/press-7/jobs/notify-next", True, True),
    ("$aws/things/*/jobs/*", "$aws/things/press-7/shadow/get", False, False),
    ("a/+/c", "a/b/c", True, True),
    ("a/+/c", "a//c", True, True),
    ("a/+/c", "a/b/b/c", False, False),
    ("+", "a", True, True),
    ("+", "a/b", False, False),
    ("+/b", "a/b", True, True),
    ("a/+", "a/b", True, True),
    ("a/+", "a/b/c", False, False),
    ("a/#", "a/b/c", True, True),
    ("a/#", "a", True, False),
    ("a/#", "ab", False, False),
    ("#", "a/b/c", True, True),
    ("a/+/#", "a/b", True, False),
    ("a/+/#", "a/b/c/d", True, True),
    ("a#", "abc", False, True),
    ("a+", "abc", False, True),
    ("a+", "a+", True, True),
    ("a/#/b", "a/#/b", True, True),
    ("a/#/b", "a/x/b", False, True),
    # A mixture of both kinds of wildcard.
    ("a/+/*", "a/b/c", True, False),
    ("a/+/*", "a/b/*", True, False),
    ("+/${*}", "a/*", True, False),
    ("$aws/things/+/jobs/*", "$aws/things/press-7/jobs/get", True, False),
    # A requested filter is a text like any other.
    ("a/*", "a/+/c", True, True),
    ("a/*", "a/#", True, True),
    ("a/+/c", "a/+/c", True, True),
    ("a/+/*", "a/+/c", True, True),
    ("a/b", "a/+", False, False),
    # Escapes.
    ("a/${*}", "a/*", True, True),
    ("a/${*}", "a/b", False, False),
    ("a/${$}/b", "a/$/b", True, True),
    ("a/${?}", "a/?", True, False),
    ("a/${*}/*", "a/*/c", True, True),
    ("a/$b", "a/$b", True, True),
    # Invalid resources allow nothing.
    ("a/?", "a/b", False, False),
    ("a/?", "a/?", False, False),
    ("a/${b}", "a/b", False, False),
    ("a/${*", "a/${*", False, False),
    ("a/${iot:thingName}", "a/press-7", False, False),
    # Variables: without interpolation the text stands on classic.
    ("a/{iot:thingName}/b", "a/press-7/b", False, True),
    ("a/{iot:thingName}/b", "a/{iot:thingName}/b", True, False),
    ("a/{iot:thingName}/*", "a/press-7/c/d", False, True),
    ("a/{configuration:/x}/*", "a/press-7/c", False, False),
    # What is requested.
    ("*", "a?b", True, False),
    ("*", "a/${x}", True, False),
    ("*", "", False, False),
]


@pytest.mark.parametrize(("resource", "topic", "classic", "lite"), MQTT_CASES)
def test_a_resource_covers_topics(resource: str, topic: str, classic: bool, lite: bool) -> None:
    """Each nucleus allows exactly what the table says for the MQTT proxy."""
    assert (allows("classic", resource, topic), allows("lite", resource, topic)) == (classic, lite)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("resource", "topic", "allowed"),
    [
        ("a/+/c", "a/b/c", False),
        ("a/+/c", "a/+/c", True),
        ("a/#", "a/b", False),
        ("#", "a", False),
        ("a/*", "a/b/c", True),
    ],
)
def test_mqtt_wildcards_are_characters_for_local_pubsub(
    runtime: Runtime, resource: str, topic: str, allowed: bool
) -> None:
    """For local publish/subscribe only ``*`` is a wildcard."""
    assert allows(runtime, resource, topic, service=PUBSUB, operation=LOCAL_PUBLISH) is allowed


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_policy_allows_its_operations_and_its_service_only(runtime: Runtime) -> None:
    """An operation or service that no policy names is refused, and ``*`` names every operation."""
    one = access(policies(MQTT_PROXY, [PUBLISH], ["*"]), runtime)
    every = access(policies(MQTT_PROXY, ["*"], ["*"]), runtime)
    assert one.allows(MQTT_PROXY, PUBLISH, "a")
    assert not one.allows(MQTT_PROXY, SUBSCRIBE, "a")
    assert every.allows(MQTT_PROXY, SUBSCRIBE, "a")
    assert not every.allows(PUBSUB, LOCAL_PUBLISH, "a")
    assert not every.allows(MQTT_PROXY, LOCAL_PUBLISH, "a")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("nothing", [None, {}])
def test_without_policies_nothing_is_allowed(runtime: Runtime, nothing: object) -> None:
    """A component without ``accessControl`` may do nothing, and that is no problem to report."""
    control = access(nothing, runtime)
    assert not control.allows(MQTT_PROXY, PUBLISH, "a")
    assert control.problems == []


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "broken",
    [
        7,
        ["a"],
        {MQTT_PROXY: 7},
        {MQTT_PROXY: {"p": 7}},
        {MQTT_PROXY: {"p": {"operations": [PUBLISH], "resources": "*"}}},
        {MQTT_PROXY: {"p": {"operations": PUBLISH, "resources": ["*"]}}},
        {MQTT_PROXY: {"p": {"operations": [], "resources": [7]}}},
        {MQTT_PROXY: {"p": {"operations": [PUBLISH], "resources": ["a/?"]}}},
        {MQTT_PROXY: {"p": {"resources": ["*"]}}},
    ],
)
def test_broken_policies_allow_nothing_and_are_reported(runtime: Runtime, broken: object) -> None:
    """A policy that the nucleus cannot read has no effect except a problem."""
    control = access(broken, runtime)
    assert not control.allows(MQTT_PROXY, PUBLISH, "a")
    assert control.problems


def test_an_invalid_resource_does_not_spoil_its_neighbours() -> None:
    """The other resources of the same policy stay allowed."""
    for runtime in RUNTIMES:
        control = access(policies(MQTT_PROXY, [PUBLISH], ["bad?", "good"]), runtime)
        assert control.allows(MQTT_PROXY, PUBLISH, "good")
        assert ["bad?" in problem for problem in control.problems] == [True]


def test_classic_reads_policies_from_text_and_in_any_case() -> None:
    """A leaf of JSON text is parsed, and the keys of a policy may be in any case."""
    text = '{"%s": {"p": {"Operations": ["%s"], "RESOURCES": ["a"]}}}' % (MQTT_PROXY, PUBLISH)  # noqa: UP031, the braces are JSON's
    assert access(text, "classic").allows(MQTT_PROXY, PUBLISH, "a")
    assert not access(text, "lite").allows(MQTT_PROXY, PUBLISH, "a")


def test_classic_drops_all_policies_of_a_component_for_one_unknown_property() -> None:
    """A misspelt property of one policy costs the component all of its policies."""
    both = policies(MQTT_PROXY, ["*"], ["*"])
    both[PUBSUB] = {"q": {"operations": ["*"], "resource": ["*"]}}
    assert not access(both, "classic").allows(MQTT_PROXY, PUBLISH, "a")
    assert "q.resource" in access(both, "classic").problems[0]
    assert access(both, "lite").allows(MQTT_PROXY, PUBLISH, "a")


def test_classic_loads_no_policy_of_a_service_with_an_id_that_stands_twice() -> None:
    """A policy id that another component uses keeps all policies of that service out."""
    mine = policies(MQTT_PROXY, ["*"], ["*"], "p1") | policies(PUBSUB, ["*"], ["*"], "q1")
    taken = {MQTT_PROXY: {"p1"}}
    classic = access(mine, "classic", ids_elsewhere=taken)
    assert not classic.allows(MQTT_PROXY, PUBLISH, "a")
    assert classic.allows(PUBSUB, LOCAL_PUBLISH, "a")
    assert "Duplicate policy ID" in classic.problems[0]
    assert access(mine, "lite", ids_elsewhere=taken).allows(MQTT_PROXY, PUBLISH, "a")


def test_classic_reports_unknown_services_and_operations() -> None:
    """Names that nothing is registered for are reported, and the rest still counts."""
    control = access(
        policies("com.example.nothing", ["*"], ["*"])
        | policies(MQTT_PROXY, [PUBLISH, "aws.greengrass#Publish"], ["a"]),
        "classic",
    )
    assert [("nothing" in p, "#Publish " in p) for p in control.problems] == [
        (True, False),
        (False, True),
    ]
    assert control.allows(MQTT_PROXY, PUBLISH, "a")


def test_lite_says_what_will_not_match() -> None:
    """Mixed wildcards and variables that are not interpolated are reported on lite."""
    control = access(
        policies(MQTT_PROXY, ["*"], ["a/+/*", "b/{configuration:/x}", "c/{iot:thingName}/*"]),
        "lite",
    )
    assert [problem.split(": ")[1] for problem in control.problems] == [
        "a/+/*",
        "b/{configuration:/x}",
    ]


def test_lite_refuses_everything_when_a_leaf_is_too_large() -> None:
    """A list of resources over 1024 bytes of JSON makes the whole service unauthorized."""
    fitting = ["x" * 100] * 9 + ["a"]
    assert access(policies(MQTT_PROXY, ["*"], fitting), "lite").allows(MQTT_PROXY, PUBLISH, "a")
    control = access(policies(MQTT_PROXY, ["*"], [*fitting, "x" * 100]), "lite")
    assert not control.allows(MQTT_PROXY, PUBLISH, "a")
    assert "1024" in control.problems[0]


def test_lite_refuses_everything_when_there_are_too_many_resources() -> None:
    """About 50 resources of 54 characters fit for one service, in however many policies."""

    def many(count: int, size: int) -> AccessControl:
        names = [f"{number:03}".ljust(size, "x") for number in range(count - 1)] + ["a".ljust(size)]
        parts = [names[at : at + 10] for at in range(0, count, 10)]
        entries = {
            f"p{at}": {"operations": ["*"], "resources": part} for at, part in enumerate(parts)
        }
        return access({MQTT_PROXY: entries}, "lite")

    assert many(50, 54).allows(MQTT_PROXY, PUBLISH, "a".ljust(54))
    assert not many(51, 54).allows(MQTT_PROXY, PUBLISH, "a".ljust(54))
    assert not many(50, 55).allows(MQTT_PROXY, PUBLISH, "a".ljust(55))


def test_a_metric_needs_a_policy_like_anything_else() -> None:
    """The telemetry service is authorized by its own service id."""
    control = access(policies(COMPONENT_METRIC, ["*"], ["*"]), "classic")
    assert control.allows(COMPONENT_METRIC, "aws.greengrass#PutComponentMetric", "*")


_TEXTS = st.text(alphabet="ab/*+#$", max_size=8)


@given(
    resource=_TEXTS.filter(lambda text: text and "#/" not in text),
    topic=st.text(alphabet="ab/+#", max_size=10),
)
def test_a_glob_is_what_its_definition_says(resource: str, topic: str) -> None:
    """However ``*`` is placed, the pattern matches what trying every split matches."""
    naive = re.compile(".*".join(re.escape(part) for part in resource.split("*")), re.DOTALL)
    assert bool(glob(resource).fullmatch(topic)) == bool(naive.fullmatch(topic))


def _mqtt_covers(resource: str, topic: str) -> bool:
    """The definition: each ``*`` any text, each whole level ``+`` any text without ``/``."""
    levels = resource.split("/")
    if levels[-1] == "#":
        head = "/".join(levels[:-1])
        if len(levels) == 1:
            return True
        ends = [at for at, c in enumerate(topic) if c == "/"] + [len(topic)]
        return (
            any(_mqtt_covers(head, topic[:end]) for end in ends) if head else topic[:1] in ("", "/")
        )
    pieces = [
        "[^/]*" if level == "+" else ".*".join(re.escape(part) for part in level.split("*"))
        for level in levels
    ]
    return re.fullmatch("/".join(pieces), topic, re.DOTALL) is not None


@given(
    resource=_TEXTS.filter(lambda text: bool(text) and "#/" not in text),
    topic=st.text(alphabet="ab/+#", max_size=10),
)
def test_a_topic_pattern_is_what_its_definition_says(resource: str, topic: str) -> None:
    """Globs and MQTT's wildcards together match what trying every split matches (classic).

    ``#`` before the end is no filter (MQTT 5, section 4.7.1.2): what it matches is undefined.
    """
    assert bool(classic_topic_pattern(resource).fullmatch(topic)) == _mqtt_covers(resource, topic)


def test_a_long_topic_is_judged_at_once() -> None:
    """Many wildcards and a long topic do not make the search explode."""
    resource = "a*" * 20 + "b"
    assert not glob(resource).fullmatch("a" * 20000)


def test_the_table_has_both_answers_for_both() -> None:
    """The table of cases would notice a nucleus that always says yes or always no."""
    for column, answer in itertools.product((2, 3), (True, False)):
        assert any(case[column] is answer for case in MQTT_CASES)
