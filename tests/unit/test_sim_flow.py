"""The synthetic flow: clustered like recordings, two-sided, free of arbitrage but on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import zstandard

from oracle.sim_rig import SHARE, BookReader, Rig
from overround.errors import ConfigError
from overround.match.types import BookSide, Side
from overround.sim.arrivals import Arrivals
from overround.sim.edges import EdgeSettings
from overround.sim.flow import Flow, FlowSettings
from overround.sim.replay import BookReplay
from overround.sim.sizes import draw_size_lots

NS = 1_000_000_000


def counts(rate: float, seconds: int, seed: int) -> np.ndarray:
    arrivals = Arrivals(rate, Random(seed))
    found = np.zeros(seconds + 1)
    while (at := arrivals.advance()) < seconds:
        found[int(at)] += 1
    return found[:seconds]


def test_arrivals_cluster_as_recorded() -> None:
    runs = [counts(222, 200, seed) for seed in range(3)]
    fano = np.mean([run.var() / run.mean() for run in runs])
    assert 20 < fano < 190
    lag = np.mean([np.corrcoef(run[:-1], run[1:])[0, 1] for run in runs])
    assert 0.35 < lag < 0.85
    assert 130 < np.mean(runs) < 330


def test_sizes_are_lognormal_and_mostly_whole() -> None:
    random = Random(3)
    lots = np.array([draw_size_lots(random, 5.47, 1.54, 1.0) for _ in range(5_000)])
    assert 170 < np.median(lots) / SHARE < 270
    assert 0.7 < np.mean(lots % SHARE == 0) < 0.9
    assert lots.min() > 0


def run_flow(seed: int, seconds: float, **settings: float) -> tuple[Rig, Flow]:
    rig = Rig()
    edges = EdgeSettings(every_s=settings.get("every_s", 0.0))
    flow = Flow(rig.exchange, seed, FlowSettings(settings.get("rate", 300.0), edges))
    step_ns = 10_000_000
    for tick in range(1, int(seconds * NS) // step_ns):
        flow.run_until(tick * step_ns)
        rig.scheduler.run(step_ns / 1e6)
    return rig, flow


def set_sums(rig: Rig) -> tuple[int, int]:
    tops = [rig.exchange.engine.top(index) for index in range(5)]
    return sum(top.bid_ticks for top in tops), sum(top.ask_ticks for top in tops)


def test_books_stay_two_sided_and_without_arbitrage() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 5, FlowSettings(300.0, EdgeSettings(every_s=0.0)))
    for tick in range(1, 3_000):
        flow.run_until(tick * 10_000_000)
        rig.scheduler.run(10)
        bids, asks = set_sums(rig)
        assert bids <= 10_000 <= asks
        for market in rig.exchange.catalog.markets:
            top = rig.exchange.engine.top(market.index)
            assert 0 < top.bid_ticks < top.ask_ticks < 10_000
    rig.exchange.engine.check()
    assert rig.exchange.trade_count > 20
    assert flow.events > 3_000


def test_same_seed_gives_the_same_books() -> None:
    first, second, third = run_flow(9, 3)[0], run_flow(9, 3)[0], run_flow(10, 3)[0]
    assert first.exchange.engine.state_hash() == second.exchange.engine.state_hash()
    assert first.exchange.engine.state_hash() != third.exchange.engine.state_hash()


def test_a_slow_client_recomputes_every_hash() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 4, FlowSettings(400.0, EdgeSettings(every_s=1.0)))
    markets = rig.exchange.catalog.markets
    sinks = [rig.watch(market, custom=True) for market in markets]
    reader = BookReader({market.condition_id: market.rules.neg_risk for market in markets})
    for tick in range(1, 600):
        flow.run_until(tick * 10_000_000)
        rig.scheduler.run(10)
        for sink in sinks:
            for frame in sink.take():
                reader.feed(frame)
    rig.scheduler.run(100)
    for sink in sinks:
        for frame in sink.take():
            reader.feed(frame)
    reader.finish()
    assert reader.pending == []
    assert reader.checked > 1_200


@pytest.mark.parametrize("kind", ["buy_all", "sell_all"])
def test_edge_is_real_until_its_time_and_leaves_no_trace(kind: str) -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 2, FlowSettings(0.0, EdgeSettings(every_s=0.0)))
    before = [rig.exchange.engine.depth(index) for index in range(5)]
    assert flow.open_edge(kind, gain_ticks=100, size_lots=500 * SHARE, hold_ms=1_000)
    assert not flow.open_edge(kind, gain_ticks=100, size_lots=500 * SHARE, hold_ms=1_000)
    bids, asks = set_sums(rig)
    assert (asks if kind == "buy_all" else 20_000 - bids) <= 9_900
    tops = [rig.exchange.engine.top(index) for index in range(5)]
    lots = [top.ask_lots if kind == "buy_all" else top.bid_lots for top in tops]
    assert min(lots) >= 500 * SHARE
    flow.run_until(999_000_000)
    assert flow.edges[0].active
    flow.run_until(1_000_000_000)
    assert not flow.edges[0].active
    assert (flow.edges[0].expired, flow.edges[0].taken) == (1, 0)
    assert [rig.exchange.engine.depth(index) for index in range(5)] == before
    rig.exchange.engine.check()


def test_taken_edge_closes_at_once() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 2, FlowSettings(0.0, EdgeSettings(every_s=0.0)))
    assert flow.open_edge("buy_all", gain_ticks=100, size_lots=500 * SHARE, hold_ms=60_000)
    top = rig.exchange.engine.top(3)
    assert flow.markets[3].makers.take(BookSide.ASK, top.ask_ticks, top.ask_lots)
    flow.run_until(10_000_000)
    assert (flow.edges[0].taken, flow.edges[0].taken_lots) == (1, 500 * SHARE)
    bids, asks = set_sums(rig)
    assert bids <= 10_000 <= asks


def test_edges_open_by_themselves() -> None:
    _, flow = run_flow(3, 12, every_s=1.0, rate=50.0)
    assert flow.edges[0].opened >= 4
    assert flow.edges[0].opened - flow.edges[0].expired <= 1


@pytest.mark.parametrize("index", [4, 5])
@pytest.mark.parametrize("side", [BookSide.BID, BookSide.ASK])
def test_a_side_that_was_bought_out_is_refilled_at_once(index: int, side: BookSide) -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 2, FlowSettings(0.0, EdgeSettings(every_s=0.0)))
    makers = flow.markets[index].makers
    for price in makers.prices(side):
        makers.cancel_level(side, price)
    top = rig.exchange.engine.top(index)
    assert (top.bid_lots if side == BookSide.BID else top.ask_lots) == 0
    flow.markets[index].act(0.0)
    top = rig.exchange.engine.top(index)
    assert 0 < top.bid_ticks < top.ask_ticks < 10_000
    bids, asks = set_sums(rig)
    assert bids <= 10_000 <= asks


def test_flow_trades_with_members_in_its_way() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 3, FlowSettings(0.0, EdgeSettings(every_s=0.0)))
    market = flow.markets[5]
    bid, ask = rig.exchange.books[5].best_ticks()
    record = rig.accept(rig.body(market.market.token_yes, Side.BUY, 6_400_000, 10 * SHARE))
    assert rig.exchange.place(record) is None
    placed = rig.exchange.engine.top(5)
    assert placed.bid_ticks in (bid, ask)
    rig.exchange.catalog.markets[5].mid_path_ticks = (4_000,)
    for _ in range(400):
        market.act(0.0)
    top = rig.exchange.engine.top(5)
    assert 3_900 <= top.bid_ticks < top.ask_ticks <= 4_200
    assert record.order.filled_lots == 10 * SHARE
    rig.exchange.engine.check()


def test_a_lagging_exchange_skips_instead_of_running_hot() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(300.0))
    flow.run_until(60 * NS)
    assert flow.skipped > 5_000
    assert flow.events <= 64


def test_paused_flow_leaves_books_alone() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(300.0))
    before = rig.exchange.engine.state_hash()
    flow.paused = True
    flow.run_until(2 * NS)
    assert rig.exchange.engine.state_hash() == before


def frame(kind: str, stamp: int, **fields: object) -> str:
    return json.dumps({"event_type": kind, "market": "0xm", "timestamp": str(stamp), **fields})


def write_recording(path: Path) -> Path:
    book = {
        "asset_id": "1",
        "bids": [{"price": "0.4", "size": "3"}],
        "asks": [{"price": "0.6", "size": "7.5"}],
        "tick_size": "0.01",
    }
    mirror = {**book, "asset_id": "2", "bids": [{"price": "0.4", "size": "7.5"}]}
    mirror["asks"] = [{"price": "0.6", "size": "3"}]
    change = {"asset_id": "2", "price": "0.55", "size": "2", "side": "SELL"}
    later = {**book, "bids": [{"price": "0.5", "size": "9"}]}
    lines = [
        "[" + frame("book", 1_000, **book) + "," + frame("book", 1_000, **mirror) + "]",
        "",
        json.dumps({"recv_ms": 5, "raw": frame("price_change", 1_100, price_changes=[change])}),
        frame("book", 1_300, **later),
        frame("last_trade_price", 1_300, asset_id="1", price="0.5", size="1", side="BUY"),
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_replay_moves_books_at_the_recorded_pace(tmp_path: Path, packed: bool) -> None:
    path = write_recording(tmp_path / "frames.ndjson")
    if packed:
        text = path.read_bytes()
        path = tmp_path / "frames.ndjson.zst"
        path.write_bytes(zstandard.ZstdCompressor().compress(text))
    replay = BookReplay(path)
    rig = Rig(replay.catalog())
    flow = Flow(rig.exchange, 1, FlowSettings(300.0), replay)
    depth = rig.exchange.engine.depth
    assert depth(0) == ([(4000, 3 * SHARE)], [(6000, 7_500_000)])
    flow.run_until(0)
    assert depth(0)[0] == [(4500, 2 * SHARE), (4000, 3 * SHARE)]
    flow.run_until(199_000_000)
    assert not replay.done
    flow.run_until(200_000_000)
    assert depth(0) == ([(5000, 9 * SHARE)], [(6000, 7_500_000)])
    assert replay.done


@pytest.mark.parametrize("text", ["", "{broken", '{"event_type":"book","market":"m"}'])
def test_unusable_recordings_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "frames.ndjson"
    path.write_text(text)
    with pytest.raises(ConfigError):
        BookReplay(path)
    with pytest.raises(ConfigError, match="cannot read"):
        BookReplay(tmp_path / "absent")


@pytest.mark.recorded
def test_recorded_three_markets_replay_to_their_last_books(recorded: Path) -> None:
    path = recorded / "polymarket_ws" / "raw_3markets_20260927.ndjson"
    replay = BookReplay(path)
    rig = Rig(replay.catalog())
    flow = Flow(rig.exchange, 1, FlowSettings(), replay)
    flow.run_until(60 * NS)
    assert replay.done
    top = rig.exchange.engine.top(1)
    assert (top.bid_ticks, top.ask_ticks) == (10, 20)
    assert top.ask_lots == 319_587_930_000
