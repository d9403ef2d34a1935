"""Live progress of a running instance, on standard error so that reports stay clean."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from overround.cli.output import format_ns
from overround.units import format_cash

INTERVAL_S = 1.0
PLAIN_LINES_EVERY = 5
"""Without a terminal one line in this many is enough."""


def progress_line(report: dict[str, Any], frames_before: int, interval_s: float) -> str:
    """Return one line that says how the instance is doing."""
    rate = (report["frames"] - frames_before) / interval_s
    hop = report["stage_latency_ns"].get("recv_to_publish")
    ack = report["stage_latency_ns"].get("send_to_ack")
    return "  ".join(
        (
            f"{report['mode']}",
            f"{rate:6.0f} frames/s",
            f"books {report['markets_trusted']}/{report['markets']} trusted,"
            f" {report['books_verified']} verified",
            f"hits {report['hits']}",
            f"orders {report['orders_accepted']}/{report['orders_sent']}",
            f"fills {report['settled']}/{report['fills']} settled",
            f"P&L {format_cash(report['pnl_micro'])}",
            f"publish p50 {format_ns(hop['p50']) if hop else '-'}",
            f"ack p50 {format_ns(ack['p50']) if ack else '-'}",
        )
    )


async def show_progress(report: Callable[[], dict[str, Any]]) -> None:
    """Print progress every second until cancelled; rewrites its line on a terminal."""
    terminal = sys.stderr.isatty()
    frames, ticks = 0, 0
    while True:
        await asyncio.sleep(INTERVAL_S)
        ticks += 1
        seen = report()
        line = progress_line(seen, frames, INTERVAL_S)
        frames = seen["frames"]
        if terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif ticks % PLAIN_LINES_EVERY == 0:
            print(line, file=sys.stderr, flush=True)
