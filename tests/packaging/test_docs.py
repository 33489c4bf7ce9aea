"""The documentation is complete and true: held against the recipe, the code and its codes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import get_session
from botocore.validate import validate_parameters

from certkeeper.__main__ import main
from certkeeper.core.algorithms import KEY_ALGORITHMS, SIGNING_ALGORITHMS
from certkeeper.core.certificate import Role
from certkeeper.core.settings import LOG_LEVELS, PROBES, Settings, SettingsError, parse
from certkeeper.edge import schedule
from rotation_protocol import topics
from rotation_protocol.reasons import (
    AlertType,
    CheckStatus,
    DeadlineReason,
    FailureReason,
    ReadinessCheckName,
    ReadProblem,
    RejectionCode,
)
from tests.packaging.markdown import blocks, coded, document, first_column, rows, section
from tests.packaging.source import PROJECT, SRC, dotted, project_files, shipped

RECIPE = yaml.safe_load((PROJECT / "recipe.yaml").read_text())["ComponentConfiguration"]
DEFAULTS: dict[str, Any] = RECIPE["DefaultConfiguration"]
ACCESS_CONTROL = DEFAULTS.pop("accessControl")
NUMBERS = [key for key, value in DEFAULTS.items() if type(value) is int]
CHOICES = {
    "probe": {*PROBES},
    "logLevel": {*LOG_LEVELS},
    "keyAlgorithm": {"same", *KEY_ALGORITHMS},
    "signingAlgorithm": {"auto", *SIGNING_ALGORITHMS},
}


def point(key: str, name: str) -> str:
    """What a key's section says after ``- Name:``, its next lines included."""
    said = section(document("configuration.md"), f"`{key}`")
    found = re.search(rf"^- {name}: (.*?)(?=\n- |\n\n|\Z)", said, re.M | re.S)
    assert found, f"{key} has no {name}"
    return found.group(1)


def problems(values: dict[str, Any]) -> dict[str, str]:
    try:
        parse(values, schedule.problem)
    except SettingsError as error:
        return {problem.key: problem.message for problem in error.problems}
    return {}


# -- configuration.md ---------------------------------------------------------------


def test_every_key_has_its_section() -> None:
    """Every key of the recipe has a section in configuration.md, and no other has one."""
    assert set(re.findall(r"^### `(\w+)`$", document("configuration.md"), re.M)) == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_default_is_the_recipes(key: str) -> None:
    """The default that a section names is the recipe's."""
    assert json.loads(*coded(point(key, "Default"))) == DEFAULTS[key]


def test_examples_are_a_valid_configuration() -> None:
    """The examples of all keys, together, are a configuration that says something new in each."""
    examples = {key: json.loads(*coded(point(key, "Example"))) for key in DEFAULTS}
    parsed, defaults = parse(examples, schedule.problem), Settings()
    assert not parsed.notes
    same = [name for name, value in vars(parsed).items() if value == getattr(defaults, name)]
    assert same == ["notes"]


@pytest.mark.parametrize("key", NUMBERS)
def test_limits_of_a_number(key: str) -> None:
    """The limits that a section names are the least and the greatest number that is taken."""
    limits = re.match(r"from (\d+) to (\d+)", point(key, "Limits"))
    assert limits
    least, most = int(limits.group(1)), int(limits.group(2))
    others = {"commitTimeoutSeconds": 30}
    taken = [
        n for n in (least - 1, least, most, most + 1) if key not in problems({**others, key: n})
    ]
    assert taken == [least, most]


@pytest.mark.parametrize("key", CHOICES)
def test_choices(key: str) -> None:
    """A section names every choice there is, and no other."""
    assert set(coded(point(key, "Limits"))) == CHOICES[key]


def test_schedules_are_schedules() -> None:
    """Every schedule in configuration.md is one."""
    found = re.findall(r"`((?:rate|cron)\([^`.]*\))`", document("configuration.md"))
    patterns = ("rate(value unit)", "cron(minutes hours day-of-month month day-of-week year)")
    assert [s for s in found if schedule.problem(s) and s not in patterns] == []


def test_deployment_is_one() -> None:
    """The deployment is valid input of CreateDeployment, and what it merges and resets is ours."""
    [text] = blocks(section(document("configuration.md"), "Deploying a change"), "json")
    deployment = json.loads(text)
    assert_valid_input("greengrassv2", "CreateDeployment", deployment)
    component = deployment["components"]["community.greengrass.CertificateKeeper"]
    update = component["configurationUpdate"]
    assert problems(json.loads(update["merge"])) == {}
    assert {pointer.lstrip("/") for pointer in update["reset"]} <= set(DEFAULTS)


def test_other_topics_change_the_recipes_own_policy() -> None:
    """The example of other topics is valid, and moves the resources of the recipe's policies."""
    [text] = blocks(section(document("configuration.md"), "Other topics"), "json")
    merged: dict[str, Any] = json.loads(text)
    parsed = parse(merged, schedule.problem)
    moved = {topics.ALERTS: parsed.alert_topic, topics.HEALTH: parsed.health_topic}
    other = f"{parsed.topic_prefix}/things/"

    def renamed(resource: str) -> str:
        return moved.get(resource, resource).replace(f"{topics.PREFIX}/things/", other)

    for service, policies in ACCESS_CONTROL.items():
        assert merged["accessControl"][service] == {
            name: {
                "resources": [
                    renamed(resource)
                    for resource in policy["resources"]
                    if not resource.startswith(topics.PEER_PREFIX)
                ]
            }
            for name, policy in policies.items()
        }


# -- troubleshooting.md and the codes -----------------------------------------------


def said_events() -> Iterator[str]:
    """Every event name in src: what is logged, and what the scripts print."""
    for module in shipped():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.args[0]
            if dotted(node.func).split(".")[-1] in ("Log", "say") and isinstance(
                name, ast.Constant
            ):
                yield str(name.value)
    for path in SRC.glob("*.sh"):
        yield from re.findall(r'echo "([a-z]+-[a-z]+) ', path.read_text())


def test_every_log_event_is_explained() -> None:
    """troubleshooting.md explains every event that the component can log, and no other."""
    assert first_column(section(document("troubleshooting.md"), "Log lines")) == set(said_events())


@pytest.mark.parametrize(
    ("name", "heading", "codes"),
    [
        ("protocol.md", "Types", AlertType),
        ("protocol.md", "Deadline reasons", DeadlineReason),
        ("protocol.md", "Rejection codes", RejectionCode),
        ("protocol.md", "Failure reasons", FailureReason),
        ("troubleshooting.md", "Alerts", AlertType),
        ("operations.md", "What an alert asks for", AlertType),
        ("troubleshooting.md", "Why a certificate cannot be read", ReadProblem),
        ("troubleshooting.md", "Readiness checks", ReadinessCheckName),
        ("configuration.md", "What is watched", Role),
    ],
)
def test_tables_of_codes(name: str, heading: str, codes: type[Enum]) -> None:
    """Each table of codes has every one of them, and no other."""
    said = section(document(name), heading)
    if name == "operations.md":
        said = said[said.index("| type |") :]
    assert first_column(said) == {code.value for code in codes}


def test_statuses_of_checks() -> None:
    """Every status of a readiness check is named where the checks are."""
    said = set(coded(section(document("troubleshooting.md"), "Readiness checks")))
    assert {status.value for status in CheckStatus} <= said


# -- operations.md and architecture.md ----------------------------------------------


def assert_valid_input(service: str, operation: str, values: dict[str, Any]) -> None:
    shape = get_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    validate_parameters(values, shape)


def test_rules_are_rules() -> None:
    """Each rule of operations.md is valid input of CreateTopicRule, on one of our topics."""
    documents = [json.loads(text) for text in blocks(document("operations.md"), "json")]
    rules = [each for each in documents if "sql" in each]
    for rule in rules:
        assert_valid_input("iot", "CreateTopicRule", {"ruleName": "r", "topicRulePayload": rule})
    listened = {*re.findall(r"FROM '([^']+)'", " ".join(rule["sql"] for rule in rules))}
    assert listened == {topics.ALERTS, topics.HEALTH}


def test_options_are_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """operations.md names every option of check and doctor."""
    said = first_column(section(document("operations.md"), "On a device"))
    for command in ("check", "doctor"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
        assert said == options


def test_every_file_has_its_place() -> None:
    """architecture.md lists every file of src and deployment, and no other, each in its folder."""
    folder, listed = "", set()
    for row in rows(section(document("architecture.md"), "The files")):
        name = coded(row[0])[0]
        if name.endswith("/"):
            folder = name
        else:
            listed.add(folder + name)
    files = {module.path for module in shipped() if module.path.name != "__init__.py"}
    deployment = {path for path in (PROJECT / "deployment").glob("*.py") if path.stem != "__init__"}
    assert listed == {str(path.relative_to(SRC)) for path in files} | {
        str(path.relative_to(PROJECT)) for path in deployment
    }


# -- links --------------------------------------------------------------------------


MARKDOWN = [path.relative_to(PROJECT) for path in project_files() if path.suffix == ".md"]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a file's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


@pytest.mark.parametrize("name", MARKDOWN, ids=str)
def test_links_lead_somewhere(name: Path) -> None:
    """Every relative link of a document leads to a file, and to a heading in it if it names one."""
    path = PROJECT / name
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        place, _, anchor = target.partition("#")
        if "://" in target:
            continue
        to = path.parent / place if place else path
        if not to.exists() or (anchor and anchor not in anchors(to)):
            dead.append(target)
    assert dead == []
