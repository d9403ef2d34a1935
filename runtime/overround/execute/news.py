"""What the executor tells others: counters, latencies, reports. News, never the truth."""

from __future__ import annotations

from typing import Protocol

from overround.layout.report import ReportKind
from overround.ledger.records import Intent
from overround.observe.metrics import Histogram, Value

__all__ = ["News", "ReportKind"]


class News(Protocol):
    """Where news goes: shared memory in a process, a list in a test."""

    def count(self, value: Value, n: int = 1) -> None:
        """Add to a counter."""

    def gauge(self, value: Value, number: int) -> None:
        """Set a gauge."""

    def time(self, stage: Histogram, elapsed_ns: int) -> None:
        """Record a latency."""

    def report(
        self,
        kind: ReportKind,
        intent: Intent,
        *,
        order_id: str = "",
        reason: int = 0,
        price_ticks: int = 0,
        size_lots: int = 0,
        fee_micro: int = 0,
    ) -> None:
        """Publish what became of an intent."""

    def notice(self, event: str, /, **values: object) -> None:
        """Log one line."""
