"""The strategy protocol: what a strategy is told, and the one way it can act.

A strategy is a plain class. It sees signals, books and reports through hooks and acts through
the context handed to every hook, so the same class runs on live, recorded and simulated data.
Hooks must not block, sleep, or read a clock: time is ``ctx.now_ns``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple

from overround.decide.edge import FeeRule
from overround.decide.intents import IntentWriter, PlanLeg, Stamps
from overround.decide.targets import Book, TargetWriter
from overround.errors import InvariantError
from overround.layout.intent import OWN_SEQUENCE
from overround.layout.report import ReportKind
from overround.units import notional_up_micro

__all__ = [
    "OWN_SEQUENCE",
    "Book",
    "Context",
    "Parameters",
    "ReportKind",
    "Signal",
    "SignalKind",
    "SignalLeg",
    "Strategy",
]


class SignalKind(IntEnum):
    """What a detector found."""

    BUY_ALL = 1  # buy YES of every outcome: pays 1 per set
    SELL_ALL = 2  # buy NO of every outcome: pays n - 1 per set


class SignalLeg(NamedTuple):
    """One order a signal asks for, at the price and size seen in its board slot."""

    market: int
    outcome: int
    price_ticks: int
    size_lots: int
    min_size_lots: int
    fee_rate_ppm: int
    fee_exponent: int
    board_sequence: int
    ingress_epoch: int


@dataclass(frozen=True, slots=True)
class Signal:
    """A complete set that pays more than it costs, recomputed from usable slots.

    ``payoff_units`` is what one set pays in the worst case (whole units of collateral);
    ``size_lots`` is what every leg shows at its price, capped by the limits;
    ``event_recv_ns`` is the receipt of the newest book among the legs, which made the edge;
    0 where a sweep found it later, after a cooldown or an outage.
    """

    kind: SignalKind
    set_id: int
    legs: tuple[SignalLeg, ...]
    payoff_units: int
    size_lots: int
    seen_ns: int
    event_recv_ns: int
    fee: FeeRule

    def edge_micro(self, size_lots: int) -> int:
        """Return the net worth of the set at this size in micro-units; may be negative."""
        cost = 0
        for leg in self.legs:
            cost += notional_up_micro(size_lots, leg.price_ticks)
            cost += self.fee(size_lots, leg.price_ticks, leg.fee_rate_ppm, leg.fee_exponent)
        return size_lots * self.payoff_units - cost


@dataclass(frozen=True, slots=True)
class Parameters:
    """Limits every strategy gets from the settings; units in the names."""

    edge_min_micro_per_share: int = 2_000
    size_max_lots: int = 200_000_000
    leg_cost_min_micro: int = 1_000_000
    """Venues refuse a marketable buy worth less than this (one dollar)."""
    leg_cost_step_micro: int = 10_000
    """Venues state a marketable buy in whole cents."""
    legs_max: int = 15
    """A plan is one request: no venue takes more orders in one."""


class Context:
    """A strategy's hands: parameters, the time of the turn, and the intents it emits."""

    def __init__(
        self,
        writer: IntentWriter,
        *,
        strategy: int,
        account: int,
        params: Parameters,
        targets: TargetWriter | None = None,
        books: Callable[[int, int], Book | None] | None = None,
    ) -> None:
        self._writer = writer
        self._targets = targets
        self._books = books
        self.strategy = strategy
        self.account = account
        self.params = params
        self.now_ns = 0
        self.plans = 0

    def emit(self, legs: Sequence[PlanLeg], *, stamps: Stamps, edge_micro: int) -> int | None:
        """Hand a plan to the executor whole, or not at all; return its id.

        None means that the ring is full: the plan is dropped and counted at the source. Legs
        flagged ORDERED leave one after the other; a plan whose first leg is flagged LEAVE is not
        repaired where legs were missed.
        """
        plan = self._writer.emit(
            legs, stamps=stamps, edge_micro=edge_micro, account=self.account, strategy=self.strategy
        )
        self.plans += plan is not None
        return plan

    def cancel(self, market: int, target: int) -> None:
        """Ask for the cancel of the intent with this producer sequence; never dropped."""
        self._writer.cancel(
            market=market, target=target, account=self.account, strategy=self.strategy
        )

    def book(self, market: int) -> Book | None:
        """Return the top of a market's book, None where it may not be traded on now."""
        return None if self._books is None else self._books(market, self.now_ns)

    def quote(
        self,
        market: int,
        bid: tuple[int, int] | None,
        ask: tuple[int, int] | None,
        *,
        book: Book,
        life_ms: int = 1_000,
        gtd: bool = False,
    ) -> bool:
        """Want these quotes to stand: (ticks, lots) of the YES token, None for no side.

        They replace what was wanted before and are cancelled when their life ends, this process
        dies or ``book`` is replaced, so write them again in time; what was filled is placed again
        by that. ``gtd`` tells the venue too, for lives above two minutes. The executor moves a
        price that would take one tick behind the other side. Reports of quotes carry producer
        sequences from ``OWN_SEQUENCE`` on.

        False if another strategy of this process quotes the market. Raises ValueError for a
        price outside (0, 1), no lots, a bid not below the ask, or a life above a week.
        """
        return self._wanted.quote(
            self.strategy,
            market,
            bid=bid,
            ask=ask,
            ingress_epoch=book.ingress_epoch,
            life_ms=life_ms,
            gtd=gtd,
        )

    def withdraw(self, market: int) -> None:
        """Want no quotes in a market any more; they are cancelled."""
        self._wanted.withdraw(self.strategy, market)

    @property
    def _wanted(self) -> TargetWriter:
        if self._targets is None:
            raise InvariantError("this host has no targets region: it cannot quote")
        return self._targets


class Strategy:
    """Base of strategies: override the hooks you need; every default does nothing."""

    name: ClassVar[str] = ""

    def on_start(self, ctx: Context) -> None:
        """Told once, before the first signal."""

    def on_signal(self, ctx: Context, signal: Signal) -> None:
        """Told of a hit that passed every check; act by ``ctx.emit``."""

    def on_book(self, ctx: Context, market: int) -> None:
        """Told that a market's book changed; act by ``ctx.quote``. Only if overridden."""

    def on_trade(self, ctx: Context, trade: Any) -> None:
        """Told of a print (``trades`` layout). Not called yet: none asks for it."""

    def on_order(self, ctx: Context, report: Any) -> None:
        """Told of an acknowledgement, refusal, cancel or unknown outcome (``reports`` layout)."""

    def on_fill(self, ctx: Context, report: Any) -> None:
        """Told of a match that is not settled yet (``reports`` layout)."""

    def on_settled(self, ctx: Context, report: Any) -> None:
        """Told that a match settled or failed (``reports`` layout)."""

    def on_timer(self, ctx: Context) -> None:
        """Told the time, about every tenth of a second."""

    def on_market(self, ctx: Context, market: int) -> None:
        """Told that the catalog grew by this market."""

    def on_params(self, ctx: Context) -> None:
        """Told that ``ctx.params`` was replaced. Not called yet: they are fixed for a run."""

    def on_stop(self, ctx: Context) -> None:
        """Told once, before the process ends."""
