"""The exchange writes books byte for byte as the venue does, hash included."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from oracle.sim_rig import SHARE, Rig, Sink
from overround.match.types import BookSide
from overround.sim.catalog import SimCatalog
from overround.sim.flow import Flow, FlowSettings
from overround.sim.replay import BookReplay
from overround.sim.wirebook import WireBook, last_trade_text


def recorded_book(record: dict, market_index: int) -> WireBook:
    market = SimCatalog.recorded().markets[market_index]
    book = WireBook(market, 0)
    book.epoch_ms = int(record["timestamp"])
    for side, levels in ((BookSide.BID, market.bids), (BookSide.ASK, market.asks)):
        for price_ticks, size_lots in levels:
            book.apply(side, price_ticks, size_lots)
    return book


def test_shipped_books_reproduce_the_venues_own_hashes() -> None:
    path = resources.files("overround.sim").joinpath("data", "fed_june_2026.json")
    records = json.loads(path.read_text("utf-8"))["markets"]
    assert len(records) == 5
    for index, record in enumerate(records):
        book = recorded_book(record, index)
        assert [book.digest(0), book.digest(1)] == record["hashes"]


@pytest.mark.recorded
def test_rest_text_equals_the_recorded_summary(recorded: Path) -> None:
    name = "polymarket_rest/negrisk_event_fed-june-2026_clob-books.json"
    by_token = {b["asset_id"]: b for b in json.loads((recorded / name).read_text())}
    for market in SimCatalog.recorded().markets[:5]:
        record = {"timestamp": by_token[market.token_yes]["timestamp"]}
        book = recorded_book(record, market.index)
        for outcome in (0, 1):
            wanted = json.dumps(by_token[market.token(outcome)], separators=(",", ":"))
            assert book.rest_text(outcome) == wanted


@pytest.mark.recorded
def test_opening_and_refresh_texts_equal_recorded_frames(recorded: Path) -> None:
    path = recorded / "polymarket_ws" / "raw_3markets_20260927.ndjson"
    catalog = BookReplay(path).catalog()
    lines = [line for line in path.read_text().splitlines() if line]
    opening = json.loads(lines[0])
    texts = []
    for event in opening:
        market, outcome = catalog.by_token[event["asset_id"]]
        book = WireBook(market, 0)
        book.epoch_ms = int(event["timestamp"])
        book.last_trade = event["last_trade_price"]
        for side, levels in ((BookSide.BID, market.bids), (BookSide.ASK, market.asks)):
            for price_ticks, size_lots in levels:
                book.apply(side, price_ticks, size_lots)
        digest = event["hash"] if book.digest(outcome) != event["hash"] else book.digest(outcome)
        texts.append(book.opening_text(outcome).replace(book.digest(outcome), digest))
    assert "[" + ",".join(texts) + "]" == lines[0]


def test_last_trade_text_has_three_decimals_at_least() -> None:
    assert [last_trade_text(t) for t in (8700, 20, 5, 10_000)] == [
        "0.870", "0.002", "0.0005", "1.000",
    ]  # fmt: skip


def test_no_side_mirrors_the_yes_side() -> None:
    rig = Rig()
    Flow(rig.exchange, 1, FlowSettings(rate=0))
    for book in rig.exchange.books:
        yes, no = json.loads(book.rest_text(0)), json.loads(book.rest_text(1))
        assert [lv["size"] for lv in yes["bids"]] == [lv["size"] for lv in no["asks"]]
        assert [lv["size"] for lv in yes["asks"]] == [lv["size"] for lv in no["bids"]]
        assert yes["bids"] == sorted(yes["bids"], key=lambda lv: float(lv["price"]))
        assert no["asks"] == sorted(no["asks"], key=lambda lv: -float(lv["price"]))


def test_empty_sides_are_written_as_zero_and_one() -> None:
    market = SimCatalog.recorded().markets[0]
    book = WireBook(market, 5)
    assert (book.best(0), book.best(1)) == (("0", "1"), ("0", "1"))
    book.apply(BookSide.BID, 300, SHARE)
    assert (book.best(0), book.best(1)) == (("0.03", "1"), ("0", "0.97"))


def test_stamps_of_a_market_always_rise() -> None:
    book = WireBook(SimCatalog.recorded().markets[0], 100)
    assert [book.touch(ms) for ms in (100, 100, 90, 200)] == [101, 102, 103, 200]


def test_opening_array_is_compact_and_ends_in_a_newline() -> None:
    rig = Rig()
    Flow(rig.exchange, 1, FlowSettings(rate=0))
    sink = rig.watch(rig.exchange.catalog.markets[2])
    assert sink.texts[0].endswith("}]\n")
    assert ", " not in sink.texts[0]
    assert [event["event_type"] for event in sink.take()[0]] == ["book", "book"]


def test_subscriptions_ignore_duplicates_and_follow_unsubscribe() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(rate=0))
    market = rig.exchange.catalog.markets[0]
    sink = Sink()
    socket = rig.exchange.channel.connect(sink)
    say = rig.exchange.channel.on_text
    say(socket, "PING")
    assert sink.texts.pop() == "PONG"
    say(socket, "{nonsense")
    assert sink.texts.pop() == "INVALID OPERATION"
    subscribe = {"operation": "subscribe", "assets_ids": [market.token_yes]}
    say(socket, json.dumps(subscribe))
    assert len(sink.take()) == 1
    say(socket, json.dumps({**subscribe, "custom_feature_enabled": True}))
    assert sink.texts == []
    assert socket.custom
    say(socket, json.dumps({"assets_ids": [market.token_no], "initial_dump": False}))
    assert sink.texts == []
    flow.markets[0].makers.add(BookSide.BID, 10, 7 * SHARE)
    assert [event["event_type"] for event in sink.take()] == ["price_change"]
    tokens = [market.token_yes, market.token_no]
    say(socket, json.dumps({"operation": "unsubscribe", "assets_ids": tokens}))
    flow.markets[0].makers.add(BookSide.BID, 10, 7 * SHARE)
    assert sink.texts == []
    rig.exchange.channel.disconnect(socket)


def test_frames_of_a_burst_share_stamp_and_final_hash() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(rate=0))
    sink = rig.watch(rig.exchange.catalog.markets[0], custom=True)
    sink.take()
    with rig.exchange.burst():
        flow.markets[0].makers.cancel_level(BookSide.BID, 50)
        flow.markets[0].makers.add(BookSide.ASK, 50, 100 * SHARE)
    events = sink.take()
    assert [e["event_type"] for e in events] == ["best_bid_ask"] * 2 + ["price_change"] * 2
    assert len({event["timestamp"] for event in events}) == 1
    digests = [{c["asset_id"]: c["hash"] for c in e["price_changes"]} for e in events[2:]]
    assert digests[0] == digests[1]
    book = rig.exchange.books[0]
    assert set(digests[0].values()) == {book.digest(0), book.digest(1)}
    assert events[2]["price_changes"][0]["best_ask"] in ("0.005", "0.996")


def test_match_sends_changes_then_books_then_the_print() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(rate=0))
    sink = rig.watch(rig.exchange.catalog.markets[3])
    sink.take()
    assert flow.markets[3].makers.take(BookSide.ASK, 9810, 50 * SHARE)
    texts = list(sink.texts)
    events = sink.take()
    assert [event["event_type"] for event in events] == ["price_change", "book", "book"]
    assert texts[0].startswith('{"market":"0x')
    assert '", "price_changes":[{"asset_id":"' in texts[0]
    assert texts[1].count("}, {") > 10
    rig.scheduler.run(32)
    assert sink.texts == []
    rig.scheduler.run(17)
    printed = sink.take()[0]
    assert printed["event_type"] == "last_trade_price"
    assert printed["size"] == "50"
    assert 33 <= int(printed["timestamp"]) - int(events[0]["timestamp"]) <= 48


def test_prints_never_overtake_each_other() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(rate=0))
    market = rig.exchange.catalog.markets[3]
    sink = rig.watch(market)
    sizes = list(range(20, 60))
    for size in sizes:
        flow.markets[3].makers.take(BookSide.ASK, 9810, size * SHARE)
        rig.scheduler.run(0.5)
    rig.scheduler.run(100)
    prints = [e for e in sink.take()[1:] if e["event_type"] == "last_trade_price"]
    assert [int(event["size"]) for event in prints] == sizes
    stamps = [int(event["timestamp"]) for event in prints]
    assert stamps == sorted(stamps)


def test_silent_and_dropped_markets_lose_frames_not_state() -> None:
    rig = Rig()
    flow = Flow(rig.exchange, 1, FlowSettings(rate=0))
    sink = rig.watch(rig.exchange.catalog.markets[0])
    sink.take()
    channel = rig.exchange.channel
    makers = flow.markets[0].makers
    channel.drop_next[0] = 1
    makers.add(BookSide.BID, 10, 7 * SHARE)
    assert sink.texts == []
    makers.add(BookSide.BID, 20, 7 * SHARE)
    assert len(sink.take()) == 1
    channel.silent.add(0)
    makers.add(BookSide.BID, 20, 7 * SHARE)
    makers.take(BookSide.BID, 50, 300 * SHARE)
    rig.scheduler.run(60)
    assert sink.texts == []
    assert channel.frames_dropped == 3
