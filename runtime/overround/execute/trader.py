"""Who trades: what the desks that carry plans and quotes on have to know, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from overround.config.schema import Execute
from overround.execute.executor import Executor
from overround.execute.markets import Markets
from overround.execute.news import News
from overround.execute.store import Store
from overround.layout.intent import SELL

__all__ = ["Trader"]


@dataclass(frozen=True, slots=True)
class Trader:
    """One account in one run: what it has, what sends for it, and by which clocks."""

    store: Store
    core: Executor
    markets: Markets
    news: News
    settings: Execute
    clock: Callable[[], int]
    epoch_ms: Callable[[], int]
    run_id: int

    def sellable(self, token: str) -> int:
        """Return the settled shares of a token that no open order sells already."""
        return self.store.positions.sellable_lots(token) - self.store.open_lots(token, SELL)
