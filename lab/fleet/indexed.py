"""The account's registry and records for thousands of things, which nobody looks through."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set

from lab.fleet.account import Records
from lab.fleet.registry import Certificate, Registry
from rotation_cloud import ports
from rotation_cloud.records import Record


class IndexedRegistry(Registry):
    """As Registry, as long as nobody changes its certificates but through it."""

    def __init__(self, clock: ports.Clock) -> None:
        super().__init__(clock)
        self._of_thing: dict[str, dict[str, Certificate]] = {}
        self._loose: dict[str, Certificate] = {}  # attached to nothing

    def newest(self, since: float, most: int) -> list[str]:
        """The ARNs of the certificates that were made last, not before ``since``."""
        made = itertools.islice(reversed(self.certificates.values()), most)
        return [certificate.arn for certificate in made if certificate.created >= since]

    def register(self, key: str) -> str:
        arn = super().register(key)
        self._loose[arn] = self.certificates[arn]
        return arn

    def principals(self, thing: str) -> dict[str, str]:
        attached = self._of_thing.get(thing)
        if not attached:
            # Nothing is attached, or there is no such thing.
            return super().principals(thing) if thing not in self.known else {}
        return {arn: certificate.things[thing] for arn, certificate in attached.items()}

    def stray(self, public_keys: Set[str], since: float) -> Sequence[str]:
        loose = self._loose.values()
        return [c.arn for c in loose if c.key in public_keys and c.created >= since]

    def attach_thing(self, arn: str, thing: str, attachment: str) -> None:
        super().attach_thing(arn, thing, attachment)
        self._of_thing.setdefault(thing, {})[arn] = self.get(arn)
        self._loose.pop(arn, None)

    def detach_thing(self, arn: str, thing: str) -> None:
        super().detach_thing(arn, thing)
        del self._of_thing[thing][arn]
        if not self.get(arn).things:
            self._loose[arn] = self.get(arn)

    def delete(self, arn: str) -> None:
        super().delete(arn)
        self._loose.pop(arn, None)


class IndexedRecords(Records):
    """As Records, as long as nobody changes its items but through it."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, dict[str, None]] = {}

    def of_thing(self, thing: str) -> Sequence[Record]:
        return [self.items[thing, job_id] for job_id in self._jobs.get(thing, ())]

    def write(self, record: Record) -> Record:
        written = super().write(record)
        self._jobs.setdefault(record.thing, {})[record.job_id] = None
        return written
