"""Recordings played as orders: the frames that come out tell the same story in the same order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.sim_rig import SHARE, Rig
from overround.match.types import Side
from overround.sim.flow import Flow, FlowSettings
from overround.sim.replay import BookReplay

NS_PER_MS = 1_000_000


def story(event: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What an event says apart from stamps, hashes and which token comes first."""
    kind = event["event_type"]
    if kind == "price_change":
        changes = {
            (c["asset_id"], float(c["price"]), float(c["size"]), c["side"], c["best_bid"])
            for c in event["price_changes"]
        }
        return [(kind, frozenset(changes))]
    if kind == "book":
        sides = [
            tuple((float(level["price"]), float(level["size"])) for level in event[name])
            for name in ("bids", "asks")
        ]
        return [(kind, event["asset_id"], *sides)]
    if kind == "last_trade_price":
        numbers = float(event["price"]), float(event["size"])
        return [(kind, event["asset_id"], *numbers, event["side"])]
    return []


def opening_levels(book: dict[str, Any]) -> list[tuple[tuple[str, str, str], str]]:
    return [
        ((book["asset_id"], side, level["price"]), level["size"])
        for name, side in (("bids", "BUY"), ("asks", "SELL"))
        for level in book[name]
    ]


def repeats(event: dict[str, Any], levels: dict[tuple[str, str, str], str]) -> bool:
    """Whether a change states the sizes its levels have already; keeps the levels up to date."""
    changes = event.get("price_changes", [])
    fresh = {(c["asset_id"], c["side"], c["price"]): c["size"] for c in changes}
    known = bool(fresh) and all(levels.get(key, "0") == size for key, size in fresh.items())
    levels.update(fresh)
    return known


def played(rig: Rig, replay: BookReplay, seconds: int) -> dict[str, list[tuple[Any, ...]]]:
    """Play a recording in steps of a millisecond; return each market's story after its opening."""
    flow = Flow(rig.exchange, 1, FlowSettings(), replay)
    sinks = {market.condition_id: rig.watch(market) for market in rig.exchange.catalog.markets}
    for sink in sinks.values():
        sink.take()
    for at_ms in range(seconds * 1_000):
        flow.run_until(at_ms * NS_PER_MS)
        rig.scheduler.run(1)
    assert replay.done
    return {
        condition: [part for event in sink.take() for part in story(event)]
        for condition, sink in sinks.items()
    }


@pytest.mark.recorded
def test_three_recorded_markets_come_out_as_recorded(recorded: Path) -> None:
    path = recorded / "polymarket_ws" / "raw_3markets_20260927.ndjson"
    wanted: dict[str, list[tuple[Any, ...]]] = {}
    opening, *lines = path.read_text().splitlines()
    levels = dict(level for book in json.loads(opening) for level in opening_levels(book))
    for line in filter(None, lines):
        event = json.loads(line)
        if not repeats(event, levels):
            wanted.setdefault(event["market"], []).extend(story(event))
    replay = BookReplay(path)
    rig = Rig(replay.catalog())
    found = played(rig, replay, 13)
    rig.exchange.engine.check()
    for condition, events in wanted.items():
        assert found[condition][: len(events)] == events
    # One change repeats its opening book: that market's snapshot raced its stream.
    assert sum(map(len, wanted.values())) == 58


def frame(kind: str, stamp: int, **fields: object) -> str:
    return json.dumps({"event_type": kind, "market": "0xm", "timestamp": str(stamp), **fields})


def write_trade(path: Path, side: str, token: str, price: str, size: str) -> Path:
    """One market of 9 bid at 0.5 and 40 offered at 0.6, and one print in it."""
    level = {"tick_size": "0.01", "last_trade_price": "0.500"}
    yes = {"bids": [{"price": "0.5", "size": "9"}], "asks": [{"price": "0.6", "size": "40"}]}
    no = {"bids": [{"price": "0.4", "size": "40"}], "asks": [{"price": "0.5", "size": "9"}]}
    change = {"asset_id": "1", "price": "0.6", "size": "33", "side": "SELL"}
    if (side == "SELL") == (token == "1"):
        change = {"asset_id": "1", "price": "0.5", "size": "2", "side": "BUY"}
    lines = [
        frame("book", 900, asset_id="1", **yes, **level),
        frame("book", 900, asset_id="2", **no, **level),
        frame("price_change", 1_000, price_changes=[change]),
        frame("last_trade_price", 1_040, asset_id=token, price=price, size=size, side=side),
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("side", "token", "price"),
    [("BUY", "1", "0.6"), ("SELL", "1", "0.5"), ("BUY", "2", "0.5"), ("SELL", "2", "0.4")],
)
def test_a_print_trades_the_same_token_side_price_and_size(
    tmp_path: Path, side: str, token: str, price: str
) -> None:
    replay = BookReplay(write_trade(tmp_path / "frames.ndjson", side, token, price, "7"))
    rig = Rig(replay.catalog())
    (events,) = played(rig, replay, 1).values()
    kinds = [event[0] for event in events]
    assert kinds == ["price_change", "book", "book", "last_trade_price"]
    assert events[-1] == ("last_trade_price", token, float(price), 7.0, side)
    bids, asks = rig.exchange.engine.depth(0)
    taken_bid = (side == "SELL") == (token == "1")
    assert bids == [(5000, (2 if taken_bid else 9) * SHARE)]
    assert asks == [(6000, (40 if taken_bid else 33) * SHARE)]


def test_a_member_in_front_of_a_recorded_print_is_filled(tmp_path: Path) -> None:
    replay = BookReplay(write_trade(tmp_path / "frames.ndjson", "SELL", "1", "0.5", "7"))
    rig = Rig(replay.catalog())
    flow = Flow(rig.exchange, 1, FlowSettings(), replay)
    first = rig.accept(rig.body("1", Side.BUY, 2_550_000, 5 * SHARE))  # at 0.51, in front
    behind = rig.accept(rig.body("1", Side.BUY, 2_500_000, 5 * SHARE))  # at 0.50, behind 9
    for record in (first, behind):
        assert rig.exchange.place(record) is None
    flow.run_until(NS_PER_MS)
    assert first.order.filled_lots == 5 * SHARE
    assert behind.order.filled_lots == 0
    assert rig.exchange.engine.depth(0)[0] == [(5000, 7 * SHARE)]


def test_an_unmatched_print_trades_and_leaves_the_level_as_recorded(tmp_path: Path) -> None:
    path = write_trade(tmp_path / "frames.ndjson", "BUY", "1", "0.6", "7")
    late = frame("last_trade_price", 2_000, asset_id="1", price="0.6", size="3", side="BUY")
    path.write_text(path.read_text() + "\n" + late)
    replay = BookReplay(path)
    rig = Rig(replay.catalog())
    (events,) = played(rig, replay, 2).values()
    assert [e[3] for e in events if e[0] == "last_trade_price"] == [7.0, 3.0]
    assert rig.exchange.engine.depth(0)[1] == [(6000, 33 * SHARE)]
