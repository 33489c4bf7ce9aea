"""A component's word on what a deployment would make of its configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from lab.nucleus.configuration import ConfigurationRefused, ConfigurationStore, ValidityReport
from tests.lab.test_configuration import DEFAULTS, NOW, deploy, new_store


@pytest.fixture(params=["classic", "lite"])
def store(request: pytest.FixtureRequest) -> ConfigurationStore:
    return new_store(request.param)


class Judge:
    """A component's validation, and what it was asked."""

    def __init__(self, *reports: ValidityReport) -> None:
        self.reports = list(reports)
        self.asked: list[tuple[Mapping[str, Any], str]] = []

    async def __call__(
        self, configuration: Mapping[str, Any], deployment_id: str
    ) -> ValidityReport:
        self.asked.append((configuration, deployment_id))
        if not self.reports:
            await asyncio.get_running_loop().create_future()
        return self.reports.pop(0)


def test_a_component_judges_what_a_deployment_brings(store: ConfigurationStore) -> None:
    """It sees the whole new configuration and the deployment's id; what it rejects stays out."""
    judge = Judge(ValidityReport(accepted=True), ValidityReport(accepted=False, message="no cron"))
    leave = store.validate_with("c", judge)
    deploy(store, merge={"schedule": "x"}, deployment_id="d-1")
    assert judge.asked == [(DEFAULTS | {"schedule": "x"}, "d-1")]
    with pytest.raises(ConfigurationRefused, match=r"name = c, message = no cron"):
        deploy(store, merge={"schedule": "y"})
    assert store.of("c").get(["schedule"]) == "x"
    leave()
    leave()
    deploy(store, merge={"schedule": "z"})
    assert store.of("c").get(["schedule"]) == "z"


def test_a_silent_component_refuses(store: ConfigurationStore) -> None:
    """No report in time fails the deployment, and nothing has changed."""
    store.validate_with("c", Judge())
    with pytest.raises(ConfigurationRefused, match="no validation report"):
        deploy(store, merge={"schedule": "x"}, validation_timeout=0.01)
    assert store.of("c").get() == DEFAULTS


def test_nobody_is_asked_about_nothing_new_or_a_new_version(store: ConfigurationStore) -> None:
    """A deployment that changes no value, or changes the version, is not judged."""
    judge = Judge()
    store.validate_with("c", judge)
    deploy(store, merge={"schedule": "rate(1 day)"})
    deploy(store, defaults=DEFAULTS, merge={"schedule": "x"})
    assert judge.asked == []


def test_what_the_component_writes_while_it_is_asked_is_kept(store: ConfigurationStore) -> None:
    """An update that comes during validation is not lost."""

    async def judge(configuration: Mapping[str, Any], deployment_id: str) -> ValidityReport:
        store.of("c").update([], {"mine": 1}, NOW, NOW)
        return ValidityReport(accepted=True)

    store.validate_with("c", judge)
    deploy(store, merge={"theirs": 1})
    assert store.of("c").get() == DEFAULTS | {"mine": 1, "theirs": 1}


def test_a_second_validation_subscription_does_not_replace_the_first(
    store: ConfigurationStore,
) -> None:
    """The first subscriber of a component is the one that is asked."""
    first, second = Judge(ValidityReport(accepted=True)), Judge()
    store.validate_with("c", first)
    store.validate_with("c", second)
    deploy(store, merge={"schedule": "x"})
    assert (len(first.asked), len(second.asked)) == (1, 0)
