"""Slow and obvious twins of the detector's kernels, in plain Python and exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

UNIT_1E14 = 10**14


@dataclass(slots=True)
class Quote:
    """The best prices of one market, YES side; an empty side has no size."""

    bid_ticks: int = 0
    ask_ticks: int = 10_000
    bid_lots: int = 0
    ask_lots: int = 0
    rate_ppm: int = 0
    trusted: bool = True
    version: int = 0

    @property
    def crossed(self) -> bool:
        """True when both sides have size and the bid reaches the ask."""
        both = self.bid_lots > 0 and self.ask_lots > 0
        return both and self.bid_ticks >= self.ask_ticks

    @property
    def alive(self) -> bool:
        """True when the book may be traded on."""
        return self.trusted and not self.crossed


@dataclass(frozen=True, slots=True)
class OracleHit:
    """One complete set that pays more than it costs."""

    set_index: int
    kind: int
    edge_1e14: int
    lots: int


@dataclass(slots=True)
class Universe:
    """Markets and the sets over them."""

    quotes: list[Quote]
    sets: list[list[int]]
    min_lots: list[int] = field(default_factory=list)

    def hits(self, threshold_1e14: int, only: set[int] | None = None) -> list[OracleHit]:
        """Return every hit, of all sets or of those in ``only``, in order of set and kind."""
        found = []
        for index, members in enumerate(self.sets):
            if only is not None and index not in only:
                continue
            legs = [self.quotes[market] for market in members]
            if not legs or not all(leg.alive for leg in legs):
                continue
            smallest = max(1, self.min_lots[index] if self.min_lots else 1)
            for kind, edge, lots in ((1, *buy_all(legs)), (2, *sell_all(legs))):
                exact = edge * UNIT_1E14
                assert exact.denominator == 1
                value = int(exact)
                if value > 0 and value >= threshold_1e14 and lots >= smallest:
                    found.append(OracleHit(index, kind, value, lots))
        return found

    def touched(self, markets: Sequence[int]) -> set[int]:
        """Return the sets that hold one of the markets."""
        return {at for at, members in enumerate(self.sets) if set(members) & set(markets)}


def fee(ticks: int, rate_ppm: int) -> Fraction:
    """Return the exact taker fee of one share in dollars: rate times p times (1 - p)."""
    price = Fraction(ticks, 10_000)
    return Fraction(rate_ppm, 10**6) * price * (1 - price)


def buy_all(legs: Sequence[Quote]) -> tuple[Fraction, int]:
    """Return edge per set in dollars and size in lots of buying YES of every leg."""
    cost = sum(Fraction(q.ask_ticks, 10_000) + fee(q.ask_ticks, q.rate_ppm) for q in legs)
    return 1 - Fraction(cost), min(leg.ask_lots for leg in legs)


def sell_all(legs: Sequence[Quote]) -> tuple[Fraction, int]:
    """Return edge per set in dollars and size in lots of buying NO of every leg."""
    cost = Fraction(0)
    for leg in legs:
        no_ask_ticks = 10_000 - leg.bid_ticks
        cost += Fraction(no_ask_ticks, 10_000) + fee(no_ask_ticks, leg.rate_ppm)
    return len(legs) - 1 - cost, min(leg.bid_lots for leg in legs)


@dataclass(frozen=True, slots=True)
class OracleChange:
    """One ring record, as far as a detector cares."""

    market: int
    version: int
    flags: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int


def apply_changes(quotes: list[Quote], changes: Sequence[OracleChange]) -> list[int]:
    """Apply records that are newer than what is held; return the markets that changed."""
    touched: list[int] = []
    for change in changes:
        if change.market >= len(quotes):
            continue
        quote = quotes[change.market]
        distance = (change.version - quote.version) % 2**32
        if not 0 < distance < 2**31:
            continue
        quote.version = change.version
        trusted, crossed, resolved = (bool(change.flags & bit) for bit in (1, 4, 8))
        quote.trusted = trusted and not crossed and not resolved
        quote.bid_ticks, quote.ask_ticks = change.bid_ticks, change.ask_ticks
        quote.bid_lots, quote.ask_lots = change.bid_lots, change.ask_lots
        if change.market not in touched:
            touched.append(change.market)
    return touched
