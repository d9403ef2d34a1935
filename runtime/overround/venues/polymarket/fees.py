"""What a match costs: shares x rate x (p x (1 - p)) ** exponent, paid by the taker.

Rates are data: they differ by market, change on announced days, and arrive with the market.
Nothing here knows a rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from overround.errors import VenueError
from overround.units import PRICE_TICKS_MAX

FEE_STEP_MICRO = 10
"""Fees are rounded to five decimals of a unit of collateral."""

FEE_RATE_PPM_MAX = 1_000_000
FEE_EXPONENT_MAX = 8
"""Beyond these a schedule is taken for garbage, not for a fee."""

_PPM = 1_000_000


def fee_micro(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int = 1) -> int:
    """Return the taker's fee in millionths, a multiple of 10, never negative.

    Rule: the exact product is rounded half up to five decimals, but an exact product below
    0.00001 costs nothing. ``rate_ppm`` is the rate in millionths (0.05 is 50,000); a price
    and its complement cost the same.
    """
    # pow() of two ints may be a float to the type checker: exponents here are never negative.
    variance: int = (price_ticks * (PRICE_TICKS_MAX - price_ticks)) ** exponent
    scale: int = PRICE_TICKS_MAX ** (2 * exponent)
    numerator = size_lots * rate_ppm * variance
    denominator = FEE_STEP_MICRO * _PPM * scale
    if numerator < denominator:
        return 0
    return (2 * numerator + denominator) // (2 * denominator) * FEE_STEP_MICRO


class FeeRate(msgspec.Struct, frozen=True, order=True):
    """A rate and the wall time from which it holds."""

    from_epoch_ms: int
    rate_ppm: int
    exponent: int = 1
    taker_only: bool = True


class FeeSchedule:
    """The rates of one market in the order of their effect."""

    __slots__ = ("_rates", "_starts")

    def __init__(self, rates: Iterable[FeeRate]) -> None:
        """Take rates in any order; VenueError if one is out of range or two start together."""
        self._rates = sorted(rates)
        self._starts = [rate.from_epoch_ms for rate in self._rates]
        if len(set(self._starts)) != len(self._starts):
            raise VenueError("two fee rates take effect at the same time")
        for rate in self._rates:
            if not 0 <= rate.rate_ppm <= FEE_RATE_PPM_MAX:
                raise VenueError(f"fee rate {rate.rate_ppm} ppm is outside 0 to 1,000,000")
            if not 0 <= rate.exponent <= FEE_EXPONENT_MAX:
                raise VenueError(f"fee exponent {rate.exponent} is outside 0 to 8")

    @classmethod
    def decode(cls, data: bytes) -> FeeSchedule:
        """Return the schedule of a JSON array of rate objects; VenueError if it is none.

        Members: from_epoch_ms, rate_ppm, exponent (default 1), taker_only (default true).
        """
        try:
            return cls(msgspec.json.decode(data, type=list[FeeRate]))
        except (ValueError, RecursionError) as error:
            raise VenueError(f"fee schedule is not usable: {error}") from None

    def encode(self) -> bytes:
        """Return the JSON that ``decode`` reads."""
        return msgspec.json.encode(self._rates)

    def at(self, epoch_ms: int) -> FeeRate | None:
        """Return the rate in force at a wall time, None before the first one."""
        position = bisect_right(self._starts, epoch_ms)
        return self._rates[position - 1] if position else None

    def learn(self, rate: FeeRate) -> FeeSchedule:
        """Return the schedule with one more rate, unless it says what already holds."""
        known = self.at(rate.from_epoch_ms)
        if known is not None and msgspec.structs.replace(rate, from_epoch_ms=0) == (
            msgspec.structs.replace(known, from_epoch_ms=0)
        ):
            return self
        kept = [old for old in self._rates if old.from_epoch_ms != rate.from_epoch_ms]
        return FeeSchedule([*kept, rate])

    def fee_micro(
        self, size_lots: int, price_ticks: int, epoch_ms: int, *, taker: bool = True
    ) -> int | None:
        """Return the fee of a match at a wall time, None where no rate is known."""
        rate = self.at(epoch_ms)
        if rate is None:
            return None
        if rate.taker_only and not taker:
            return 0
        return fee_micro(size_lots, price_ticks, rate.rate_ppm, rate.exponent)

    def __len__(self) -> int:
        return len(self._rates)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeeSchedule) and other._rates == self._rates

    def __hash__(self) -> int:
        return hash(tuple(self._rates))

    def __repr__(self) -> str:
        return f"FeeSchedule({self._rates!r})"
