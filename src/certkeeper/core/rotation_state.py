"""What a rotation is between two events: its journal, and what a process knows beside it."""

from __future__ import annotations

from dataclasses import field

from certkeeper.core.effects import Effect
from certkeeper.core.journal import Journal, Phase
from certkeeper.core.moment import Moment
from certkeeper.core.settings import Settings
from certkeeper.core.store import Store
from rotation_protocol.values import dataclass


@dataclass(frozen=True)
class Context:
    """``session`` tells one start of the nucleus from another."""

    now: Moment
    settings: Settings
    thing_name: str
    session: str


_NONE = Journal()


@dataclass(frozen=True)
class Rotation:
    """The journal, and what a process knows beside it. Times are monotonic seconds.

    ``store`` is None until the device has been surveyed; ``taken_up``: the journal that was
    found there has been gone on with. ``lost`` says why a journal that was
    there could not be read. ``entry`` counts the phases of this process, ``tries`` how often
    the phase's question has been asked. ``online``: what the cloud says reaches us. ``unheard``:
    how often the nucleus took a question, and nothing came back; ``deaf``: how often all was
    subscribed anew for that.
    """

    journal: Journal = _NONE
    store: Store | None = None
    taken_up: bool = False
    survey_problem: str = ""
    survey_at: float | None = None
    surveyed_for: tuple[str | None, str | None] = (None, None)
    lost: str = ""
    online: bool = False
    entry: int = 0
    entered_at: float = 0.0
    tries: int = 0
    unheard: int = 0
    deaf: int = 0
    retry_at: float | None = None
    until: float | None = None
    version: int | None = None
    issued_pem: str = field(default="", repr=False)

    @property
    def under_way(self) -> bool:
        """Whether there is a rotation that must not be disturbed."""
        return self.journal.phase is not Phase.IDLE

    @property
    def muted(self) -> frozenset[str]:
        """The certificates that raise no alerts, since they are being replaced."""
        in_use = self.certificate_in_use
        return frozenset() if in_use is None or not self.under_way else frozenset({in_use})

    @property
    def certificate_in_use(self) -> str | None:
        """The id of the certificate that this rotation began with, as far as it is known."""
        found = None if self.store is None else self.store.in_use
        return self.journal.old_certificate_id or found

    def wake_at(self) -> float | None:
        """When a Tick is wanted."""
        wanted = (self.retry_at, self.until, self.survey_at)
        return min((at for at in wanted if at is not None), default=None)

    def token(self, context: Context) -> str:
        """What the Jobs service gives back with the answer to this phase's question."""
        return f"{self.journal.phase.value}-{context.session}-{self.entry}"


Step = tuple[Rotation, tuple[Effect, ...]]
