"""The passing of time for the Jobs service: what is due is done without anybody asking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.loop import LoopThread

if TYPE_CHECKING:
    from lab.jobs.service import Jobs

_EVERY = 0.5  # seconds


def tick(loop: LoopThread, jobs: Jobs) -> None:
    """From now on, until the loop ends, rollouts go on and executions time out by themselves."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(_EVERY)
            jobs.expire()

    asyncio.run_coroutine_threadsafe(go_on(), loop.loop)
