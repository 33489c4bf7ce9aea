"""When a deployment is done, what that means, and what is said of a device that failed."""

from __future__ import annotations

import pytest

from deployment.ports import Attempt, Counts, Job
from deployment.progress import Ending, exit_code, failure_of, is_settled, is_stopped, printable

FINE = Counts(succeeded=3, removed=2)


@pytest.mark.parametrize("status", ["failed", "timed_out", "rejected", "canceled"])
def test_one_device_without_it(status: str) -> None:
    """One device that has not got it, however that came, makes the exit code 1."""
    assert exit_code(Ending.DONE, FINE) == 0
    assert exit_code(Ending.DONE, Counts(succeeded=3, **{status: 1})) == 1


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Ending.DONE, 0),
        (Ending.EMPTY, 0),
        (Ending.CANCELED, 1),
        (Ending.REPLACED, 1),
        (Ending.DELETED, 1),
        (Ending.QUIET, 3),
        (Ending.SIGNED_OUT, 3),
        (Ending.REFUSED, 3),
    ],
)
def test_exit_codes(ending: Ending, code: int) -> None:
    """Each ending has its exit code."""
    assert exit_code(ending, FINE) == code
    assert len(Ending) == 8


def test_settled() -> None:
    """A job is settled when nobody is at it, and nobody is still to be reached."""
    assert is_settled(Job("IN_PROGRESS", FINE, rolling_out=False))
    assert not is_settled(Job("IN_PROGRESS", FINE, rolling_out=True))
    assert not is_settled(Job("IN_PROGRESS", Counts(queued=1), rolling_out=False))
    assert not is_settled(Job("IN_PROGRESS", Counts(in_progress=1), rolling_out=False))


def test_stopped() -> None:
    """A job that was canceled or is being deleted goes on for nobody."""
    stopped = {
        s
        for s in ("IN_PROGRESS", "CANCELED", "DELETION_IN_PROGRESS", "SCHEDULED")
        if is_stopped(Job(s, FINE, rolling_out=False))
    }
    assert stopped == {"CANCELED", "DELETION_IN_PROGRESS"}


# -- reasons ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (
            {
                "detailed-deployment-status": "FAILED_ROLLBACK_COMPLETE",
                "deployment-failure-cause": "Service broken",
                "deployment-error-stack": "[DEPLOYMENT_FAILURE, COMPONENT_BROKEN]",
                "deployment-error-types": "[COMPONENT_ERROR]",
            },
            "Service broken [COMPONENT_BROKEN]; it has gone back to what it ran before",
        ),
        (
            {
                "detailed-deployment-status": "FAILED_NO_STATE_CHANGE",
                "deployment-failure-cause": "x",
            },
            "x; nothing was changed on it",
        ),
        (
            {"detailed-deployment-status": "FAILED_UNABLE_TO_ROLLBACK"},
            "it could not go back: look at this device at once",
        ),
        (
            {"detailed-deployment-status": "FAILED_ROLLBACK_NOT_REQUESTED"},
            "it was left as it is, half changed",
        ),
        ({"error": "Job document cannot be empty"}, "Job document cannot be empty"),
        ({"detailed-deployment-status": "SOMETHING_NEW", "deployment-failure-cause": "y"}, "y"),
        ({"deployment-error-stack": "[]"}, "the device gives no reason"),
        ({}, "the device gives no reason (nucleus lite never does)"),
    ],
)
def test_reasons(details: dict[str, str], said: str) -> None:
    """The nucleus's words, the most specific of its codes, and what that leaves behind."""
    failure = failure_of(Attempt("press-1", 1, "FAILED"), details)
    assert (failure.thing, failure.status) == ("press-1", "FAILED")
    assert failure.reason.startswith(said)


def test_timed_out() -> None:
    """A device that took too long has no words of its own for it."""
    details = {"detailed-deployment-status": "SUCCESSFUL"}
    reason = failure_of(Attempt("press-1", 1, "TIMED_OUT"), details).reason
    assert reason == "it did not finish within the deployment's time limit"


def test_what_a_device_says_is_not_trusted() -> None:
    """A device's words are cut to a length, and cannot command the terminal."""
    cause = "one\n\ttwo \x1b]0;title\x07 \x9b31m \u202e" + "x" * 1000
    reason = failure_of(Attempt("t", 1, "FAILED"), {"deployment-failure-cause": cause}).reason
    assert len(reason) == 400
    assert reason.startswith("one two ?]0;title? ?31m ?")
    assert reason.isprintable()
    assert printable("Prüfstand") == "Prüfstand"
