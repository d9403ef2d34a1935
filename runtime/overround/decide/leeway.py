"""What the gate would let through now, in numbers: one more order costs a few comparisons.

``RiskGate.leeway`` works them out for one market and one strategy, from all that the gate knows
but the book. They hold until something changes: whoever keeps them sees to that. They may say no
where ``admit`` says yes (an order above a limit that makes nothing worse), never the other way
round; a test compares both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from overround.decide.exposure import Claim
from overround.units import PRICE_TICKS_MAX, notional_micro

__all__ = ["Leeway", "own_prices"]

NO_ASK: Final = PRICE_TICKS_MAX + 1
NO_BID: Final = -1


class Leeway(NamedTuple):
    """Room for one more order. Pairs are by outcome; prices of own orders are ones of YES."""

    tick_ticks: int
    min_size_lots: int
    taking_buy_min_micro: int
    size_max_lots: int
    value_max_micro: int
    """Of one order: its cost, or its worth."""
    buy_max_lots: tuple[int, int]
    cost_max_micro: int
    sell_max_lots: tuple[int, int]
    """Negative where a limit that a sale does not change is passed already."""
    loss_max_micro: int
    own_ask_ticks: int
    """Lowest of our own resting offers of YES: who bids as much would trade with us."""
    own_bid_ticks: int
    busy: frozenset[tuple[int, int, int]]
    """Outcome, side and price of which no more may be in flight."""

    def admits(
        self,
        outcome: int,
        side: int,
        price_ticks: int,
        size_lots: int,
        *,
        takes: bool,
        cost_micro: int,
        proceeds_micro: int,
    ) -> bool:
        """Return whether there is room for this order, the book and its own times apart.

        ``cost_micro`` is the most that a purchase costs, ``proceeds_micro`` the least that a
        sale brings; 0 for the other.
        """
        tick = self.tick_ticks
        if price_ticks % tick or not tick <= price_ticks <= PRICE_TICKS_MAX - tick:
            return False
        worth = notional_micro(size_lots, price_ticks)
        if (
            not self.min_size_lots <= size_lots <= self.size_max_lots
            or worth > self.value_max_micro
            or (outcome, side, price_ticks) in self.busy
        ):
            return False
        ticks = PRICE_TICKS_MAX - price_ticks if outcome else price_ticks
        crosses = ticks >= self.own_ask_ticks if outcome == side else ticks <= self.own_bid_ticks
        if crosses:
            return False
        if side:
            lost = size_lots - proceeds_micro
            return size_lots <= self.sell_max_lots[outcome] and lost <= self.loss_max_micro
        return (
            size_lots <= self.buy_max_lots[outcome]
            and cost_micro <= self.cost_max_micro
            and not (takes and worth < self.taking_buy_min_micro)
        )


def own_prices(
    claims: Iterable[Claim], same_max: int, *, cross: bool
) -> tuple[int, int, frozenset[tuple[int, int, int]]]:
    """Return own ask, own bid and busy places of a market's open orders.

    ``same_max`` may be in flight at one place; ``cross``: orders may trade with our own.
    """
    asks, bids = [NO_ASK], [NO_BID]
    places: Counter[tuple[int, int, int]] = Counter()
    for claim in claims:
        if claim.in_flight:
            places[claim.outcome, claim.side, claim.price_ticks] += 1
        if not claim.takes and not cross:
            (bids if claim.bids else asks).append(claim.yes_ticks)
    busy = frozenset(place for place, count in places.items() if count >= same_max)
    return min(asks), max(bids), busy
