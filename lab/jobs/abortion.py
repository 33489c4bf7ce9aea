"""When a job is given up: too large a share of the things that are through with it failed.

https://docs.aws.amazon.com/iot/latest/apireference/API_AbortCriteria.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ALL = ("FAILED", "REJECTED", "TIMED_OUT")


def is_to_be_aborted(criteria: Sequence[Mapping[str, Any]], over: Mapping[str, int]) -> bool:
    """``over`` says how many things are through with it, by their terminal status."""
    through = sum(over.values())
    for criterion in criteria:
        kind = criterion["failureType"]
        failed = sum(over.get(status, 0) for status in (_ALL if kind == "ALL" else (kind,)))
        if (
            through >= criterion["minNumberOfExecutedThings"]
            and 100 * failed >= criterion["thresholdPercentage"] * through
        ):
            return True
    return False
