"""Worst cases and gate verdicts the slow way: every state, every subset of orders, from scratch.

The twin of ``overround.decide.exposure`` and of the gate's own-order rules. It keeps nothing but
the list of what happened, and works in fractions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import ceil

from overround.config.schema import Risk
from overround.decide.codes import RefusalCode
from overround.decide.exposure import Claim

HALF = Fraction(1, 2)


@dataclass
class Trade:
    strategy: int
    condition_id: str
    outcome: int
    side: int
    lots: int
    cash_micro: int
    fee_micro: int


@dataclass
class SlowBook:
    """Sets by market, and everything that happened, in order."""

    sets: dict[str, tuple[str, ...]]
    trades: list[Trade] = field(default_factory=list)
    claims: dict[Hashable, tuple[int, Claim]] = field(default_factory=dict)

    def numbers(self, conditions: set[str], strategy: int | None = None) -> tuple[int, int, int]:
        """(shares, cost, loss in micro-units rounded up) of some markets, of one strategy."""
        trades = [
            one for one in self.trades
            if one.condition_id in conditions and strategy in (None, one.strategy)
        ]  # fmt: skip
        claims = [
            claim for owner, claim in self.claims.values()
            if claim.condition_id in conditions and strategy in (None, owner)
        ]  # fmt: skip
        lots = cost = 0
        for condition, outcome in product(conditions, (0, 1)):
            mine = [t for t in trades if (t.condition_id, t.outcome) == (condition, outcome)]
            lots += max(0, sum(t.lots if t.side == 0 else -t.lots for t in mine))
            cost += max(0, sum(t.cash_micro if t.side == 0 else -t.cash_micro for t in mine))
        lots += sum(claim.lots for claim in claims if claim.side == 0)
        cost += sum(claim.cash_micro for claim in claims if claim.side == 0)
        events = {self.event_of(condition) for condition in conditions}
        worst = sum(self._worst(event, trades, claims) for event in events)
        return lots, cost, max(0, ceil(-worst))

    def event_of(self, condition: str) -> tuple[str, ...]:
        return self.sets.get(condition) or (condition,)

    def _worst(self, event: tuple[str, ...], trades: list[Trade], claims: list[Claim]) -> Fraction:
        trades = [one for one in trades if one.condition_id in event]
        claims = [one for one in claims if one.condition_id in event]
        worsts = []
        for pays in self._states(event):
            base = sum(
                (_worth(t.side, t.lots, t.cash_micro, _pay(pays, t.condition_id, t.outcome))
                 - t.fee_micro for t in trades), Fraction(0),
            )  # fmt: skip
            worths = [
                _worth(c.side, c.lots, c.cash_micro, _pay(pays, c.condition_id, c.outcome))
                for c in claims
            ]
            for filled in product((0, HALF, 1), repeat=len(worths)):
                parts = zip(filled, worths, strict=True)
                worsts.append(base + sum((part * worth for part, worth in parts), Fraction(0)))
        return min(worsts)

    def _states(self, event: tuple[str, ...]) -> Iterator[dict[str, Fraction]]:
        """What YES of each market pays, in every way the event can end."""
        if len(event) == 1:
            for pay in (Fraction(0), HALF, Fraction(1)):
                yield {event[0]: pay}
            return
        for winner in event:
            yield {one: Fraction(one == winner) for one in event}

    def verdict(
        self, key: Hashable, strategy: int, claim: Claim, limits: Risk
    ) -> RefusalCode | None:
        """What the gate must say of a new order, own-order and exposure rules only."""
        others = [one for k, (_, one) in self.claims.items() if k != key]
        here = [one for one in others if one.condition_id == claim.condition_id]
        if len(others) >= limits.open_orders_max:
            return RefusalCode.OPEN_ORDERS
        if len(here) >= limits.market_open_orders_max:
            return RefusalCode.MARKET_ORDERS
        if not limits.self_cross_allowed and any(_meet(claim, one) for one in here):
            return RefusalCode.SELF_CROSS
        same = [one for one in here if one.in_flight and one[1:4] == claim[1:4]]
        if len(same) >= limits.same_in_flight_max:
            return RefusalCode.DUPLICATE
        market, event = {claim.condition_id}, set(self.event_of(claim.condition_id))
        everything = set(self.sets)
        wide = 10**18
        scopes = [
            (market, None, wide, limits.market_notional_max_micro, limits.market_loss_max_micro,
             (RefusalCode.POSITION, RefusalCode.MARKET_NOTIONAL, RefusalCode.MARKET_LOSS)),
            (event, None, limits.event_position_max_lots, limits.event_notional_max_micro,
             limits.event_loss_max_micro,
             (RefusalCode.EVENT_POSITION, RefusalCode.EVENT_NOTIONAL, RefusalCode.EVENT_LOSS)),
            (everything, strategy, limits.strategy_position_max_lots,
             limits.strategy_notional_max_micro, limits.strategy_loss_max_micro,
             (RefusalCode.STRATEGY_POSITION, RefusalCode.STRATEGY_NOTIONAL,
              RefusalCode.STRATEGY_LOSS)),
            (everything, None, limits.account_position_max_lots, wide,
             limits.account_loss_max_micro,
             (RefusalCode.ACCOUNT_POSITION, RefusalCode.ACCOUNT_NOTIONAL,
              RefusalCode.ACCOUNT_LOSS)),
        ]  # fmt: skip
        after = SlowBook(self.sets, self.trades, {**self.claims, key: (strategy, claim)})
        for conditions, owner, *caps, codes in scopes:
            before = self._scope(conditions, owner)
            for was, now, cap, code in zip(
                before, after._scope(conditions, owner), caps, codes, strict=True
            ):
                if now > max(cap, was):
                    return code
        return None

    def _scope(self, conditions: set[str], owner: int | None) -> tuple[int, int, int]:
        """The market scope sees its own three states even inside a set."""
        if len(conditions) == 1:
            lone = SlowBook({}, self.trades, self.claims)
            return lone.numbers(conditions, owner)
        return self.numbers(conditions, owner)


def _worth(side: int, lots: int, cash_micro: int, pay: Fraction) -> Fraction:
    return lots * pay - cash_micro if side == 0 else cash_micro - lots * pay


def _pay(pays: dict[str, Fraction], condition: str, outcome: int) -> Fraction:
    return 1 - pays[condition] if outcome else pays[condition]


def _meet(new: Claim, own: Claim) -> bool:
    """Whether a new order would trade with an own one that rests."""
    if own.takes or new.bids == own.bids:
        return False
    bid, ask = (new, own) if new.bids else (own, new)
    return bid.yes_ticks >= ask.yes_ticks
