"""What a wallet holds and how it came by it: fills, average cost and profit by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from overround.match.types import Side
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.units import PRICE_TICKS_MAX

__all__ = ["Fill", "Stake", "account_of", "fills_of", "stakes_of"]

SPLIT_TICKS = 5_000
"""Cost of tokens that were not bought: a split pays one unit for one token of each outcome."""


class Fill(NamedTuple):
    """One party's part of a trade, in its own token and side."""

    epoch_s: int
    market: SimMarket
    outcome: int
    side: Side
    price_ticks: int
    size_lots: int
    cash_micro: int
    fee_micro: int
    transaction: str
    address: str


@dataclass(slots=True)
class Stake:
    """A wallet's position in one token; costs and profits in micro-units, without fees."""

    market: SimMarket
    outcome: int
    lots: int = 0
    cost_micro: int = 0
    bought_lots: int = 0
    bought_micro: int = 0
    fees_micro: int = 0
    realized_micro: int = 0
    first_s: int = 0
    last_s: int = 0

    @property
    def average_ticks(self) -> int:
        """Average price paid: of what is held, or of all that was bought once nothing is."""
        lots, micro = self.lots, self.cost_micro
        if not lots:
            lots, micro = self.bought_lots, self.bought_micro
        return micro * PRICE_TICKS_MAX // lots if lots else 0

    def add(self, fill: Fill) -> None:
        """Book a fill: buys raise the cost, sells realise against the average."""
        self.first_s = self.first_s or fill.epoch_s
        self.last_s = fill.epoch_s
        self.fees_micro += fill.fee_micro
        if fill.side == Side.BUY:
            self.lots += fill.size_lots
            self.cost_micro += fill.cash_micro
            self.bought_lots += fill.size_lots
            self.bought_micro += fill.cash_micro
            return
        sold = min(fill.size_lots, self.lots)
        cost = self.cost_micro * sold // self.lots if self.lots else 0
        cost += (fill.size_lots - sold) * SPLIT_TICKS // PRICE_TICKS_MAX
        self.lots -= sold
        self.cost_micro -= min(cost, self.cost_micro)
        self.realized_micro += fill.cash_micro - cost

    def hold(self, lots: int) -> None:
        """Set what is really held: tokens split, merged or converted pass at their cost."""
        if lots > self.lots:
            self.cost_micro += (lots - self.lots) * SPLIT_TICKS // PRICE_TICKS_MAX
        elif self.lots:
            self.cost_micro = self.cost_micro * lots // self.lots
        self.lots = lots


def account_of(exchange: Exchange, address: str) -> int | None:
    """Return the account of a wallet address, None if it is no member's."""
    wallet = exchange.members.wallet(address)
    return wallet.account if wallet else None


def fills_of(exchange: Exchange, account: int) -> list[Fill]:
    """Return an account's fills that have not failed, oldest first."""
    fills: list[Fill] = []
    for trade in exchange.trades_of(account):
        if trade.status == "FAILED":
            continue
        matched, epoch_s = trade.matched, trade.match_ns // 1_000_000_000
        if matched.taker_order.account == account:
            fills.append(
                Fill(
                    epoch_s, trade.market, int(matched.outcome), matched.side,
                    matched.price_ticks, matched.size_lots, matched.cash_micro,
                    matched.fee_micro, trade.transaction, trade.taker.address,
                )
            )  # fmt: skip
        fills += [
            Fill(
                epoch_s, trade.market, int(leg.outcome), leg.side, leg.price_ticks,
                leg.size_lots, leg.cash_micro, 0, trade.transaction, party.address,
            )
            for leg, party in zip(matched.legs, trade.makers, strict=True)
            if leg.order.account == account
        ]  # fmt: skip
    return fills


def stakes_of(exchange: Exchange, account: int) -> list[Stake]:
    """Return every token an account holds or ever traded, in order of market and outcome."""
    stakes: dict[tuple[int, int], Stake] = {}
    for fill in fills_of(exchange, account):
        key = (fill.market.index, fill.outcome)
        stakes.setdefault(key, Stake(fill.market, fill.outcome)).add(fill)
    tokens = exchange.accounts.holding(account).tokens
    for (index, outcome), balance in tokens.items():
        if balance.lots:
            market = exchange.catalog.markets[index]
            stakes.setdefault((index, int(outcome)), Stake(market, int(outcome)))
    for (index, outcome), stake in stakes.items():
        held = tokens.get((index, outcome))
        stake.hold(held.lots if held else 0)
    return [stakes[key] for key in sorted(stakes)]
