"""Wanted quotes into shared memory: one slot a market, the latest wish wins.

A target says what should stand, not what to do: the executor makes the difference good. It is
void once its time is over, so a strategy that stops writing stops quoting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from overround.layout.target import TARGET, TargetFlag
from overround.units import PRICE_TICKS_MAX

__all__ = ["Book", "TargetWriter"]

LIFE_MS_MAX = 7 * 86_400_000
"""A target may not live longer than a week: somebody must still want it."""
NS_PER_MS = 1_000_000


class Book(NamedTuple):
    """The top of a YES book that may be traded on; a side of no lots is empty."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    tick_ticks: int
    ingress_epoch: int
    board_sequence: int
    recv_ns: int


class TargetSlots(Protocol):
    """The writing end of a slot region, as ``shm.slots`` has it."""

    @property
    def count(self) -> int: ...
    def store(self, index: int, record: NDArray[np.void], /) -> int: ...


class TargetWriter:
    """Writes one process's targets; its strategies share it, a market belongs to the first."""

    def __init__(self, slots: TargetSlots, *, clock: Callable[[], int]) -> None:
        self._slots = slots
        self._clock = clock
        self._owners: dict[int, int] = {}
        self._record = np.zeros((), TARGET)
        self.clear()

    def clear(self) -> None:
        """Withdraw every target, also those that an earlier process left."""
        for market in range(self._slots.count):
            self._write(market, 0, (0, 0), (0, 0), expires_ns=0, epoch=0, flags=0)
        self._owners.clear()

    def quote(
        self,
        strategy: int,
        market: int,
        *,
        bid: tuple[int, int] | None,
        ask: tuple[int, int] | None,
        ingress_epoch: int,
        life_ms: int,
        gtd: bool,
    ) -> bool:
        """Store a target; False if another strategy of this process quotes the market.

        ``bid`` and ``ask`` are (ticks, lots) of the YES token, None where a side is not
        wanted. Raises ValueError for a price outside (0, 1), no lots, a bid not below the ask,
        or a life outside 1 ms to a week.
        """
        if self._owners.get(market, strategy) != strategy:
            return False
        for ticks, lots in (side for side in (bid, ask) if side is not None):
            if not 0 < ticks < PRICE_TICKS_MAX or lots <= 0:
                raise ValueError(f"quote of {lots} lots at {ticks}: prices are 1 to 9,999")
        if bid is not None and ask is not None and bid[0] >= ask[0]:
            raise ValueError(f"quote bids {bid[0]} and asks {ask[0]}")
        if not 0 < life_ms <= LIFE_MS_MAX:
            raise ValueError(f"quote for {life_ms} ms: 1 to {LIFE_MS_MAX}")
        self._owners[market] = strategy
        self._write(
            market,
            strategy,
            bid or (0, 0),
            ask or (0, 0),
            expires_ns=self._clock() + life_ms * NS_PER_MS,
            epoch=ingress_epoch,
            flags=int(TargetFlag.GTD) if gtd else 0,
        )
        return True

    def withdraw(self, strategy: int, market: int) -> None:
        """Want nothing there any more; another strategy may quote the market then."""
        if self._owners.get(market) == strategy:
            del self._owners[market]
            self._write(market, strategy, (0, 0), (0, 0), expires_ns=0, epoch=0, flags=0)

    def _write(
        self,
        market: int,
        strategy: int,
        bid: tuple[int, int],
        ask: tuple[int, int],
        *,
        expires_ns: int,
        epoch: int,
        flags: int,
    ) -> None:
        record = self._record
        record["strategy"], record["market"] = strategy, market
        record["bid_ticks"], record["bid_lots"] = bid
        record["ask_ticks"], record["ask_lots"] = ask
        record["flags"] = flags
        record["updated_ns"] = self._clock()
        record["expires_ns"] = expires_ns
        record["ingress_epoch"] = epoch
        self._slots.store(market, record)
