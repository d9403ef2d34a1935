"""The only reader of time. Everything else is handed ``now_ns``.

Monotonic nanoseconds order events across the processes of one machine (``CLOCK_MONOTONIC``);
wall time is for the venue and the audit trail only.
"""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

monotonic_ns = time.monotonic_ns
"""Nanoseconds of CLOCK_MONOTONIC: comparable between processes until the next boot."""

epoch_ns = time.time_ns
"""Wall clock, nanoseconds since 1970-01-01 UTC."""


def epoch_ms() -> int:
    """Return the wall clock in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // NS_PER_MS


def epoch_s() -> int:
    """Return the wall clock in whole seconds since 1970-01-01 UTC."""
    return time.time_ns() // NS_PER_S


sleep = time.sleep
"""Block for a number of seconds; for process loops on the cold path only."""
