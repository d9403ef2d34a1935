"""From price and size to the two integers an order signs, by the venue's rounding rules.

Amounts count millionths. A BUY gives collateral (maker) for shares (taker), a SELL shares for
collateral; the price is their ratio. All arithmetic is exact: the official clients' floats lose
a cent of a share on one size in eighteen and a whole tick on some market prices.

Because a size is a multiple of 0.01 share and a price a multiple of its tick, the collateral of
a limit order never has more decimals than the venue allows: nothing is rounded but the size.
"""

from __future__ import annotations

from math import gcd, lcm

from overround.errors import OrderError
from overround.units import PRICE_TICKS_MAX, format_price, format_size
from overround.venues.contract import Side

SIZE_STEP_LOTS = 10_000
"""Sizes the client chooses are multiples of 0.01 share."""

CASH_STEP_MICRO = 10_000
"""Collateral of an order that takes at once is a multiple of one cent."""

TAKEN_STEP_LOTS = 100
"""Shares of a BUY that takes at once have at most four decimals."""

_AMOUNT_STEP_MICRO = {1000: 1000, 100: 100, 50: 10, 25: 1, 10: 10, 1: 1}
"""Tick (1/10,000) to the step of a derived amount: 3, 4, 5, 6, 5, 6 decimals."""

_TICK_TEXTS = {"0.1": 1000, "0.01": 100, "0.005": 50, "0.0025": 25, "0.001": 10, "0.0001": 1}
TICKS_VALID = frozenset(_AMOUNT_STEP_MICRO)
"""Tick sizes the venue uses, in 1/10,000."""


def check_price(price_ticks: int, tick_ticks: int) -> None:
    """Raise OrderError unless the price is a multiple of the tick, one tick inside (0, 1)."""
    if tick_ticks not in TICKS_VALID:
        raise OrderError(f"tick {tick_ticks}/10000 is none of {', '.join(_TICK_TEXTS)}")
    if not tick_ticks <= price_ticks <= PRICE_TICKS_MAX - tick_ticks or price_ticks % tick_ticks:
        raise OrderError(
            f"price {format_price(price_ticks)} breaks the tick {format_price(tick_ticks)}: "
            f"expected a multiple between {format_price(tick_ticks)} "
            f"and {format_price(PRICE_TICKS_MAX - tick_ticks)}"
        )


def limit_amounts(side: int, price_ticks: int, size_lots: int, tick_ticks: int) -> tuple[int, int]:
    """Return (maker, taker) of a limit order; the size is cut down to 0.01 share.

    Exact for every valid input. OrderError for a price off the tick or a size below 0.01.
    """
    check_price(price_ticks, tick_ticks)
    shares = size_lots - size_lots % SIZE_STEP_LOTS
    if shares <= 0:
        raise OrderError(f"size {format_size(size_lots)} is below 0.01 share")
    cash = shares * price_ticks // PRICE_TICKS_MAX
    return (cash, shares) if side == Side.BUY else (shares, cash)


def market_buy(cash_micro: int, price_ticks: int, tick_ticks: int) -> tuple[int, int]:
    """Return (maker, taker) that spends up to this much collateral at this price or better.

    The collateral is cut down to a cent, the shares down to what the tick allows.
    """
    check_price(price_ticks, tick_ticks)
    cash = cash_micro - cash_micro % CASH_STEP_MICRO
    shares = cash * PRICE_TICKS_MAX // price_ticks
    shares -= shares % _AMOUNT_STEP_MICRO[tick_ticks]
    if cash <= 0 or shares <= 0:
        raise OrderError(f"a market buy of {format_size(cash_micro)} is below one cent")
    return cash, shares


def market_sell(size_lots: int, price_ticks: int, tick_ticks: int) -> tuple[int, int]:
    """Return (maker, taker) that sells these shares, cut down to 0.01, at this price or better."""
    return limit_amounts(Side.SELL, price_ticks, size_lots, tick_ticks)


def taking_amounts(side: int, price_ticks: int, size_lots: int, tick_ticks: int) -> tuple[int, int]:
    """Return (maker, taker) of a FOK or FAK order for at most this many shares.

    The venue takes a BUY that executes at once only with whole cents of collateral and at most
    four decimals of shares, whatever the tick. So the collateral is cut down to a cent and the
    shares follow, rounded down, which keeps the implied price at or above the limit (it still
    reaches an ask at the limit). The taker amount, not ``size_lots``, is what is really bought;
    both agree when the size is a multiple of ``taking_step_lots``.
    """
    if side == Side.SELL:
        return limit_amounts(side, price_ticks, size_lots, tick_ticks)
    cash, _ = limit_amounts(Side.BUY, price_ticks, size_lots, tick_ticks)
    cash -= cash % CASH_STEP_MICRO
    shares = cash * PRICE_TICKS_MAX // price_ticks
    shares -= shares % max(TAKEN_STEP_LOTS, _AMOUNT_STEP_MICRO[tick_ticks])
    if cash <= 0 or shares <= 0:
        raise OrderError(
            f"{format_size(size_lots)} shares at {format_price(price_ticks)} are below one cent"
        )
    return cash, shares


def taking_step_lots(*prices_ticks: int) -> int:
    """Return the smallest size of which every multiple costs whole cents at all these prices.

    A plan that buys the same size at several prices uses a multiple of it, so that no leg is
    rounded and the legs stay equal. At least 0.01 share.
    """
    step = SIZE_STEP_LOTS
    for price_ticks in prices_ticks:
        if not 0 < price_ticks < PRICE_TICKS_MAX:
            raise OrderError(f"price {format_price(price_ticks)} is not between 0 and 1")
        whole = CASH_STEP_MICRO * PRICE_TICKS_MAX
        step = lcm(step, whole // gcd(whole, price_ticks))
    return step
