"""The metrics that the functions write down, as CloudWatch has them, and the dashboard's numbers.

Lines in embedded metric format become values, by namespace, name and dimensions. ``figures``
reads the dashboard of the template: for each of its widgets what its metrics amount to, over all
the time there was. Metrics that AWS makes itself are told by whoever plays its part (``add``).
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cloud.intrinsics import TemplateError

_SEARCH = re.compile(
    r"SEARCH\('\{\"(?P<namespace>[^\"]+)\",(?P<dimension>\w+)\} MetricName=\"(?P<name>\w+)\"', "
    r"'(?P<stat>\w+)', \d+\)"
)
_Key = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Figure:
    """One number of the dashboard: the widget's title, what it counts, and how many."""

    title: str
    label: str
    value: float


class Metrics:
    """Thread-safe: functions write from their threads."""

    def __init__(self) -> None:
        self._values: defaultdict[_Key, list[float]] = defaultdict(list)
        self._lock = threading.Lock()

    def read(self, line: str) -> None:
        """One line of a function's log, in embedded metric format. Raises ValueError, KeyError."""
        said = json.loads(line)
        for directive in said["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(said[name]) for name in names}
                for metric in directive["Metrics"]:
                    name = metric["Name"]
                    self.add(directive["Namespace"], name, said[name], dimensions)

    def add(
        self, namespace: str, name: str, value: float, dimensions: Mapping[str, str] | None = None
    ) -> None:
        """One value."""
        with self._lock:
            self._values[namespace, name, frozenset((dimensions or {}).items())].append(value)

    def copy(self) -> Metrics:
        """What it has now, to be added to."""
        copied = Metrics()
        with self._lock:
            for key, values in self._values.items():
                copied._values[key] = list(values)
        return copied

    def values(
        self, namespace: str, name: str, dimensions: Mapping[str, str] | None = None
    ) -> list[float]:
        """Every value of the metric with exactly these dimensions."""
        with self._lock:
            return list(
                self._values.get((namespace, name, frozenset((dimensions or {}).items())), ())
            )

    def by(self, namespace: str, name: str, dimension: str) -> dict[str, list[float]]:
        """Every value, for each value of this one dimension."""
        with self._lock:
            return {
                dict(dimensions)[dimension]: list(values)
                for (of, called, dimensions), values in sorted(self._values.items(), key=str)
                if (of, called) == (namespace, name) and dict(dimensions).keys() == {dimension}
            }


def figures(metrics: Metrics, body: Mapping[str, Any]) -> list[Figure]:
    """The numbers on a dashboard, in its order. Raises TemplateError for what is not known."""
    return [
        figure
        for widget in body["widgets"]
        for metric in widget["properties"]["metrics"]
        for figure in _figures(metrics, widget["properties"], metric)
    ]


def _figures(metrics: Metrics, widget: Mapping[str, Any], metric: list[Any]) -> Iterable[Figure]:
    title = str(widget["title"])
    options = metric[-1] if isinstance(metric[-1], dict) else {}
    if "expression" in options:
        found = _SEARCH.fullmatch(options["expression"])
        if found is None:
            raise TemplateError(f"dashboard: {options['expression']}")
        each = metrics.by(found["namespace"], found["name"], found["dimension"])
        return [Figure(title, name, _stat(found["stat"], of)) for name, of in each.items()]
    namespace, name, *pairs = (part for part in metric if not isinstance(part, dict))
    dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
    stat = options.get("stat", widget.get("stat", "Average"))
    values = metrics.values(namespace, name, dimensions)
    return [Figure(title, str(options.get("label", name)), _stat(stat, values))]


def _stat(stat: str, values: list[float]) -> float:
    """A statistic over all values; 0 of none."""
    if not values:
        return 0
    if stat == "Sum":
        return sum(values)
    if stat == "Maximum":
        return max(values)
    percentile = re.fullmatch(r"p(\d+)", stat)
    if percentile is None:
        raise TemplateError(f"dashboard: statistic {stat}")
    rank = math.ceil(int(percentile[1]) / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def table(shown: Iterable[Figure]) -> str:
    """The numbers for people: a line for each widget, without those that count nothing."""
    lines: dict[str, list[str]] = {}
    for figure in shown:
        if figure.value:
            lines.setdefault(figure.title, []).append(f"{figure.label} {figure.value:g}")
    width = max(map(len, lines), default=0)
    return "\n".join(f"{title:<{width}}  {', '.join(said)}" for title, said in lines.items())
