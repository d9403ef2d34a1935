"""py-clob-client, unmodified, against an exchange that takes orders of the first version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from py_clob_client.client import ClobClient
from py_clob_client.clob_types import (
    AssetType,
    BalanceAllowanceParams,
    BookParams,
    DropNotificationParams,
    MarketOrderArgs,
    OpenOrderParams,
    OrderArgs,
    OrderScoringParams,
    OrdersScoringParams,
    OrderType,
    PostOrdersArgs,
    TradeParams,
)
from py_clob_client.exceptions import PolyApiException
from py_clob_client_v2.client import ClobClient as NewerClient
from py_clob_client_v2.clob_types import OrderArgsV2

from oracle import conformance as c
from oracle.conformance import QUIET, REFUSED, conform, operation, page
from oracle.sim_process import SimProcess, running
from overround.clock import epoch_s

pytestmark = pytest.mark.timeout(30)

CLIENT = "py-clob-client"
FAVOURITE = "0xde04b189b3f19eaccda02529a3ea67abfc46bff5c0c8fc42d8a2d0ed7b8f0d41"


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    with running(*QUIET, "--version", "1") as process:
        yield process


def client_of(sim: SimProcess, number: int) -> ClobClient:
    client = ClobClient(sim.url, chain_id=137, key=sim.ready["accounts"][number]["private_key"])
    client.set_api_creds(client.create_or_derive_api_creds())
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


def limit(client: ClobClient, token: str, price: float, size: float, **more: Any) -> Any:
    args = OrderArgs(token_id=token, price=price, size=size, side="BUY", **more)
    return client.create_order(args)


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(PolyApiException) as caught:
        call()
    conform(caught.value.error_msg, {"error": str})
    return caught.value.status_code, caught.value.error_msg["error"]


# -- credentials -----------------------------------------------------------------------------


@operation("create, derive, list and delete an API key", "1.6, 2.1, 2.2")
def test_keys(sim: SimProcess) -> None:
    client = ClobClient(sim.url, chain_id=137, key=sim.ready["accounts"][3]["private_key"])
    made = client.create_api_key(nonce=7)
    raw = {"apiKey": made.api_key, "secret": made.api_secret, "passphrase": made.api_passphrase}
    conform(raw, c.KEY)
    assert client.derive_api_key(nonce=7) == made
    client.set_api_creds(made)
    assert client.get_api_keys() == {"apiKeys": [made.api_key]}
    assert client.get_closed_only_mode() == {"closed_only": False}
    assert client.delete_api_key() == "OK"
    assert refused(client.get_api_keys) == (401, "Unauthorized/Invalid api key")


@operation("read-only API keys", "1.6")
def test_readonly_keys(client: ClobClient) -> None:
    made = client.create_readonly_api_key()
    assert client.get_readonly_api_keys() == [made.api_key]
    assert client.validate_readonly_api_key(client.get_address(), made.api_key) == "OK"
    client.delete_readonly_api_key(made.api_key)
    assert client.get_readonly_api_keys() == []


# -- market data -----------------------------------------------------------------------------


@operation("server time, health", "1.3")
def test_basics(client: ClobClient) -> None:
    assert client.get_ok() == "OK"
    assert abs(client.get_server_time() - epoch_s()) <= 2


@operation("order book and its hash, one and many", "1.3, 1.4")
def test_books(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    book = client.get_order_book(yes)
    assert [level.price for level in book.bids] == ["0.46", "0.47", "0.48"]
    assert (book.min_order_size, book.tick_size, book.neg_risk) == ("5", "0.01", False)
    hashed = book.hash
    assert client.get_order_book_hash(book) == hashed
    both = client.get_order_books([BookParams(yes), BookParams(no)])
    assert [found.asset_id for found in both] == [yes, no]
    missing = "No orderbook exists for the requested token id"
    assert refused(lambda: client.get_order_book("1")) == (404, missing)


@operation("midpoint, price, spread, last trade, one and many", "1.3")
def test_prices(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    assert client.get_midpoint(yes) == {"mid": "0.5"}
    assert client.get_midpoints([BookParams(yes), BookParams(no)]) == {yes: "0.5", no: "0.5"}
    assert client.get_price(yes, "BUY") == {"price": "0.48"}
    assert client.get_prices([BookParams(yes, "SELL")]) == {yes: {"SELL": "0.52"}}
    assert client.get_spread(yes) == {"spread": "0.04"}
    assert client.get_spreads([BookParams(yes)]) == {yes: "0.04"}
    assert client.get_last_trade_price(yes) == {"price": "0.5", "side": ""}
    client.post_order(limit(client, yes, 0.52, 10))
    assert client.get_last_trades_prices([BookParams(yes)]) == [
        {"token_id": yes, "price": "0.52", "side": "BUY"}
    ]


@operation("tick size, neg-risk flag, fee rate", "1.3, 1.5")
def test_parameters(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    assert client.get_tick_size(yes) == "0.01"
    assert client.get_neg_risk(yes) is False
    assert client.get_fee_rate_bps(yes) == 0


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
    conform(client.get_market(FAVOURITE), c.MARKET)


@operation("live activity of a market", "1.3")
def test_history(client: ClobClient, market: dict[str, Any]) -> None:
    client.post_order(limit(client, market["tokens"][0], 0.52, 10))
    conform(client.get_market_trades_events(market["market"]), [c.LIVE_TRADE])


# -- orders ----------------------------------------------------------------------------------


@operation("GTC: rest, query, cancel", "1.7-1.9, 1.11")
def test_gtc(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    placed = client.post_order(limit(client, yes, 0.5, 20))
    conform(placed, c.PLACED)
    found = client.get_order(placed["orderID"])
    conform(found, c.OPEN_ORDER)
    assert client.get_orders(OpenOrderParams(market=market["market"])) == [found]
    answer = client.cancel(placed["orderID"])
    conform(answer, c.CANCELLED)
    assert answer["canceled"] == [placed["orderID"]]
    assert client.get_order(placed["orderID"]) is None


@operation("GTC: marketable, price improvement, trade to CONFIRMED", "1.8, 1.11, 4.1")
def test_match(client: ClobClient, market: dict[str, Any]) -> None:
    bought = client.post_order(limit(client, market["tokens"][0], 0.53, 30))
    conform(bought, c.MATCHED)
    assert (bought["makingAmount"], bought["takingAmount"]) == ("15.6", "30")
    [trade] = client.get_trades(TradeParams(id=bought["tradeIDs"][0]))
    conform(trade, c.TRADE)
    while trade["status"] != "TRADE_STATUS_CONFIRMED":
        [trade] = client.get_trades(TradeParams(id=bought["tradeIDs"][0]))


@operation("partial fill seen by maker and taker", "1.8, 1.11, 4.3")
def test_partial_fill(client: ClobClient, other: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    placed = client.post_order(limit(client, yes, 0.5, 20))
    sold = other.post_order(limit(other, no, 0.5, 8))
    assert (sold["status"], sold["takingAmount"]) == ("matched", "8")
    assert client.get_order(placed["orderID"])["size_matched"] == "8"
    [mine] = client.get_trades(TradeParams(market=market["market"]))
    conform(mine, c.TRADE)
    assert mine["trader_side"] == "MAKER"
    assert mine["maker_orders"][0]["order_id"] == placed["orderID"]
    client.cancel_all()


@operation("GTD: rests with its expiration; too near is refused", "4.1")
def test_gtd(client: ClobClient, market: dict[str, Any]) -> None:
    yes, until = market["tokens"][0], epoch_s() + 400
    placed = client.post_order(limit(client, yes, 0.5, 10, expiration=until), OrderType.GTD)
    conform(placed, c.PLACED)
    assert client.get_order(placed["orderID"])["expiration"] == str(until)
    near = limit(client, yes, 0.5, 10, expiration=epoch_s() + 30)
    refusal = refused(lambda: client.post_order(near, OrderType.GTD))
    assert refusal == (400, REFUSED["expiration"])


@operation("FOK: filled whole, or killed", "1.10, 4.1")
def test_fok(client: ClobClient, market: dict[str, Any]) -> None:
    def take(amount: float) -> Any:
        yes = market["tokens"][0]
        args = MarketOrderArgs(token_id=yes, amount=amount, side="BUY", price=0.52)
        return client.post_order(client.create_market_order(args), OrderType.FOK)

    filled = take(26)
    conform(filled, c.MATCHED)
    assert (filled["makingAmount"], filled["takingAmount"]) == ("26", "50")
    assert refused(lambda: take(52)) == (400, REFUSED["fok"])


@operation("FAK: filled in part, rest killed; nothing to match is refused", "1.10, 4.1")
def test_fak(client: ClobClient, market: dict[str, Any]) -> None:
    def take() -> Any:
        yes = market["tokens"][0]
        args = MarketOrderArgs(token_id=yes, amount=78, side="BUY", price=0.52)
        return client.post_order(client.create_market_order(args), OrderType.FAK)

    filled = take()
    assert (filled["makingAmount"], filled["takingAmount"]) == ("57.2", "110")
    assert refused(take) == (400, REFUSED["fak"])


@operation("market order sized from the book", "4.1")
def test_market_price(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    assert client.calculate_market_price(yes, "BUY", 60, OrderType.FOK) == 0.53
    order = client.create_market_order(MarketOrderArgs(token_id=yes, amount=10, side="BUY"))
    assert client.post_order(order, OrderType.FOK)["status"] == "matched"


@operation("post-only: rests, or is refused when it would cross", "1.10, 4.1")
def test_post_only(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    conform(client.post_order(limit(client, yes, 0.49, 10), post_only=True), c.PLACED)
    crossing = limit(client, yes, 0.52, 10)
    refusal = refused(lambda: client.post_order(crossing, post_only=True))
    assert refusal == (400, REFUSED["crossing"])


@operation("order of a neg-risk market", "0, 2.4")
def test_domains(client: ClobClient) -> None:
    yes = client.get_market(FAVOURITE)["tokens"][0]["token_id"]
    conform(client.post_order(limit(client, yes, 0.9, 10)), c.PLACED)


@operation("refusals in the venue's words", "1.10")
def test_refusals(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    order = limit(client, yes, 0.5, 10)
    first = client.post_order(order)
    again = refused(lambda: client.post_order(order))
    assert again == (400, f"order {first['orderID']} is invalid. Duplicated.")
    status, text = refused(lambda: client.post_order(limit(client, yes, 0.5, 4)))
    assert status == 400
    assert text.endswith("is invalid. Size (4) lower than the minimum: 5")


@operation("batch: up to 15, answered leg by leg; 16 refused", "1.6, 1.8")
def test_batch(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    legs = [PostOrdersArgs(order=limit(client, yes, 0.4, 10 + n)) for n in range(14)]
    legs.append(PostOrdersArgs(order=limit(client, yes, 0.4, 1)))
    answers = client.post_orders(legs)
    conform(answers[:14], [c.PLACED])
    conform(answers[14], c.REFUSED_LEG)
    assert refused(lambda: client.post_orders([*legs, legs[0]])) == (
        400, "Too many orders in payload: 16, max allowed: 15",
    )  # fmt: skip


@operation("orders of the other version", "0, 7.1")
def test_versions(sim: SimProcess, client: ClobClient, market: dict[str, Any]) -> None:
    key = sim.ready["accounts"][2]["private_key"]
    newer = NewerClient(sim.url, 137, key=key)
    newer.set_api_creds(newer.create_or_derive_api_key())
    assert newer.get_version() == 1
    args = OrderArgsV2(token_id=market["tokens"][0], price=0.5, size=10, side="BUY")
    conform(newer.create_and_post_order(args), c.PLACED)
    with running(*QUIET) as current:
        old = client_of(current, 0)
        token = current.get(f"/markets/{FAVOURITE}")["tokens"][0]["token_id"]
        order = limit(old, token, 0.9, 10)
        assert refused(lambda: old.post_order(order)) == (400, "order_version_mismatch")


# -- cancels and queries ---------------------------------------------------------------------


@operation("cancel many, a market, everything", "1.6, 1.9")
def test_cancels(client: ClobClient, market: dict[str, Any]) -> None:
    yes, no = market["tokens"]
    client.cancel_all()
    ids = [
        client.post_order(limit(client, token, 0.4, 10))["orderID"] for token in (yes, yes, no, no)
    ]
    answer = client.cancel_orders([ids[0]])
    conform(answer, c.CANCELLED)
    assert answer["canceled"] == [ids[0]]
    chosen = client.cancel_market_orders(market=market["market"], asset_id=yes)
    assert chosen["canceled"] == [ids[1]]
    assert sorted(client.cancel_all()["canceled"]) == sorted(ids[2:])


@operation("open orders and trades to the last page", "1.2, 1.6")
def test_pages(client: ClobClient, market: dict[str, Any]) -> None:
    yes = market["tokens"][0]
    client.cancel_all()
    for _ in range(7):
        client.post_orders([PostOrdersArgs(order=limit(client, yes, 0.1, 10)) for _ in range(15)])
    orders = client.get_orders()
    assert len({order["id"] for order in orders}) == len(orders) == 105
    client.cancel_all()
    trades = client.get_trades()
    conform(trades, [c.TRADE])
    assert len({trade["id"] for trade in trades}) == len(trades) > 3


@operation("balances and allowances", "1.6")
def test_balances(client: ClobClient) -> None:
    asked = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL)
    found = client.get_balance_allowance(asked)
    conform(found, c.BALANCE)
    assert int(found["balance"]) > 90_000_000_000
    client.update_balance_allowance(asked)


@operation("heartbeat: first, next, wrong id", "4.10")
def test_heartbeat(other: ClobClient) -> None:
    first = other.post_heartbeat("")
    following = other.post_heartbeat(first["heartbeat_id"])
    conform([first, following], [{"heartbeat_id": c.ANY_UUID}])
    with pytest.raises(PolyApiException) as caught:
        other.post_heartbeat("00000000-0000-0000-0000-000000000000")
    assert caught.value.error_msg["heartbeat_id"] == following["heartbeat_id"]


@operation("notifications: fills and cancels, drop", "1.11")
def test_notifications(client: ClobClient, market: dict[str, Any]) -> None:
    placed = client.post_order(limit(client, market["tokens"][0], 0.52, 120))
    client.cancel(placed["orderID"])
    notices = client.get_notifications()
    conform(notices, [c.NOTICE])
    assert [notice["type"] for notice in notices[:2]] == [1, 2]
    ids = [str(notice["id"]) for notice in notices]
    client.drop_notifications(DropNotificationParams(ids=ids))
    assert client.get_notifications() == []


@operation("order scoring", "1.6, 4.7")
def test_scoring(client: ClobClient, market: dict[str, Any]) -> None:
    order_id = client.post_order(limit(client, market["tokens"][0], 0.5, 10))["orderID"]
    assert client.is_order_scoring(OrderScoringParams(orderId=order_id)) == {"scoring": False}
    asked = OrdersScoringParams(orderIds=[order_id])
    assert client.are_orders_scoring(asked) == {order_id: False}
