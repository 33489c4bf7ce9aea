"""Which calls count is known for each machine, and so is where counting begins."""

from __future__ import annotations

import pytest

from lab.crash.points import Begin, Judge
from lab.crash.syscalls import architecture, calls


def test_a_beginning_may_name_the_call() -> None:
    """``rename:x.json`` begins at a rename in any form, and at nothing else."""
    by_name = {call.name: call for call in calls("x86_64").values()}
    begin = Begin.parse("rename:x.json")
    assert begin.at(by_name["renameat2"], ["/a/x.tmp", "/a/x.json"])
    assert not begin.at(by_name["openat"], ["/a/x.json"])
    assert not begin.at(by_name["rename"], ["/a/x.tmp", "/a/y.json"])
    assert Begin.parse("x.json").at(by_name["openat"], ["/a/x.json"])


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_calls_are_known_on_each_machine(machine: str) -> None:
    """No number stands for two calls, and the filter's jumps, a byte long, reach over all."""
    found = calls(machine)
    names = [call.name for call in found.values()]
    assert len(set(names)) == len(names)
    assert {"openat", "renameat", "fsync", "execve", "connect"} <= set(names)
    assert len(found) < 200
    assert architecture(machine)
    assert Judge(found)
