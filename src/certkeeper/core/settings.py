"""The component's configuration, checked key by key.

``parse`` takes what GetConfiguration returned and gives Settings, or raises
SettingsError that holds every problem at once, each naming its key. A key that is not
known is no error, since a component may be downgraded; it is noted, with the key that
was probably meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from certkeeper.core import algorithms
from certkeeper.core.threshold import Threshold
from certkeeper.core.value_reader import Problem, RotateWindow, ScheduleProblem, ValueReader
from rotation_protocol import topics
from rotation_protocol.values import dataclass

DEFAULT_THRESHOLDS: tuple[Threshold, ...] = (30, 15, 7, 3, 1)
PROBES = ("required", "preferred", "off")
LOG_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


class SettingsError(ValueError):
    """A configuration that is not valid; ``problems`` names every key that is at fault."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """A valid configuration (docs/configuration.md). The defaults are the recipe's."""

    schedule: str = "cron(0 2 * * ? *)"
    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    critical_below_days: int = 7
    realert_hours: int = 24
    max_age_days: int = 0
    rotate_before_days: int = 45
    rotate_window: RotateWindow | None = None
    alert_topic: str = topics.ALERTS
    health_topic: str = topics.HEALTH
    topic_prefix: str = "certkeeper"
    key_algorithm: str = algorithms.SAME
    signing_algorithm: str = algorithms.AUTOMATIC
    watch: tuple[str, ...] = ()
    certificate_file_path: str | None = None
    private_key_path: str | None = None
    probe: str = "required"
    commit_timeout_seconds: int = 300
    dead_man_seconds: int = 900
    sign_alerts: bool = True
    log_level: str = "INFO"
    notes: tuple[str, ...] = ()

    @property
    def realert_after(self) -> timedelta:
        """How long a rung lasts before it is alerted again."""
        return timedelta(hours=self.realert_hours)


def parse(values: object, schedule_problem: ScheduleProblem) -> Settings:
    """Settings from a component's configuration object; what is absent has its default.

    Raises SettingsError.
    """
    if not isinstance(values, Mapping):
        raise SettingsError((Problem("configuration", "must be an object of keys and values"),))
    reader = ValueReader(values)
    settings = Settings(
        schedule=reader.schedule("schedule", Settings.schedule, schedule_problem),
        thresholds=reader.thresholds("thresholds", DEFAULT_THRESHOLDS),
        critical_below_days=reader.whole(
            "criticalBelowDays", Settings.critical_below_days, 0, 3650
        ),
        realert_hours=reader.whole("realertHours", Settings.realert_hours, 1, 24 * 365),
        max_age_days=reader.whole("maxAgeDays", Settings.max_age_days, 0, 36500),
        rotate_before_days=reader.whole("rotateBeforeDays", Settings.rotate_before_days, 0, 3650),
        rotate_window=reader.window("rotateWindow", schedule_problem),
        alert_topic=reader.topic("alertTopic", Settings.alert_topic),
        health_topic=reader.topic("healthTopic", Settings.health_topic),
        topic_prefix=reader.prefix("topicPrefix", Settings.topic_prefix),
        key_algorithm=reader.choice(
            "keyAlgorithm", Settings.key_algorithm, (algorithms.SAME, *algorithms.KEY_ALGORITHMS)
        ),
        signing_algorithm=reader.choice(
            "signingAlgorithm",
            Settings.signing_algorithm,
            (algorithms.AUTOMATIC, *algorithms.SIGNING_ALGORITHMS),
        ),
        watch=reader.paths("watch"),
        certificate_file_path=reader.location("certificateFilePath"),
        private_key_path=reader.location("privateKeyPath"),
        probe=reader.choice("probe", Settings.probe, PROBES),
        commit_timeout_seconds=reader.whole(
            "commitTimeoutSeconds", Settings.commit_timeout_seconds, 30, 86400
        ),
        dead_man_seconds=reader.whole("deadManSeconds", Settings.dead_man_seconds, 60, 86400),
        sign_alerts=reader.boolean("signAlerts", Settings.sign_alerts),
        log_level=reader.choice("logLevel", Settings.log_level, LOG_LEVELS),
    )
    problems = reader.problems + _disagreements(settings)
    if problems:
        raise SettingsError(tuple(problems))
    return replace(settings, notes=reader.unknown())


def _disagreements(settings: Settings) -> list[Problem]:
    """Keys that are each valid, but not together."""
    problems = []
    key, signing = settings.key_algorithm, settings.signing_algorithm
    both_named = key != algorithms.SAME and signing != algorithms.AUTOMATIC
    if both_named and not algorithms.signs_with(signing, key):
        problems.append(Problem("signingAlgorithm", f"{signing} cannot be made with a {key} key"))
    if settings.dead_man_seconds <= settings.commit_timeout_seconds:
        problems.append(
            Problem("deadManSeconds", "must be more than commitTimeoutSeconds, which it guards")
        )
    if (settings.certificate_file_path is None) != (settings.private_key_path is None):
        missing = "privateKeyPath" if settings.private_key_path is None else "certificateFilePath"
        problems.append(Problem(missing, "must be set too: a pair is overridden as a whole"))
    return problems
