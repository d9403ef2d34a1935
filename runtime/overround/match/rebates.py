"""Maker rebates: a share of the taker fees of a market and day, for those whose orders were met.

The pool of a market and UTC day is the market's rebate share of the taker fees of that day's
trades. A maker's part is its fee-equivalent (the taker formula on its own fills) over everybody's.
A day is paid at once; whoever has less than a dollar coming over all markets gets nothing.
Only confirmed trades count.
"""

from __future__ import annotations

from typing import NamedTuple

from overround.match.types import FeeFunction, MakerLeg, MarketRules
from overround.units import MICRO_PER_UNIT

__all__ = ["MS_PER_DAY", "REBATE_MIN_MICRO", "RebateShare", "Rebates"]

MS_PER_DAY = 86_400_000

REBATE_MIN_MICRO = MICRO_PER_UNIT
"""The least that is paid out to an account for a day."""

_PPM = 1_000_000

PoolState = tuple[int, int, int, tuple[tuple[int, int], ...]]


class RebateShare(NamedTuple):
    """What an account has coming (or was paid) for a day of a market."""

    day: int
    market: int
    account: int
    cash_micro: int


class _Entry(NamedTuple):
    day: int
    market: int
    pool_ppm_micro: int
    makers: tuple[tuple[int, int], ...]


class _Pool:
    """One market's day: fees x rate not yet divided by a million, equivalents by account."""

    __slots__ = ("equivalents", "pool_ppm_micro")

    def __init__(self) -> None:
        self.pool_ppm_micro = 0
        self.equivalents: dict[int, int] = {}


class Rebates:
    """The ledger of every unpaid day."""

    def __init__(self, fee: FeeFunction) -> None:
        self._fee = fee
        self._unsettled: dict[int, _Entry] = {}
        self._pools: dict[tuple[int, int], _Pool] = {}

    def on_match(
        self,
        trade_id: int,
        day: int,
        rules: MarketRules,
        fee_micro: int,
        legs: tuple[MakerLeg, ...],
    ) -> None:
        """Note a trade; it counts once ``settle`` confirms it."""
        rate, exponent = rules.fee_rate_ppm, rules.fee_exponent
        makers = tuple(
            (leg.order.account, self._fee(leg.size_lots, leg.price_ticks, rate, exponent))
            for leg in legs
        )
        pool = fee_micro * rules.rebate_ppm
        self._unsettled[trade_id] = _Entry(day, rules.index, pool, makers)

    def settle(self, trade_id: int, confirmed: bool) -> None:
        """Count a noted trade, or forget it."""
        entry = self._unsettled.pop(trade_id, None)
        if entry is None or not confirmed:
            return
        pool = self._pools.get((entry.day, entry.market))
        if pool is None:
            pool = self._pools[entry.day, entry.market] = _Pool()
        pool.pool_ppm_micro += entry.pool_ppm_micro
        for account, equivalent in entry.makers:
            pool.equivalents[account] = pool.equivalents.get(account, 0) + equivalent

    def totals(self, day: int) -> list[tuple[int, int, int]]:
        """Return market, what there is to share in micro-units, and all equivalents of a day."""
        return [
            (market, pool.pool_ppm_micro // _PPM, sum(pool.equivalents.values()))
            for (pool_day, market), pool in sorted(self._pools.items(), key=lambda item: item[0])
            if pool_day == day
        ]

    def shares(self, day: int) -> list[RebateShare]:
        """Return what everybody has coming for a day so far, by market then account, above 0."""
        shares: list[RebateShare] = []
        for (pool_day, market), pool in sorted(self._pools.items(), key=lambda item: item[0]):
            total = sum(pool.equivalents.values())
            if pool_day != day or not total:
                continue
            micro = pool.pool_ppm_micro // _PPM
            for account, equivalent in sorted(pool.equivalents.items()):
                part = micro * equivalent // total
                if part:
                    shares.append(RebateShare(day, market, account, part))
        return shares

    def close(self, day: int) -> list[RebateShare]:
        """Return what is to be paid for a day and forget the day."""
        shares = self.shares(day)
        sums: dict[int, int] = {}
        for share in shares:
            sums[share.account] = sums.get(share.account, 0) + share.cash_micro
        self._pools = {key: pool for key, pool in self._pools.items() if key[0] != day}
        return [share for share in shares if sums[share.account] >= REBATE_MIN_MICRO]

    def state(self) -> tuple[tuple[PoolState, ...], tuple[tuple[int, _Entry], ...]]:
        """Return the pools and the unsettled entries in canonical order."""
        pools = tuple(
            (day, market, pool.pool_ppm_micro, tuple(sorted(pool.equivalents.items())))
            for (day, market), pool in sorted(self._pools.items(), key=lambda item: item[0])
        )
        return pools, tuple(sorted(self._unsettled.items()))
