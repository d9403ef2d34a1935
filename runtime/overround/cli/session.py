"""Runs a supervisor to its end for ``demo`` and ``run``: signals, progress, final report."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

from overround.cli.progress import show_progress

if TYPE_CHECKING:
    from overround.supervise.supervisor import Supervisor


def run_to_the_end(supervisor: Supervisor, seconds: float | None) -> dict[str, Any]:
    """Run until time, signal or failure; returns the final report. Unlinks every segment."""
    try:
        asyncio.run(_run(supervisor, seconds))
        return supervisor.report()
    finally:
        supervisor.close()


async def _run(supervisor: Supervisor, seconds: float | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    progress = asyncio.create_task(show_progress(supervisor.report))
    try:
        await supervisor.run(seconds)
    finally:
        progress.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await progress
        if sys.stderr.isatty():
            print(file=sys.stderr)
