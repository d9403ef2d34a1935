"""What runs beside the requests: dialling, deadlines, the venue's clock, the login.

Nobody awaits these tasks, so one that failed would be missed by nobody: deadlines would not be
kept any more, and orders wait for ever. Whoever owns them is told of the first failure at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Chores"]


class Chores:
    """Tasks that run until they end or ``end`` is called; ``on_failure`` is told once."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None
        """The first error that one of them ended with."""

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, chore: Coroutine[Any, Any, None]) -> None:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(chore)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self.failure is None:
            self.failure = error
            self._on_failure(error)

    async def end(self) -> None:
        """Cancel what still runs, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
