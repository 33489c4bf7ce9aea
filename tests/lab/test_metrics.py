"""The lab counts as CloudWatch does, and reads the dashboard that the template has."""

from __future__ import annotations

import json

import pytest

from lab.cloud.backend import METRICS
from lab.cloud.intrinsics import TemplateError
from lab.cloud.metrics import Figure, Metrics, figures, table
from lab.cloud.template import Template
from rotation_cloud import metrics as written
from rotation_cloud.security_events import Activity, SecurityEvent


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """What functions of the template's environment write down is counted here."""
    functions = Template().functions()
    monkeypatch.setenv(
        "METRICS_NAMESPACE", functions["FinishFunction"].environment["METRICS_NAMESPACE"]
    )
    counted = Metrics()
    monkeypatch.setattr(written, "write", counted.read)
    return counted


def event(activity: Activity, reason: str = "", seconds: int = 0) -> None:
    written.count_event(
        SecurityEvent(activity, "press-7", not reason, reason=reason, seconds=seconds)
    )


def of(counted: Metrics, title: str) -> dict[str, float]:
    body = Template().dashboard()
    return {
        figure.label: figure.value for figure in figures(counted, body) if figure.title == title
    }


def test_numbers_of_the_dashboard(counted: Metrics) -> None:
    """Counts, reasons, percentiles and throttles: each on the widget that says so."""
    for seconds in range(1, 11):
        event(Activity.ROTATION_SUCCEEDED, seconds=seconds)
    for reason in ("probe-refused", "probe-refused", "store-full"):
        event(Activity.ROTATION_FAILED, reason)
    written.count_throttled("AttachPolicy")
    assert of(counted, "Rotations") == {
        "requested": 0, "succeeded": 10, "failed": 3, "handed over to a person": 0
    }  # fmt: skip
    assert of(counted, "Rotations failed, by reason") == {"probe-refused": 2, "store-full": 1}
    assert of(counted, "Seconds a rotation took, at most") == {
        "half of them": 5, "nine of ten": 9, "the longest": 10
    }  # fmt: skip
    assert of(counted, "Calls that AWS throttled") == {"AttachPolicy": 1}
    assert counted.values(METRICS, "RotationFailed", {"Reason": "store-full"}) == [1]


def test_table_for_people(counted: Metrics) -> None:
    """A line a widget, with what happened, and nothing of what did not."""
    event(Activity.ROTATION_SUCCEEDED, seconds=41)
    event(Activity.CERTIFICATE_RETIRED)
    assert table(figures(counted, Template().dashboard())).splitlines() == [
        "Rotations                         succeeded 1",
        "Seconds a rotation took, at most  half of them 41, nine of ten 41, the longest 41",
        "Certificates                      retired 1",
    ]


def test_dashboard_of_nothing() -> None:
    """Before anything happened every number is 0, and there are no reasons."""
    shown = figures(Metrics(), Template().dashboard())
    assert {figure.value for figure in shown} == {0}
    assert table(shown) == ""
    assert "Alerts, by rung" not in {figure.title for figure in shown}


def test_a_copy_is_apart(counted: Metrics) -> None:
    """What is added to a copy is not counted."""
    counted.copy().add(METRICS, "RotationFailed", 1)
    assert counted.values(METRICS, "RotationFailed") == []


@pytest.mark.parametrize(
    "metric",
    [
        [{"expression": "m1 + m2"}],
        ["N", "M", {"stat": "SampleCount"}],
    ],
)
def test_what_is_not_understood_is_refused(metric: list[object]) -> None:
    """A widget that the lab cannot work out is an error, and no wrong number."""
    counted = Metrics()
    counted.add("N", "M", 1)
    with pytest.raises(TemplateError):
        figures(counted, {"widgets": [{"properties": {"title": "t", "metrics": [metric]}}]})


def test_widget_without_a_statistic_of_its_own() -> None:
    """The widget's statistic holds where a metric names none."""
    counted = Metrics()
    for value in (1, 2):
        counted.add("N", "M", value, {"Queue": "q"})
    widget = {"title": "t", "stat": "Maximum", "metrics": [["N", "M", "Queue", "q"]]}
    assert figures(counted, {"widgets": [{"properties": widget}]}) == [Figure("t", "M", 2)]


def test_line_that_is_none() -> None:
    """A line that is not in embedded metric format is an error."""
    with pytest.raises((ValueError, KeyError)):
        Metrics().read(json.dumps({"RotationFailed": 1}))
