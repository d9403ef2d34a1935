"""What an order would do to a book: the trades of a taker, found before anything changes."""

from __future__ import annotations

from typing import NamedTuple

from overround.match.book import Market
from overround.match.types import BookSide, FeeFunction, LegForm, MakerLeg, Order, Outcome, Side
from overround.units import PRICE_TICKS_MAX, mirror_ticks, notional_micro

__all__ = ["Sweep", "check_tick", "on_grid", "plan"]


class Sweep(NamedTuple):
    """A planned trade at one price: who gives how much, what the taker pays or gets."""

    book_ticks: int
    price_ticks: int
    size_lots: int
    cash_micro: int
    fee_micro: int
    legs: tuple[MakerLeg, ...]


def plan(order: Order, market: Market, fee: FeeFunction) -> list[Sweep]:
    """Find the trades an order would make now, best price first; nothing changes."""
    limit = order.book_ticks
    is_bid = order.book_side == BookSide.BID
    other = market.book.sides[1 - order.book_side]
    rules = market.rules
    left = order.size_lots
    sweeps: list[Sweep] = []
    for book_ticks in other.prices():
        if not left or (book_ticks > limit if is_bid else book_ticks < limit):
            break
        legs: list[MakerLeg] = []
        cash_micro = 0
        size_lots = 0
        for maker in other.levels[book_ticks].orders.values():
            lots = min(left, maker.remaining_lots)
            leg = _leg(order, maker, lots)
            legs.append(leg)
            normal = leg.form == LegForm.NORMAL
            cash_micro += leg.cash_micro if normal else lots - leg.cash_micro
            size_lots += lots
            left -= lots
            if not left:
                break
        price_ticks = book_ticks if order.outcome == Outcome.YES else mirror_ticks(book_ticks)
        charge = fee(size_lots, price_ticks, rules.fee_rate_ppm, rules.fee_exponent)
        if order.side == Side.SELL:
            charge = min(charge, cash_micro)
        sweeps.append(Sweep(book_ticks, price_ticks, size_lots, cash_micro, charge, tuple(legs)))
    return sweeps


def _leg(taker: Order, maker: Order, lots: int) -> MakerLeg:
    if maker.outcome == taker.outcome:
        form = LegForm.NORMAL
    else:
        form = LegForm.MINT if taker.side == Side.BUY else LegForm.MERGE
    cash_micro = notional_micro(lots, maker.price_ticks)
    return MakerLeg(maker, maker.outcome, maker.side, maker.price_ticks, lots, form, cash_micro)


def on_grid(price_ticks: int, tick_ticks: int) -> bool:
    """Return whether a price is one the market takes."""
    return (
        price_ticks % tick_ticks == 0 and tick_ticks <= price_ticks <= PRICE_TICKS_MAX - tick_ticks
    )


def check_tick(tick_ticks: int) -> None:
    """Raise ValueError unless a tick divides the unit price."""
    if not 0 < tick_ticks < PRICE_TICKS_MAX or PRICE_TICKS_MAX % tick_ticks:
        raise ValueError(f"tick {tick_ticks} does not divide {PRICE_TICKS_MAX}")
