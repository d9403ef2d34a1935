"""A naive maker among the flow's traders: it joins the best prices and learns what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.calibration import one_market
from oracle.sim_rig import SHARE, Rig
from overround.match.types import OrderStatus, Outcome, Side
from overround.sim.edges import EdgeSettings
from overround.sim.fair import StillValue
from overround.sim.flow import Flow, FlowSettings
from overround.sim.records import OrderRecord

STEP_MS = 20
QUOTE_SHARES = 20


@dataclass
class Fill:
    """One fill of the maker: what it earned against the mid then and at later times, in ticks."""

    at_ms: int
    side: Side
    shares: float
    edge: float
    later: dict[int, float] = field(default_factory=dict)


class Maker:
    """Keeps one bid and one offer at the best prices; a taken or left behind one is renewed."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.market = rig.exchange.catalog.markets[0]
        self.quotes: dict[Side, OrderRecord] = {}
        self.seen: dict[Side, int] = {}
        for outcome in Outcome:
            rig.exchange.accounts.grant(
                rig.member.account, self.market.index, outcome, 1_000_000 * SHARE
            )

    def fills(self, at_ms: int, mid: float) -> list[Fill]:
        """Return what was filled since the last look."""
        found = []
        for side, record in self.quotes.items():
            lots = record.order.filled_lots - self.seen[side]
            if lots:
                self.seen[side] += lots
                price = record.order.price_ticks
                edge = mid - price if side == Side.BUY else price - mid
                found.append(Fill(at_ms, side, lots / SHARE, edge))
        return found

    def requote(self) -> None:
        """Stand at the best prices of the moment."""
        top = self.rig.exchange.engine.top(0)
        if not top.bid_ticks or top.ask_ticks == 10_000:
            return
        for side, ticks in ((Side.BUY, top.bid_ticks), (Side.SELL, top.ask_ticks)):
            record = self.quotes.get(side)
            live = record is not None and record.order.status == OrderStatus.LIVE
            if live and record.order.price_ticks == ticks:
                continue
            if live:
                self.rig.exchange.cancel(record.order.id)
            shares = QUOTE_SHARES * SHARE
            cash = shares * ticks // 10_000
            fresh = self.rig.accept(self.rig.body(self.market.token_yes, side, cash, shares))
            if self.rig.exchange.place(fresh) is None:
                self.quotes[side], self.seen[side] = fresh, 0


def make_markets(
    seconds: int,
    *,
    seed: int,
    informed: float,
    rate: float = 80.0,
    lags_ms: tuple[int, ...] = (1_000, 5_000),
    still: bool = False,
) -> list[Fill]:
    """Return the fills of a maker that renews its quotes twice a second, with their later edge.

    ``still`` keeps the market's value where it opened.
    """
    rig = Rig(one_market())
    settings = FlowSettings(rate, EdgeSettings(every_s=0.0), informed)
    flow = Flow(rig.exchange, seed, settings)
    if still:
        flow.markets[0].fair = StillValue(flow.markets[0].fair.at(0.0))
    maker = Maker(rig)
    fills: list[Fill] = []
    mids: dict[int, float] = {}
    for at_ms in range(STEP_MS, seconds * 1_000 + 1, STEP_MS):
        rig.scheduler.run(STEP_MS)
        flow.run_until(at_ms * 1_000_000)
        top = rig.exchange.engine.top(0)
        mids[at_ms] = (top.bid_ticks + top.ask_ticks) / 2
        fills += maker.fills(at_ms, mids[max(at_ms - STEP_MS, STEP_MS)])
        if at_ms % 500 == 0:
            maker.requote()
    rig.exchange.engine.check()
    for fill in fills:
        sign = 1 if fill.side == Side.BUY else -1
        price = mids[max(fill.at_ms - STEP_MS, STEP_MS)] - sign * fill.edge
        for lag_ms in lags_ms:
            if fill.at_ms + lag_ms in mids:
                fill.later[lag_ms] = sign * (mids[fill.at_ms + lag_ms] - price)
    return fills


def mean_edge(fills: list[Fill], lag_ms: int) -> float:
    """Return the mean edge in ticks, by shares, so long after the fills."""
    rows = [(fill.shares, fill.later[lag_ms]) for fill in fills if lag_ms in fill.later]
    return sum(shares * edge for shares, edge in rows) / sum(shares for shares, _ in rows)
