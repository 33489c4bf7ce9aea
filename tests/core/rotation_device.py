"""A device as a rotation finds it: its store on the disk, and the child that works on it.

What is on the disk survives everything; the dead-man's timer is systemd's, so that a power
cut ends it. ``point`` is called wherever a process or a device may die.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from certkeeper.core import effects, events
from certkeeper.core.effects import RotatorStep
from certkeeper.core.events import Event, ProbeResult
from certkeeper.core.store import SLOTS, Slot, Store, other
from rotation_protocol.reasons import FailureReason
from tests.core.rotation_cloud import FakeCloud

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


class FakeDevice:
    """The disk and the child. ``restart`` makes the nucleus restart, ``break_connection`` has it
    connect anew."""

    def __init__(
        self, runtime: str, cloud: FakeCloud, point: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self.runtime = runtime
        self.cloud = cloud
        self.point = point
        self.now = now
        self.slots = {"a": Pair("key-0", "cert-0"), "b": Pair()}
        self.current = "a"
        self.adopted = False
        self.journal: bytes | None = None
        self.mark = False
        self.timer: Timer | None = None
        self.network = True
        self.cuts_connections = True
        self.restart: Callable[[], None] = lambda: None
        self.break_connection: Callable[[], None] = lambda: None
        self._keys = 0

    @property
    def in_use(self) -> str | None:
        """The certificate that a nucleus finds now."""
        return self.slots[self.current].certificate

    def is_whole(self, slot: str) -> bool:
        """Whether there are a certificate and its own key."""
        pair = self.slots[slot]
        if pair.key is None or pair.certificate is None:
            return False
        return self.cloud.certificates[pair.certificate].key == pair.key

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
        self._keys += 1
        key = f"key-{self._keys}"
        self.slots[new] = Pair(key)
        return events.Prepared(old, new, f"CSR {key}", self.slots[old].certificate or "", "EC")

    def _stage(self, step: effects.Stage) -> Event:
        if not step.certificate_pem.startswith("PEM "):
            return failed("Stage", FailureReason.CERTIFICATE_GARBAGE)
        certificate = step.certificate_pem.removeprefix("PEM ")
        if f"CSR {self.cloud.certificates[certificate].key}" != step.csr:
            return failed("Stage", FailureReason.CERTIFICATE_OTHER_KEY)
        self.slots[step.slot] = replace(self.slots[step.slot], certificate=certificate)
        if not self.is_whole(step.slot):
            return failed("Stage", FailureReason.STORE_FAILED)
        return events.Staged(certificate)

    def _probe(self, slot: str) -> ProbeResult:
        if not self.network:
            return ProbeResult(slot, "unreachable", "no route")
        if not self.is_whole(slot):
            return ProbeResult(slot, "unclear", "there is no pair")
        active = self.cloud.is_active(self.slots[slot].certificate)
        return ProbeResult(slot, "accepted" if active else "refused")


def failed(step: str, reason: FailureReason) -> events.StepFailed:
    """A step that could not be done."""
    return events.StepFailed(step, reason, "as the test has it")
