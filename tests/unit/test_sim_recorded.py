"""Recorded sequences, replayed as orders and cancels, come out as the frames that were recorded.

Compared are kind, order, every member in its order, every value and the serialiser; the two
entries of a change may stand either way round, as they do in the recordings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_rig import Scheduler, Sink
from overround.match.types import BookSide, OrderType, Outcome, Side
from overround.sim.catalog import SimCatalog, SimMarket
from overround.sim.exchange import Exchange
from overround.sim.flow import Flow, FlowSettings
from overround.sim.makers import TAKER_ACCOUNT, MakerBook
from overround.sim.orderlog import OrderLog
from overround.sim.replay import BookReplay
from overround.units import PRICE_TICKS_MAX, parse_price, parse_size

pytestmark = pytest.mark.recorded

RACED = "0x690fafd3b7bb8b4919ccf0f219b0014b65334411a1076162e76353e76d7f9bec"
"""The recorded market that misses an update: its books are not those of its hashes."""

NEG_RISK = "0xefa17dee3af09f69f9ddf245b969aa4efbe7c71cdf06ee49d694408bc33e2ed2"
"""The recorded market whose hashes say that it belongs to a neg-risk event."""


class Stage:
    """An exchange at a recorded moment, one subscriber, and the flow's own orders."""

    def __init__(self, catalog: SimCatalog, start_ms: int, *, custom: bool) -> None:
        self.scheduler = Scheduler()
        self.scheduler.now_ns = (start_ms - 1_000) * 1_000_000
        self.exchange = Exchange(
            catalog,
            seed=1,
            now_ns=lambda: self.scheduler.now_ns,
            later=self.scheduler.later,
            log=OrderLog(None),
            swapped_share=0.0,
        )
        self.flow = Flow(self.exchange, 1, FlowSettings(rate=0))
        self.sink = Sink()
        self.custom = custom

    def subscribe(self, tokens: list[str]) -> None:
        socket = self.exchange.channel.connect(self.sink)
        message = {"assets_ids": tokens, "custom_feature_enabled": self.custom}
        self.exchange.channel.on_text(socket, json.dumps(message))

    def at(self, epoch_ms: int) -> None:
        self.scheduler.run(epoch_ms - self.scheduler.now_ns / 1_000_000)

    def makers(self, market: SimMarket) -> MakerBook:
        return self.flow.markets[market.index].makers

    def set_level(self, market: SimMarket, side: BookSide, ticks: int, lots: int) -> None:
        """Cancel what is too much at a level, or add what is missing; nothing: place it anew."""
        makers = self.makers(market)
        have = sum(order.remaining_lots for order in makers.resting(side, ticks))
        if lots <= have:
            makers.cancel_level(side, ticks)
            have = 0
        if lots > have:
            assert makers.add(side, ticks, lots - have)

    def trade(self, token: str, side: Side, ticks: int, lots: int, kind: OrderType) -> None:
        market, outcome = self.exchange.catalog.by_token[token]
        order = self.makers(market).order(TAKER_ACCOUNT, BookSide.BID, 5_000, lots, kind)
        order.outcome, order.side, order.price_ticks = Outcome(outcome), side, ticks
        assert self.exchange.submit(order)


@dataclass
class Burst:
    """Recorded frames of one market and one stamp."""

    market: str
    epoch_ms: int
    events: list[dict[str, Any]]

    @property
    def has_trade(self) -> bool:
        return any(event["event_type"] == "book" for event in self.events)


def bursts_of(raws: list[str]) -> Iterator[Burst]:
    """Group book, change and best frames by market and stamp; prints come as bursts alone."""
    frames = [json.loads(raw) for raw in raws]

    def key(event: dict[str, Any]) -> tuple[str, int, bool]:
        shown = event["event_type"] == "last_trade_price"
        late = event["event_type"] == "best_bid_ask"  # stamped up to a millisecond later
        stamps = {e["timestamp"] for e in frames if e["event_type"] == "price_change"}
        stamp = int(event["timestamp"])
        if late and str(stamp) not in stamps:
            stamp -= 1
        return event["market"], stamp, shown

    for (market, stamp, _), events in groupby(frames, key):
        yield Burst(market, stamp, once(list(events)))


def once(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop the second of two changes that differ in the order of their entries only."""
    kept: list[dict[str, Any]] = []
    for event in events:
        if not kept or plain(event) != plain(kept[-1]):
            kept.append(event)
    return kept


def plain(event: dict[str, Any], *, hashes: bool = True) -> Any:
    """An event as ordered pairs, free of what may differ."""
    event = dict(event)
    if not hashes:
        event.pop("hash", None)
        for entry in event.get("price_changes", ()):
            entry.pop("hash", None)
    if event["event_type"] == "price_change":
        entries = sorted(event["price_changes"], key=lambda entry: entry["asset_id"])
        event["price_changes"] = [list(entry.items()) for entry in entries]
    if event["event_type"] == "best_bid_ask":
        event["timestamp"] = "soon"
    if event["event_type"] == "last_trade_price":
        event["timestamp"] = event["transaction_hash"] = "later"
    return list(event.items())


def is_spaced(raw: str) -> bool:
    return json.dumps(json.loads(raw), separators=(", ", ":")) == raw


def side_of(event: dict[str, Any], catalog: SimCatalog) -> tuple[SimMarket, BookSide, int, int]:
    """The level a recorded change is about, in YES terms."""
    entry = event["price_changes"][0]
    market, outcome = catalog.by_token[entry["asset_id"]]
    ticks = parse_price(entry["price"])
    side = BookSide.BID if entry["side"] == "BUY" else BookSide.ASK
    if outcome:
        ticks, side = PRICE_TICKS_MAX - ticks, BookSide(1 - side)
    return market, side, ticks, parse_size(entry["size"])


@pytest.fixture(scope="module")
def tennis(recorded: Path) -> Any:
    path = recorded / "polymarket_ws" / "raw_bursts_tennis_20260911.json"
    return json.loads(path.read_text())


def tennis_stage(document: Any, batch: Any) -> Stage:
    catalog = SimCatalog()
    yes = next(c for c in batch["checkpoint"] if c["asset_id"] == document["assets"][0])

    def levels(name: str) -> list[tuple[int, int]]:
        return [(parse_price(v["price"]), parse_size(v["size"])) for v in reversed(yes[name])]

    catalog.add_market(
        question="tennis",
        slug="tennis",
        condition_id=document["market"],
        tokens=tuple(document["assets"]),
        bids=levels("bids"),
        asks=levels("asks"),
        tick_ticks=parse_price(document["hash_inputs"]["tick_size"]),
        fee_rate_ppm=0,
    )
    first_ms = min(int(json.loads(frame["raw"])["timestamp"]) for frame in batch["frames"])
    stage = Stage(catalog, first_ms, custom=True)
    stage.exchange.books[0].last_trade = batch["last_trade_price_in_hash"]
    stage.subscribe(document["assets"])
    opening = stage.sink.take()[0]
    for book, checkpoint in zip(opening, batch["checkpoint"], strict=True):
        assert (book["bids"], book["asks"]) == (checkpoint["bids"], checkpoint["asks"])
    return stage


@pytest.mark.parametrize("number", [0, 1, 2])
def test_tennis_burst_comes_out_as_recorded(tennis: Any, number: int) -> None:
    batch = tennis["batches"][number]
    stage = tennis_stage(tennis, batch)
    raws = [frame["raw"] for frame in batch["frames"]]
    for burst in bursts_of(raws):
        stage.at(burst.epoch_ms)
        changes = [
            side_of(event, stage.exchange.catalog)
            for event in burst.events
            if event["event_type"] == "price_change"
        ]
        if burst.has_trade:  # a seller takes a whole level of bids and rests the leavings
            (_, _, ticks, rest), (_, side, taken_ticks, left) = changes
            assert (side, ticks, left) == (BookSide.BID, taken_ticks, 0)
            there = stage.exchange.engine.top(0).bid_lots
            stage.trade(tennis["assets"][0], Side.SELL, ticks, there + rest, OrderType.GTC)
        else:
            with stage.exchange.burst():
                for market, side, ticks, lots in changes:
                    stage.set_level(market, side, ticks, lots)
        assert all(map(is_spaced, stage.sink.texts))
        events = [plain(event) for event in stage.sink.take()]
        assert events == [plain(event) for event in burst.events], batch["name"]
    assert all(map(is_spaced, raws))


def test_three_markets_come_out_as_recorded(recorded: Path) -> None:
    path = recorded / "polymarket_ws" / "raw_3markets_20260927.ndjson"
    opening, *raws = [line for line in path.read_text().splitlines() if line]
    books = json.loads(opening)
    catalog = BookReplay(path).catalog()
    start_ms = min(int(json.loads(raw)["timestamp"]) for raw in raws)
    market = catalog.by_condition[NEG_RISK]
    market.rules = replace(market.rules, neg_risk=True)
    stage = Stage(catalog, start_ms, custom=False)
    for book in books:
        wire = stage.exchange.books[catalog.by_token[book["asset_id"]][0].index]
        wire.last_trade = book["last_trade_price"]
    stage.subscribe([book["asset_id"] for book in books])
    stage.sink.take()
    compared = {True: 0, False: 0}
    prints: list[dict[str, Any]] = []
    traded_ms = 0
    for burst in bursts_of(raws):
        if burst.events[0]["event_type"] == "last_trade_price":
            stage.at(burst.epoch_ms + 20)
            shown = stage.sink.take()
            assert [plain(event) for event in shown] == [plain(e) for e in burst.events]
            assert 33 <= int(shown[0]["timestamp"]) - traded_ms <= 48
            prints += shown
            continue
        traded_ms = burst.epoch_ms if burst.has_trade else traded_ms
        stage.at(burst.epoch_ms)
        play_three(stage, burst, raws)
        assert all(map(is_spaced, stage.sink.texts))
        whole = burst.market != RACED
        events = [plain(event, hashes=whole) for event in stage.sink.take()]
        assert events == [plain(event, hashes=whole) for event in burst.events]
        compared[whole] += len(events)
    assert len(prints) == 10
    assert compared[True] > 35
    assert compared[False] > 5


def play_three(stage: Stage, burst: Burst, raws: list[str]) -> None:
    """One burst as commands: the recorded bot's purchases are orders, the rest levels."""
    changes = [side_of(e, stage.exchange.catalog) for e in burst.events if "price_changes" in e]
    if not burst.has_trade:
        with stage.exchange.burst():
            for market, side, ticks, lots in changes:
                stage.set_level(market, side, ticks, lots)
        return
    printed = next(
        event
        for event in map(json.loads, raws)
        if event["event_type"] == "last_trade_price"
        and 0 < int(event["timestamp"]) - burst.epoch_ms <= 50
    )
    # Five shares at 0.002 are worth a cent: only a limit far above makes them a dollar's order.
    lots = parse_size(printed["size"])
    stage.trade(printed["asset_id"], Side[printed["side"]], 9_900, lots, OrderType.FAK)
