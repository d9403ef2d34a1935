"""What positions and open orders can cost at worst: exact, kept up by differences.

An outcome pays 0, one half or 1. A market on its own ends in one of three states (YES, one half
each, NO), a complete set in one state per member (its YES, all others NO). In every state the
worth of a market is its cash flow, plus what the shares pay, plus for each open order the lesser
of nothing and its own worth there: an order fills only when that hurts. A part of an order is
worth a part of the whole, so full or nothing is the worst, and the sum over orders is exact
because each fills by itself. The worst case is the least over the states, summed over markets
and sets, which may all go wrong together.

One half need not be looked at: shares pay there the mean of YES and NO, and the lesser of nothing
and a mean is no less than the mean of the lessers, so the worth at one half is never below both
others. ``tests/oracle/exposure.py`` is the slow twin: it enumerates all states from scratch.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple

__all__ = ["Claim", "Exposure", "Exposures", "Totals", "worst_micro"]

NO_CLAIM_LOTS: Final = 0


class Claim(NamedTuple):
    """What an open order may still do. Outcome 0 YES, 1 NO; side 0 BUY, 1 SELL."""

    condition_id: str
    outcome: int
    side: int
    price_ticks: int
    lots: int
    """Shares that may still change hands."""
    cash_micro: int
    """For all of them: the most a purchase pays, the least a sale brings, fees included."""
    takes: bool = False
    """FOK or FAK: it never rests."""
    in_flight: bool = True
    """The venue has not said yet that it has it."""

    @property
    def bids(self) -> bool:
        """Whether it buys YES or sells NO, which the venue's book shows as the same."""
        return self.outcome == self.side

    @property
    def yes_ticks(self) -> int:
        """Its price as one of YES."""
        return 10_000 - self.price_ticks if self.outcome else self.price_ticks


class Totals:
    """Three numbers of a market, a set, or everything."""

    __slots__ = ("base_micro", "cost_micro", "lots", "worst_micro")

    def __init__(self) -> None:
        self.lots = 0
        """Shares held (pending ones too) and shares that open orders may still buy."""
        self.cost_micro = 0
        """Cash in them: cost of what is held, and reservations."""
        self.worst_micro = 0
        """The least P&L, since the first fill ever, over all states; negative is a loss."""
        self.base_micro = 0
        """Where the loss counts from: 0, or the worst case of what was held at the last mark."""

    @property
    def loss_micro(self) -> int:
        """The most that can be lost counted from its base; 0 or more."""
        return max(0, self.base_micro - self.worst_micro)


class _Market:
    __slots__ = (
        "buying_lots", "buying_micro", "cash_micro", "claims", "cost_micro", "event", "held",
        "hurt_no", "hurt_yes", "no_micro", "totals", "yes_micro",
    )  # fmt: skip

    def __init__(self, event: _Event) -> None:
        self.event = event
        self.totals = Totals()
        self.cash_micro = 0
        self.held = [0, 0]
        self.cost_micro = [0, 0]
        self.claims: dict[Hashable, Claim] = {}
        self.buying_lots = self.buying_micro = 0
        self.hurt_yes = self.hurt_no = 0
        """What open orders take away at most in each state; 0 or less."""
        self.yes_micro = self.no_micro = 0

    def add(self, claim: Claim, sign: int) -> None:
        """Count an open order in (1) or out (-1)."""
        yes, no = _hurts(claim)
        self.hurt_yes += sign * yes
        self.hurt_no += sign * no
        if claim.side == 0:
            self.buying_lots += sign * claim.lots
            self.buying_micro += sign * claim.cash_micro


class _Event:
    """A complete set, or one market alone (``size`` 1)."""

    __slots__ = ("all_no_micro", "markets", "size", "totals")

    def __init__(self, size: int) -> None:
        self.size = size
        self.totals = Totals()
        self.markets: dict[str, _Market] = {}
        self.all_no_micro = 0

    def worst_micro(self) -> int:
        """Return the least over the winners."""
        if self.size == 1:
            return sum(market.totals.worst_micro for market in self.markets.values())
        least = min(market.yes_micro - market.no_micro for market in self.markets.values())
        if len(self.markets) < self.size:  # a member we never touched may win
            least = min(least, 0)
        return self.all_no_micro + least


class Exposure:
    """One scope: an account, or what one strategy did of it."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.claims: dict[Hashable, Claim] = {}
        self._markets: dict[str, _Market] = {}
        self._events: dict[tuple[str, ...], _Event] = {}

    def note(self, condition_id: str, set_members: tuple[str, ...]) -> None:
        """Say which complete set a market belongs to; () for none. May be said again."""
        members = set_members if len(set_members) > 1 and condition_id in set_members else ()
        key = members or (condition_id,)
        event = self._events.get(key)
        if event is None:
            event = self._events[key] = _Event(len(key))
        market = self._markets.get(condition_id)
        if market is None:
            market = self._markets[condition_id] = _Market(event)
        elif market.event is event:
            return
        else:
            self._leave(condition_id, market)
            market.event = event
        event.markets[condition_id] = market
        event.all_no_micro += market.no_micro
        event.totals.lots += market.totals.lots
        event.totals.cost_micro += market.totals.cost_micro
        self._sum(event)

    def _leave(self, condition_id: str, market: _Market) -> None:
        event = market.event
        del event.markets[condition_id]
        event.all_no_micro -= market.no_micro
        event.totals.lots -= market.totals.lots
        event.totals.cost_micro -= market.totals.cost_micro
        if event.markets:
            self._sum(event)
            return
        self.totals.worst_micro -= event.totals.worst_micro
        self._events = {key: one for key, one in self._events.items() if one is not event}

    def _market(self, condition_id: str) -> _Market:
        market = self._markets.get(condition_id)
        if market is None:
            self.note(condition_id, ())
            market = self._markets[condition_id]
        return market

    def claim(self, key: Hashable, claim: Claim) -> None:
        """Count an open order, or what is left of it; replaces what the key claimed before."""
        before = self.claims.get(key)
        if before == claim:
            return
        if before is not None:
            self.release(key)
        if claim.lots <= NO_CLAIM_LOTS:
            return
        market = self._market(claim.condition_id)
        self.claims[key] = market.claims[key] = claim
        market.add(claim, 1)
        self._refresh(market)

    def release(self, key: Hashable) -> None:
        """Forget an open order; one that is not known is none."""
        claim = self.claims.pop(key, None)
        if claim is None:
            return
        market = self._markets[claim.condition_id]
        del market.claims[key]
        market.add(claim, -1)
        self._refresh(market)

    def trade(
        self, condition_id: str, outcome: int, side: int, lots: int, cash_micro: int, fee_micro: int
    ) -> None:
        """Book a fill: ``cash_micro`` was paid or received. A reversed one has all negative."""
        market = self._market(condition_id)
        sign = 1 if side == 0 else -1
        market.cash_micro -= sign * cash_micro + fee_micro
        market.held[outcome] += sign * lots
        market.cost_micro[outcome] += sign * cash_micro
        self._refresh(market)

    def market(self, condition_id: str) -> Totals:
        """Return a market's numbers, open orders included."""
        return self._market(condition_id).totals

    def event(self, condition_id: str) -> Totals:
        """Return the numbers of a market's set; the market's own where it has none."""
        return self._market(condition_id).event.totals

    def working(self, condition_id: str) -> dict[Hashable, Claim]:
        """Return the open orders of a market; not to be changed."""
        market = self._markets.get(condition_id)
        return {} if market is None else market.claims

    def held(self) -> list[tuple[int, list[tuple[str, int, int, int]]]]:
        """Return each event's size and, a row a market, what is held of it.

        A row is market, YES shares, NO shares, cash flow; pending fills included.
        """
        return [
            (
                event.size,
                [
                    (key, market.held[0], market.held[1], market.cash_micro)
                    for key, market in event.markets.items()
                ],
            )
            for event in self._events.values()
        ]

    def held_worst_micro(self) -> int:
        """Return the least P&L of what is held, open orders apart. Not per order."""
        return sum(
            worst_micro([(yes, no, cash) for _, yes, no, cash in rows], size)
            for size, rows in self.held()
        )

    def _refresh(self, market: _Market) -> None:
        """Work a market out anew and hand the differences up."""
        totals, event = market.totals, market.event
        yes, no = market.held
        cash = market.cash_micro
        lots = max(0, yes) + max(0, no) + market.buying_lots
        cost = max(0, market.cost_micro[0]) + max(0, market.cost_micro[1]) + market.buying_micro
        for above in (event.totals, self.totals):
            above.lots += lots - totals.lots
            above.cost_micro += cost - totals.cost_micro
        totals.lots, totals.cost_micro = lots, cost
        market.yes_micro = cash + yes + market.hurt_yes
        no_micro = cash + no + market.hurt_no
        event.all_no_micro += no_micro - market.no_micro
        market.no_micro = no_micro
        totals.worst_micro = min(market.yes_micro, no_micro)
        self._sum(event)

    def _sum(self, event: _Event) -> None:
        worst = event.worst_micro()
        self.totals.worst_micro += worst - event.totals.worst_micro
        event.totals.worst_micro = worst


def worst_micro(rows: list[tuple[int, int, int]], size: int) -> int:
    """Return the least worth over the outcomes of one event's (YES, NO, cash) rows.

    ``size`` counts the markets of the set, also those without a row; 1 for a lone market.
    """
    cash = sum(row[2] for row in rows)
    if size == 1:
        return sum(min(yes, no) for yes, no, _ in rows) + cash
    leasts = [yes - no for yes, no, _ in rows]
    if len(rows) < size:
        leasts.append(0)
    return cash + sum(no for _, no, _ in rows) + min(leasts)


class Exposures:
    """An account's exposure, and each strategy's own part of it.

    A claim may be put down to be counted later (``defer``): by the next claim of its key, or
    when somebody looks. So the order that the gate lets through leaves before it is counted.
    """

    def __init__(self) -> None:
        self._account = Exposure()
        self.strategies: dict[int, Exposure] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._deferred: dict[Hashable, tuple[int, Claim]] = {}

    @property
    def account(self) -> Exposure:
        """The whole account, everything counted."""
        if self._deferred:
            self._count()
        return self._account

    def _count(self) -> None:
        deferred, self._deferred = self._deferred, {}
        for key, (strategy, claim) in deferred.items():
            self.claim(key, strategy, claim)

    def defer(self, key: Hashable, strategy: int, claim: Claim) -> None:
        """Put a claim down: it is counted before anybody can look."""
        self._deferred[key] = (strategy, claim)

    def strategy(self, number: int) -> Exposure:
        """Return a strategy's part, empty at first."""
        if self._deferred:
            self._count()
        found = self.strategies.get(number)
        if found is None:
            found = self.strategies[number] = Exposure()
            for condition_id, members in self._notes.items():
                found.note(condition_id, members)
        return found

    def note(self, condition_id: str, set_members: tuple[str, ...]) -> None:
        """Say which complete set a market belongs to; () for none."""
        if self._notes.get(condition_id) != set_members:
            self._notes[condition_id] = set_members
            for one in (self.account, *self.strategies.values()):
                one.note(condition_id, set_members)

    def claim(self, key: Hashable, strategy: int, claim: Claim) -> None:
        """Count an open order, or what is left of it; replaces what the key claimed before."""
        self._deferred.pop(key, None)
        if self._account.claims.get(key) != claim:
            self._account.claim(key, claim)
            self.strategy(strategy).claim(key, claim)

    def claimed(self, key: Hashable) -> Claim | None:
        """Return what is counted of an order; what is put down for later is not."""
        return self._account.claims.get(key)

    def release(self, key: Hashable, strategy: int) -> None:
        """Forget an open order; one that is not known is none."""
        self._deferred.pop(key, None)
        if key in self._account.claims:
            self._account.release(key)
            self.strategy(strategy).release(key)

    def trade(
        self, strategy: int, condition_id: str, outcome: int, side: int,
        lots: int, cash_micro: int, fee_micro: int,
    ) -> None:  # fmt: skip
        """Book a fill: ``cash_micro`` was paid or received. A reversed one has all negative."""
        for one in (self.account, self.strategy(strategy)):
            one.trade(condition_id, outcome, side, lots, cash_micro, fee_micro)

    def bases(self) -> tuple[tuple[int, int], ...]:
        """Return (strategy, worst case of what it holds, micro-units); -1 is the account."""
        rows = [(-1, self.account), *sorted(self.strategies.items())]
        return tuple((number, one.held_worst_micro()) for number, one in rows)

    def rebase(self, bases: tuple[tuple[int, int], ...]) -> None:
        """Count the losses of account and strategies from these worst cases on."""
        for number, base_micro in bases:
            one = self.account if number < 0 else self.strategy(number)
            one.totals.base_micro = base_micro


def _hurts(claim: Claim) -> tuple[int, int]:
    """Return the lesser of nothing and the order's worth where YES wins, and where NO does."""
    sign = 1 if claim.side == 0 else -1
    cash, lots = -sign * claim.cash_micro, sign * claim.lots
    yes, no = (lots, 0) if claim.outcome == 0 else (0, lots)
    return min(0, cash + yes), min(0, cash + no)
