"""py-clob-client-v2, unmodified, against the real exchange process: every call it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    ApiCreds,
    AssetType,
    BalanceAllowanceParams,
    BookParams,
    BuilderTradeParams,
    DropNotificationParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderScoringParams,
    OrdersScoringParams,
    OrderType,
    PostOrdersV2Args,
    PricesHistoryParams,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException

from oracle import conformance as c
from oracle.conformance import QUIET, REFUSED, conform, operation, page
from oracle.sim_process import SimProcess, running
from overround.clock import epoch_s

CLIENT = "py-clob-client-v2"
BUILDER = "0x" + "ab" * 32
FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"
EXCHANGES = {
    "0xE111180000d2663C0091e4f400237545B87B996B",
    "0xe2222d279d744050d28e00520010520000310F59",
    "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa",
}


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    with running(*QUIET) as process:
        yield process


def client_of(sim: SimProcess, number: int) -> ClobClient:
    client = ClobClient(sim.url, 137, key=sim.ready["accounts"][number]["private_key"])
    client.set_api_creds(client.create_or_derive_api_key())
    return client


@pytest.fixture(scope="module")
def client(sim: SimProcess) -> ClobClient:
    return client_of(sim, 0)


@pytest.fixture(scope="module")
def other(sim: SimProcess) -> ClobClient:
    return client_of(sim, 1)


@pytest.fixture
def market(sim: SimProcess) -> dict[str, Any]:
    """A new market: bids 0.48 for 120, asks 0.52 for 110."""
    added: dict[str, Any] = sim.control("markets", frames_per_s=0)
    return added


def limit(client: ClobClient, token: str, price: float, size: float, side: str = "BUY") -> Any:
    return client.create_order(OrderArgsV2(token_id=token, price=price, size=size, side=side))


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(PolyApiException) as caught:
        call()
    conform(caught.value.error_msg, {"error": str})
    return caught.value.status_code, caught.value.error_msg["error"]


# -- credentials -----------------------------------------------------------------------------


@operation("create, derive, list and delete an API key", "1.6, 2.1, 2.2")
def test_keys(sim: SimProcess) -> None:
    client = ClobClient(sim.url, 137, key=sim.ready["accounts"][3]["private_key"])
    made = client.create_api_key(nonce=7)
    raw = {"apiKey": made.api_key, "secret": made.api_secret, "passphrase": made.api_passphrase}
    conform(raw, c.KEY)
    assert client.derive_api_key(nonce=7) == made
    assert refused(lambda: client.create_api_key(nonce=7)) == (400, "Could not create api key")
    assert refused(lambda: client.derive_api_key(nonce=8)) == (400, "Could not derive api key!")
    client.set_api_creds(made)
    assert client.get_api_keys() == {"apiKeys": [made.api_key]}
    assert client.get_closed_only_mode() == {"closed_only": False}
    assert client.delete_api_key() == "OK"
    assert refused(client.get_api_keys) == (401, "Unauthorized/Invalid api key")


@operation("refuse a wrong secret", "2.2")
def test_wrong_secret(sim: SimProcess, client: ClobClient) -> None:
    thief = ClobClient(sim.url, 137, key=sim.ready["accounts"][0]["private_key"])
    creds = client.creds
    thief.set_api_creds(ApiCreds(creds.api_key, "c2VjcmV0", creds.api_passphrase))
    assert refused(thief.get_open_orders) == (401, "Unauthorized/Invalid api key")


@operation("read-only API keys", "1.6")
def test_readonly_keys(client: ClobClient) -> None:
    made = client.create_readonly_api_key()
    conform(made, {"apiKey": c.UUID})
    assert client.get_readonly_api_keys() == [made["apiKey"]]
    client.delete_readonly_api_key(made["apiKey"])
    assert client.get_readonly_api_keys() == []


@operation("builder API keys", "1.6")
def test_builder_keys(client: ClobClient) -> None:
    made = client.create_builder_api_key()
    conform(made, {"key": c.UUID, "secret": str, "passphrase": str})
    listed = client.get_builder_api_keys()
    conform(listed, [{"key": c.UUID, "createdAt": str, "revokedAt": None}])
    assert client.revoke_builder_api_key() == "OK"
    assert client.get_builder_api_keys()[-1]["revokedAt"]


@operation("server time, health", "1.3")
def test_basics(client: ClobClient) -> None:
    assert client.get_ok() == "OK"
    assert abs(client.get_server_time() - epoch_s()) <= 2
    assert client.get_version() == 2


@operation("order book and its hash, one and many", "1.3, 1.4")
def test_books(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    book = client.get_order_book(yes)
    conform(book, c.BOOK)
    assert [level["price"] for level in book["bids"]] == ["0.46", "0.47", "0.48"]
    assert [level["price"] for level in book["asks"]] == ["0.54", "0.53", "0.52"]
    assert client.get_order_book_hash(book) == book["hash"]
    both = client.get_order_books([BookParams(yes), BookParams(no)])
    conform(both, [c.BOOK])
    assert [found["asset_id"] for found in both] == [yes, no]
    assert both[1]["bids"][-1] == {"price": "0.48", "size": "110"}
    missing = "No orderbook exists for the requested token id"
    assert refused(lambda: client.get_order_book("1")) == (404, missing)


@operation("midpoint, price, spread, last trade, one and many", "1.3")
def test_prices(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    assert client.get_midpoint(yes) == {"mid": "0.5"}
    assert client.get_midpoints([BookParams(yes), BookParams(no)]) == {yes: "0.5", no: "0.5"}
    assert client.get_price(yes, "BUY") == {"price": "0.48"}
    assert client.get_price(yes, "SELL") == {"price": "0.52"}
    assert client.get_prices([BookParams(yes, "BUY"), BookParams(yes, "SELL")]) == {
        yes: {"BUY": "0.48", "SELL": "0.52"}
    }
    assert client.get_spread(yes) == {"spread": "0.04"}
    assert client.get_spreads([BookParams(yes)]) == {yes: "0.04"}
    assert client.get_last_trade_price(yes) == {"price": "0.5", "side": ""}
    client.post_order(limit(client, yes, 0.52, 10), OrderType.GTC)
    assert client.get_last_trade_price(yes) == {"price": "0.52", "side": "BUY"}
    assert client.get_last_trades_prices([BookParams(yes)]) == [
        {"token_id": yes, "price": "0.52", "side": "BUY"}
    ]


@operation("tick size, neg-risk flag, fee rate", "1.3, 1.5")
@operation("market of a token, compact market record", "1.3, 1.5")
def test_parameters(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    assert client.get_tick_size(yes) == "0.01"
    assert client.get_neg_risk(yes) is False
    assert client.get_fee_rate_bps(yes) == 0
    assert client.get_fee_exponent(yes) == 1
    info = client.get_clob_market_info(market["market"])
    assert info["t"] == [{"t": yes, "o": "Yes"}, {"t": no, "o": "No"}]
    assert (info["mos"], info["mts"], info["fd"]) == (5, 0.01, {"r": 0.04, "e": 1, "to": True})
    assert "nr" not in info
    assert client.get_clob_market_info(FAVOURITE)["nr"] is True


@operation("market listings to the last page", "1.2, 1.5")
def test_listings(client: ClobClient) -> None:
    for call, row in (
        (client.get_markets, c.MARKET),
        (client.get_sampling_markets, c.MARKET),
        (client.get_simplified_markets, c.SIMPLE_MARKET),
        (client.get_sampling_simplified_markets, c.SIMPLE_MARKET),
    ):
        first = call()
        conform(first, page(row))
        assert first["next_cursor"] == "LTE="
        assert first["count"] == len(first["data"]) >= 5
        assert call("LTE=")["data"] == []
    assert len(client.get_sampling_markets()["data"]) == 5
    found = client.get_market(FAVOURITE)
    conform(found, c.MARKET)
    assert (found["neg_risk"], found["minimum_tick_size"]) == (True, 0.001)
    assert refused(lambda: client.get_market("0x00"))[0] == 404


@operation("price history", "1.3")
@operation("live activity of a market", "1.3")
def test_history(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    client.post_order(limit(client, yes, 0.52, 10), OrderType.GTC)
    points = client.get_prices_history(PricesHistoryParams(market=yes, interval="1h"))
    conform(points, {"history": [{"t": int, "p": float}]})
    assert points["history"][-1]["p"] == 0.52
    now_s = epoch_s()
    span = PricesHistoryParams(market=no, start_ts=now_s - 60, end_ts=now_s + 1, fidelity=1)
    assert client.get_prices_history(span)["history"][-1]["p"] == 0.48
    lived = client.get_market_trades_events(market["market"])
    conform(lived, [c.LIVE_TRADE])
    assert (lived[0]["price"], lived[0]["size"], lived[0]["side"]) == ("0.52", "10", "BUY")


@operation("GTC: rest, query, cancel", "1.7-1.9, 1.11")
def test_gtc(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    placed = client.post_order(limit(client, yes, 0.5, 20), OrderType.GTC)
    conform(placed, c.PLACED)
    assert placed["tradeIDs"] == placed["transactionsHashes"] == []
    found = client.get_order(placed["orderID"])
    conform(found, c.OPEN_ORDER)
    assert (found["original_size"], found["price"], found["outcome"]) == ("20", "0.5", "Yes")
    assert (found["expiration"], found["associate_trades"]) == ("0", [])
    assert client.get_open_orders(OpenOrderParams(market=market["market"])) == [found]
    assert client.get_open_orders(OpenOrderParams(id=placed["orderID"])) == [found]
    answer = client.cancel_order(OrderPayload(orderID=placed["orderID"]))
    conform(answer, c.CANCELLED)
    assert answer == {"canceled": [placed["orderID"]], "not_canceled": {}}
    assert client.get_order(placed["orderID"]) is None
    again = client.cancel_order(OrderPayload(orderID=placed["orderID"]))
    assert again["canceled"] == []
    conform(again, c.CANCELLED)


@operation("GTC: marketable, price improvement, trade to CONFIRMED", "1.8, 1.11, 4.1")
def test_match(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    bought = client.post_order(limit(client, yes, 0.53, 30), OrderType.GTC)
    conform(bought, c.MATCHED)
    assert (bought["makingAmount"], bought["takingAmount"]) == ("15.6", "30")
    assert len(bought["tradeIDs"]) == len(bought["transactionsHashes"]) == 1
    [trade] = client.get_trades(TradeParams(id=bought["tradeIDs"][0]))
    conform(trade, c.TRADE)
    assert (trade["price"], trade["size"], trade["trader_side"]) == ("0.52", "30", "TAKER")
    assert trade["transaction_hash"] == bought["transactionsHashes"][0]
    while trade["status"] != "TRADE_STATUS_CONFIRMED":
        [trade] = client.get_trades(TradeParams(id=bought["tradeIDs"][0]))
    asked = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=yes)
    assert client.get_balance_allowance(asked)["balance"] == "30000000"


@operation("partial fill seen by maker and taker", "1.8, 1.11, 4.3")
def test_partial_fill(client: ClobClient, other: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    placed = client.post_order(limit(client, yes, 0.5, 20), OrderType.GTC)
    sold = other.post_order(limit(other, no, 0.5, 8), OrderType.GTC)
    assert (sold["status"], sold["makingAmount"], sold["takingAmount"]) == ("matched", "4", "8")
    left = client.get_order(placed["orderID"])
    conform(left, c.OPEN_ORDER)
    assert (left["size_matched"], left["status"]) == ("8", "LIVE")
    assert left["associate_trades"] == sold["tradeIDs"]
    [mine] = client.get_trades(TradeParams(market=market["market"]))
    [theirs] = other.get_trades(TradeParams(market=market["market"]))
    conform([mine, theirs], [c.TRADE])
    assert (mine["trader_side"], theirs["trader_side"]) == ("MAKER", "TAKER")
    assert mine["asset_id"] == theirs["asset_id"] == no
    [maker] = mine["maker_orders"]
    assert (maker["order_id"], maker["asset_id"]) == (placed["orderID"], yes)
    assert (maker["owner"], maker["matched_amount"]) == (client.creds.api_key, "8")
    answer = client.cancel_order(OrderPayload(orderID=placed["orderID"]))
    assert answer["canceled"] == [placed["orderID"]]


@operation("GTD: rests with its expiration; too near is refused", "4.1")
def test_gtd(client: ClobClient, market: dict[str, Any]) -> None:
    until = epoch_s() + 400
    args = OrderArgsV2(
        token_id=market["tokens"][0], price=0.5, size=10, side="BUY", expiration=until
    )
    placed = client.create_and_post_order(args, order_type=OrderType.GTD)
    conform(placed, c.PLACED)
    found = client.get_order(placed["orderID"])
    assert (found["order_type"], found["expiration"]) == ("GTD", str(until))
    args.expiration = epoch_s() + 30
    refusal = refused(lambda: client.create_and_post_order(args, order_type=OrderType.GTD))
    assert refusal == (400, REFUSED["expiration"])


@operation("FOK: filled whole, or killed", "1.10, 4.1")
def test_fok(client: ClobClient, market: dict[str, Any]) -> None:
    args = MarketOrderArgsV2(token_id=market["tokens"][0], amount=26, side="BUY", price=0.52)
    filled = client.create_and_post_market_order(args, order_type=OrderType.FOK)
    conform(filled, c.MATCHED)
    assert (filled["makingAmount"], filled["takingAmount"]) == ("26", "50")
    big = MarketOrderArgsV2(token_id=market["tokens"][0], amount=52, side="BUY", price=0.52)
    refusal = refused(lambda: client.create_and_post_market_order(big, order_type=OrderType.FOK))
    assert refusal == (400, REFUSED["fok"])


@operation("FAK: filled in part, rest killed; nothing to match is refused", "1.10, 4.1")
def test_fak(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    big = MarketOrderArgsV2(token_id=yes, amount=78, side="BUY", price=0.52)
    filled = client.create_and_post_market_order(big, order_type=OrderType.FAK)
    conform(filled, c.MATCHED)
    assert (filled["makingAmount"], filled["takingAmount"]) == ("57.2", "110")
    assert client.get_order(filled["orderID"]) is None
    refusal = refused(lambda: client.create_and_post_market_order(big, order_type=OrderType.FAK))
    assert refusal == (400, REFUSED["fak"])
    sell = MarketOrderArgsV2(token_id=yes, amount=10, side="SELL", price=0.48)
    asked = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=yes)
    while client.get_balance_allowance(asked)["balance"] == "0":
        pass
    sold = client.create_and_post_market_order(sell, order_type=OrderType.FAK)
    assert (sold["makingAmount"], sold["takingAmount"]) == ("10", "4.8")


@operation("market order sized from the book", "4.1")
def test_market_price(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    assert client.calculate_market_price(yes, "BUY", 60, OrderType.FOK) == 0.53
    args = MarketOrderArgsV2(token_id=yes, amount=10, side="BUY")
    assert client.create_and_post_market_order(args)["status"] == "matched"


@operation("post-only: rests, or is refused when it would cross", "1.10, 4.1")
def test_post_only(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    resting, crossing = limit(client, yes, 0.49, 10), limit(client, yes, 0.52, 10)
    placed = client.post_order(resting, OrderType.GTC, post_only=True)
    conform(placed, c.PLACED)
    refusal = refused(lambda: client.post_order(crossing, OrderType.GTC, post_only=True))
    assert refusal == (400, REFUSED["crossing"])


@operation("order of a neg-risk market", "0, 2.4")
@operation("order of the newer protocol (exchange V3)", "0, 2.4")
def test_domains(sim: SimProcess, client: ClobClient) -> None:
    yes = client.get_clob_market_info(FAVOURITE)["t"][0]["t"]
    conform(client.post_order(limit(client, yes, 0.9, 10), OrderType.GTC), c.PLACED)
    newer = sim.control("markets", protocol=3, frames_per_s=0)
    args = OrderArgsV2(position_id=newer["tokens"][0], price=0.5, size=10, side="BUY")
    conform(client.create_and_post_order(args), c.PLACED)


@operation("refusals in the venue's words", "1.10")
def test_refusals(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    order = limit(client, yes, 0.5, 10)
    first = client.post_order(order, OrderType.GTC)
    again = refused(lambda: client.post_order(order, OrderType.GTC))
    assert again == (400, f"order {first['orderID']} is invalid. Duplicated.")
    status, text = refused(lambda: client.post_order(limit(client, yes, 0.5, 4), OrderType.GTC))
    assert status == 400
    assert text.endswith("is invalid. Size (4) lower than the minimum: 5")
    status, text = refused(lambda: client.post_order(limit(client, yes, 0.5, 1e7), OrderType.GTC))
    assert (status, text[:31]) == (400, "not enough balance / allowance:")
    sell = refused(lambda: client.post_order(limit(client, yes, 0.6, 10, "SELL"), OrderType.GTC))
    assert sell[1].startswith("not enough balance / allowance")


@operation("batch: up to 15, answered leg by leg; 16 refused", "1.6, 1.8")
def test_batch(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    legs = [limit(client, yes, 0.4, 10 + number) for number in range(14)]
    legs.append(limit(client, yes, 0.4, 1))
    batch = [PostOrdersV2Args(order=leg, orderType=OrderType.GTC) for leg in legs]
    answers = client.post_orders(batch)
    conform(answers[:14], [c.PLACED])
    conform(answers[14], c.REFUSED_LEG)
    assert answers[14]["errorMsg"].endswith("lower than the minimum: 5")
    assert refused(lambda: client.post_orders([*batch, batch[0]])) == (
        400, "Too many orders in payload: 16, max allowed: 15",
    )  # fmt: skip


@operation("cancel many, a market, everything", "1.6, 1.9")
def test_cancels(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    client.cancel_all()
    ids = [
        client.post_order(limit(client, token, 0.4, 10), OrderType.GTC)["orderID"]
        for token in (yes, yes, no, no)
    ]
    unknown = "0x" + "0" * 64
    answer = client.cancel_orders([ids[0], unknown])
    conform(answer, c.CANCELLED)
    assert answer["canceled"] == [ids[0]]
    assert answer["not_canceled"] == {unknown: "Order not found or already canceled"}
    params = OrderMarketCancelParams(market=market["market"], asset_id=yes)
    assert client.cancel_market_orders(params)["canceled"] == [ids[1]]
    every = client.cancel_all()
    conform(every, c.CANCELLED)
    assert sorted(every["canceled"]) == sorted(ids[2:])


@operation("open orders and trades to the last page", "1.2, 1.6")
def test_pages(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    client.cancel_all()
    for first in range(0, 105, 15):
        legs = [limit(client, yes, 0.1, 10 + first + number) for number in range(15)]
        client.post_orders([PostOrdersV2Args(order=o, orderType=OrderType.GTC) for o in legs])
    orders = client.get_open_orders()
    assert len({order["id"] for order in orders}) == len(orders) == 105
    assert len(client.get_open_orders(only_first_page=True)) == 100
    assert client.get_pre_migration_orders() == []
    client.cancel_all()
    known = client.get_trades()
    conform(known, [c.TRADE])
    assert len({trade["id"] for trade in known}) == len(known) > 3
    assert client.get_trades(TradeParams(after=epoch_s() + 5)) == []


@operation("balances and allowances", "1.6")
def test_balances(client: ClobClient) -> None:
    asked = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL)
    found = client.get_balance_allowance(asked)
    conform(found, c.BALANCE)
    assert set(found["allowances"]) == EXCHANGES
    assert int(found["balance"]) > 90_000_000_000
    client.update_balance_allowance(asked)


@operation("heartbeat: first, next, wrong id", "4.10")
def test_heartbeat(other: ClobClient) -> None:
    first = other.post_heartbeat("")
    following = other.post_heartbeat(first["heartbeat_id"])
    conform([first, following], [{"heartbeat_id": c.ANY_UUID}])
    with pytest.raises(PolyApiException) as caught:
        other.post_heartbeat("00000000-0000-0000-0000-000000000000")
    assert caught.value.status_code == 400
    assert caught.value.error_msg["error_msg"] == "Invalid Heartbeat ID"
    assert caught.value.error_msg["heartbeat_id"] == following["heartbeat_id"]


@operation("notifications: fills and cancels, drop", "1.11")
def test_notifications(client: ClobClient, market: dict[str, Any]) -> None:
    placed = client.post_order(limit(client, market["tokens"][0], 0.52, 120), OrderType.GTC)
    client.cancel_order(OrderPayload(orderID=placed["orderID"]))
    notices = client.get_notifications()
    conform(notices, [c.NOTICE])
    assert [notice["type"] for notice in notices[:2]] == [1, 2]
    assert {notice["payload"]["order_id"] for notice in notices[:2]} == {placed["orderID"]}
    assert notices[1]["payload"]["matched_size"] == "110"
    ids = [str(notice["id"]) for notice in notices]
    assert client.drop_notifications(DropNotificationParams(ids=ids)) == "OK"
    assert client.get_notifications() == []


@operation("order scoring", "1.6, 4.7")
@operation("liquidity rewards", "1.6, 4.7")
def test_rewards(sim: SimProcess, client: ClobClient) -> None:
    token = client.get_clob_market_info(FAVOURITE)["t"][0]["t"]
    order_id = client.post_order(limit(client, token, 0.98, 5000), OrderType.GTC)["orderID"]
    far_id = client.post_order(limit(client, token, 0.5, 200), OrderType.GTC)["orderID"]
    while not client.is_order_scoring(OrderScoringParams(orderId=order_id))["scoring"]:
        assert client.get_order(order_id) is not None
    both = client.are_orders_scoring(OrdersScoringParams(orderIds=[order_id, far_id]))
    assert both == {order_id: True, far_id: False}
    current = client.get_current_rewards()
    conform(current, [c.REWARD_NOW])
    assert len(current) == 5
    conform(client.get_raw_rewards_for_market(FAVOURITE), [c.REWARD_MARKET])
    day = datetime.fromtimestamp(epoch_s(), UTC).date().isoformat()
    conform(client.get_earnings_for_user_for_day(day), [c.USER_EARNING])
    conform(client.get_total_earnings_for_user_for_day(day), [c.DAY_EARNING])
    rows = client.get_user_earnings_and_markets_config(day)
    conform(rows, [c.EARNING_MARKET])
    assert len(rows) == 5
    shares = client.get_reward_percentages()
    conform(shares, c.Map(c.WORD, c.NUMBER))
    assert set(shares) <= {FAVOURITE}


@operation("builder fees, builder trades", "1.3")
def test_builder(client: ClobClient, market: dict[str, Any]) -> None:
    args = OrderArgsV2(
        token_id=market["tokens"][0], price=0.52, size=10, side="BUY", builder_code=BUILDER
    )
    bought = client.create_and_post_order(args)
    listed = client.get_builder_trades(BuilderTradeParams(builder_code=BUILDER))
    conform(listed, {"trades": [c.BUILDER_TRADE], "next_cursor": "LTE=", "limit": int, "count": 1})
    [trade] = listed["trades"]
    assert (trade["id"], trade["builder"]) == (bought["tradeIDs"][0], BUILDER)
    assert (trade["sizeUsdc"], trade["feeUsdc"]) == ("5.2", "0.09984")
