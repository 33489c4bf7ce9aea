"""Builds the real objects, and runs the daemon with them."""

from __future__ import annotations

import binascii
import os
import signal
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from certkeeper import __version__
from certkeeper.core import monitor
from certkeeper.core.link import Link
from certkeeper.core.monitor import Rules
from certkeeper.core.settings import Settings, SettingsError, parse
from certkeeper.daemon import Daemon, Inbox, Stop, World
from certkeeper.edge import schedule
from certkeeper.edge.clock import SystemClock
from certkeeper.edge.greengrass import TOKEN_VARIABLE, Greengrass
from certkeeper.edge.inspector import ChildInspector
from certkeeper.edge.journal_file import Journals
from certkeeper.edge.logs import LineLog
from certkeeper.edge.rotator import ChildRotator
from certkeeper.edge.state_files import ConfigurationFile, RecordFile

#: Checks at 02:00 everywhere would be one wave: each device has its own delay after it.
MOST_JITTER = timedelta(hours=1)


def run(root: str, work: Path) -> NoReturn:
    """The daemon of this process, until SIGTERM; then exit code 0."""
    log = LineLog()
    inbox: Inbox = Inbox()
    clock = SystemClock()
    records, configurations = RecordFile(work), ConfigurationFile(work)
    record, problem = records.load()
    thing_name = os.environ.get("AWS_IOT_THING_NAME", "")
    log.say("started", {"version": __version__, "thing": thing_name, "root": root})
    if problem is not None:
        log.say("record-unreadable", {"path": records.path, "reason": problem}, "WARN")
    rules = rules_for(thing_name)
    world = World(
        clock=clock,
        log=log,
        records=records,
        configurations=configurations,
        nucleus=Greengrass(inbox.put, thing_name),
        inspector=ChildInspector(inbox.put, root),
        journals=Journals(),
        rotator=ChildRotator(inbox.put, root, thing_name),
    )
    first = monitor.started(settings_kept(configurations.load(), rules), record, clock.now())
    daemon = Daemon(world, inbox, rules, Link(seed=thing_name), first, session())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: inbox.put(Stop(signal.Signals(number).name)))
    daemon.run()
    # All that must last has been saved, and each line of the log was flushed; tearing down the
    # SDK's threads in order takes seconds.
    os._exit(0)


def session() -> str:
    """What tells one start of the nucleus from another: its token is another at each, and is
    not shown."""
    return f"{binascii.crc32(os.environ.get(TOKEN_VARIABLE, '').encode()):08x}"


def rules_for(thing_name: str) -> Rules:
    """What the monitor of this device goes by."""

    def next_check(expression: str, after: datetime) -> datetime | None:
        return schedule.next_check(expression, after, thing_name, MOST_JITTER)

    def next_time(expression: str, after: datetime) -> datetime | None:
        return schedule.next_check(expression, after, thing_name, timedelta(0))

    return Rules(thing_name, __version__, next_check, next_time, schedule.problem)


def settings_kept(values: Mapping[str, Any] | None, rules: Rules) -> Settings:
    """The settings of the configuration last in force, the defaults where there is none."""
    try:
        return parse(values or {}, rules.schedule_problem)
    except SettingsError:
        return Settings()
