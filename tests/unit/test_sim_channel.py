"""What a market subscription may say and gets, and that every hash on it is the book's."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from itertools import groupby
from random import Random
from typing import Any

import pytest

from oracle.sim_rig import SHARE, Rig, Sink
from overround.match.types import BookSide, OrderType, Side
from overround.sim.channel import MarketSocket
from overround.sim.edges import EdgeSettings
from overround.sim.flow import Flow, FlowSettings
from overround.sim.news import new_market

STANDARD, FAVOURITE = 6, 3
"""Indexes of a standard market and of one in a neg-risk event."""


def rig_of(**settings: Any) -> tuple[Rig, Flow]:
    rig = Rig()
    chosen = FlowSettings(settings.get("rate", 0.0), EdgeSettings(every_s=0.0))
    return rig, Flow(rig.exchange, 3, chosen)


def connect(rig: Rig, **message: Any) -> tuple[MarketSocket, Sink]:
    sink = Sink()
    socket = rig.exchange.channel.connect(sink)
    if message:
        rig.exchange.channel.on_text(socket, json.dumps(message))
    return socket, sink


def tokens_of(rig: Rig, *indexes: int) -> list[str]:
    markets = rig.exchange.catalog.markets
    return [token for i in indexes for token in (markets[i].token_yes, markets[i].token_no)]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_level_is_served_with_whole_books(level: int) -> None:
    rig, _ = rig_of()
    _, sink = connect(rig, assets_ids=tokens_of(rig, 0), type="market", level=level)
    _, usual = connect(rig, assets_ids=tokens_of(rig, 0), type="market")
    assert sink.texts == usual.texts != []


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 4}, {"level": "2"}, {"level": True}, {"level": None}, {"level": [2]},
        {"operation": "resubscribe"}, {"operation": None}, {"operation": ["subscribe"]},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_answered_and_subscribes_nothing(wrong: dict[str, Any]) -> None:
    rig, _ = rig_of()
    socket, sink = connect(rig, assets_ids=tokens_of(rig, 0), custom_feature_enabled=True, **wrong)
    assert sink.texts == ["INVALID OPERATION"]
    assert (list(socket.assets), socket.custom) == ([], True)


def test_without_the_dump_changes_come_but_no_book() -> None:
    rig, flow = rig_of()
    _, sink = connect(rig, assets_ids=tokens_of(rig, 0), initial_dump=False)
    assert sink.texts == []
    flow.markets[0].makers.add(BookSide.BID, 10, 7 * SHARE)
    assert [event["event_type"] for event in sink.take()] == ["price_change"]


def test_a_duplicate_is_refused_but_its_message_sets_the_flag() -> None:
    rig, _ = rig_of()
    first, second = tokens_of(rig, 0), tokens_of(rig, 1)
    socket, sink = connect(rig, assets_ids=[*first, first[0]])
    assert len(sink.take()[0]) == 2
    rig.exchange.channel.on_text(
        socket,
        json.dumps({
            "operation": "subscribe", "assets_ids": first, "custom_feature_enabled": True
        }),
    )  # fmt: skip
    assert (sink.texts, socket.custom) == ([], True)
    message = {"operation": "subscribe", "assets_ids": [first[0], *second]}
    rig.exchange.channel.on_text(socket, json.dumps(message))
    assert [book["asset_id"] for book in sink.take()[0]] == second
    assert rig.exchange.channel.duplicates == 4


def test_custom_events_go_to_those_who_asked_alone() -> None:
    rig, flow = rig_of()
    market = rig.exchange.catalog.markets[0]
    plain, custom = rig.watch(market), rig.watch(market, custom=True)
    elsewhere = rig.watch(rig.exchange.catalog.markets[1], custom=True)
    for sink in (plain, custom, elsewhere):
        sink.take()
    with rig.exchange.burst():
        flow.markets[0].makers.cancel_level(BookSide.BID, 50)
    rig.exchange.channel.announce(new_market(market, 5))
    kinds = [[event["event_type"] for event in sink.take()] for sink in (plain, custom, elsewhere)]
    best = ["best_bid_ask", "best_bid_ask"]
    assert kinds == [["price_change"], [*best, "price_change", "new_market"], ["new_market"]]


def test_new_market_is_read_by_the_official_client() -> None:
    events = pytest.importorskip("polymarket.models.clob.market_events")
    rig, _ = rig_of()
    market = rig.exchange.catalog.markets[STANDARD]
    made = new_market(market, 1_795_345_200_000)
    adapter = events._MARKET_EVENT_ADAPTER
    read = adapter.validate_python(events._normalize_to_envelope(made)).payload
    assert read.market == market.condition_id
    assert list(read.asset_ids) == made["assets_ids"] == made["clob_token_ids"]
    assert read.order_price_min_tick_size == Decimal("0.01")
    assert made["fee_schedule"] == {
        "exponent": "1", "rate": "0.07", "taker_only": "true", "rebate_rate": "0.2",
    }  # fmt: skip


def test_tokens_above_the_ceiling_hear_nothing_and_are_told_nothing() -> None:
    rig, flow = rig_of()
    rig.exchange.faults.put("tokens-ceiling", 3)
    tokens = tokens_of(rig, 0, 1, 2)
    socket, sink = connect(rig, assets_ids=tokens)
    assert [book["asset_id"] for book in sink.take()[0]] == tokens[:3]
    flow.markets[2].makers.add(BookSide.BID, 10, 7 * SHARE)
    assert sink.texts == []
    assert rig.exchange.channel.unserved == 3
    say = rig.exchange.channel.on_text
    say(socket, json.dumps({"operation": "subscribe", "assets_ids": tokens[5:]}))
    assert sink.texts == [], "what it names again it has already"
    say(socket, json.dumps({"operation": "unsubscribe", "assets_ids": tokens[1:]}))
    say(socket, json.dumps({"operation": "subscribe", "assets_ids": tokens[4:]}))
    assert [book["asset_id"] for book in sink.take()[0]] == tokens[4:]
    rig.exchange.channel.disconnect(socket)


def test_an_empty_list_of_markets_keeps_trades_out_but_not_orders() -> None:
    rig, _ = rig_of()
    keys = rig.credentials
    auth = {"apiKey": keys.api_key, "secret": keys.secret, "passphrase": keys.passphrase}
    whole, nothing = rig.listen(), Sink()
    socket = rig.exchange.users.connect(nothing)
    assert rig.exchange.users.on_text(socket, json.dumps({"auth": auth, "markets": []}))
    trade_as_member(rig, FAVOURITE, Random(1))
    rig.scheduler.run(200)
    kinds = [event["event_type"] for event in whole.take()]
    assert kinds == ["order", "order", "trade", "trade", "trade"]
    assert [event["event_type"] for event in nothing.take()] == ["order", "order"]


class Ledger:
    """Both tokens' books kept from frames with decimals, hashed from scratch at every stamp."""

    def __init__(self, condition: str, neg_risk: bool) -> None:
        self.condition, self.neg_risk = condition, neg_risk
        self.sides: dict[str, dict[str, dict[Decimal, str]]] = {}
        self.tick = self.last = ""
        self.checked = {"book": 0, "price_change": 0}

    def digest(self, token: str, stamp: str) -> str:
        def rows(name: str) -> str:
            levels = sorted(self.sides[token][name].items(), reverse=name == "asks")
            return ",".join(f'{{"price":"{p}","size":"{size}"}}' for p, size in levels)

        text = (
            f'{{"market":"{self.condition}","asset_id":"{token}","timestamp":"{stamp}","hash":"",'
            f'"bids":[{rows("bids")}],"asks":[{rows("asks")}],"min_order_size":"5",'
            f'"tick_size":"{self.tick}","neg_risk":{str(self.neg_risk).lower()},'
            f'"last_trade_price":"{self.last}"}}'
        )
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def turn(self, events: list[dict[str, Any]]) -> None:
        """Take what one action caused; its print comes late, but its hashes know of it."""
        prints = [event for event in events if event["event_type"] == "last_trade_price"]
        if prints:
            whole, _, fraction = prints[-1]["price"].partition(".")
            self.last = f"{whole}.{fraction.ljust(3, '0')}"
        rest = [event for event in events if event["event_type"] != "last_trade_price"]
        for _, group in groupby(rest, lambda event: event["timestamp"]):
            self.feed(list(group))

    def feed(self, events: list[dict[str, Any]]) -> None:
        """Take everything of one stamp; every hash in it must be that of the end."""
        claims: list[tuple[str, str, str, str]] = []
        for event in events:
            kind, stamp = event["event_type"], event["timestamp"]
            if kind == "book":
                token = event["asset_id"]
                self.sides[token] = {
                    name: {Decimal(level["price"]): level["size"] for level in event[name]}
                    for name in ("bids", "asks")
                }
                self.tick = event.get("tick_size", self.tick)
                self.last = event.get("last_trade_price", self.last)
                claims.append((kind, token, stamp, event["hash"]))
            elif kind == "price_change":
                for entry in event["price_changes"]:
                    token, price = entry["asset_id"], Decimal(entry["price"])
                    side = self.sides[token]["bids" if entry["side"] == "BUY" else "asks"]
                    side[price] = entry["size"]
                    if entry["size"] == "0":
                        del side[price]
                    claims.append((kind, token, stamp, entry["hash"]))
            elif kind == "tick_size_change":
                self.tick = event["new_tick_size"]
        for kind, token, stamp, claimed in claims:
            assert self.digest(token, stamp) == claimed, (kind, stamp)
            self.checked[kind] += 1


@pytest.mark.parametrize("index", [FAVOURITE, STANDARD])
def test_every_hash_in_every_frame_is_the_books(index: int) -> None:
    rig, flow = rig_of(rate=400.0)
    market = rig.exchange.catalog.markets[index]
    sink = rig.watch(market)
    ledger = Ledger(market.condition_id, market.rules.neg_risk)
    assert market.rules.neg_risk == (index == FAVOURITE)
    ledger.feed(sink.take()[0])
    random = Random(f"bursts/{index}")
    for turn in range(200):
        if turn == 150:
            rig.exchange.set_tick(index, 5 if index == FAVOURITE else 10)
        elif turn % 7 == 3:
            trade_as_member(rig, index, random)
        else:
            with rig.exchange.burst():  # several levels and trades under one stamp
                for _ in range(random.randint(1, 4)):
                    flow.markets[index].act(turn / 10)
        rig.scheduler.run(60)
        ledger.turn(sink.take())
    assert ledger.checked["price_change"] > 300
    assert ledger.checked["book"] > 40


def trade_as_member(rig: Rig, index: int, random: Random) -> None:
    """Buy a little of either token at any price, as a member would."""
    token = tokens_of(rig, index)[random.randint(0, 1)]
    record = rig.accept(rig.body(token, Side.BUY, 9_900_000, 10 * SHARE, OrderType.FAK))
    assert rig.exchange.place(record) is None
