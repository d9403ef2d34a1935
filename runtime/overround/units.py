"""Integer units of the money path, and the only conversions between them and text.

=============  ====================================================  ==================
name           meaning                                               range
=============  ====================================================  ==================
price_ticks    price on the fixed grid of 1/10,000 of a unit payoff  0 .. 10,000
size_lots      shares in millionths (one share = 1,000,000 lots)     0 .. 2**63 - 1
cash_micro     collateral in millionths (one dollar = 1,000,000)     signed 64-bit
=============  ====================================================  ==================

The grid is fine enough for every tick size a venue uses (0.1 to 0.0001), so a price never
needs a float between socket and order.
"""

from __future__ import annotations

from functools import lru_cache

PRICE_TICKS_MAX = 10_000
"""Ticks in a unit payoff: a price of 1.0."""

LOTS_PER_SHARE = 1_000_000
"""Lots in one share."""

MICRO_PER_UNIT = 1_000_000
"""Micro-units in one unit of collateral (one pUSD)."""

SIZE_LOTS_MAX = 2**63 - 1
"""Largest size a 64-bit field can hold."""

_PRICE_DECIMALS = 4
_LOT_DECIMALS = 6


def _parse_fixed(text: str, decimals: int, what: str) -> int:
    whole, dot, fraction = text.partition(".")
    digits = fraction.rstrip("0")
    plain = whole.isascii() and whole.isdigit() and (not dot or fraction.isdigit())
    if not plain or not fraction.isascii() or len(digits) > decimals:
        raise ValueError(f"{what} {text!r} is not a decimal with at most {decimals} places")
    return int(whole + digits.ljust(decimals, "0"))


def _format_fixed(value: int, decimals: int) -> str:
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def parse_price(text: str) -> int:
    """Return the ticks of a decimal price such as ``"0.52"``; 0 to 10,000.

    Raises ValueError if the text is no plain decimal, lies off the 1/10,000 grid or above 1.
    """
    ticks = _parse_fixed(text, _PRICE_DECIMALS, "price")
    if ticks > PRICE_TICKS_MAX:
        raise ValueError(f"price {text!r} is above 1")
    return ticks


@lru_cache(maxsize=PRICE_TICKS_MAX + 1)
def format_price(price_ticks: int) -> str:
    """Return a price as the venue writes it: shortest decimal, ``"0.5"``, ``"0.001"``, ``"1"``."""
    return _format_fixed(price_ticks, _PRICE_DECIMALS)


def parse_size(text: str) -> int:
    """Return the lots of a decimal share count such as ``"420.5"``; at most six places."""
    lots = _parse_fixed(text, _LOT_DECIMALS, "size")
    if lots > SIZE_LOTS_MAX:
        raise ValueError(f"size {text!r} does not fit 64 bits")
    return lots


@lru_cache(maxsize=1 << 14)
def format_size(size_lots: int) -> str:
    """Return a size as the venue writes it: shortest decimal, ``"420.5"``, ``"80"``."""
    return _format_fixed(size_lots, _LOT_DECIMALS)


parse_cash = parse_size
"""Cash has the same six places as sizes."""

format_cash = format_size


def notional_micro(size_lots: int, price_ticks: int) -> int:
    """Return size times price in micro-units, rounded down.

    Exact whenever the size is a multiple of 0.01 share, which every venue order is.
    """
    return size_lots * price_ticks // PRICE_TICKS_MAX


def notional_up_micro(size_lots: int, price_ticks: int) -> int:
    """Return size times price in micro-units, rounded up: what a BUY must have in hand."""
    return -(-size_lots * price_ticks // PRICE_TICKS_MAX)


def mirror_ticks(price_ticks: int) -> int:
    """Return the same price seen from the complementary outcome: one minus the price."""
    return PRICE_TICKS_MAX - price_ticks
