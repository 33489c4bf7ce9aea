"""What is known of one rotation: a record for each thing and job.

    (none) -> issuing -> issued -> committed -> grace -> retiring -> done
                 |  ^       |                               ^
                 v  |       +-------------------------------+
               undoing

issuing
    somebody makes a certificate, until ``lease`` at the latest. ``new`` is one that was made,
    now or by an earlier attempt that this one replaces.
undoing
    no certificate was handed out; ``new`` is what is left of one, or None.
issued
    the device was given ``new``; ``old`` is taken for the one in use.
committed
    a connection was authenticated by ``new``.
grace
    the job has ended and ``new`` was kept; until ``grace_ends`` both certificates are ACTIVE.
    ``retire`` says which of the two goes then.
retiring
    the job has ended, and ``retire`` says which of the two goes.
done
    nothing is left to do; the table drops it after a while.

One proof outweighs what was assumed: the request of a later job shows which certificate the
device uses now (``proven_by``). Within a job only the commit counts, since until it is sent
the device may go back. Without a grace period a record goes from committed to retiring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

#: Longer than the create function may run (cloud/template.yaml): past it, nobody works on it.
LEASE_SECONDS = 60
#: For how long a finished rotation still answers repeats.
KEPT_SECONDS = 30 * 24 * 3600


class State(StrEnum):
    """How far a rotation has come."""

    ISSUING = "issuing"
    UNDOING = "undoing"
    ISSUED = "issued"
    COMMITTED = "committed"
    GRACE = "grace"
    RETIRING = "retiring"
    DONE = "done"


class Which(StrEnum):
    """One of the two certificates."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True)
class Record:
    """One rotation. ``version`` counts the writes; 0 has never been written. ``writer``
    tells the last write from any other.

    ``account_arn`` is what certificate ARNs begin with. ``superseded`` are the public keys of
    requests that a later one replaced. ``unsure`` says that a certificate may have been made
    for one of those keys whose name is not known. ``told`` says that nobody needs to be told
    of the end, neither a workflow nor people. ``ended`` is when the job's end was decided upon.
    ``started`` is another one for each rotation of a thing, and puts them in order.
    Times are in seconds since the epoch, 0 for none.
    """

    thing: str
    job_id: str
    state: State
    account_arn: str = ""
    execution: str = ""
    public_key: str = ""
    old: str | None = None
    new: str | None = None
    certificate_pem: str = ""
    policies: tuple[str, ...] = ()
    attachment: str = ""
    superseded: tuple[str, ...] = ()
    unsure: bool = False
    started: int = 0
    lease: int = 0
    retire: Which | None = None
    ended: int = 0
    grace_ends: int = 0
    told: bool = False
    expires_at: int = 0
    version: int = 0
    writer: str = ""

    @property
    def old_arn(self) -> str:
        return f"{self.account_arn}:cert/{self.old}"

    @property
    def new_arn(self) -> str:
        return f"{self.account_arn}:cert/{self.new}"

    @property
    def victim(self) -> str | None:
        """The certificate that is being retired, by its id."""
        return self.gone if self.state is State.RETIRING else None

    def is_before(self, other: Record) -> bool:
        """Whether it is of an earlier rotation of the thing."""
        return self.started < other.started

    @property
    def keeps_new(self) -> bool:
        """Whether the new certificate became the device's own."""
        return self.state is State.COMMITTED or self.retire is Which.OLD

    def has_attached(self, certificate_id: str) -> bool:
        """Whether it was this rotation that attached the certificate to the thing, and it stays."""
        return certificate_id == self.new and (self.state is State.ISSUED or self.keeps_new)

    @property
    def kept(self) -> str | None:
        """The certificate that stays with the device; None until that is decided."""
        if self.retire is None:
            return None
        return self.new if self.retire is Which.OLD else self.old

    @property
    def gone(self) -> str | None:
        """The certificate that goes, or has gone; None until that is decided."""
        if self.retire is None:
            return None
        return self.old if self.retire is Which.OLD else self.new

    def is_leased(self, now: float) -> bool:
        """Whether somebody may be at work on it."""
        return now < self.lease

    def proven_by(self, principal: str) -> Record:
        """The record as it is once it is known that the device uses ``principal`` now."""
        if self.state is State.ISSUED and principal == self.new:
            return replace(self, state=State.COMMITTED)
        if self.state is State.COMMITTED and principal == self.old:
            return replace(self, state=State.ISSUED)
        if self.state is State.GRACE and principal in (self.old, self.new):
            return replace(self, retire=Which.OLD if principal == self.new else Which.NEW)
        return self

    def finished(self, now: float) -> Record:
        """The record once nothing is left to do."""
        return replace(
            self,
            state=State.DONE,
            lease=0,
            certificate_pem="",
            expires_at=int(now) + KEPT_SECONDS,
        )
