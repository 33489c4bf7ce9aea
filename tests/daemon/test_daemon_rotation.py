"""A rotation through the daemon: its journal is written down, and what it cannot write waits."""

from __future__ import annotations

from collections.abc import Callable

from certkeeper.core import inbound, journal
from certkeeper.core.journal import Journal, Phase
from tests.core.rotation_cloud import FakeCloud
from tests.core.world import inventory
from tests.daemon.house import House

IN_USE = {"a": "cert-0", "b": "cert-1"}


class Site:
    """A device and a cloud that hear each other at once. ``watch`` sees each message sent."""

    def __init__(self) -> None:
        self.house = House(lambda _: inventory())
        self.cloud = FakeCloud(self._deliver, lambda work: work())
        self.watch: Callable[[str], None] = lambda topic: None
        self.house.settle()

    def rotate(self) -> None:
        """A job, and all that follows from it."""
        self.cloud.add("rotate-1")
        self.settle()

    def settle(self) -> None:
        """Until nobody has anything more to say."""
        self.house.settle()
        sent = self.house.nucleus.sent
        while sent:
            topic, payload = sent.pop(0)
            self.watch(topic)
            self.cloud.handle(topic, payload, IN_USE[self.house.rotator.current])
            self.house.settle()

    @property
    def written_down(self) -> Journal:
        """The journal as the next process would find it."""
        content = self.house.journals.content
        return Journal() if content is None else journal.decode(content)

    def _deliver(self, topic: str, payload: bytes) -> None:
        event = inbound.event_of(topic, payload)
        assert event is not None
        self.house.inbox.put(event)


def test_a_whole_rotation() -> None:
    """The job succeeds, the new pair is in use, the old key is gone, and the journal is idle."""
    site = Site()
    site.rotate()
    assert site.cloud.jobs["rotate-1"].status == "SUCCEEDED"
    assert site.house.rotator.current == "b"
    assert not site.house.rotator.slots["a"].has_key
    assert site.written_down == Journal()
    assert len(site.house.log.said("rotation-succeeded")) == 1


def test_the_journal_is_written_before_what_it_announces() -> None:
    """Whatever is sent or done for a phase, that phase stands in the journal already."""
    site = Site()
    phases: list[Phase] = []
    site.watch = lambda topic: phases.append(site.written_down.phase)
    site.rotate()
    assert [phase for phase in dict.fromkeys(phases) if phase is not Phase.IDLE] == [
        Phase.CLAIMING,
        Phase.REQUESTING,
        Phase.PROVING,
        Phase.COMMITTING,
        Phase.COMMITTED,
    ]


def test_an_end_that_could_not_be_written_down_is_written_down_later() -> None:
    """The disk is full from the request on: the job fails, and once there is room the journal
    says so. One line in the log for each journal, however often it is tried."""
    site = Site()

    def fill(topic: str) -> None:
        site.house.journals.full |= topic.endswith("/certificate/create")

    site.watch = fill
    site.rotate()
    assert site.cloud.jobs["rotate-1"].details["reason"] == "journal-failed"
    assert site.written_down.phase is Phase.REQUESTING
    lines = len(site.house.log.said("not-saved"))
    for _ in range(10):
        site.house.clock.advance(5)
        site.settle()
    assert len(site.house.log.said("not-saved")) == lines
    site.house.journals.full = False
    site.settle()
    assert site.written_down == Journal()
