"""Who trades in the exchange: values that move, takers that know, a tail that hardly trades."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import numpy as np
import pytest

from oracle.calibration import one_market
from oracle.maker import make_markets, mean_edge
from oracle.sim_rig import Rig
from overround.match.types import BookSide
from overround.sim.catalog import SimCatalog
from overround.sim.edges import EdgeSettings
from overround.sim.fair import JumpingValue, RecordedValue, StillValue, fair_value
from overround.sim.flow import Flow, FlowSettings
from overround.sim.population import MARKETS_MAX, populate
from overround.sim.tail import Tail
from overround.sim.takers import Takers

NS = 1_000_000_000
SEEDS = (1, 2, 3)


def catalog_of(count: int, seed: int = 1) -> SimCatalog:
    catalog = SimCatalog.recorded()
    populate(catalog, count, seed)
    return catalog


# -- values ------------------------------------------------------------------------------


def test_a_jumping_value_tells_one_story_however_it_is_asked() -> None:
    times = [step / 10 for step in range(6_000)]
    plain = JumpingValue(5_000, 100, 0.3, 0.0, Random(4))
    ahead = JumpingValue(5_000, 100, 0.3, 0.0, Random(4))
    path = [plain.at(time_s) for time_s in times]
    peeked = []
    for time_s in times:
        ahead.at(time_s + 0.8)
        peeked.append(ahead.at(time_s))
    assert peeked == path
    moves = np.diff(path[::10])
    assert 0.6 < np.mean(moves == 0) < 0.85
    assert set(np.unique(np.array(path) % 100)) == {0}
    assert min(path) >= 500
    assert max(path) <= 9_500


@pytest.mark.parametrize("start", [600, 9_400])
def test_a_jumping_value_is_reflected_at_the_ends(start: int) -> None:
    value = JumpingValue(start, 100, 1.0, 0.0, Random(1))
    path = [value.at(time_s) for time_s in range(3_000)]
    assert min(path) >= 500
    assert max(path) <= 9_500


def test_which_value_a_market_gets() -> None:
    recorded = SimCatalog.recorded().markets
    assert isinstance(fair_value(recorded[0], 5_000, 50.0, 0.0, Random(1)), StillValue)
    assert isinstance(fair_value(recorded[5], 5_000, 50.0, 0.0, Random(1)), RecordedValue)
    lone = catalog_of(60).markets[-1]
    assert isinstance(fair_value(lone, 5_000, 5.0, 0.0, Random(1)), JumpingValue | StillValue)
    assert isinstance(fair_value(lone, 5_000, 0.0, 0.0, Random(1)), StillValue)


# -- takers ------------------------------------------------------------------------------


def markout(informed: float, *, still: bool = False) -> tuple[float, float, int]:
    """Mean edge of a naive maker at the fill and 5 s later, in ticks, and how often it traded."""
    fills = []
    for seed in SEEDS:
        fills += make_markets(90, seed=seed, informed=informed, still=still)
    at_fill = sum(fill.edge * fill.shares for fill in fills) / sum(f.shares for f in fills)
    return at_fill, mean_edge(fills, 5_000), len(fills)


def test_a_naive_maker_is_filled_and_adversely_selected() -> None:
    at_fill, later, count = markout(1.0)
    assert count > 60
    assert at_fill > 40  # half a spread, as it seems at that moment
    assert later < -40  # the value moved through the quote


class Noted(Takers):
    """Takers who remember when they took from which side, by kind."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow.markets[0].makers, Random(1))
        self.now = 0
        self.taken: dict[str, list[tuple[int, BookSide]]] = {"noise": [], "informed": []}

    def noise(self, side: BookSide, bid_ticks: int, ask_ticks: int) -> bool:
        done = super().noise(side, bid_ticks, ask_ticks)
        if done:
            self.taken["noise"].append((self.now, side))
        return done

    def informed(self, side: BookSide, value_ticks: int) -> bool:
        done = super().informed(side, value_ticks)
        if done:
            self.taken["informed"].append((self.now, side))
        return done


def test_prices_go_where_the_informed_went_and_not_where_chance_did() -> None:
    drifts: dict[str, list[float]] = {"noise": [], "informed": []}
    for seed in SEEDS:
        rig = Rig(one_market())
        flow = Flow(rig.exchange, seed, FlowSettings(80.0, EdgeSettings(every_s=0.0), 1.0))
        takers = flow.markets[0].takers = Noted(flow)
        mids = []
        for step in range(6_000):
            takers.now = step
            rig.scheduler.run(20)
            flow.run_until(step * 20_000_000)
            top = rig.exchange.engine.top(0)
            mids.append((top.bid_ticks + top.ask_ticks) / 2)
        for kind, taken in takers.taken.items():
            for step, side in taken:
                if 0 < step < len(mids) - 150:
                    moved = mids[step + 150] - mids[step - 1]
                    drifts[kind].append(moved if side == BookSide.ASK else -moved)
    assert len(drifts["informed"]) > 60
    assert len(drifts["noise"]) > 60
    assert np.mean(drifts["informed"]) > 60
    assert abs(np.mean(drifts["noise"])) < 80


def test_a_naive_maker_earns_the_spread_where_nothing_moves() -> None:
    at_fill, later, count = markout(1.0, still=True)
    assert count > 20
    assert at_fill > 40
    assert later > 20


def test_informed_takers_sweep_up_to_the_value_to_be() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(0.0, EdgeSettings(every_s=0.0)))
    market = flow.markets[5]
    top = rig.exchange.engine.top(5)
    assert market.takers.informed(BookSide.ASK, top.ask_ticks + 150)
    assert not market.takers.informed(BookSide.ASK, top.ask_ticks - 500)
    assert market.takers.informed(BookSide.BID, top.bid_ticks - 150)
    assert market.takers.informed_trades == 2
    now = rig.exchange.engine.top(5)
    assert now.ask_ticks <= top.ask_ticks + 200
    assert now.bid_ticks >= top.bid_ticks - 200
    rig.exchange.engine.check()


# -- many markets ------------------------------------------------------------------------


def test_generated_markets_look_like_the_venue() -> None:
    catalog = catalog_of(2_000)
    markets = catalog.markets
    assert len(markets) == len(catalog.by_condition) == 2_000
    assert len(catalog.by_token) == 4_000
    assert len({event.id for event in catalog.events}) == len(catalog.events)
    assert [market.index for market in markets] == list(range(2_000))
    assert 0.2 < np.mean([bool(m.event.set_id) for m in markets]) < 0.45
    assert 0.28 < np.mean([m.rules.tick_ticks == 10 for m in markets]) < 0.5
    for market in markets:
        assert market.bids
        assert market.asks
        assert 0 < market.bids[0][0] < market.asks[0][0] < 10_000
        tick = market.rules.tick_ticks
        assert all(price % tick == 0 for price, _ in market.bids + market.asks)
    for event in catalog.events:
        if event.set_id:
            assert sum(market.bids[0][0] for market in event.markets) < 10_000
            assert sum(market.asks[0][0] for market in event.markets) > 10_000


def test_a_small_count_keeps_the_recorded_markets_alone() -> None:
    recorded = SimCatalog.recorded()
    assert len(catalog_of(3).markets) == len(recorded.markets)
    assert len(catalog_of(10).markets) == 10
    assert catalog_of(40, seed=1).by_token.keys() == catalog_of(40, seed=1).by_token.keys()
    assert MARKETS_MAX == 20_000


def test_the_tail_deals_by_weight_and_in_runs() -> None:
    tail = Tail([4, 5, 6], [6.0, 3.0, 1.0], Random(2))
    drawn = [tail.draw() for _ in range(20_000)]
    shares = {index: count / 20_000 for index, count in Counter(drawn).items()}
    assert shares == pytest.approx({4: 0.6, 5: 0.3, 6: 0.1}, abs=0.03)
    assert np.mean([a == b for a, b in itertools.pairwise(drawn)]) > 0.7


def test_many_markets_share_the_rate_and_half_stay_silent() -> None:
    rig = Rig(catalog_of(600))
    flow = Flow(rig.exchange, 3, FlowSettings(400.0, EdgeSettings(every_s=1.0)))
    opened = [rig.exchange.engine.depth(index) for index in range(600)]
    for tick in range(1, 2_500):
        flow.run_until(tick * 4_000_000)
        rig.scheduler.run(4)
    moved = [rig.exchange.engine.depth(index) != opened[index] for index in range(600)]
    assert all(moved[5:8])
    assert 60 < sum(moved) < 320
    assert not any(moved[-200:])  # the busiest come first, the last half is silent
    assert 1_000 < flow.events < 6_000
    assert sum(edge.opened for edge in flow.edges) >= 5
    assert len(flow.edges) == 3
    for index in range(600):
        top = rig.exchange.engine.top(index)
        assert 0 < top.bid_ticks < top.ask_ticks < 10_000
    for event in rig.exchange.catalog.events:
        if event.set_id and not any(edge.active for edge in flow.edges):
            asks = sum(rig.exchange.engine.top(m.index).ask_ticks for m in event.markets)
            assert asks >= 10_000
    rig.exchange.engine.check()


def test_many_markets_are_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> str:
        rig = Rig(catalog_of(120, seed))
        flow = Flow(rig.exchange, seed, FlowSettings(400.0, EdgeSettings(every_s=1.0)))
        for tick in range(1, 300):
            flow.run_until(tick * 10_000_000)
            rig.scheduler.run(10)
        return rig.exchange.engine.state_hash()

    assert run(5) == run(5) != run(6)
