"""Who runs the strategies: finds them by name, gives each a context, calls their hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

import numpy as np

from overround.config.schema import Detect
from overround.decide.intents import IntentWriter
from overround.decide.strategy import Book, Context, Parameters, Signal, Strategy
from overround.decide.targets import TargetWriter
from overround.errors import ConfigError
from overround.layout.report import ReportKind

__all__ = ["STRATEGY_GROUP", "StrategyHost", "load_strategies", "parameters"]

STRATEGY_GROUP = "overround.strategies"
"""Entry points of this group are the strategies a configuration may name."""

_SETTLED_KINDS = frozenset({ReportKind.SETTLED, ReportKind.FAILED})


def load_strategies(names: Iterable[str]) -> list[Strategy]:
    """Return an instance of each named strategy, in order.

    Raises ConfigError if no installed package offers a name.
    """
    offered = {point.name: point for point in entry_points(group=STRATEGY_GROUP)}
    strategies: list[Strategy] = []
    for name in names:
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise ConfigError(f"detect.strategies: no strategy {name!r}; installed: {known}")
        strategies.append(offered[name].load()())
    return strategies


def parameters(detect: Detect) -> Parameters:
    """Return the limits strategies get from the settings."""
    return Parameters(
        edge_min_micro_per_share=detect.edge_min_micro_per_share,
        size_max_lots=detect.size_max_lots,
    )


class StrategyHost:
    """Calls the hooks of every strategy, each with its own context."""

    def __init__(
        self,
        strategies: list[Strategy],
        writer: IntentWriter,
        params: Parameters,
        *,
        number: int,
        targets: TargetWriter | None = None,
        books: Callable[[int, int], Book | None] | None = None,
    ) -> None:
        self._number = number
        self._targets = targets
        self._pairs = [
            (
                strategy,
                Context(
                    writer, strategy=at, account=0, params=params, targets=targets, books=books
                ),
            )
            for at, strategy in enumerate(strategies, start=1)
        ]
        self.follows_books = any(
            type(strategy).on_book is not Strategy.on_book for strategy in strategies
        )
        """Whether any strategy wants to be told of books."""

    def start(self, now_ns: int) -> None:
        """Tell every strategy that it starts."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_start(ctx)

    def stop(self, now_ns: int) -> None:
        """Tell every strategy that the process ends."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_stop(ctx)
        if self._targets is not None:
            self._targets.clear()

    def timer(self, now_ns: int) -> None:
        """Tell every strategy the time."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_timer(ctx)

    def market(self, market: int, now_ns: int) -> None:
        """Tell every strategy of a new market."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_market(ctx, market)

    def book(self, market: int, now_ns: int) -> None:
        """Tell every strategy that a book changed."""
        for strategy, ctx in self._at(now_ns):
            strategy.on_book(ctx, market)

    def signal(self, signal: Signal) -> bool:
        """Tell every strategy of a signal; return whether one emitted a plan."""
        emitted = False
        for strategy, ctx in self._at(signal.seen_ns):
            before = ctx.plans
            strategy.on_signal(ctx, signal)
            emitted = emitted or ctx.plans > before
        return emitted

    def report(self, report: np.ndarray, now_ns: int) -> None:
        """Tell every strategy what became of this producer's orders."""
        if int(report["producer"]) != self._number:
            return
        kind = int(report["kind"])
        for strategy, ctx in self._at(now_ns):
            if kind == ReportKind.FILL:
                strategy.on_fill(ctx, report)
            elif kind in _SETTLED_KINDS:
                strategy.on_settled(ctx, report)
            else:
                strategy.on_order(ctx, report)

    def _at(self, now_ns: int) -> Iterable[tuple[Strategy, Context]]:
        for strategy, ctx in self._pairs:
            ctx.now_ns = now_ns
            yield strategy, ctx
