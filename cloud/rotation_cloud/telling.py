"""People are told of one matter once a day at most, however often it is reported, and not less.

Whoever is about to tell claims the matter with a conditional write, for as long as a function
may run. Only what SNS has taken is written down as told. So a message comes twice only if SNS
took it and the note of it was lost; and it is lost only with an event that is a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rotation_cloud.documents import Document
from rotation_cloud.ports import AwsError, Cloud, RecordChanged
from rotation_cloud.records import LEASE_SECONDS

#: An hour less than a day: a daily check comes earlier on one day than on the next.
AGAIN_SECONDS = 23 * 3600
#: Longer than a dead letter waits (cloud/template.yaml), so that it is known when it comes.
KEPT_SECONDS = 30 * 24 * 3600
_TRIES, _WAIT = 10, 2
_NOTE_WAITS = (1, 3)


class StillTelling(Exception):
    """Somebody else is telling it, and has not finished: to be looked at again."""


@dataclass(frozen=True)
class Matter:
    """One matter as it is in the table. Messages about it are told apart by their ``moment``."""

    document: Document

    @classmethod
    def read(cls, cloud: Cloud, thing: str, name: str) -> Matter:
        """As it is now; a new one if nobody was ever told."""
        return cls(cloud.documents.get(thing, name) or Document(thing, name))

    @property
    def _body(self) -> Mapping[str, Any]:
        return self.document.body

    def is_told(self, moment: int) -> bool:
        """Whether people were told of this very message."""
        return bool(self._body.get("told")) and self._body.get("moment") == moment

    def is_over(self, moment: int, now: float) -> bool:
        """Whether a message of that moment leaves nothing to do."""
        if self.is_told(moment):
            return bool(self._body.get("settled"))
        told = int(self._body.get("told", 0))
        return bool(told) and now - told < AGAIN_SECONDS

    def claim(self, cloud: Cloud, moment: int) -> Matter | None:
        """The matter, ours to tell; None if somebody else has told it meanwhile.

        Raises StillTelling, AwsError.
        """
        matter = self
        for _ in range(_TRIES):
            now = int(cloud.clock.now())
            if matter.is_over(moment, now) or matter.is_told(moment):
                return None
            if int(matter._body.get("lease", 0)) <= now:
                claim = {"moment": moment, "told": 0, "lease": now + LEASE_SECONDS}
                with suppress(RecordChanged):
                    return matter._written(cloud, claim)
            else:
                cloud.clock.sleep(_WAIT)
            matter = Matter.read(cloud, self.document.thing, self.document.name)
        raise StillTelling(f"{self.document.thing} {self.document.name}")

    def told(self, cloud: Cloud, *, settled: bool = True) -> Matter:
        """Written down as told; ``settled`` if nothing else is to be done. Raises AwsError.

        What SNS has cannot be taken back, so this is tried harder than anything else.
        """
        told = {**self._body, "told": int(cloud.clock.now()), "lease": 0, "settled": settled}
        for wait in _NOTE_WAITS:
            try:
                return self._written(cloud, told)
            except AwsError:
                cloud.clock.sleep(wait)
        return self._written(cloud, told)

    def settle(self, cloud: Cloud) -> None:
        """What was left to do is done. Raises AwsError."""
        with suppress(RecordChanged):  # somebody else has done it too
            self._written(cloud, {**self._body, "settled": True})

    def release(self, cloud: Cloud) -> None:
        """It could not be told, and the next try need not wait for the claim to end."""
        with suppress(AwsError, RecordChanged):
            self._written(cloud, {**self._body, "lease": 0})

    def _written(self, cloud: Cloud, body: Mapping[str, Any]) -> Matter:
        expires_at = int(cloud.clock.now()) + KEPT_SECONDS
        return Matter(
            cloud.documents.write(replace(self.document, body=body, expires_at=expires_at))
        )
