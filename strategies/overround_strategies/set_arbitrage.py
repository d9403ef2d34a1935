"""Complete sets below par: take every leg at the price seen, or leave the set alone.

Exactly one outcome of a complete set wins, so a set bought for less than it pays is worth the
difference whatever happens. Legs go out together as fill-and-kill orders at the prices seen,
thinnest first; a leg that is gone leaves an open position, which is the risk of the trade.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar

from overround.decide.edge import size_step_lots
from overround.decide.intents import BUY, OrderType, PlanLeg, Stamps
from overround.decide.risk import RefusalCode
from overround.decide.strategy import Context, ReportKind, Signal, SignalKind, Strategy
from overround.units import LOTS_PER_SHARE, notional_up_micro

__all__ = ["SetArbitrage"]

_LASTING = frozenset(
    {
        RefusalCode.MODE,
        RefusalCode.KILLED,
        RefusalCode.POSITION,
        RefusalCode.ACCOUNT_NOTIONAL,
        RefusalCode.BALANCE,
        RefusalCode.LOSS,
    }
)
"""Refusals that the next book will not cure: asking again at once is noise."""

PAUSE_NS = 1_000_000_000
"""Rest of a set after such a refusal; doubles with each further one, up to the longest."""
PAUSE_NS_MAX = 32 * PAUSE_NS
PLANS_KEPT = 256
"""Plans whose reports are still expected; reports of older ones no longer change anything."""

_Trade = tuple[int, SignalKind]


class SetArbitrage(Strategy):
    """Buys all YES, or all NO, of an exhaustive set when that costs less than it pays."""

    name: ClassVar[str] = "set_arbitrage"

    def __init__(self) -> None:
        self._plans: OrderedDict[int, _Trade] = OrderedDict()
        self._pauses: dict[_Trade, tuple[int, int]] = {}

    def on_signal(self, ctx: Context, signal: Signal) -> None:
        """Emit one plan for the set if it can be sent exactly and still pays."""
        params = ctx.params
        trade = (signal.set_id, signal.kind)
        if ctx.now_ns < self._pauses.get(trade, (0, 0))[0]:
            return
        if len(signal.legs) > params.legs_max:
            return
        prices = tuple(leg.price_ticks for leg in signal.legs)
        step = size_step_lots(prices, params.leg_cost_step_micro)
        size = min(signal.size_lots, params.size_max_lots) // step * step
        if size == 0:
            return
        for leg in signal.legs:
            small = notional_up_micro(size, leg.price_ticks) < params.leg_cost_min_micro
            if small or size < leg.min_size_lots:
                return
        edge = signal.edge_micro(size)
        wanted = params.edge_min_micro_per_share * size
        if edge <= 0 or edge * LOTS_PER_SHARE < wanted:
            return
        legs = [
            PlanLeg(
                market=leg.market,
                outcome=leg.outcome,
                side=BUY,
                price_ticks=leg.price_ticks,
                size_lots=size,
                order_type=OrderType.FAK,
                board_sequence=leg.board_sequence,
                ingress_epoch=leg.ingress_epoch,
            )
            for leg in sorted(signal.legs, key=lambda leg: (leg.size_lots, leg.market))
        ]
        stamps = Stamps(event_recv_ns=signal.event_recv_ns, seen_ns=signal.seen_ns)
        plan = ctx.emit(legs, stamps=stamps, edge_micro=edge)
        if plan is not None:
            self._plans[plan] = trade
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)

    def on_order(self, ctx: Context, report: Any) -> None:
        """Let a set rest that the gate refuses for a reason that lasts."""
        trade = self._plans.get(int(report["plan"]))
        if trade is None:
            return
        kind = int(report["kind"])
        if kind == ReportKind.ACCEPTED:
            self._pauses.pop(trade, None)
        elif kind == ReportKind.REFUSED and int(report["reason"]) in _LASTING:
            del self._plans[int(report["plan"])]  # one plan, one refusal, whatever its legs
            pause_ns = self._pauses.get(trade, (0, 0))[1]
            pause_ns = min(max(PAUSE_NS, 2 * pause_ns), PAUSE_NS_MAX)
            self._pauses[trade] = (ctx.now_ns + pause_ns, pause_ns)
