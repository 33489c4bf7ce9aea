"""What is repaired, what is only written down, and how much of it at the most.

A repair is announced before it is begun, so that a run that is cut off does not begin with the
same one again, and is told to whoever watches. Their number is limited: should the reconciler
believe something that is wrong, it does not do it to a whole fleet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rotation_cloud.findings import Finding, Kind, Result
from rotation_cloud.finish import StillIssuing
from rotation_cloud.ports import AwsError, Cloud, RecordChanged, Throttled
from rotation_cloud.security_events import Activity, SecurityEvent

_log = logging.getLogger(__name__)


class Repairs:
    """``most`` repairs are tried, none in a dry run; ``begin`` is told the thing before each."""

    def __init__(
        self, cloud: Cloud, *, dry_run: bool, most: int, begin: Callable[[str], None]
    ) -> None:
        self.findings: list[Finding] = []
        self.tried = 0
        self.dry_run = dry_run
        self._cloud = cloud
        self._most = most
        self._begin = begin

    def leave(
        self, kind: Kind, thing: str, detail: str, *, job_id: str = "", certificate_id: str = ""
    ) -> None:
        """Something for people."""
        self._note(Finding(kind, thing, Result.LEFT, detail, job_id, certificate_id))

    def repair(
        self,
        kind: Kind,
        thing: str,
        detail: str,
        do: Callable[[], object],
        *,
        job_id: str = "",
        certificate_id: str = "",
        activity: Activity | None = Activity.REGISTRY_REPAIRED,
    ) -> bool:
        """Does it, unless it may not; whether it is done. Raises Throttled.

        ``activity`` is None for what somebody else records.

        Somebody else who was faster is no finding: that is another one's work in progress.
        """

        def found(result: Result, more: str = "") -> None:
            told = f"{detail}; {more}" if more else detail
            self._note(Finding(kind, thing, result, told, job_id, certificate_id))

        def watched(succeeded: bool, reason: str) -> None:
            if activity is None:
                return
            about = (job_id, certificate_id, reason, detail)
            self._cloud.audit.record(SecurityEvent(activity, thing, succeeded, *about))

        if self.dry_run:
            found(Result.WOULD_BE_REPAIRED)
            return False
        if self.tried >= self._most:
            found(Result.LEFT, f"the limit of {self._most} repairs was reached")
            return False
        self._begin(thing)
        self.tried += 1
        try:
            do()
        except (RecordChanged, StillIssuing) as busy:
            _log.info("reconciler-left %s thing=%s: at work: %s", kind.value, thing, busy)
            return False
        except Throttled:
            raise
        except AwsError as error:
            found(Result.FAILED, str(error))
            watched(False, "aws-error")
            return False
        found(Result.REPAIRED)
        watched(True, kind.value)
        return True

    def _note(self, finding: Finding) -> None:
        _log.info("reconciler-found %s", finding.to_json())
        self.findings.append(finding)
