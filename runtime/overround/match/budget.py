"""How many shares an amount of cash buys: market BUYs that name dollars, not shares."""

from __future__ import annotations

from collections.abc import Iterable

from overround.match.types import Order, Outcome
from overround.units import PRICE_TICKS_MAX, mirror_ticks

__all__ = ["lots_for_cash", "size_by_cash"]


def lots_for_cash(
    asks: Iterable[tuple[int, int]], limit_ticks: int, budget_micro: int
) -> tuple[int, int]:
    """Return (lots, unspent micro-units) that a budget buys from levels, best first.

    Levels are (price_ticks, size_lots) of the token to buy; those above the limit are not
    touched. Every level's cost is rounded up, so the whole never costs more than the budget.
    """
    lots = 0
    left = budget_micro
    for price_ticks, size_lots in asks:
        if price_ticks > limit_ticks:
            break
        part = min(size_lots, left * PRICE_TICKS_MAX // price_ticks)
        lots += part
        left -= -(-part * price_ticks // PRICE_TICKS_MAX)
        if part < size_lots:
            break
    return lots, left


def size_by_cash(
    order: Order, depth: tuple[list[tuple[int, int]], list[tuple[int, int]]], budget_micro: int
) -> int:
    """Return the size that makes a BUY spend its budget in a book of (bids, asks), at least 1.

    What the book cannot serve is wanted at the limit: it kills a FOK, and a FAK goes without.
    """
    bids, asks = depth
    if order.outcome == Outcome.NO:
        asks = [(mirror_ticks(ticks), lots) for ticks, lots in bids]
    lots, left = lots_for_cash(asks, order.price_ticks, budget_micro)
    return max(lots + left * PRICE_TICKS_MAX // order.price_ticks, 1)
