"""What the daemon needs from the world. edge/ has the real ones, tests/ has fakes.

What takes time is never waited for here: it is begun, and its outcome arrives as an
event through the function given at construction (an ``EventSink``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:  # a child that needs a StoreError is not to wait for all of core
    from certkeeper.core.effects import RotatorStep
    from certkeeper.core.events import Event
    from certkeeper.core.journal import Journal
    from certkeeper.core.moment import Moment
    from certkeeper.core.record import Message, Record
    from certkeeper.core.settings import Settings
    from rotation_protocol.messages import Alert

EventSink = Callable[["Event"], None]


class StoreError(Exception):
    """Something could not be kept on disk; says which file, and why."""


class Clock(Protocol):
    """The two clocks of the device."""

    def now(self) -> Moment:
        """The wall clock (aware, UTC) and the monotonic clock (seconds), read together."""


class Log(Protocol):
    """Where lines go that a person reads in LocalDebugConsole."""

    def say(self, event: str, details: Mapping[str, object], level: str) -> None:
        """One line. ``details`` never hold a secret."""

    def set_level(self, level: str) -> None:
        """Say lines of this level (DEBUG, INFO, WARN, ERROR) and above from now on."""


class RecordStore(Protocol):
    """Keeps the monitor's record."""

    def load(self) -> tuple[Record, str | None]:
        """The record last saved whole, an empty one before the first; and, where one was
        there but could not be read, why."""

    def save(self, record: Record) -> None:
        """Once this returns, the record survives a power cut; a failure leaves the old one
        whole. Raises StoreError."""


class ConfigurationStore(Protocol):
    """Keeps the configuration last in force."""

    def load(self) -> Mapping[str, Any] | None:
        """The configuration last saved; None if there is none that can be read."""

    def save(self, values: Mapping[str, Any]) -> None:
        """Like RecordStore.save; writes nothing if the values are those already there."""


class JournalStore(Protocol):
    """Keeps the journal of the rotation, beside the pairs that it is about."""

    def keep_in(self, folder: str) -> None:
        """Where the store is."""

    def save(self, journal: Journal) -> None:
        """Like RecordStore.save. Raises StoreError, also before it is known where."""


class Nucleus(Protocol):
    """The Greengrass nucleus, over its IPC."""

    def connect(self, attempt: int) -> None:
        """Close what is open and connect anew: Connected or Disconnected follows, and, whenever
        the connection ends, Disconnected."""

    def subscribe(self, attempt: int) -> None:
        """Read the configuration (ConfigurationRead) and subscribe to its changes and its
        validation: Subscribed or SubscriptionRefused follows for each."""

    def read_configuration(self, attempt: int) -> None:
        """ConfigurationRead follows, or Disconnected."""

    def report_validity(self, deployment_id: str, problem: str) -> None:
        """Accept (empty ``problem``) or refuse the configuration of a deployment."""

    def subscribe_jobs(self, attempt: int, topic_prefix: str) -> None:
        """Subscribe to what a rotation has to hear: for each, Subscribed or SubscriptionRefused
        follows, and Online once all are in place. What stands already is left as it is."""

    def send(self, topic: str, payload: bytes) -> None:
        """Publish to AWS IoT Core with QoS 1: SendFailed follows, or nothing."""

    def defer_update(self, deployment_id: str, milliseconds: int) -> None:
        """Ask that a deployment that was announced wait for so long."""

    def publish(self, message: Message) -> None:
        """Publish to AWS IoT Core with QoS 1: Published or PublishFailed follows."""

    def close(self) -> None:
        """Begin to close the connection; does not wait."""


class Inspector(Protocol):
    """Reads certificates and uses the private key, where the daemon itself never does."""

    def inspect(self, settings: Settings) -> None:
        """Look at the device: Inspected or InspectionFailed follows, in bounded time."""

    def sign(self, alerts: tuple[Alert, ...], private_key_source: str | None) -> None:
        """Sign with the key in that file: AlertsSigned follows, in bounded time."""

    def close(self) -> None:
        """End whatever is under way, at once."""


class Rotator(Protocol):
    """Does the steps of a rotation on the device, where the daemon itself never does."""

    def do(self, step: RotatorStep) -> None:
        """Do it after those that were asked for before: the event that the step names follows,
        in bounded time, or StepFailed (SurveyFailed for a Survey); nothing for EndRotator.

        A Survey has to come first; its settings count until the next one.
        """

    def close(self) -> None:
        """End whatever is under way, at once; nothing follows any more."""
