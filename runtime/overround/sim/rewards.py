"""Liquidity rewards: which resting orders score, a member's live share, and what it earned.

Per market the score of an order is (v - s)^2 x size, v the widest spread that scores and s the
distance to the mid. One side alone counts a third; outside [0.10, 0.90] both sides are needed.
Members are scored order by order; everyone else together as one trader, from the book's levels.
Sampled once a minute at a seeded offset; nothing is paid into balances, earnings are only shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from overround.match.types import BookSide
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.sim.records import OrderRecord
from overround.units import LOTS_PER_SHARE, MICRO_PER_UNIT

__all__ = ["DAILY_MICRO", "RewardRules", "Rewards", "reward_rules"]

DAILY_MICRO = 50 * MICRO_PER_UNIT
"""What each rewarded market pays a day, shared by score."""

AGE_S = 4
"""An order scores from this age on."""

SAMPLES_PER_DAY = 1_440
ONE_SIDE = 3
INNER_TICKS = (1_000, 9_000)

Sides = tuple[int, int]
"""Scores of the bids and of the asks of the YES book."""


class RewardRules(NamedTuple):
    """When an order of a market scores: at least this size, at most this far from the mid."""

    min_lots: int
    spread_ticks: int


def reward_rules(market: SimMarket) -> RewardRules | None:
    """Return a market's rules, None if it pays no rewards."""
    shares = market.gamma.get("rewardsMinSize") or 0
    cents = market.gamma.get("rewardsMaxSpread") or 0
    if not shares or not cents or not market.accepting:
        return None
    return RewardRules(round(shares * LOTS_PER_SHARE), round(cents * 100))


def _combined(sides: Sides, doubled_mid: int) -> int:
    low, high = min(sides), max(sides)
    if INNER_TICKS[0] * 2 <= doubled_mid <= INNER_TICKS[1] * 2:
        return max(low, high // ONE_SIDE)
    return low


class Rewards:
    """Scores of the exchange's resting orders, and earnings by (day, account, market index)."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self._exchange = exchange
        self._random = Random(f"rewards/{seed}")
        self._next_s = 0
        self.earned_micro: dict[tuple[str, int, int], int] = {}

    def markets(self) -> list[SimMarket]:
        """Return the markets that pay rewards."""
        return [market for market in self._exchange.catalog.markets if reward_rules(market)]

    def _score(self, market: int, rules: RewardRules, ticks: int, lots: int) -> int:
        bid, ask = self._exchange.books[market].best_ticks()
        off = 2 * rules.spread_ticks - abs(2 * ticks - bid - ask)
        return off * off * lots if off > 0 and lots >= rules.min_lots else 0

    def order_score(self, record: OrderRecord) -> int:
        """Return what a member's order scores now; 0 if it does not."""
        rules = reward_rules(record.market)
        order = record.order
        young = self._exchange.now_s - record.created_s < AGE_S
        if rules is None or young or record.status != "LIVE":
            return 0
        return self._score(order.market, rules, order.book_ticks, order.remaining_lots)

    def _of_account(self, account: int) -> dict[int, Sides]:
        found: dict[int, Sides] = {}
        for record in self._exchange.open_records(account):
            score = self.order_score(record)
            if score:
                bids, asks = found.get(record.order.market, (0, 0))
                bid = record.order.book_side == BookSide.BID
                sides = (bids + score, asks) if bid else (bids, asks + score)
                found[record.order.market] = sides
        return found

    def _of_book(self, market: SimMarket) -> Sides:
        rules = reward_rules(market)
        if rules is None:
            return 0, 0

        def total(levels: Iterable[tuple[int, int]]) -> int:
            return sum(self._score(market.index, rules, ticks, lots) for ticks, lots in levels)

        bids, asks = self._exchange.engine.depth(market.index)
        return total(bids), total(asks)

    def shares_ppm(self, account: int) -> dict[int, int]:
        """Return an account's share of each market it scores in, in millionths."""
        shares: dict[int, int] = {}
        for index, own in self._of_account(account).items():
            bid, ask = self._exchange.books[index].best_ticks()
            book = self._of_book(self._exchange.catalog.markets[index])
            others = (max(book[0] - own[0], 0), max(book[1] - own[1], 0))
            mine = _combined(own, bid + ask)
            everyone = mine + _combined(others, bid + ask)
            if mine:
                shares[index] = mine * 1_000_000 // everyone
        return shares

    def tick(self) -> None:
        """Sample if this minute's moment has come; call about once a second."""
        now_s = self._exchange.now_s
        if now_s < self._next_s:
            return
        if self._next_s:
            self.sample()
        self._next_s = (now_s // 60 + 1) * 60 + self._random.randrange(60)

    def sample(self) -> None:
        """Credit one minute to every member by its share."""
        day = datetime.fromtimestamp(self._exchange.now_s, UTC).date().isoformat()
        for account in self._exchange.members.by_account:
            for index, share in self.shares_ppm(account).items():
                key = (day, account, index)
                micro = DAILY_MICRO * share // (SAMPLES_PER_DAY * 1_000_000)
                self.earned_micro[key] = self.earned_micro.get(key, 0) + micro

    def earned(self, day: str, account: int) -> dict[int, int]:
        """Return micro-units earned on a day (YYYY-MM-DD) by market index."""
        return {
            index: micro
            for (date, owner, index), micro in self.earned_micro.items()
            if date == day and owner == account
        }
