"""At which rate the things of a job are told of it.

The first is told at once, and each further one as far behind the one before as the rate of
that moment asks for. An exponential rate grows by its factor each time that so many more have
been told, or have succeeded. How AWS places them within a minute is not known.
https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.jobs import fields
from lab.jobs.errors import invalid

#: Executions a minute (Service Quotas, "Job execution roll out rate").
MOST_PER_MINUTE = 1000


class Rollout:
    """The rollout of one job, of a ``jobExecutionsRolloutConfig`` that is there. Raises
    JobsError for one that the API would not take."""

    def __init__(self, config: Mapping[str, Any], now: float) -> None:
        most = fields.number(config, "maximumPerMinute")
        growing = config.get("exponentialRate")
        self._most = _rate("maximumPerMinute", MOST_PER_MINUTE if most is None else most)
        self._rate = float(self._most)
        self._factor, self._step, self._counts = 1.0, 0, ""
        if growing is not None:
            base = fields.number(growing, "baseRatePerMinute")
            self._rate = float(_rate("baseRatePerMinute", 0 if base is None else base))
            self._factor = float(growing.get("incrementFactor", 0))
            if not 1.1 <= self._factor <= 5:
                raise invalid("incrementFactor is not between 1.1 and 5")
            self._counts, self._step = _criterion(growing.get("rateIncreaseCriteria") or {})
        self._next_rise = self._step
        self._seen = {"numberOfNotifiedThings": 0, "numberOfSucceededThings": 0}
        self.next_at = now

    @property
    def per_minute(self) -> float:
        """The rate now."""
        return min(self._rate, self._most)

    def told(self) -> None:
        """The next thing has been told."""
        self._count("numberOfNotifiedThings")
        self.next_at += 60 / self.per_minute

    def succeeded(self) -> None:
        """A thing has succeeded."""
        self._count("numberOfSucceededThings")

    def _count(self, what: str) -> None:
        self._seen[what] += 1
        if what == self._counts and self._seen[what] >= self._next_rise:
            self._rate *= self._factor
            self._next_rise += self._step


def _rate(name: str, per_minute: int) -> int:
    if not 1 <= per_minute <= MOST_PER_MINUTE:
        raise invalid(f"{name} is not between 1 and {MOST_PER_MINUTE}")
    return per_minute


def _criterion(criteria: Mapping[str, Any]) -> tuple[str, int]:
    if len(criteria) != 1:
        raise invalid("rateIncreaseCriteria has not exactly one of its fields")
    ((name, _),) = criteria.items()
    threshold = fields.number(criteria, name)
    if name not in ("numberOfNotifiedThings", "numberOfSucceededThings"):
        raise invalid(f"rateIncreaseCriteria: {name} is none of the API's")
    if threshold is None or threshold < 1:
        raise invalid(f"{name} is below 1")
    return name, threshold
