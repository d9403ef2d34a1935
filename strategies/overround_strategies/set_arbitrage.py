"""Complete sets below par: take every leg at the price seen, or leave the set alone.

Exactly one outcome of a complete set wins, so a set bought for less than it pays is worth the
difference whatever happens. Legs go out together as fill-and-kill orders at the prices seen,
thinnest first; a leg that is gone leaves an open position, which is the risk of the trade.
"""

from __future__ import annotations

from typing import ClassVar

from overround.decide.edge import cost_micro, size_step_lots
from overround.decide.intents import BUY, OrderType, PlanLeg, Stamps
from overround.decide.strategy import Context, Signal, Strategy
from overround.units import LOTS_PER_SHARE

__all__ = ["SetArbitrage"]


class SetArbitrage(Strategy):
    """Buys all YES, or all NO, of an exhaustive set when that costs less than it pays."""

    name: ClassVar[str] = "set_arbitrage"

    def on_signal(self, ctx: Context, signal: Signal) -> None:
        """Emit one plan for the set if it can be sent exactly and still pays."""
        params = ctx.params
        if len(signal.legs) > params.legs_max:
            return
        prices = tuple(leg.price_ticks for leg in signal.legs)
        step = size_step_lots(prices, params.leg_cost_step_micro)
        size = min(signal.size_lots, params.size_max_lots) // step * step
        if size == 0:
            return
        for leg in signal.legs:
            small = cost_micro(size, leg.price_ticks) < params.leg_cost_min_micro
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
        ctx.emit(legs, stamps=stamps, edge_micro=edge)
