"""Metrics are lines that CloudWatch reads, and what devices say does not multiply them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rotation_cloud import metrics
from rotation_cloud.aws_errors import translated
from rotation_cloud.ports import AwsError, Throttled
from rotation_cloud.security_events import Activity, SecurityEvent


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is written down."""
    monkeypatch.setenv("METRICS_NAMESPACE", "CertKeeper/test")
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(metrics, "write", lambda text: written.append(json.loads(text)))
    return written


def test_line_is_in_embedded_metric_format(lines: list[dict[str, Any]]) -> None:
    """Namespace, dimensions, and units are declared, and every name has its value beside them."""
    event = SecurityEvent(Activity.ROTATION_SUCCEEDED, "press-7", seconds=41)
    metrics.count_event(event)
    (line,) = lines
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "CertKeeper/test",
        "Dimensions": [[]],
        "Metrics": [
            {"Name": "RotationSucceeded", "Unit": "Count"},
            {"Name": "RotationSeconds", "Unit": "Seconds"},
        ],
    }
    assert (line["RotationSucceeded"], line["RotationSeconds"]) == (1, 41)
    assert line["_aws"]["Timestamp"] > 1e12  # milliseconds


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("probe-refused", "probe-refused"), ("timed_out", "timed_out"), ("my own words", "other")],
)
def test_reasons_are_a_closed_list(lines: list[dict[str, Any]], reason: str, counted: str) -> None:
    """A reason is a dimension, one of those known; a device's own words are ``other``."""
    metrics.count_event(SecurityEvent(Activity.ROTATION_FAILED, "press-7", False, reason=reason))
    (line,) = lines
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[], ["Reason"]]
    assert (line["Reason"], line["RotationFailed"]) == (counted, 1)


@pytest.mark.parametrize(
    ("activity", "succeeded", "name"),
    [
        (Activity.CERTIFICATE_ISSUED, True, "CertificateIssued"),
        (Activity.CERTIFICATE_ISSUED, False, "CertificateIssuedFailed"),
        (Activity.ROTATION_FAILED, False, "RotationFailed"),
        (Activity.REQUEST_REFUSED, False, "RequestRefused"),
    ],
)
def test_names(activity: Activity, succeeded: bool, name: str) -> None:
    """A success and a failure are counted apart, unless the activity says which it is."""
    assert metrics.name_of(SecurityEvent(activity, "press-7", succeeded)) == name


def test_time_of_a_failure_is_not_counted(lines: list[dict[str, Any]]) -> None:
    """How long rotations take is told by those that end well."""
    metrics.count_event(SecurityEvent(Activity.ROTATION_FAILED, "press-7", False, seconds=900))
    assert metrics.DURATION not in lines[0]


@pytest.mark.parametrize(
    ("code", "kind", "counted"),
    [("ThrottlingException", Throttled, [1]), ("InternalFailureException", AwsError, [])],
)
def test_throttled_calls_are_counted(
    lines: list[dict[str, Any]], code: str, kind: type[AwsError], counted: list[int]
) -> None:
    """Whatever AWS throttles is counted, by operation; other errors are not."""
    with pytest.raises(kind), translated("AttachPolicy"):
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "AttachPolicy")
    assert [line["Throttled"] for line in lines] == counted
    assert [line["Operation"] for line in lines] == ["AttachPolicy"] * len(counted)


def test_lines_go_to_the_functions_log(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON on the standard output, which is what Lambda keeps."""
    metrics.count_throttled("AttachPolicy")
    assert json.loads(capsys.readouterr().out)["Throttled"] == 1
