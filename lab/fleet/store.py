"""A device as a rotation finds it: its store on the disk, and the child that works on it.

What is on the disk survives everything; the dead-man's timer is systemd's, so that a power
cut ends it. ``point`` is called wherever a process or a device may die. Keys and certificates
are names here; what they are worth, ``Authority`` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.events import Event, ProbeResult
from certkeeper.core.store import SLOTS, Slot, Store, other
from rotation_protocol.reasons import FailureReason

FOLDER = "/greengrass/v2/certkeeper"


@dataclass(frozen=True)
class Pair:
    """What is in a slot."""

    key: str | None = None
    certificate: str | None = None


@dataclass(frozen=True)
class Timer:
    """The dead-man's switch, armed."""

    at: float
    old: str
    new: str


class Authority(Protocol):
    """Whoever makes this device's keys and certificates, and knows what they are worth."""

    def new_key(self) -> tuple[str, str]:
        """A new key, and a CSR for it."""

    def certificate_in(self, pem: str) -> str | None:
        """The certificate that the cloud sent; None for garbage."""

    def is_for(self, certificate: str, key: str) -> bool:
        """Whether the certificate is the key's."""

    def is_answer_to(self, certificate: str, csr: str) -> bool:
        """Whether the certificate is for the key of the CSR."""

    def tried(self, certificate: str) -> str:
        """What a probe with it finds: accepted, refused or unclear (edge/probe.py)."""


class SimulatedStore:
    """The disk and the child. ``restart`` makes the nucleus restart, ``break_connection`` has it
    connect anew."""

    def __init__(
        self,
        runtime: str,
        first: Pair,
        authority: Authority,
        point: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self.runtime = runtime
        self.authority = authority
        self.point = point
        self.now = now
        self.slots = {"a": first, "b": Pair()}
        self.current = "a"
        self.adopted = False
        self.journal: bytes | None = None
        self.mark = False
        self.timer: Timer | None = None
        self.network = True
        self.cuts_connections = True
        self.restart: Callable[[], None] = lambda: None
        self.break_connection: Callable[[], None] = lambda: None

    @property
    def in_use(self) -> str | None:
        """The certificate that a nucleus finds now."""
        return self.slots[self.current].certificate

    def is_whole(self, slot: str) -> bool:
        """Whether there are a certificate and its own key."""
        pair = self.slots[slot]
        if pair.key is None or pair.certificate is None:
            return False
        return self.authority.is_for(pair.certificate, pair.key)

    def strike(self) -> None:
        """The dead-man's script runs."""
        timer, self.timer = self.timer, None
        if timer is None or self.current != timer.new or self.mark:
            return
        if self.is_whole(timer.old):
            self.current = timer.old
            self.restart()

    @property
    def may_strike(self) -> bool:
        """Whether the dead-man's switch would still change something."""
        timer = self.timer
        return timer is not None and not self.mark and timer.new == self.current

    # -- the child ---------------------------------------------------------------------------

    def do(self, step: RotatorStep) -> Event | None:
        """What the child answers."""
        if isinstance(step, effects.Survey):
            return events.Surveyed(self._store())
        if isinstance(step, effects.Prepare):
            return self._prepare()
        if isinstance(step, effects.Stage):
            return self._stage(step)
        if isinstance(step, effects.Probe):
            return events.Probed(tuple(self._probe(slot) for slot in step.slots))
        if isinstance(step, effects.Arm):
            self.mark = False
            self.point("mark cleared")
            self.timer = Timer(self.now() + step.seconds, step.old_slot, step.new_slot)
            return events.Armed()
        if isinstance(step, effects.Activate):
            if not self.is_whole(step.slot):
                return failed("Activate", FailureReason.STORE_FAILED)
            self.current = step.slot
            return events.Activated(step.slot)
        if isinstance(step, effects.Reconnect):
            if self.runtime == "lite" and step.strength == 0 and self.cuts_connections:
                self.break_connection()
                return events.Reconnected("broken", False)
            self.restart()
            return events.Reconnected("restart", True)
        if isinstance(step, effects.Disarm):
            self.mark = True
            self.point("marked")
            self.timer = None
            return events.Disarmed()
        if isinstance(step, effects.Wipe):
            if self.adopted and step.slot == self.current:
                return failed("Wipe", FailureReason.STORE_FAILED)
            self.slots[step.slot] = Pair()
            return events.Wiped(step.slot)
        return None

    def _store(self) -> Store:
        slots = {
            slot: Slot(pair.key is not None, pair.certificate, self.is_whole(slot))
            for slot, pair in self.slots.items()
        }
        if not self.adopted:
            slots = {slot: Slot() for slot in SLOTS}
        return Store(
            FOLDER,
            self.runtime,
            self.adopted,
            self.current if self.adopted else None,
            slots,
            self.in_use,
            self.journal,
        )

    def _prepare(self) -> Event:
        self.adopted = True
        self.point("adopted")
        old, new = self.current, other(self.current)
        self.slots[new] = Pair()
        self.point("wiped")
        key, csr = self.authority.new_key()
        self.slots[new] = Pair(key)
        return events.Prepared(old, new, csr, self.slots[old].certificate or "", "EC")

    def _stage(self, step: effects.Stage) -> Event:
        certificate = self.authority.certificate_in(step.certificate_pem)
        if certificate is None:
            return failed("Stage", FailureReason.CERTIFICATE_GARBAGE)
        if not self.authority.is_answer_to(certificate, step.csr):
            return failed("Stage", FailureReason.CERTIFICATE_OTHER_KEY)
        self.slots[step.slot] = replace(self.slots[step.slot], certificate=certificate)
        if not self.is_whole(step.slot):
            return failed("Stage", FailureReason.STORE_FAILED)
        return events.Staged(certificate)

    def _probe(self, slot: str) -> ProbeResult:
        if not self.network:
            return ProbeResult(slot, "unreachable", "no route")
        certificate = self.slots[slot].certificate
        if certificate is None or not self.is_whole(slot):
            return ProbeResult(slot, "unclear", "there is no pair")
        return ProbeResult(slot, self.authority.tried(certificate))


def failed(step: str, reason: FailureReason) -> events.StepFailed:
    """A step that could not be done."""
    return events.StepFailed(step, reason, "simulated")
