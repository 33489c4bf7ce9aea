"""The passing of time for state machines: a thread that wakes when the next thing is due."""

from __future__ import annotations

import threading

from lab.states.service import StateMachines

#: A clock that somebody sets calls run_due itself; this is for whoever forgets.
_LONGEST = 1.0


class Ticking:
    """``with Ticking(machines):`` what is due is done when the time has come."""

    def __init__(self, machines: StateMachines) -> None:
        self._machines = machines
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="lab-workflows", daemon=True)

    def __enter__(self) -> Ticking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._machines.changed:
            self._is_closed = True
            self._machines.changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        machines = self._machines
        while True:
            machines.run_due()
            with machines.changed:
                if self._is_closed:
                    return
                due = machines.next_due()
                remaining = _LONGEST if due is None else due - machines.clock()
                machines.changed.wait(max(0.0, min(remaining, _LONGEST)))
